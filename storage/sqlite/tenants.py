"""Workspaces, subscription plans, and the limits that hold inside the transactions that create."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from storage.sqlite.scope import no_such_workspace, workspace_key
from storage.sqlite.transactions import transaction
from storage.tenants import (
    DEFAULT,
    NameTaken,
    PlanLimitReached,
    PlanLimits,
    PlanNotFound,
    PlanRecord,
    Retention,
    Usage,
    WorkspaceRecord,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storage.sqlite.connection import Connections
    from storage.sqlite.ids import MonotonicIds
    from storage.sqlite.transactions import Row, Transaction

_DAY_MS: Final = 86_400_000
_PLAN: Final = "SELECT uuid, name, metadata, created_at FROM subscription_plans"
_WORKSPACE: Final = (
    "SELECT w.uuid, w.name, p.name, w.message_ttl, w.media_ttl, w.event_ttl, w.created_at"
    " FROM workspaces AS w JOIN subscription_plans AS p ON p.id = w.subscription_plan_id"
)
_LIVE_SESSIONS: Final = (
    "(SELECT count(*) FROM whatsapp_sessions AS s"
    " WHERE s.workspace_id = w.id AND s.deleted_at IS NULL)"
)

_PLAN_OF_USAGE: Final = (
    "FROM workspaces AS w JOIN subscription_plans AS p ON p.id = w.subscription_plan_id"
    " WHERE w.id = workspace_id"
)


class TenantTable:
    """Reads and writes workspaces and subscription_plans."""

    def __init__(self, connections: Connections, ids: MonotonicIds) -> None:
        self._connections = connections
        self._ids = ids

    # ---- plans ----

    @transaction
    async def create_plan(
        self, tx: Transaction, name: str, limits: PlanLimits, now_ms: int
    ) -> PlanRecord:
        if await tx.one("SELECT 1 FROM subscription_plans WHERE name = ?", (name,)):
            raise NameTaken(f"There is a plan {name} already; choose another name.")
        await tx.change(
            "INSERT INTO subscription_plans (uuid, name, metadata, created_at, updated_at)"
            " VALUES (:uuid, :name, :limits, :now, :now)",
            {
                "uuid": self._ids.next(now_ms),
                "name": name,
                "limits": json.dumps(asdict(limits)),
                "now": now_ms,
            },
        )
        return await _plan(tx, name)

    @transaction
    async def set_plan_limits(
        self, tx: Transaction, name: str, limits: PlanLimits, now_ms: int
    ) -> PlanRecord:
        # A patch, so that what else stands in the metadata stays; null takes a limit out.
        await tx.change(
            "UPDATE subscription_plans SET metadata = json_patch(metadata, ?), updated_at = ?"
            " WHERE name = ?",
            (json.dumps(asdict(limits)), now_ms, name),
        )
        return await _plan(tx, name)

    async def plans(self) -> Sequence[PlanRecord]:
        rows = await self._connections.read(f"{_PLAN} ORDER BY name")
        return [_plan_record(row) for row in rows]

    # ---- workspaces ----

    @transaction
    async def create_workspace(
        self, tx: Transaction, name: str, now_ms: int, plan: str = DEFAULT
    ) -> WorkspaceRecord:
        if await tx.one("SELECT 1 FROM workspaces WHERE name = ?", (name,)):
            raise NameTaken(f"There is a workspace {name} already; choose another name.")
        uuid = self._ids.next(now_ms)
        await tx.change(
            "INSERT INTO workspaces (uuid, name, subscription_plan_id, created_at, updated_at)"
            " VALUES (:uuid, :name, :plan, :now, :now)",
            {"uuid": uuid, "name": name, "plan": await _plan_key(tx, plan), "now": now_ms},
        )
        return await _workspace(tx, uuid)

    async def workspace(self, workspace_id: str) -> WorkspaceRecord:
        rows = await self._connections.read(f"{_WORKSPACE} WHERE w.uuid = ?", (workspace_id,))
        if not rows:
            raise no_such_workspace(workspace_id)
        return _workspace_record(rows[0])

    async def workspace_named(self, name: str) -> WorkspaceRecord:
        rows = await self._connections.read(f"{_WORKSPACE} WHERE w.name = ?", (name,))
        if not rows:
            raise no_such_workspace(name)
        return _workspace_record(rows[0])

    async def workspaces(
        self, *, after: str | None = None, limit: int = 100
    ) -> Sequence[WorkspaceRecord]:
        rows = await self._connections.read(
            f"{_WORKSPACE} WHERE w.uuid > ? ORDER BY w.uuid LIMIT ?", (after or "", max(0, limit))
        )
        return [_workspace_record(row) for row in rows]

    @transaction
    async def set_plan(
        self, tx: Transaction, workspace_id: str, plan: str, now_ms: int
    ) -> WorkspaceRecord:
        await workspace_key(tx.all, workspace_id)
        await tx.change(
            "UPDATE workspaces SET subscription_plan_id = ?, updated_at = ? WHERE uuid = ?",
            (await _plan_key(tx, plan), now_ms, workspace_id),
        )
        return await _workspace(tx, workspace_id)

    @transaction
    async def set_retention(
        self, tx: Transaction, workspace_id: str, retention: Retention, now_ms: int
    ) -> WorkspaceRecord:
        await tx.change(
            "UPDATE workspaces SET message_ttl = ?, media_ttl = ?, event_ttl = ?,"
            " updated_at = ? WHERE uuid = ?",
            (
                retention.messages_ms,
                retention.media_ms,
                retention.events_ms,
                now_ms,
                workspace_id,
            ),
        )
        return await _workspace(tx, workspace_id)

    async def usage(self, workspace_id: str, now_ms: int) -> Usage:
        rows = await self._connections.read(
            f"SELECT p.name, p.metadata, {_LIVE_SESSIONS}, coalesce((SELECT u.messages"  # noqa: S608
            " FROM workspace_usage AS u WHERE u.workspace_id = w.id AND u.day = ?), 0)"
            " FROM workspaces AS w JOIN subscription_plans AS p ON p.id = w.subscription_plan_id"
            " WHERE w.uuid = ?",
            (now_ms // _DAY_MS, workspace_id),
        )
        if not rows:
            raise no_such_workspace(workspace_id)
        plan, metadata, sessions, messages = rows[0]
        return Usage(plan=plan, limits=_limits(metadata), sessions=sessions, messages=messages)


async def require_room_for_session(tx: Transaction, workspace_id: str) -> int:
    """Return the workspace's internal id if its plan has room for one more session.

    Raises WorkspaceNotFound, PlanLimitReached.
    """
    row = await tx.one(
        "SELECT w.id, p.name, json_extract(p.metadata, '$.sessions')"  # noqa: S608 - constants only
        f", {_LIVE_SESSIONS} FROM workspaces AS w"
        " JOIN subscription_plans AS p ON p.id = w.subscription_plan_id WHERE w.uuid = ?",
        (workspace_id,),
    )
    if row is None:
        raise no_such_workspace(workspace_id)
    key, plan, limit, used = row
    if limit is not None and used >= limit:
        raise PlanLimitReached("sessions", limit=limit, used=used, plan=plan)
    return int(key)


async def require_room_for_webhook(tx: Transaction, workspace_id: str) -> int:
    """Return the workspace's internal id if its plan has room for one more webhook.

    Raises WorkspaceNotFound, PlanLimitReached.
    """
    row = await tx.one(
        "SELECT w.id, p.name, json_extract(p.metadata, '$.webhooks'),"
        " (SELECT count(*) FROM webhooks AS h WHERE h.workspace_id = w.id) FROM workspaces AS w"
        " JOIN subscription_plans AS p ON p.id = w.subscription_plan_id WHERE w.uuid = ?",
        (workspace_id,),
    )
    if row is None:
        raise no_such_workspace(workspace_id)
    key, plan, limit, used = row
    if limit is not None and used >= limit:
        raise PlanLimitReached("webhooks", limit=limit, used=used, plan=plan)
    return int(key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How many of some new messages fit into a plan's day; they are counted already."""

    fit: int
    used: int
    limit: int | None
    plan: str

    def refusal(self) -> PlanLimitReached:
        """Return the answer for those that do not fit."""
        limit = 0 if self.limit is None else self.limit
        return PlanLimitReached("messages", limit=limit, used=self.used, plan=self.plan)


