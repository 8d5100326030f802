"""docs/events.md, made from the schemas: `python -m api.event_docs` writes it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from api.event_schemas import EVENTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import BaseModel

PLACE: Final = Path(__file__).resolve().parent.parent / "docs" / "events.md"

_HEAD: Final = """\
# Events

`python -m api.event_docs` makes this page from [api/event_schemas.py](../api/event_schemas.py).

Each change of a session or a message and its event are committed together: none without the other.
Events have ids that grow in order of commit, so the last one seen is a place in the log. They name
things by their ids and never hold a message's text, a QR code, a jid or a phone number; what they
tell of is read with the API.

| how to get them | what for |
|---|---|
| `GET /v1/events` | a page; ask again with `next_after` as `after` |
| the same with `Accept: text/event-stream` | server-sent events; resume with `Last-Event-ID` |
| `GET /v1/events/ws` | a WebSocket; resume with `after` |

All three take `types` (separated by commas) and `session` (an id or a name). A stream without
`after` and `Last-Event-ID` begins now; `after=00000000000000000000000000` begins with the oldest
event that is kept. Streams show every 15 seconds that they live, and from where they would be
resumed: server-sent events by a block that has only an `id`, a WebSocket by a frame `position`.
Whoever reads so slowly that 2,000 events wait, or that a write can't be finished within 10 seconds,
is cut off, and reads on from the last id seen. A stream ends with a reason:

| code | WebSocket close code | why |
|---|---|---|
| `too_slow` | 4008 | cut off; come back with the last id seen |
| `shutdown` | 1001 | wafleet is stopping; come back with the last id seen |
| `key_refused` | 4001 | the key was revoked or has expired |
| `failed` | 1011 | the log could not be read; come back with the last id seen |
| `unexpected_data` | 1003 | the client sent a message, and none is taken |

Server-sent events tell it in a last event, `end`. The frames of a WebSocket are JSON objects:
`{"frame": "hello", "after": …, "heartbeat_seconds": …}`, `{"frame": "event", "event": …}` and
`{"frame": "position", "after": …}`. An event is an object as in `GET /v1/events`: `id`, `type`,
`version`, `session_id` (null: of no session), `created_at`, and `payload`, which depends on type
and version. Within a version no member is taken away or changes its meaning; new ones may come, so
pass over what you don't know. Times are milliseconds since the epoch, durations seconds, sizes
bytes.

What streams and their clients are held to are settings; above are the defaults:

| setting | default | from, to | what it is |
|---|---|---|---|
| `stream_heartbeat` | 15 s | 0.1, 600 | how often one shows that it lives, its key being checked |
| `stream_write_timeout` | 10 s | 0.1, 600 | how long a write may take until its client is cut off |
| `stream_room` | 2000 | 1, 100000 | how many events may wait for a slow client |
| `stream_ping` | 20 s | 0.1, 600 | how often a WebSocket is pinged; half of that to answer |
| `stream_goodbye_timeout` | 5 s | 0.1, 60 | how long a client may take to be told the end |
| `stream_shutdown_timeout` | 2 s | 0.1, 60 | how long all may take to end when wafleet stops |
| `max_streams` | 500 | 1, 100000 | how many may be open; one more is `too_many_streams` (429) |
| `max_workspace_streams` | 100 | 1, 100000 | how many of them may be of one workspace |

Of a cap that holds a number's messages back (`limiter`, `capped`) each session that has to wait is
told once in an hour (`minute`, `hour`) or in a day (`day`, `warm_up`): a steady load reaches the
cap of a minute every minute. What binds now is told by `GET /v1/sessions/{id}/queue`.

| type | version | told when | payload |
|---|---|---|---|
"""


def render() -> str:
    """Return the page."""
    return _HEAD + "".join(f"{line}\n" for line in _lines())


def _lines() -> Iterator[str]:
    for kind, versions in EVENTS.items():
        for version, schema in versions.items():
            shapes = list(_shapes(schema.payload))
            for told, members in shapes:
                what = schema.told if len(shapes) == 1 else told
                yield f"| `{kind}` | {version} | {what} | {members or 'nothing'} |"


def _shapes(payload: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """Yield what each shape of a payload tells, and its members."""
    document = payload.model_json_schema(by_alias=True)
    definitions: Mapping[str, Any] = document.get("$defs", {})
    if "oneOf" not in document:
        yield document.get("description", ""), _members(document, definitions)
        return
    for option in document["oneOf"]:
        shape = definitions[option["$ref"].rpartition("/")[2]]
        yield shape.get("description", ""), _members(shape, definitions)


def _members(shape: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    properties: Mapping[str, Any] = shape.get("properties", {})
    # What tells shapes apart comes first.
    names = sorted(properties, key=lambda name: name != "action")
    required = set(shape.get("required", ()))
    return ", ".join(
        f"`{name}`{'' if name in required else '?'}: {_kind(properties[name], definitions)}"
        for name in names
    )


def _kind(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """Return a member's type in words."""
    match schema:
        case {"$ref": str(ref)}:
            words = [_kind(definitions[ref.rpartition("/")[2]], definitions)]
        case {"anyOf": list(options)}:
            words = [_kind(option, definitions) for option in options]
        case {"enum": list(values)}:
            words = [f"`{value}`" for value in values]
        case {"const": value}:
            words = [f"`{value}`"]
        case {"type": "string", "pattern": _}:
            words = ["id"]
        case {"type": "array", "items": items}:
            words = [f"list of {_kind(items, definitions)}"]
        case _:
            kind = str(schema.get("type", "any"))
            words = [{"string": "text", "integer": "whole number"}.get(kind, kind)]
    return " or ".join(words)


if __name__ == "__main__":
    PLACE.write_text(render(), "utf-8")
