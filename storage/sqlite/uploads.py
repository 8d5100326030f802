"""Files that a workspace has handed in: pointers beside those of messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from storage.media_index import MediaNotFound
from storage.sqlite.privacy import media_pointer
from storage.sqlite.rows import storable
from storage.sqlite.scope import workspace_key
from storage.sqlite.transactions import transaction
from storage.uploads import KEEP_MS, Upload, UploadRecord

if TYPE_CHECKING:
    from storage.sqlite.connection import Connections
    from storage.sqlite.ids import MonotonicIds
    from storage.sqlite.transactions import Transaction
    from storage.uploads import NewUpload

_SELECT: Final = (
    "SELECT f.uuid, f.path, f.sha256, f.bytes, u.mimetype, u.filename, u.size, u.problem,"
    " f.created_at FROM media AS f JOIN uploads AS u ON u.media_id = f.id"
    " WHERE f.uuid = ? AND f.workspace_id = (SELECT id FROM workspaces WHERE uuid = ?)"
)

UPLOAD_IS_WANTED: Final = (
    "EXISTS (SELECT 1 FROM uploads AS u WHERE u.media_id = f.id AND (u.expires_at > :now"
    " OR EXISTS (SELECT 1 FROM messages AS n WHERE json_extract(n.content, '$.media') = +f.uuid"
    " AND json_extract(n.content, '$.media') IS NOT NULL"
    " AND n.state IN ('accepted', 'sending', 'unknown'))))"
)
"""For a row f of media: it is an upload that may still be sent.

The + takes the column's affinity away: with it, the index on the expression could not be used.
"""


class UploadTable:
    """Writes and reads uploads."""

    def __init__(self, connections: Connections, ids: MonotonicIds) -> None:
        self._connections = connections
        self._ids = ids

    @transaction
    async def record_upload(self, tx: Transaction, new: NewUpload) -> Upload:
        facts = new.facts
        filename = storable(new.filename)
        workspace = await workspace_key(tx.all, new.workspace_id)
        uuid = self._ids.next(new.now_ms)
        [(key,)] = await tx.all(
            "INSERT INTO media (uuid, workspace_id, message_id, path, sha256, bytes,"
            " created_at) VALUES (?, ?, NULL, ?, ?, ?, ?) RETURNING id",
            (uuid, workspace, new.path, new.sha256, new.bytes, new.now_ms),
        )
        await tx.change(
            "INSERT INTO uploads (media_id, workspace_id, mimetype, filename, size, problem,"
            " expires_at) SELECT ?1, w.id, ?2, ?3, ?4, ?5,"
            " ?6 + min(?7, coalesce(w.media_ttl, ?7))"
            " FROM workspaces AS w WHERE w.id = ?8",
            (
                *(key, facts.mimetype, filename, facts.size, facts.problem),
                *(new.now_ms, KEEP_MS, workspace),
            ),
        )
        return Upload(
            id=uuid,
            workspace_id=new.workspace_id,
            mimetype=facts.mimetype,
            filename=filename,
            size=facts.size,
            problem=facts.problem,
            created_ms=new.now_ms,
        )

    async def upload_record(self, workspace_id: str, upload_id: str) -> UploadRecord:
        rows = await self._connections.read(_SELECT, (upload_id, workspace_id))
        if not rows:
            raise MediaNotFound(f"There is no upload {upload_id}; hand the file in again.")
        row = rows[0]
        upload = Upload(
            id=row[0],
            workspace_id=workspace_id,
            mimetype=row[4],
            filename=row[5],
            size=row[6],
            problem=row[7],
            created_ms=row[8],
        )
        return UploadRecord(upload=upload, pointer=media_pointer(row[:4]))
