"""Whose turn it is: which of a session's messages goes next.

Those that wait for nothing go in the order of acceptance, which no clock can change; those whose
time has come in the order of these times; between the two, what was due first. A chat that waits
for a message on its way, or in doubt, is passed over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from storage.messages import Priority
from storage.outbox import Due
from storage.sqlite.rows import MESSAGE_COLUMNS, MESSAGES, message_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storage.sqlite.transactions import Query, Row

BLOCKING: Final = (
    "SELECT 1 FROM messages AS b WHERE b.whatsapp_session_id = m.whatsapp_session_id"
    " AND b.chat = m.chat AND b.state IN ('sending', 'unknown')"
)
_READY: Final = (
    "m.whatsapp_session_id = :session AND m.state = 'accepted'"
    " AND (m.expires_at IS NULL OR m.expires_at > :now)"
)
_FREE: Final = f"NOT EXISTS ({BLOCKING})"
_AT_ONCE: Final = "m.send_at IS NULL"
_IN_TIME: Final = "m.send_at <= :now"


def _first(columns: str, where: str, *, at_once: bool) -> str:
    """Return the query for the first of those that wait for nothing, or for their time."""
    time = _AT_ONCE if at_once else _IN_TIME
    order = "m.id" if at_once else "m.send_at, m.id"
    return (
        f"SELECT * FROM (SELECT {columns} FROM messages AS m"  # noqa: S608 - constants only
        f" WHERE {_READY} AND {time} AND {where} ORDER BY {order} LIMIT 1)"
    )


_HEADS: Final = " UNION ALL ".join(
    _first(
        f"m.priority, m.chat, {'m.created_at' if at_once else 'm.send_at'}, m.id",
        f"m.priority = {priority:d} AND {_FREE}",
        at_once=at_once,
    )
    for priority in Priority
    for at_once in (True, False)
)
_OF_CHAT: Final = " UNION ALL ".join(
    _first(f"m.id, {'m.created_at' if at_once else 'm.send_at'}", "m.chat = :chat", at_once=at_once)
    for at_once in (True, False)
)
_NEXT: Final = " UNION ALL ".join(
    "SELECT min(m.send_at) FROM messages AS m WHERE m.whatsapp_session_id = :session"  # noqa: S608
    f" AND m.state = 'accepted' AND m.priority = {priority:d} AND m.send_at > :now"
    for priority in Priority
)
_TWO: Final = (
    "SELECT 1 FROM messages AS m WHERE m.whatsapp_session_id = :session AND m.state = 'accepted'"
    " LIMIT 2"
)
_SESSION: Final = (
    "SELECT id FROM whatsapp_sessions WHERE uuid = ? AND deleted_at IS NULL AND is_active = 1"
)
# The number's other sessions, of this workspace, have written for it, too.
_FIRST_CONTACT: Final = (
    "NOT EXISTS (SELECT 1 FROM whatsapp_sessions AS o JOIN messages AS e"
    " ON e.whatsapp_session_id = o.id WHERE o.workspace_id = s.workspace_id"
    " AND (o.id = s.id OR o.phone_number = s.phone_number) AND e.chat = m.chat"
    " AND e.direction = 'outbound' AND e.attempts > 0)"
)
_REPLY: Final = (
    "(SELECT e.direction = 'inbound' FROM messages AS e"
    " WHERE e.whatsapp_session_id = m.whatsapp_session_id AND e.chat = m.chat AND e.uuid < m.uuid"
    " ORDER BY e.uuid DESC LIMIT 1)"
)
_MESSAGE: Final = (
    f"SELECT {MESSAGE_COLUMNS}, {_FIRST_CONTACT}, {_REPLY} FROM {MESSAGES} WHERE m.id = ?"  # noqa: S608
)


async def due_message(query: Query, session_id: str, now_ms: int, *, bulk_first: bool) -> Due:
    """Return what a session has to send next."""
    sessions = await query(_SESSION, (session_id,))
    if not sessions:
        return Due()
    values: dict[str, object] = {"session": sessions[0][0], "now": now_ms}
    heads = await query(_HEADS, values)
    if not heads:
        times = [time for (time,) in await query(_NEXT, values) if time is not None]
        return Due(next_ms=min(times, default=None))
    turn, chat = _choose(heads, bulk_first=bulk_first)
    of_chat = await query(_OF_CHAT, {**values, "chat": chat})
    found = await query(_MESSAGE, (min(of_chat, key=lambda row: (row[1], row[0]))[0],))
    row = found[0]
    return Due(
        message=message_row(row),
        turn=turn,
        first_contact=bool(row[-2]),
        reply=bool(row[-1]),
        last=len(await query(_TWO, values)) == 1,
    )


def _choose(heads: Sequence[Row], *, bulk_first: bool) -> tuple[Priority, str]:
    """Return the class whose turn it is, and the chat."""
    order = sorted({row[0] for row in heads}, reverse=bulk_first)
    first = min((row for row in heads if row[0] == order[0]), key=lambda row: (row[2], row[3]))
    return Priority(first[0]), first[1]
