"""Pointers to session archives; the files themselves are others' work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from storage.archives_index import ArchiveOutOfOrder, ArchiveRecord, NewArchive
from storage.sqlite.scope import SessionKeys, no_such_session
from storage.sqlite.transactions import transaction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storage.sqlite.connection import Connections
    from storage.sqlite.ids import MonotonicIds
    from storage.sqlite.transactions import Row, Transaction

_SELECT: Final = (
    "SELECT a.uuid, w.uuid, s.uuid, a.generation, a.path, a.sha256, a.bytes, a.created_at"
    " FROM whatsapp_session_archives AS a"
    " JOIN whatsapp_sessions AS s ON s.id = a.whatsapp_session_id"
    " JOIN workspaces AS w ON w.id = a.workspace_id"
    " WHERE a.whatsapp_session_id = (SELECT id FROM whatsapp_sessions WHERE uuid = ?)"
    " ORDER BY a.generation DESC"
)


class ArchiveTable:
    """Reads and writes whatsapp_session_archives."""

    def __init__(self, connections: Connections, ids: MonotonicIds) -> None:
        self._connections = connections
        self._ids = ids

    @transaction
    async def next_generation(self, tx: Transaction, session_id: str) -> int:
        row = await tx.one(
            "UPDATE whatsapp_sessions SET archive_generation = archive_generation + 1"
            " WHERE uuid = ? AND deleted_at IS NULL RETURNING archive_generation",
            (session_id,),
        )
        if row is None:
            raise no_such_session(session_id)
        return int(row[0])

    @transaction
    async def add_archive(self, tx: Transaction, new: NewArchive) -> ArchiveRecord:
        row = await tx.one(
            "SELECT s.id, s.workspace_id, s.archive_generation,"
            " coalesce((SELECT max(a.generation) FROM whatsapp_session_archives AS a"
            " WHERE a.whatsapp_session_id = s.id), 0)"
            " FROM whatsapp_sessions AS s WHERE s.uuid = ? AND s.deleted_at IS NULL",
            (new.session_id,),
        )
        if row is None:
            raise no_such_session(new.session_id)
        session, workspace, taken, newest = row
        if not newest < new.generation <= taken:
            raise ArchiveOutOfOrder(
                f"Generation {new.generation} can't follow {newest} (taken up to {taken}); "
                "take the next generation and write the archive again."
            )
        return await insert_archive(tx, self._ids, SessionKeys(session, workspace), new)

    async def archives(self, session_id: str) -> Sequence[ArchiveRecord]:
        return [_record(row) for row in await self._connections.read(_SELECT, (session_id,))]

    @transaction
    async def drop_archives(
        self, tx: Transaction, session_id: str, keep: int
    ) -> Sequence[ArchiveRecord]:
        rows = await tx.all(f"{_SELECT} LIMIT -1 OFFSET ?", (session_id, max(0, keep)))
        await tx.many(
            "DELETE FROM whatsapp_session_archives WHERE uuid = ?", [(row[0],) for row in rows]
        )
        return [_record(row) for row in rows]


async def insert_archive(
    tx: Transaction, ids: MonotonicIds, session: SessionKeys, new: NewArchive
) -> ArchiveRecord:
    """Point to the newest archive of a session."""
    await tx.change(
        "INSERT INTO whatsapp_session_archives (uuid, workspace_id, whatsapp_session_id,"
        " generation, path, sha256, bytes, created_at) VALUES (:uuid, :workspace,"
        " :session, :generation, :path, :sha256, :bytes, :now)",
        {
            "uuid": ids.next(new.now_ms),
            "workspace": session.workspace,
            "session": session.id,
            "generation": new.generation,
            "path": new.path,
            "sha256": new.sha256,
            "bytes": new.bytes,
            "now": new.now_ms,
        },
    )
    return _record((await tx.all(f"{_SELECT} LIMIT 1", (new.session_id,)))[0])


def _record(row: Row) -> ArchiveRecord:
    return ArchiveRecord(
        id=row[0],
        workspace_id=row[1],
        session_id=row[2],
        generation=row[3],
        path=row[4],
        sha256=row[5],
        bytes=row[6],
        created_ms=row[7],
    )