async def count_messages(tx: Transaction, workspace: int, wanted: int, now_ms: int) -> Room:
    """Count as many accepted messages of this day as the plan has room for."""
    day = now_ms // _DAY_MS
    [(used, plan, limit)] = await tx.all(
        "INSERT INTO workspace_usage (workspace_id, day, messages) VALUES (?1, ?2, ?3)"  # noqa: S608
        " ON CONFLICT (workspace_id, day) DO UPDATE SET messages = messages + ?3"
        f" RETURNING messages, (SELECT p.name {_PLAN_OF_USAGE}),"
        f" (SELECT json_extract(p.metadata, '$.messages') {_PLAN_OF_USAGE})",
        (workspace, day, wanted),
    )
    excess = 0 if limit is None else min(wanted, max(0, used - limit))
    if excess:
        await tx.change(
            "UPDATE workspace_usage SET messages = messages - ? WHERE workspace_id = ? AND day = ?",
            (excess, workspace, day),
        )
    return Room(fit=wanted - excess, used=used - excess, limit=limit, plan=plan)


async def _plan_key(tx: Transaction, name: str) -> int:
    row = await tx.one("SELECT id FROM subscription_plans WHERE name = ?", (name,))
    if row is None:
        raise _no_such_plan(name)
    return int(row[0])


async def _plan(tx: Transaction, name: str) -> PlanRecord:
    row = await tx.one(f"{_PLAN} WHERE name = ?", (name,))
    if row is None:
        raise _no_such_plan(name)
    return _plan_record(row)


def _no_such_plan(name: str) -> PlanNotFound:
    return PlanNotFound(f"There is no plan {name}; list the plans to see their names.")


async def _workspace(tx: Transaction, workspace_id: str) -> WorkspaceRecord:
    row = await tx.one(f"{_WORKSPACE} WHERE w.uuid = ?", (workspace_id,))
    if row is None:
        raise no_such_workspace(workspace_id)
    return _workspace_record(row)


def _limits(metadata: str) -> PlanLimits:
    found = json.loads(metadata)
    return PlanLimits(
        sessions=found.get("sessions"),
        messages=found.get("messages"),
        webhooks=found.get("webhooks"),
    )


def _plan_record(row: Row) -> PlanRecord:
    return PlanRecord(id=row[0], name=row[1], limits=_limits(row[2]), created_ms=row[3])


def _workspace_record(row: Row) -> WorkspaceRecord:
    return WorkspaceRecord(
        id=row[0],
        name=row[1],
        plan=row[2],
        retention=Retention(messages_ms=row[3], media_ms=row[4], events_ms=row[5]),
        created_ms=row[6],
    )
