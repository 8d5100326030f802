"""What outlived its workspace's times to live is taken, a bounded number of rows at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from storage.privacy import Purged
from storage.sqlite.idempotency import purge_keys
from storage.sqlite.privacy import MEDIA, media_pointer
from storage.sqlite.transactions import transaction
from storage.sqlite.uploads import UPLOAD_IS_WANTED

if TYPE_CHECKING:
    from storage.sqlite.connection import Connections
    from storage.sqlite.transactions import Transaction

# CROSS JOIN keeps this order: each workspace with a time to live, then the oldest of its rows.
_MESSAGES: Final = (
    "DELETE FROM messages WHERE id IN (SELECT m.id FROM workspaces AS w CROSS JOIN messages AS m"
    " WHERE w.message_ttl IS NOT NULL AND m.workspace_id = w.id"
    " AND m.created_at < :now - w.message_ttl AND m.state NOT IN ('accepted', 'sending', 'unknown')"
    " LIMIT :limit)"
)
# The newest event stays: ids go on from the greatest that is stored, so without it a clock that was
# put back would give ids again that readers have passed already, and hide new events from them.
_EVENTS: Final = (
    "DELETE FROM events WHERE id IN (SELECT e.id FROM workspaces AS w CROSS JOIN events AS e"
    " WHERE w.event_ttl IS NOT NULL AND e.workspace_id = w.id"
    " AND e.created_at < :now - w.event_ttl AND e.uuid < (SELECT max(uuid) FROM events)"
    " LIMIT :limit)"
)
_MEDIA: Final = (
    "DELETE FROM media WHERE id IN (SELECT f.id FROM workspaces AS w"  # noqa: S608 - constants only
    " CROSS JOIN media AS f WHERE w.media_ttl IS NOT NULL AND f.workspace_id = w.id"
    f" AND f.created_at < :now - w.media_ttl AND NOT {UPLOAD_IS_WANTED} LIMIT :limit)"
    f" RETURNING {MEDIA}"
)
_ORPHANS: Final = (
    "DELETE FROM media WHERE id IN"  # noqa: S608 - constants only
    f" (SELECT f.id FROM media AS f WHERE f.message_id IS NULL AND NOT {UPLOAD_IS_WANTED}"
    f" LIMIT :limit) RETURNING {MEDIA}"
)


_ITEMS_OF_A_KEY: Final = 10
"""A guess: a batch's key takes up to a thousand rows with it, most keys one."""


class RetentionTable:
    """Deletes what is too old."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    @transaction
    async def purge_expired(self, tx: Transaction, now_ms: int, limit: int = 500) -> Purged:
        limit = max(1, limit)
        values: dict[str, object] = {"now": now_ms, "limit": limit}
        # One transaction for all: if it fails nothing was taken, and no file loses its pointer
        # without being returned.
        messages = await tx.change(_MESSAGES, values)
        media = list(await tx.all(_MEDIA, values))
        media += await tx.all(_ORPHANS, {"now": now_ms, "limit": limit - len(media)})
        events = await tx.change(_EVENTS, values)
        most_keys = max(1, limit // _ITEMS_OF_A_KEY)
        keys = await purge_keys(tx, now_ms, most_keys)
        return Purged(
            messages=messages,
            events=events,
            media=[media_pointer(row) for row in media],
            more=limit in {messages, events, len(media)} or keys == most_keys,
        )
