"""Every event has a schema, and the page about them says what the schemas say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from api.event_docs import PLACE, render
from api.event_schemas import EVENTS, payload_problems
from api.event_stream import StreamRules
from api.feed import End
from api.stream_outlets import CLOSE_CODES
from storage.events import EventType

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.unit

ID = "01J9ZS8XQ2N4B6D8F0H2K4M6P8"
MESSAGE = {"message_id": ID, "chat_id": ID, "kind": "chat"}


def test_every_type_has_a_schema() -> None:
    assert EVENTS.keys() == set(EventType)
    assert all(1 in versions for versions in EVENTS.values())


def test_every_schema_says_what_it_tells() -> None:
    for versions in EVENTS.values():
        for schema in versions.values():
            assert schema.told.endswith(".")
            assert schema.payload.__doc__


def test_the_page_is_what_the_schemas_make() -> None:
    """If this fails, run `python -m api.event_docs`."""
    assert PLACE.read_text("utf-8") == render()


def test_the_page_names_every_type_and_action() -> None:
    lines = render().splitlines()
    for kind in EventType:
        assert any(line.startswith(f"| `{kind}` | 1 |") for line in lines), kind
    [opened] = [line for line in lines if "`opened`" in line]
    assert opened.startswith("| `session.qr` | 1 | A QR window was opened")
    assert "`action`: `opened`, `window`: whole number, `limit`: whole number" in opened
    [status] = [line for line in lines if line.startswith("| `session.status`")]
    assert "`detail`: text or null, `from`: `qr_scanning` or" in status


def test_the_page_says_what_streams_keep_to() -> None:
    rules, page = StreamRules(), " ".join(render().split())
    assert f"show every {rules.heartbeat:g} seconds that they live" in page
    assert f"so slowly that {rules.room:,} events wait" in page
    assert f"can't be finished within {rules.write:g} seconds" in page
    for end, code in CLOSE_CODES.items():
        if end is not End.LEFT:  # nobody is there to be told
            assert f"| `{end.value}` | {int(code)} |" in page


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("session.created", {"provider": "webjs"}),
        (
            "session.status",
            {"status": "connected", "reason": "ready", "detail": None, "from": "disconnected"},
        ),
        ("session.deleted", {}),
        ("message.sent", MESSAGE),
        ("message.failed", {**MESSAGE, "code": "not_on_whatsapp"}),
        ("message.received", {**MESSAGE, "contact_id": None}),
        ("limiter", {"action": "counted_anew", "cause": "boot", "count": 3}),
        (
            "limiter",
            {"action": "capped", "cause": "hour", "seconds": 1.5, "next_ms": 1_800_000_000_000},
        ),
        ("memory", {"action": "kill", "cause": "kill_limit", "before": 5}),
        ("message.reaction", {**MESSAGE, "contact_id": ID, "removed": False}),
        (
            "group.participants",
            {"chat_id": ID, "action": "add", "contact_ids": [ID], "by_contact_id": None},
        ),
        ("call.received", {"contact_id": ID, "video": False, "group": False, "rejected": True}),
    ],
)
def test_payloads_as_they_are_fit_and_less_or_more_does_not(
    kind: str, payload: Mapping[str, Any]
) -> None:
    assert payload_problems(kind, 1, payload) is None
    for name in payload:
        less = {key: value for key, value in payload.items() if key != name}
        assert payload_problems(kind, 1, less) is not None
        assert payload_problems(kind, 1, {**payload, name: object()}) is not None
    assert payload_problems(kind, 1, {**payload, "text": "hello"}) is not None


def test_there_is_no_other_version() -> None:
    with pytest.raises(ValueError, match="no version 2"):
        payload_problems("memory", 2, {})
    with pytest.raises(ValueError, match=r"message\.sung"):
        payload_problems("message.sung", 1, {})
