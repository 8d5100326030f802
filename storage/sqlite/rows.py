"""Between table rows and the port's records. Column order is defined here, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, overload

from storage.store import (
    Desired,
    Direction,
    MessageRow,
    MessageState,
    SessionRow,
    SessionStatus,
)

if TYPE_CHECKING:
    from storage.sqlite.connection import Row

SESSION_COLUMNS: Final = (
    "uuid, session_id, phone_number, desired, status, reason, detail, since_at, "
    "last_connected_at, created_at, updated_at"
)

MESSAGE_COLUMNS: Final = (
    "m.uuid, s.uuid, m.direction, m.chat, m.sender, m.wa_id, m.kind, m.body, m.state, "
    "m.error_code, m.error_detail, m.attempts, m.created_at, m.updated_at, m.sent_at, "
    "m.delivered_at, m.read_at"
)

MESSAGES: Final = "messages AS m JOIN whatsapp_sessions AS s ON s.id = m.whatsapp_session_id"


def session_row(row: Row) -> SessionRow:
    """Map a row of SESSION_COLUMNS."""
    return SessionRow(
        id=row[0],
        name=row[1],
        phone_number=row[2],
        desired=Desired(row[3]),
        status=SessionStatus(row[4]),
        reason=row[5],
        detail=row[6],
        since_ms=row[7],
        last_connected_ms=row[8],
        created_ms=row[9],
        updated_ms=row[10],
    )


def message_row(row: Row) -> MessageRow:
    """Map a row of MESSAGE_COLUMNS."""
    return MessageRow(
        id=row[0],
        session_id=row[1],
        direction=Direction(row[2]),
        chat=row[3],
        sender=row[4],
        wa_id=row[5],
        kind=row[6],
        body=row[7],
        state=MessageState(row[8]),
        error_code=row[9],
        error_detail=row[10],
        attempts=row[11],
        created_ms=row[12],
        updated_ms=row[13],
        sent_ms=row[14],
        delivered_ms=row[15],
        read_ms=row[16],
    )


@overload
def storable(text: str) -> str: ...
@overload
def storable(text: str | None) -> str | None: ...
def storable(text: str | None) -> str | None:
    """Return text that SQLite can hold: half a surrogate pair, as pages send it, becomes U+FFFD."""
    if text is None:
        return None
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
