"""What waits in a session to be sent, read in the order of sending."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from storage.queue import MOST_BEFORE
from storage.sqlite.messages import SELECT_MESSAGE
from storage.sqlite.rows import message_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storage.messages import MessageRow
    from storage.sqlite.connection import Connections
    from storage.sqlite.transactions import Query

_OF_SESSION: Final = "whatsapp_session_id = (SELECT id FROM whatsapp_sessions WHERE uuid = ?)"
_WAITS: Final = "SELECT 1 FROM messages WHERE whatsapp_session_id = :session AND state = 'accepted'"
_PEERS: Final = f"{_WAITS} AND priority = :priority AND send_at"
# SQLite puts NULL first: what has no time to be sent goes before what has.
_BEFORE: Final = (
    f"{_WAITS} AND priority < :priority"
    f" UNION ALL {_PEERS} IS NULL AND id < :id AND :send_at IS NULL"
    f" UNION ALL {_PEERS} IS NULL AND :send_at IS NOT NULL"
    f" UNION ALL {_PEERS} < :send_at"
    f" UNION ALL {_PEERS} = :send_at AND id < :id"
)


class QueueTable:
    """Reads messages that are accepted."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def queue_depth(self, session_id: str) -> int:
        rows = await self._connections.read(
            f"SELECT count(*) FROM messages WHERE {_OF_SESSION} AND state = 'accepted'",  # noqa: S608
            (session_id,),
        )
        return int(rows[0][0])

    async def queue_page(
        self, session_id: str, *, after: int = 0, limit: int = 100
    ) -> Sequence[MessageRow]:
        # Only the page itself is looked up; those before it are counted in the index.
        rows = await self._connections.read(
            f"{SELECT_MESSAGE} WHERE m.id IN (SELECT id FROM messages WHERE {_OF_SESSION}"  # noqa: S608
            " AND state = 'accepted' ORDER BY priority, send_at, id LIMIT ? OFFSET ?)",
            (session_id, max(0, limit), max(0, after)),
        )
        page = [message_row(row) for row in rows]
        return sorted(page, key=lambda m: (m.priority, m.send_at_ms or 0, m.id))

    async def waiting_before(self, message_id: str) -> int | None:
        return await self._connections.look(lambda query: waiting_before(query, message_id))


async def waiting_before(query: Query, message_id: str) -> int | None:
    """Return how many wait before it, at most MOST_BEFORE; None if it does not wait."""
    found = await query(
        "SELECT id, whatsapp_session_id, priority, send_at FROM messages"
        " WHERE uuid = ? AND state = 'accepted'",
        (message_id,),
    )
    if not found:
        return None
    key, session, priority, send_at = found[0]
    rows = await query(
        f"SELECT count(*) FROM (SELECT 1 FROM ({_BEFORE}) LIMIT {MOST_BEFORE})",  # noqa: S608
        {"id": key, "session": session, "priority": priority, "send_at": send_at},
    )
    return int(rows[0][0])
