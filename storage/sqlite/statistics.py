"""What a session has lived through, counted in `statistics` of its row's metadata.

Counted in the transaction of what is counted. Nothing takes from a count: neither retention nor
erasure nor a restart.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from storage.delivery import reached
from storage.messages import MessageState
from storage.store import SessionStatistics, SessionStatus

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from storage.sqlite.transactions import Transaction

SENT: Final = "messages_sent"
RECEIVED: Final = "messages_received"


async def count(tx: Transaction, session: int, name: str, now_ms: int) -> None:
    """Add one message to a session's counter, which is activity; `session` is its internal id."""
    path = f"$.statistics.{name}"
    await tx.change(
        "UPDATE whatsapp_sessions SET last_activity_at = ?2, metadata ="
        " json_set(metadata, ?1, coalesce(json_extract(metadata, ?1), 0) + 1) WHERE id = ?3",
        (path, now_ms, session),
    )


def newly_sent(before: MessageState, after: MessageState) -> bool:
    """Tell whether this move is the one by which an outbound message proved to be sent."""
    return reached(after, MessageState.SENT) and not reached(before, MessageState.SENT)


def moved(metadata: str, before: str, after: str, lasted_ms: int) -> str:
    """Return the metadata after a change of status; the former one lasted so long.

    Coming into connected or failed counts, and leaving connected, with its duration.
    """
    if before == after:
        return metadata
    found: dict[str, Any] = json.loads(metadata)
    counts: dict[str, int] = found.setdefault("statistics", {})
    for name, by in _counted(before, after, max(0, lasted_ms)):
        counts[name] = counts.get(name, 0) + by
    return json.dumps(found, separators=(",", ":"))


def linked(metadata: str, status: str, reason: str) -> str:
    """Return the metadata after a change to that status: whether the profile has a login.

    It says so itself, by showing a QR code or by not doing so.
    """
    if status in {SessionStatus.AUTHENTICATED, SessionStatus.CONNECTED}:
        return _with_link(metadata, there=True)
    if status == SessionStatus.QR_SCANNING or reason == "logged_out":
        return _with_link(metadata, there=False)
    return metadata


def _with_link(metadata: str, *, there: bool) -> str:
    found: dict[str, Any] = json.loads(metadata)
    if found.get("linked") is there:
        return metadata
    return json.dumps({**found, "linked": there}, separators=(",", ":"))


def is_linked(metadata: str, *, known: bool) -> bool:
    """Tell whether a session has a login; `known` if it had one before this was written down."""
    found = json.loads(metadata).get("linked")
    return known if found is None else bool(found)


def _counted(before: str, after: str, lasted_ms: int) -> Iterable[tuple[str, int]]:
    if before == SessionStatus.CONNECTED:
        yield "disconnects", 1
        yield "connected_ms", lasted_ms
    if after == SessionStatus.CONNECTED:
        yield "connects", 1
    if after == SessionStatus.FAILED:
        yield "failures", 1


def statistics(metadata: str) -> SessionStatistics:
    """Return what has been counted; names of another version are left out."""
    counts = json.loads(metadata).get("statistics", {})
    return SessionStatistics(
        **{name: counts.get(name, 0) for name in SessionStatistics.__dataclass_fields__}
    )
