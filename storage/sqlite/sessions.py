"""The sessions of the store as their owners see them: made, listed, wanted, told apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from storage.events import EventType
from storage.sqlite.events import NewEvent, append_events
from storage.sqlite.rows import SESSION_COLUMNS, session_row
from storage.sqlite.scope import (
    SessionKeys,
    active_session_keys,
    no_such_session,
    own_key,
    own_session_keys,
)
from storage.sqlite.tenants import require_room_for_session
from storage.sqlite.transactions import transaction
from storage.store import Desired, Provider, SessionRow, SessionStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from storage.sqlite.connection import Connections
    from storage.sqlite.ids import MonotonicIds
    from storage.sqlite.transactions import Transaction

_SELECT: Final = f"SELECT {SESSION_COLUMNS} FROM whatsapp_sessions"  # noqa: S608 - constants only
_OWN: Final = (
    f"{_SELECT} WHERE workspace_id ="  # noqa: S608 - constants only
    " (SELECT id FROM workspaces WHERE uuid = ?)"
    " AND deleted_at IS NULL"
)


class SessionTable:
    """Reads and writes whatsapp_sessions."""

    def __init__(self, connections: Connections, ids: MonotonicIds) -> None:
        self._connections = connections
        self._ids = ids

    @transaction
    async def create_session(
        self,
        tx: Transaction,
        workspace_id: str,
        name: str,
        now_ms: int,
        created_by: str | None = None,
    ) -> tuple[SessionRow, bool]:
        found = await tx.one(f"{_OWN} AND session_id = ?", (workspace_id, name))
        if found is not None:
            return session_row(found), False
        workspace = await require_room_for_session(tx, workspace_id)
        maker = None if created_by is None else await own_key(tx.all, workspace, created_by)
        [(key,)] = await tx.all(
            "INSERT INTO whatsapp_sessions (uuid, workspace_id, session_id, desired, status,"
            " reason, since_at, created_by, created_at, updated_at)"
            " VALUES (:uuid, :workspace, :name, :desired, :status, 'created', :now, :maker,"
            " :now, :now) RETURNING id",
            {
                "uuid": self._ids.next(now_ms),
                "workspace": workspace,
                "name": name,
                "desired": Desired.STOPPED,
                "status": SessionStatus.DISCONNECTED,
                "maker": maker,
                "now": now_ms,
            },
        )
        keys = SessionKeys(key, workspace)
        created = {"provider": Provider.WEBJS}
        await self._tell(tx, keys, EventType.SESSION_CREATED, created, now_ms)
        return await _session(tx, keys), True

    async def session(self, workspace_id: str, session_id: str) -> SessionRow:
        rows = await self._connections.read(f"{_OWN} AND uuid = ?", (workspace_id, session_id))
        if not rows:
            raise no_such_session(session_id)
        return session_row(rows[0])

    async def session_named(self, workspace_id: str, name: str) -> SessionRow:
        rows = await self._connections.read(f"{_OWN} AND session_id = ?", (workspace_id, name))
        if not rows:
            raise no_such_session(name)
        return session_row(rows[0])

    async def sessions(
        self, workspace_id: str, *, after: str | None = None, limit: int = 100
    ) -> Sequence[SessionRow]:
        rows = await self._connections.read(
            f"{_OWN} AND uuid > ? ORDER BY uuid LIMIT ?", (workspace_id, after or "", max(0, limit))
        )
        return [session_row(row) for row in rows]

    async def any_session(self, session_id: str) -> SessionRow:
        rows = await self._connections.read(
            f"{_SELECT} WHERE uuid = ? AND deleted_at IS NULL", (session_id,)
        )
        if not rows:
            raise no_such_session(session_id)
        return session_row(rows[0])

    async def all_sessions(
        self, *, after: str | None = None, limit: int = 100
    ) -> Sequence[SessionRow]:
        rows = await self._connections.read(
            f"{_SELECT} WHERE uuid > ? AND deleted_at IS NULL ORDER BY uuid LIMIT ?",
            (after or "", max(0, limit)),
        )
        return [session_row(row) for row in rows]

    @transaction
    async def set_desired(
        self, tx: Transaction, workspace_id: str, session_id: str, desired: Desired, now_ms: int
    ) -> SessionRow:
        running = desired is Desired.RUNNING
        find = active_session_keys if running else own_session_keys
        keys = await find(tx.all, workspace_id, session_id)
        await tx.change(
            "UPDATE whatsapp_sessions SET desired = ?, updated_at = ? WHERE id = ?",
            (desired, now_ms, keys.id),
        )
        return await _session(tx, keys)

    # ---- numbers ----

    @transaction
    async def set_primary(
        self, tx: Transaction, workspace_id: str, session_id: str, now_ms: int
    ) -> SessionRow:
        keys = await active_session_keys(tx.all, workspace_id, session_id)
        before = await tx.one(
            "SELECT id FROM whatsapp_sessions WHERE workspace_id = ? AND is_primary = 1"
            " AND deleted_at IS NULL",
            (keys.workspace,),
        )
        if before is None or before[0] != keys.id:
            if before is not None:
                former = SessionKeys(before[0], keys.workspace)
                await self._set_primary(tx, former, now_ms, is_primary=False)
            await self._set_primary(tx, keys, now_ms, is_primary=True)
        return await _session(tx, keys)

    @transaction
    async def deactivate(
        self, tx: Transaction, workspace_id: str, session_id: str, now_ms: int
    ) -> SessionRow:
        keys = await own_session_keys(tx.all, workspace_id, session_id)
        before = await _session(tx, keys)
        if before.is_primary:
            await self._set_primary(tx, keys, now_ms, is_primary=False)
        if before.is_active:
            await self._set_active(tx, keys, now_ms, is_active=False)
        return await _session(tx, keys)

    @transaction
    async def activate(
        self, tx: Transaction, workspace_id: str, session_id: str, now_ms: int
    ) -> SessionRow:
        keys = await own_session_keys(tx.all, workspace_id, session_id)
        if not (await _session(tx, keys)).is_active:
            await self._set_active(tx, keys, now_ms, is_active=True)
        return await _session(tx, keys)

    async def qr_code(self, workspace_id: str, session_id: str) -> str | None:
        read = self._connections.read
        keys = await own_session_keys(read, workspace_id, session_id)
        rows = await read("SELECT qr_code FROM whatsapp_sessions WHERE id = ?", (keys.id,))
        return rows[0][0] if rows else None

    async def _set_primary(
        self, tx: Transaction, keys: SessionKeys, now_ms: int, *, is_primary: bool
    ) -> None:
        await tx.change(
            "UPDATE whatsapp_sessions SET is_primary = ?, updated_at = ? WHERE id = ?",
            (is_primary, now_ms, keys.id),
        )
        payload = {"is_primary": is_primary}
        await self._tell(tx, keys, EventType.SESSION_PRIMARY, payload, now_ms)

    async def _set_active(
        self, tx: Transaction, keys: SessionKeys, now_ms: int, *, is_active: bool
    ) -> None:
        await tx.change(
            "UPDATE whatsapp_sessions SET is_active = ?, desired = ?, updated_at = ? WHERE id = ?",
            (is_active, Desired.STOPPED, now_ms, keys.id),
        )
        payload = {"is_active": is_active}
        await self._tell(tx, keys, EventType.SESSION_ACTIVE, payload, now_ms)

    async def _tell(
        self,
        tx: Transaction,
        keys: SessionKeys,
        kind: EventType,
        payload: Mapping[str, object],
        now_ms: int,
    ) -> None:
        event = NewEvent(session=keys, type=kind, payload=payload)
        await append_events(tx, self._ids, [event], now_ms)


async def _session(tx: Transaction, keys: SessionKeys) -> SessionRow:
    return session_row((await tx.all(f"{_SELECT} WHERE id = ?", (keys.id,)))[0])
