"""Sessions and archives taken in from the disk, after the database went back to an earlier day."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage.adoption import KnownSession
from storage.archives_index import ArchiveOutOfOrder
from storage.events import EventType
from storage.sqlite.archives import insert_archive
from storage.sqlite.events import NewEvent, append_events
from storage.sqlite.scope import SessionKeys, no_such_session, workspace_key
from storage.sqlite.transactions import transaction
from storage.store import Desired, Provider, SessionStatus

if TYPE_CHECKING:
    from storage.archives_index import ArchiveRecord, NewArchive
    from storage.sqlite.connection import Connections
    from storage.sqlite.ids import MonotonicIds
    from storage.sqlite.transactions import Transaction


class AdoptionTable:
    """Writes rows of whatsapp_sessions and whatsapp_session_archives for what is there already."""

    def __init__(self, connections: Connections, ids: MonotonicIds) -> None:
        self._connections = connections
        self._ids = ids

    async def known_session(self, session_id: str) -> KnownSession | None:
        rows = await self._connections.read(
            "SELECT w.uuid, s.deleted_at IS NOT NULL FROM whatsapp_sessions AS s"
            " JOIN workspaces AS w ON w.id = s.workspace_id WHERE s.uuid = ?",
            (session_id,),
        )
        return KnownSession(workspace_id=rows[0][0], deleted=bool(rows[0][1])) if rows else None

    @transaction
    async def adopt_session(
        self, tx: Transaction, workspace_id: str, session_id: str, name: str, now_ms: int
    ) -> None:
        workspace = await workspace_key(tx.all, workspace_id)
        [(key,)] = await tx.all(
            "INSERT INTO whatsapp_sessions (uuid, workspace_id, session_id, desired, status,"
            " reason, since_at, created_at, updated_at) VALUES (:uuid, :workspace, :name,"
            " :desired, :status, 'recovered', :now, :now, :now) RETURNING id",
            {
                "uuid": session_id,
                "workspace": workspace,
                "name": name,
                "desired": Desired.STOPPED,
                "status": SessionStatus.DISCONNECTED,
                "now": now_ms,
            },
        )
        created = NewEvent(
            session=SessionKeys(key, workspace),
            type=EventType.SESSION_CREATED,
            payload={"provider": Provider.WEBJS},
        )
        await append_events(tx, self._ids, [created], now_ms)

    @transaction
    async def adopt_archive(self, tx: Transaction, new: NewArchive) -> ArchiveRecord:
        row = await tx.one(
            "UPDATE whatsapp_sessions SET archive_generation ="
            " max(archive_generation, :generation)"
            " WHERE uuid = :session AND deleted_at IS NULL RETURNING id, workspace_id,"
            " coalesce((SELECT max(a.generation) FROM whatsapp_session_archives AS a"
            " WHERE a.whatsapp_session_id = whatsapp_sessions.id), 0)",
            {"generation": new.generation, "session": new.session_id},
        )
        if row is None:
            raise no_such_session(new.session_id)
        if new.generation <= row[2]:
            raise ArchiveOutOfOrder(
                f"Generation {new.generation} can't follow {row[2]}; leave it where it is."
            )
        return await insert_archive(tx, self._ids, SessionKeys(row[0], row[1]), new)
