"""Pointers to the files that came with messages: looked up, and dropped one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from storage.media_index import MediaNotFound, MediaRecord
from storage.sqlite.messages import no_such_message
from storage.sqlite.privacy import MEDIA, media_pointer
from storage.sqlite.transactions import transaction

if TYPE_CHECKING:
    from collections.abc import Collection

    from storage.privacy import MediaPointer
    from storage.sqlite.connection import Connections
    from storage.sqlite.transactions import Transaction

_SELECT: Final = (
    "SELECT f.uuid, f.path, f.sha256, f.bytes, w.uuid, m.uuid FROM media AS f"
    " JOIN workspaces AS w ON w.id = f.workspace_id JOIN messages AS m ON m.id = f.message_id"
    " WHERE f.uuid = ? AND w.uuid = ?"
)


class MediaTable:
    """Reads media, and deletes from it."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def message_workspace(self, message_id: str) -> str:
        rows = await self._connections.read(
            "SELECT w.uuid FROM messages AS m JOIN workspaces AS w ON w.id = m.workspace_id"
            " WHERE m.uuid = ? AND m.erased_at IS NULL",
            (message_id,),
        )
        if not rows:
            raise no_such_message(message_id)
        return str(rows[0][0])

    async def media(self, workspace_id: str, media_id: str) -> MediaRecord:
        rows = await self._connections.read(_SELECT, (media_id, workspace_id))
        if not rows:
            raise _no_such_media(media_id)
        row = rows[0]
        return MediaRecord(pointer=media_pointer(row[:4]), workspace_id=row[4], message_id=row[5])

    @transaction
    async def drop_media(self, tx: Transaction, workspace_id: str, media_id: str) -> MediaPointer:
        row = await tx.one(
            "DELETE FROM media WHERE uuid = ?"  # noqa: S608 - constants only
            f" AND workspace_id = (SELECT id FROM workspaces WHERE uuid = ?) RETURNING {MEDIA}",
            (media_id, workspace_id),
        )
        if row is None:
            raise _no_such_media(media_id)
        return media_pointer(row)

    async def pointed_media(self, paths: Collection[str]) -> frozenset[str]:
        marks = ", ".join("?" * len(paths))
        rows = await self._connections.read(
            f"SELECT path FROM media WHERE path IN ({marks})",  # noqa: S608 - marks only
            tuple(paths),
        )
        return frozenset(row[0] for row in rows)


def _no_such_media(media_id: str) -> MediaNotFound:
    return MediaNotFound(f"There is no media {media_id}; its message, or an export, names its id.")
