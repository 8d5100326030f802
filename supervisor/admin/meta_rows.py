"""Cloud API numbers in the database: rows of whatsapp_sessions whose metadata holds credentials.

    metadata.meta = {phone_number_id, business_id, api_version, access_token (sealed), source_id}

And the pointers to sealed files, archives and media, as the rotation of keys needs them.

Used by commands that hold the data directory, on connections of their own.
"""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from storage.events import EventType
from storage.sqlite.connection import open_connections
from storage.sqlite.events import NewEvent, append_events
from storage.sqlite.ids import MonotonicIds
from storage.sqlite.scope import SessionKeys
from storage.sqlite.tenants import require_room_for_session
from storage.sqlite.transactions import transaction
from storage.store import Desired, Provider, SessionStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from storage.sqlite.connection import Connections
    from storage.sqlite.transactions import Transaction
    from storage.vault import SecretBox
    from supervisor.admin.meta_source import Credentials
    from supervisor.admin.place import Place

IMPORTED: Final = "imported"
"""The reason that stands beside `connected` until something proves the number's state."""


PAGE: Final = 500


class FileKind(StrEnum):
    """The tables that point to sealed files."""

    ARCHIVE = "whatsapp_session_archives"
    MEDIA = "media"


@dataclass(frozen=True, slots=True)
class SealedFile:
    """A pointer: internal id, path below the data directory."""

    kind: FileKind
    id: int
    path: str


@dataclass(frozen=True, slots=True)
class MetaNumber:
    """A Cloud API number as stored; `meta` holds the sealed token."""

    id: int
    uuid: str
    meta: dict[str, Any]


class NameUsed(Exception):  # noqa: N818 - told in the report, not to the user directly
    """Another live session of the workspace has the name that the number would get."""


def session_name(credentials: Credentials) -> str:
    """Return the name of a number's session."""
    return f"meta-{credentials.phone_number_id}"


def token_context(workspace_id: str, session_id: str) -> dict[str, str]:
    """Return what a sealed token is bound to: it opens in no other row."""
    return {
        "table": "whatsapp_sessions",
        "column": "metadata.meta.access_token",
        "row": session_id,
        "workspace": workspace_id,
    }


