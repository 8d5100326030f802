"""The log of what was granted under a limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from storage.events import FACTS, EventType
from storage.grants import Grant, GrantKind
from storage.sqlite.events import NewEvent, append_events
from storage.sqlite.scope import session_keys
from storage.sqlite.transactions import transaction

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from storage.sqlite.connection import Connections
    from storage.sqlite.ids import MonotonicIds
    from storage.sqlite.transactions import Transaction

_THAT: Final = (
    " WHERE whatsapp_session_id = (SELECT id FROM whatsapp_sessions WHERE uuid = ?)"
    " AND kind = ? AND key = ?"
)


class GrantTable:
    """Reads and writes limiter_log."""

    def __init__(self, connections: Connections, ids: MonotonicIds) -> None:
        self._connections = connections
        self._ids = ids

    async def grants(self, kind: GrantKind) -> Sequence[Grant]:
        rows = await self._connections.read(
            "SELECT s.uuid, g.key, g.boot_id, g.boot_at, g.created_at FROM limiter_log AS g"
            " JOIN whatsapp_sessions AS s ON s.id = g.whatsapp_session_id"
            " WHERE g.kind = ? ORDER BY g.id",
            (kind,),
        )
        return [
            Grant(
                session_id=row[0],
                kind=kind,
                key=row[1],
                boot_id=row[2],
                boot_ms=row[3],
                wall_ms=row[4],
            )
            for row in rows
        ]

    @transaction
    async def record_grant(
        self,
        tx: Transaction,
        grant: Grant,
        event: EventType | None = None,
        payload: Mapping[str, Any] | None = None,
    ) -> None:
        if event is not None and event not in FACTS:
            raise ValueError(f"{event} is told by what changes, in its own transaction")
        keys = await session_keys(tx.all, grant.session_id)
        known = await tx.one(
            "UPDATE limiter_log SET boot_id = ?, boot_at = ?, created_at = ?"
            " WHERE whatsapp_session_id = ? AND kind = ? AND key = ? RETURNING id",
            (
                grant.boot_id,
                grant.boot_ms,
                grant.wall_ms,
                keys.id,
                grant.kind,
                grant.key,
            ),
        )
        if known is None:
            await tx.change(
                "INSERT INTO limiter_log (workspace_id, whatsapp_session_id, kind, key,"
                " boot_id, boot_at, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    keys.workspace,
                    keys.id,
                    grant.kind,
                    grant.key,
                    grant.boot_id,
                    grant.boot_ms,
                    grant.wall_ms,
                ),
            )
            if event is not None:
                new = NewEvent(session=keys, type=event, payload=payload or {})
                await append_events(tx, self._ids, [new], grant.wall_ms)

    @transaction
    async def move_grants(self, tx: Transaction, grants: Sequence[Grant]) -> None:
        await tx.many(
            f"UPDATE limiter_log SET boot_id = ?, boot_at = ?{_THAT}",  # noqa: S608 - constants
            [(g.boot_id, g.boot_ms, g.session_id, g.kind, g.key) for g in grants],
        )

    @transaction
    async def drop_grants(self, tx: Transaction, grants: Sequence[Grant]) -> None:
        await tx.many(
            f"DELETE FROM limiter_log{_THAT}",  # noqa: S608 - constants
            [(g.session_id, g.kind, g.key) for g in grants],
        )
