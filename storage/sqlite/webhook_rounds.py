"""Webhooks as they are delivered to: what waits in which lane, and what came of a round."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from storage.sqlite.events import EVENT_COLUMNS, event_row
from storage.sqlite.rows import MESSAGE_COLUMNS, MESSAGES, message_row
from storage.sqlite.transactions import transaction
from storage.sqlite.webhooks import (
    SELECT_WEBHOOKS,
    WAITING_COLUMNS,
    hasten,
    waiting_row,
    webhook_record,
)
from storage.webhooks import ATTEMPTS_KEPT

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from storage.events import EventRow
    from storage.messages import MessageRow
    from storage.sqlite.connection import Connections
    from storage.sqlite.transactions import Transaction
    from storage.webhooks import NewAttempt, Round, Waiting, WebhookRecord

_WAITING_OF_IT: Final = (
    "webhook_id = (SELECT id FROM webhooks WHERE uuid = :webhook) AND state = 'waiting'"
)
# From lane to lane through the index, however many wait in each; GROUP BY would read them all.
_LANES: Final = (
    "WITH RECURSIVE lanes (lane) AS ("  # noqa: S608 - constants only
    f"SELECT min(lane) FROM webhook_events WHERE {_WAITING_OF_IT}"
    " UNION ALL "
    f"SELECT (SELECT min(lane) FROM webhook_events WHERE {_WAITING_OF_IT} AND lane > lanes.lane)"
    " FROM lanes WHERE lanes.lane IS NOT NULL)"
    f" SELECT {WAITING_COLUMNS} FROM lanes JOIN webhook_events AS q ON q.id ="
    f" (SELECT id FROM webhook_events WHERE {_WAITING_OF_IT} AND lane = lanes.lane"
    " ORDER BY event LIMIT 1)"
)
_PUT: Final = (
    "INSERT INTO webhook_events (workspace_id, webhook_id, event, type, lane, state, step,"
    " attempts, next_at, tried_at, code, status) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (webhook_id, event) DO UPDATE SET lane = excluded.lane, state = excluded.state,"
    " step = excluded.step, attempts = excluded.attempts, next_at = excluded.next_at,"
    " tried_at = excluded.tried_at, code = excluded.code, status = excluded.status"
)


class WebhookRoundTable:
    """Reads and writes webhooks for delivery."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def enabled_webhooks(self) -> Sequence[WebhookRecord]:
        rows = await self._connections.read(
            f"{SELECT_WEBHOOKS} WHERE h.disabled IS NULL ORDER BY h.uuid"
        )
        return [webhook_record(row) for row in rows]

    async def lane_heads(self, webhook_id: str) -> Sequence[Waiting]:
        rows = await self._connections.read(_LANES, {"webhook": webhook_id})
        return [waiting_row(row) for row in rows]

    async def lane(
        self, webhook_id: str, lane: str, limit: int
    ) -> Sequence[tuple[Waiting, EventRow | None]]:
        rows = await self._connections.read(
            f"SELECT {WAITING_COLUMNS}, {EVENT_COLUMNS} FROM webhook_events AS q"  # noqa: S608
            " LEFT JOIN events AS e ON e.uuid = q.event"
            " LEFT JOIN workspaces AS w ON w.id = e.workspace_id"
            " LEFT JOIN whatsapp_sessions AS s ON s.id = e.whatsapp_session_id"
            " WHERE q.webhook_id = (SELECT id FROM webhooks WHERE uuid = ?)"
            " AND q.state = 'waiting' AND q.lane = ? ORDER BY q.event LIMIT ?",
            (webhook_id, lane, max(0, limit)),
        )
        width = WAITING_COLUMNS.count(",") + 1
        return [
            (waiting_row(row), None if row[width] is None else event_row(row[width:]))
            for row in rows
        ]

    async def messages_by_id(
        self, workspace_id: str, message_ids: Collection[str]
    ) -> Mapping[str, MessageRow]:
        rows = await self._connections.read(
            f"SELECT {MESSAGE_COLUMNS} FROM {MESSAGES}"  # noqa: S608 - constants only
            " WHERE m.uuid IN (SELECT value FROM json_each(?))"
            " AND m.workspace_id = (SELECT id FROM workspaces WHERE uuid = ?)",
            (json.dumps(sorted(message_ids)), workspace_id),
        )
        return {row[0]: message_row(row) for row in rows}

    @transaction
    async def record_round(
        self, tx: Transaction, webhook_id: str, done: Round, now_ms: int
    ) -> bool:
        row = await tx.one(
            "UPDATE webhooks SET place = coalesce(?, place), failing_since = ?,"
            " disabled = coalesce(?, disabled) WHERE uuid = ? RETURNING workspace_id, id",
            (done.place, done.failing_since_ms, done.disabled, webhook_id),
        )
        if row is None:
            return False
        workspace, key = int(row[0]), int(row[1])
        taken = [(key, event) for event in done.taken]
        if taken:
            await tx.many("DELETE FROM webhook_events WHERE webhook_id = ? AND event = ?", taken)
        if done.waiting:
            await tx.many(_PUT, [_put_row(workspace, key, waiting) for waiting in done.waiting])
        if done.hasten:
            await hasten(tx, key, now_ms)
        await _note(tx, workspace, key, done.attempts)
        return True


async def _note(
    tx: Transaction, workspace: int, webhook: int, attempts: Sequence[NewAttempt]
) -> None:
    if not attempts:
        return
    await tx.many(
        "INSERT INTO webhook_attempts (workspace_id, webhook_id, event, type, number, failed, code,"
        " status, took, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                workspace,
                webhook,
                attempt.event_id,
                attempt.type,
                attempt.number,
                attempt.failed,
                attempt.code,
                attempt.status,
                attempt.took_ms,
                attempt.at_ms,
            )
            for attempt in attempts
        ],
    )
    for failed in {attempt.failed for attempt in attempts}:
        await tx.change(
            "DELETE FROM webhook_attempts WHERE webhook_id = ?1 AND failed = ?2 AND id <= (SELECT"
            " id FROM webhook_attempts WHERE webhook_id = ?1 AND failed = ?2"
            " ORDER BY id DESC LIMIT 1 OFFSET ?3)",
            (webhook, failed, ATTEMPTS_KEPT),
        )


def _put_row(workspace: int, webhook: int, waiting: Waiting) -> tuple[object, ...]:
    return (
        workspace,
        webhook,
        waiting.event_id,
        waiting.type,
        waiting.lane,
        "dead" if waiting.dead else "waiting",
        waiting.step,
        waiting.attempts,
        waiting.next_ms,
        waiting.tried_ms,
        waiting.code,
        waiting.status,
    )
