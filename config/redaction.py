"""What a log line may show: an allow-list of fields, and a scrubber for everything that is text.

A field whose name is not listed is replaced as a whole: forgetting to list one costs a value in
the log, never a secret. Text is scrubbed even in listed fields. Scrubbing knows forms (numbers,
jids, QR codes, keys, quoted data), not meaning: unquoted prose passes, so never put a message's
body in the text of an exception or of a log event.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, MutableMapping, Sequence

REDACTED: Final = "[redacted]"

# To show a new field, add its name here, and only if its values are ours to show: ids that we made,
# codes from a fixed set, counts, durations. Never: text from users, pages or contacts, numbers,
# jids, names of contacts, QR codes, keys, cookies, headers, URLs with queries.
ALLOWED: Final[frozenset[str]] = frozenset(
    {
        # who and where
        "event", "level", "logger", "timestamp", "version",
        "session_id", "incarnation", "launch", "message_id", "request_id", "call_id", "child_id",
        "webhook_id", "event_id", "actor", "loop", "pid", "pids", "survivors",
        # what happened
        "status", "reason", "code", "cause", "kind", "error", "detail", "what", "phase", "forced",
        "missing", "critical", "cdp_event", "page_event", "problem", "fact", "message_type", "root",
        "rung", "repair", "verdict", "action", "detected_seconds",
        "ack", "returncode", "signal", "source", "operation", "where", "service",
        # how much
        "seconds", "count", "attempt", "attempts", "calls", "sessions", "crashes", "settled",
        "removed", "pause_seconds", "generation",
        "messages_removed", "media_removed", "events_removed", "files_left",
        "waiting", "restarts", "bytes", "limit", "number", "left", "stragglers", "pending", "lag",
        # the API
        "host", "port", "method", "route",
        # files of ours
        "path", "directory", "executable",
        # made by config.logging from exc_info
        "exception",
    }
)  # fmt: skip

MADE: Final = frozenset({"level", "logger", "timestamp", "exception"})
"""Fields that config.logging makes itself, after the caller's, and that are shown as they are."""

IDS: Final = frozenset(
    {"session_id", "message_id", "request_id", "child_id", "webhook_id", "event_id"}
)
_ID: Final = re.compile(
    r"[0-7](?=[0-9]*[A-Z])[0-9A-HJKMNP-TV-Z]{25}"  # ULID
    r"|(?=[0-9a-f-]*[a-f])[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}"  # UUID
)

_ULID: Final = re.compile(r"((?<![\w+=-])[0-7](?=[0-9]*[A-Z])[0-9A-HJKMNP-TV-Z]{25}(?![\w+=-]))")
_TOKEN: Final = re.compile(r"[A-Za-z0-9+/=_-]{20,}")
_WORDS: Final = re.compile(r"[A-Za-z]{1,24}(?:[_-]{1,2}[A-Za-z]{1,24})*")
_FORMS: Final = (
    (
        re.compile(
            r"[^\s'\"<>()\[\]{},;=@]{1,128}@(?:[\w-]+\.)*"
            r"(?:c\.us|g\.us|s\.whatsapp\.net|lid|broadcast|newsletter|call|bot)\b"
        ),
        "[jid]",
    ),
    (re.compile(r"\d@[^\s'\"]+"), "[qr]"),
    (re.compile(r"\+?\d(?:[\s()./\u2010-\u2015-]{0,3}\d){6,}"), "[number]"),
    (re.compile(r"\b(?:wsk|whsec)_[^\s'\"]+|\b[Bb]earer\s+[^\s'\"]+"), "[key]"),
)
# An apostrophe within a word opens nothing; a quote that is never closed reaches to the end.
_QUOTED: Final = re.compile(
    r"(?:(?<!\w)|(?<=\bb))'(?:\\.|.)*?(?:'(?!\w)|\Z)"
    r"|\"(?:\\.|.)*?(?:\"|\Z)"
    r"|`[^`]*(?:`|\Z)",
    re.DOTALL,
)
# No form above finds anything in a word of letters that is shorter than a token.
_WORD: Final = re.compile(r"(?!wsk_|whsec_)[A-Za-z_]{1,19}")
_LONGEST: Final = 8_000
_SHORTEST_TOKEN: Final = 20


def scrub(text: str) -> str:
    """Mask numbers of 7 digits or more, jids, QR codes, API keys and long random-looking tokens.

    ULIDs, our own ids, stay readable.
    """
    if _WORD.fullmatch(text):  # as most are: names of events, methods, states
        return text
    pieces = _ULID.split(_cut(text))  # text, ULID, text, …
    pieces[::2] = [_scrub_piece(piece) for piece in pieces[::2]]
    return "".join(pieces)


def scrub_foreign(text: str) -> str:
    """Mask also whatever stands in quotes: in texts of others that is data."""
    return scrub(_QUOTED.sub(lambda match: match[0][0] + "…" + match[0][0], _cut(text)))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def redact(fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace every field that is not listed, and scrub the text in those that are, in place."""
    for name, value in fields.items():
        fields[name] = _shown(name, value) if name in ALLOWED else REDACTED
    return fields


def _shown(name: str, value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        if name in MADE or (name in IDS and _ID.fullmatch(value)):
            return value
        return scrub(value)
    if isinstance(value, list | tuple | set | frozenset):
        return _items(name, value)
    return REDACTED


def _items(name: str, values: Iterable[object]) -> list[object]:
    plain = (str, int, float, bool, type(None))
    return [_shown(name, item) if isinstance(item, plain) else REDACTED for item in values]


def _scrub_piece(text: str) -> str:
    """Mask the union of all that is found: no form's mask may hide the rest of another's find."""
    shown, at = [], 0
    for start, stop, mask in sorted(_finds(text), key=lambda find: (find[0], -find[1])):
        if start >= at:
            shown += [text[at:start], mask]
        at = max(at, stop)
    return "".join([*shown, text[at:]])


def _finds(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield (start, stop, mask) for whatever must not be shown; they may overlap."""
    for form, mask in _FORMS:
        for match in form.finditer(text):
            yield match.start(), match.end(), mask
    for match in _TOKEN.finditer(text):
        at = match.start()
        for part in _parts(match[0]):
            if _looks_random(part):
                yield at, at + len(part), "[token]"
            at += len(part) + 1


def _parts(token: str) -> Sequence[str]:
    # A path is judged part by part, so that file names stay readable. Base64 has slashes as well,
    # but seldom begins with one, and has more capitals.
    upper = sum(c.isupper() for c in token)
    return token.split("/") if token.startswith("/") and upper * 4 < len(token) else (token,)


def _looks_random(text: str) -> bool:
    """Tell tokens from long words such as ConnectionRefusedError or remote-debugging-pipe."""
    if len(text) < _SHORTEST_TOKEN:
        return False
    upper = sum(c.isupper() for c in text)
    return _WORDS.fullmatch(text) is None or upper * 3 > len(text)
