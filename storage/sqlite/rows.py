"""Between table rows and the port's records. Column order is defined here, once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, overload

from storage.messages import Direction, MessageRow, MessageState, Priority
from storage.sqlite.statistics import is_linked, statistics
from storage.store import Desired, Provider, SessionRow, SessionStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from storage.sqlite.transactions import Row

# Written so that they also serve in RETURNING, where there is no join.
SESSION_COLUMNS: Final = (
    "uuid, (SELECT w.uuid FROM workspaces AS w WHERE w.id = workspace_id), session_id, "
    "provider_type, is_primary, is_active, phone_number, desired, status, reason, detail, "
    "since_at, last_activity_at, last_connected_at, "
    "(SELECT k.uuid FROM api_keys AS k WHERE k.id = created_by), created_at, updated_at, "
    "metadata"
)

MESSAGE_COLUMNS: Final = (
    "m.uuid, s.uuid, m.direction, m.chat, m.sender, m.wa_id, m.kind, m.body, m.state, "
    "m.error_code, m.error_detail, m.attempts, m.created_at, m.updated_at, m.sent_at, "
    "m.delivered_at, m.read_at, m.content, m.priority, m.possible_duplicate, m.send_at, "
    "m.expires_at, m.attempted_at, m.edited_at, m.revoked_at"
)

# Before version 0018 a text that came in was kept under WhatsApp's word for it.
_KINDS: Final[dict[str, str]] = {"chat": "text"}
MESSAGES: Final = "messages AS m JOIN whatsapp_sessions AS s ON s.id = m.whatsapp_session_id"


def session_row(row: Row) -> SessionRow:
    """Map a row of SESSION_COLUMNS."""
    return SessionRow(
        id=row[0],
        workspace_id=row[1],
        name=row[2],
        provider=Provider(row[3]),
        is_primary=bool(row[4]),
        is_active=bool(row[5]),
        phone_number=row[6],
        desired=Desired(row[7]),
        status=SessionStatus(row[8]),
        reason=row[9],
        detail=row[10],
        since_ms=row[11],
        last_activity_ms=row[12],
        last_connected_ms=row[13],
        created_by=row[14],
        created_ms=row[15],
        updated_ms=row[16],
        statistics=statistics(row[17]),
        linked=is_linked(row[17], known=row[6] is not None),
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
        kind=_KINDS.get(str(row[6]), str(row[6])),
        body=row[7],
        content=json.loads(row[17]),
        state=MessageState(row[8]),
        error_code=row[9],
        error_detail=row[10],
        attempts=row[11],
        priority=Priority(row[18]),
        possible_duplicate=bool(row[19]),
        send_at_ms=row[20],
        expires_ms=row[21],
        created_ms=row[12],
        updated_ms=row[13],
        attempted_ms=row[22],
        sent_ms=row[14],
        delivered_ms=row[15],
        read_ms=row[16],
        edited_ms=row[23],
        revoked_ms=row[24],
    )


def content_text(content: Mapping[str, Any]) -> str:
    """Return the JSON text of a message's content as the table keeps it."""
    return storable(json.dumps(content, ensure_ascii=False, separators=(",", ":")))


@overload
def storable(text: str) -> str: ...
@overload
def storable(text: str | None) -> str | None: ...
def storable(text: str | None) -> str | None:
    """Return text that SQLite can hold: half a surrogate pair, as pages send it, becomes U+FFFD."""
    if text is None:
        return None
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
