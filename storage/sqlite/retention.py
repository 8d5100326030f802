"""What outlived its workspace's times to live is taken, a bounded number of rows at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from storage.privacy import Purged
from storage.sqlite.privacy import MEDIA, media_pointer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storage.sqlite.connection import Connections, Row, Transaction

_MESSAGES: Final = (
    "DELETE FROM messages WHERE id IN (SELECT id FROM messages WHERE workspace_id = ?"
    " AND created_at < ? AND state NOT IN ('accepted', 'sending') ORDER BY created_at LIMIT ?)"
)
_EVENTS: Final = (
    "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE workspace_id = ?"
    " AND created_at < ? ORDER BY created_at LIMIT ?)"
)
_MEDIA: Final = (
    "DELETE FROM media WHERE id IN (SELECT id FROM media WHERE workspace_id = ?"  # noqa: S608
    f" AND created_at < ? ORDER BY created_at LIMIT ?) RETURNING {MEDIA}"
)
_ORPHANS: Final = (
    "DELETE FROM media WHERE id IN"  # noqa: S608 - constants only
    f" (SELECT id FROM media WHERE message_id IS NULL LIMIT ?) RETURNING {MEDIA}"
)


class RetentionTable:
    """Deletes what is too old."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def purge_expired(self, now_ms: int, limit: int = 500) -> Purged:
        limit = max(1, limit)
        messages = events = 0
        media: list[Row] = []
        for row in await self._connections.read(
            "SELECT id, message_ttl, media_ttl, event_ttl FROM workspaces WHERE message_ttl"
            " IS NOT NULL OR media_ttl IS NOT NULL OR event_ttl IS NOT NULL ORDER BY id"
        ):
            key, message_ttl, media_ttl, event_ttl = row
            async with self._connections.write() as tx:
                if message_ttl is not None:
                    values = (key, now_ms - message_ttl, limit - messages)
                    messages += await tx.change(_MESSAGES, values)
                if media_ttl is not None:
                    values = (key, now_ms - media_ttl, limit - len(media))
                    media += await tx.all(_MEDIA, values)
                if event_ttl is not None:
                    values = (key, now_ms - event_ttl, limit - events)
                    events += await tx.change(_EVENTS, values)
        async with self._connections.write() as tx:
            media += await _orphans(tx, limit - len(media))
        return Purged(
            messages=messages,
            events=events,
            media=[media_pointer(row) for row in media],
            more=limit in {messages, events, len(media)},
        )


async def _orphans(tx: Transaction, limit: int) -> Sequence[Row]:
    return await tx.all(_ORPHANS, (limit,))