class MetaRows:
    """Reads and writes the numbers; made by `open_meta_rows`."""

    def __init__(self, connections: Connections, ids: MonotonicIds) -> None:
        self._connections = connections
        self._ids = ids

    async def find(self, workspace_id: str, phone_number_id: str) -> MetaNumber | None:
        """Return the workspace's live number with this id at Meta."""
        rows = await self._connections.read(
            "SELECT id, uuid, metadata FROM whatsapp_sessions"
            " WHERE workspace_id = (SELECT id FROM workspaces WHERE uuid = ?)"
            " AND deleted_at IS NULL AND provider_type = 'meta'"
            " AND json_extract(metadata, '$.meta.phone_number_id') = ?",
            (workspace_id, phone_number_id),
        )
        return _number(rows[0]) if rows else None

    async def has_primary(self, workspace_id: str) -> bool:
        """Tell whether the workspace has a primary number."""
        return bool(
            await self._connections.read(
                "SELECT 1 FROM whatsapp_sessions"
                " WHERE workspace_id = (SELECT id FROM workspaces WHERE uuid = ?)"
                " AND is_primary = 1 AND deleted_at IS NULL",
                (workspace_id,),
            )
        )

    @transaction
    async def insert(
        self,
        tx: Transaction,
        workspace_id: str,
        credentials: Credentials,
        source_id: str | None,
        box: SecretBox,
        now_ms: int,
    ) -> bool:
        """Store a number and its events in one transaction; return whether it became primary.

        Raises PlanLimitReached, NameUsed, WorkspaceNotFound.
        """
        workspace = await require_room_for_session(tx, workspace_id)
        name = session_name(credentials)
        if await tx.one(
            "SELECT 1 FROM whatsapp_sessions"
            " WHERE workspace_id = ? AND session_id = ? AND deleted_at IS NULL",
            (workspace, name),
        ):
            raise NameUsed
        primary = not await tx.one(
            "SELECT 1 FROM whatsapp_sessions"
            " WHERE workspace_id = ? AND is_primary = 1 AND deleted_at IS NULL",
            (workspace,),
        )
        uuid = self._ids.next(now_ms)
        sealed = box.seal(credentials.token.encode(), token_context(workspace_id, uuid))
        meta = {
            "phone_number_id": credentials.phone_number_id,
            "business_id": credentials.business_id,
            "api_version": credentials.api_version,
            "access_token": sealed,
            "source_id": source_id,
        }
        [(key,)] = await tx.all(
            "INSERT INTO whatsapp_sessions (uuid, workspace_id, session_id, provider_type,"
            " desired, status, reason, is_primary, since_at, last_connected_at, metadata,"
            " created_at, updated_at) VALUES (:uuid, :workspace, :name, :provider, :desired,"
            " :status, :reason, :primary, :now, :now, :metadata, :now, :now) RETURNING id",
            {
                "uuid": uuid,
                "workspace": workspace,
                "name": name,
                "provider": Provider.META,
                "desired": Desired.STOPPED,  # no browser is ever to run for it
                "status": SessionStatus.CONNECTED,
                "reason": IMPORTED,
                "primary": primary,
                "metadata": json.dumps({"meta": meta}),
                "now": now_ms,
            },
        )
        await self._tell(tx, SessionKeys(key, workspace), primary=primary, now_ms=now_ms)
        return primary

    async def _tell(
        self, tx: Transaction, keys: SessionKeys, *, primary: bool, now_ms: int
    ) -> None:
        status = {"status": SessionStatus.CONNECTED, "reason": IMPORTED, "detail": None}
        events = [
            NewEvent(
                session=keys, type=EventType.SESSION_CREATED, payload={"provider": Provider.META}
            ),
            NewEvent(
                session=keys,
                type=EventType.SESSION_STATUS,
                payload={**status, "from": SessionStatus.DISCONNECTED},
            ),
        ]
        if primary:
            payload = {"is_primary": True}
            events.append(NewEvent(session=keys, type=EventType.SESSION_PRIMARY, payload=payload))
        await append_events(tx, self._ids, events, now_ms)

    async def all(self) -> Sequence[tuple[str, MetaNumber]]:
        """Return (workspace id, number) of every number, deleted ones too."""
        rows = await self._connections.read(
            "SELECT s.id, s.uuid, s.metadata, s.workspace_id, w.uuid FROM whatsapp_sessions AS s"
            " JOIN workspaces AS w ON w.id = s.workspace_id"
            " WHERE json_type(s.metadata, '$.meta.access_token') = 'text' ORDER BY s.id"
        )
        return [(row[4], _number(row)) for row in rows]

    @transaction
    async def replace_token(self, tx: Transaction, number: MetaNumber, sealed: str) -> bool:
        """Put a token sealed anew in place of the one that was read; False if that has changed."""
        changed = await tx.change(
            "UPDATE whatsapp_sessions"
            " SET metadata = json_set(metadata, '$.meta.access_token', ?)"
            " WHERE id = ? AND json_extract(metadata, '$.meta.access_token') = ?",
            (sealed, number.id, number.meta["access_token"]),
        )
        return changed == 1

    async def count_files(self) -> int:
        """Return to how many sealed files there are pointers."""
        counts = [f"(SELECT count(*) FROM {kind})" for kind in FileKind]  # noqa: S608
        return int((await self._connections.read(f"SELECT {' + '.join(counts)}"))[0][0])

    async def files(self, kind: FileKind, after: int = 0) -> Sequence[SealedFile]:
        """Return a page of the sealed files of a kind, those with an id greater than `after`."""
        rows = await self._connections.read(
            f"SELECT id, path FROM {kind} WHERE id > ? ORDER BY id LIMIT {PAGE}",  # noqa: S608
            (after,),
        )
        return [SealedFile(kind, row[0], row[1]) for row in rows]

    @transaction
    async def replace_hash(self, tx: Transaction, file: SealedFile, sha256: str) -> None:
        """Note a file's new hash, after it was put under another key."""
        await tx.change(
            f"UPDATE {file.kind} SET sha256 = ? WHERE id = ? AND sha256 <> ?",  # noqa: S608
            (sha256, file.id, sha256),
        )


def _number(row: Sequence[Any]) -> MetaNumber:
    return MetaNumber(row[0], row[1], dict(json.loads(row[2])["meta"]))


@asynccontextmanager
async def open_meta_rows(place: Place) -> AsyncIterator[MetaRows]:
    """Open the database, which must be at the newest version; hold the data directory meanwhile."""
    async with open_connections(place.data.database, place.busy_timeout_ms) as connections:
        rows = await connections.read(
            "SELECT max(uuid) FROM (SELECT max(uuid) AS uuid FROM events"
            " UNION ALL SELECT max(uuid) FROM whatsapp_sessions"
            " UNION ALL SELECT max(uuid) FROM whatsapp_session_access_logs)"
        )
        yield MetaRows(connections, MonotonicIds(rows[0][0]))
