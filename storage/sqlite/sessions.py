"""The sessions half of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from storage.sqlite.rows import SESSION_COLUMNS, session_row, storable
from storage.store import (
    Desired,
    SessionNotFound,
    SessionRow,
    SessionStatus,
    StatusChange,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from storage.sqlite.connection import Connections, Transaction
    from storage.sqlite.ids import MonotonicIds

_LIVE: Final = (
    SessionStatus.QR_SCANNING,
    SessionStatus.AUTHENTICATED,
    SessionStatus.CONNECTED,
)

_SELECT: Final = f"SELECT {SESSION_COLUMNS} FROM whatsapp_sessions"  # noqa: S608 - constants only


def no_such_session(session_id: str) -> SessionNotFound:
    return SessionNotFound(f"There is no session {session_id}; list the sessions to see their ids.")


class SessionTable:
    """Reads and writes whatsapp_sessions."""

    def __init__(self, connections: Connections, ids: MonotonicIds) -> None:
        self._connections = connections
        self._ids = ids

    async def create_session(self, name: str, now_ms: int) -> tuple[SessionRow, bool]:
        async with self._connections.write() as tx:
            query = f"{_SELECT} WHERE session_id = ? AND deleted_at IS NULL"
            row = await tx.one(query, (name,))
            if row is not None:
                return session_row(row), False
            await tx.change(
                "INSERT INTO whatsapp_sessions (uuid, session_id, desired, status, reason,"
                " since_at, created_at, updated_at)"
                " VALUES (:uuid, :name, :desired, :status, 'created', :now, :now, :now)",
                {
                    "uuid": self._ids.next(now_ms),
                    "name": name,
                    "desired": Desired.STOPPED,
                    "status": SessionStatus.DISCONNECTED,
                    "now": now_ms,
                },
            )
            made = (await tx.all(query, (name,)))[0]
        return session_row(made), True

    async def session(self, session_id: str) -> SessionRow:
        rows = await self._connections.read(
            f"{_SELECT} WHERE uuid = ? AND deleted_at IS NULL",
            (session_id,),
        )
        if not rows:
            raise no_such_session(session_id)
        return session_row(rows[0])

    async def session_named(self, name: str) -> SessionRow:
        rows = await self._connections.read(
            f"{_SELECT} WHERE session_id = ? AND deleted_at IS NULL",
            (name,),
        )
        if not rows:
            raise no_such_session(name)
        return session_row(rows[0])

    async def sessions(self, *, after: str | None = None, limit: int = 100) -> Sequence[SessionRow]:
        rows = await self._connections.read(
            f"{_SELECT} WHERE uuid > ? AND deleted_at IS NULL ORDER BY uuid LIMIT ?",
            (after or "", max(0, limit)),
        )
        return [session_row(row) for row in rows]

    async def set_desired(self, session_id: str, desired: Desired, now_ms: int) -> SessionRow:
        async with self._connections.write() as tx:
            row = await tx.one(
                "UPDATE whatsapp_sessions SET desired = ?, updated_at = ?"  # noqa: S608
                f" WHERE uuid = ? AND deleted_at IS NULL RETURNING {SESSION_COLUMNS}",
                (desired, now_ms, session_id),
            )
            if row is None:
                raise no_such_session(session_id)
        return session_row(row)

    async def next_incarnation(self, session_id: str) -> int:
        async with self._connections.write() as tx:
            row = await tx.one(
                "UPDATE whatsapp_sessions SET incarnation = incarnation + 1, sequence = 0"
                " WHERE uuid = ? AND deleted_at IS NULL RETURNING incarnation",
                (session_id,),
            )
            if row is None:
                raise no_such_session(session_id)
        return int(row[0])

    async def record_status(self, change: StatusChange) -> bool:
        async with self._connections.write() as tx:
            await require_session(tx, change.session_id)
            written = await tx.change(
                "UPDATE whatsapp_sessions SET status = :status, reason = :reason, detail = :detail,"
                " since_at = :since, updated_at = :since, incarnation = :incarnation,"
                " sequence = :sequence, desired = coalesce(:desired, desired),"
                " phone_number = coalesce(:phone_number, phone_number),"
                " last_connected_at = CASE WHEN :status = 'connected' AND status <> 'connected'"
                " THEN :since ELSE last_connected_at END"
                " WHERE uuid = :uuid AND deleted_at IS NULL"
                " AND (incarnation, sequence) < (:incarnation, :sequence)",
                {
                    "uuid": change.session_id,
                    "status": change.status,
                    "reason": change.reason,
                    "detail": storable(change.detail),
                    "since": change.since_ms,
                    "incarnation": change.incarnation,
                    "sequence": change.sequence,
                    "desired": change.desired,
                    "phone_number": storable(change.phone_number),
                },
            )
        return written == 1

    async def delete_session(self, session_id: str, now_ms: int) -> None:
        async with self._connections.write() as tx:
            key = await require_session(tx, session_id)
            await tx.change(
                "UPDATE whatsapp_sessions SET deleted_at = :now, updated_at = :now,"
                " desired = :desired WHERE id = :id",
                {"now": now_ms, "desired": Desired.STOPPED, "id": key},
            )
            await _end_outbox(tx, key, now_ms)

    async def settle_after_boot(self, reason: str, transient: Collection[str], now_ms: int) -> int:
        live = ", ".join("?" * len(_LIVE))
        middle = ", ".join("?" * len(transient))
        async with self._connections.write() as tx:
            settled = await tx.change(
                "UPDATE whatsapp_sessions SET status = ?, reason = ?, detail = NULL,"  # noqa: S608
                f" since_at = ?, updated_at = ? WHERE deleted_at IS NULL AND (status IN ({live})"
                f" OR (status = 'disconnected' AND reason IN ({middle})))",
                (SessionStatus.DISCONNECTED, reason, now_ms, now_ms, *_LIVE, *transient),
            )
            await tx.change(
                "UPDATE messages SET state = 'unknown', error_code = ?, error_detail = ?,"
                " updated_at = ? WHERE state = 'sending'",
                (
                    reason,
                    "wafleet ended after the hand-over, before WhatsApp's answer was known.",
                    now_ms,
                ),
            )
        return settled


async def require_session(tx: Transaction, session_id: str) -> int:
    row = await tx.one(
        "SELECT id FROM whatsapp_sessions WHERE uuid = ? AND deleted_at IS NULL", (session_id,)
    )
    if row is None:
        raise no_such_session(session_id)
    return int(row[0])


async def _end_outbox(tx: Transaction, key: int, now_ms: int) -> None:
    """Give what can't be sent any more an end that says so; nothing stays accepted for ever."""
    await tx.change(
        "UPDATE messages SET state = 'failed', error_code = 'session_deleted', error_detail = ?,"
        " updated_at = ? WHERE whatsapp_session_id = ? AND state = 'accepted'",
        ("The session was deleted before the message's turn.", now_ms, key),
    )
    await tx.change(
        "UPDATE messages SET state = 'unknown', error_code = 'session_deleted', error_detail = ?,"
        " updated_at = ? WHERE whatsapp_session_id = ? AND state = 'sending'",
        ("The session was deleted while the message was being sent.", now_ms, key),
    )
