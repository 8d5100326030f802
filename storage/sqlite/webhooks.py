"""Webhooks as they are managed: made, changed, listed, replayed; always those of a workspace."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from storage.sqlite.scope import own_session_keys, workspace_key
from storage.sqlite.tenants import require_room_for_webhook
from storage.sqlite.transactions import transaction
from storage.webhooks import (
    REPLAY,
    AttemptRow,
    Disabled,
    NewAttempt,
    Waiting,
    WebhookNotFound,
    WebhookRecord,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from storage.sqlite.connection import Connections
    from storage.sqlite.ids import MonotonicIds
    from storage.sqlite.transactions import Query, Row, Transaction
    from storage.webhooks import NewWebhook, WebhookChange

SELECT_WEBHOOKS: Final = (
    "SELECT h.uuid, w.uuid, s.uuid, h.url, h.description, h.events, h.with_messages, h.secret,"
    " h.previous_secret, h.previous_until, h.disabled, h.place, h.failing_since, h.created_at,"
    " h.updated_at FROM webhooks AS h JOIN workspaces AS w ON w.id = h.workspace_id"
    " LEFT JOIN whatsapp_sessions AS s ON s.id = h.whatsapp_session_id"
)
WAITING_COLUMNS: Final = (
    "q.event, q.type, q.lane, q.step, q.attempts, q.next_at, q.tried_at, q.code, q.status, q.state"
)


class WebhookTable:
    """Reads and writes webhooks for the API."""

    def __init__(self, connections: Connections, ids: MonotonicIds) -> None:
        self._connections = connections
        self._ids = ids

    @transaction
    async def create_webhook(
        self, tx: Transaction, workspace_id: str, new: NewWebhook, now_ms: int
    ) -> WebhookRecord:
        workspace = await require_room_for_webhook(tx, workspace_id)
        session = None
        if new.session_id is not None:
            session = (await own_session_keys(tx.all, workspace_id, new.session_id)).id
        uuid = self._ids.next(now_ms)
        await tx.change(
            "INSERT INTO webhooks (uuid, workspace_id, whatsapp_session_id, url, description,"
            " events, with_messages, secret, place, created_at, updated_at) VALUES (:uuid,"
            " :workspace, :session, :url, :description, :events, :messages, :secret,"
            " (SELECT uuid FROM events ORDER BY id DESC LIMIT 1), :now, :now)",
            {
                "uuid": uuid,
                "workspace": workspace,
                "session": session,
                "url": new.url,
                "description": new.description,
                "events": json.dumps(sorted(new.events)),
                "messages": new.messages,
                "secret": new.seal(uuid),
                "now": now_ms,
            },
        )
        return await _webhook(tx, uuid)

    async def webhook(self, workspace_id: str, webhook_id: str) -> WebhookRecord:
        rows = await self._connections.read(
            f"{SELECT_WEBHOOKS} WHERE h.uuid = ? AND w.uuid = ?", (webhook_id, workspace_id)
        )
        if not rows:
            raise _no_such_webhook(webhook_id)
        return webhook_record(rows[0])

    async def webhooks(
        self, workspace_id: str, *, after: str | None = None, limit: int = 100
    ) -> Sequence[WebhookRecord]:
        rows = await self._connections.read(
            f"{SELECT_WEBHOOKS} WHERE h.workspace_id ="  # noqa: S608 - constants only
            " (SELECT id FROM workspaces WHERE uuid = ?)"
            " AND h.uuid > ? ORDER BY h.uuid LIMIT ?",
            (workspace_id, after or "", max(0, limit)),
        )
        return [webhook_record(row) for row in rows]

    @transaction
    async def change_webhook(
        self,
        tx: Transaction,
        workspace_id: str,
        webhook_id: str,
        change: WebhookChange,
        now_ms: int,
    ) -> WebhookRecord:
        key = await _own_webhook(tx.all, workspace_id, webhook_id)
        events = None if change.events is None else json.dumps(sorted(change.events))
        await tx.change(
            "UPDATE webhooks SET url = coalesce(:url, url),"
            " description = coalesce(:description, description),"
            " events = coalesce(:events, events),"
            " with_messages = coalesce(:messages, with_messages), updated_at = :now"
            " WHERE id = :key",
            {
                "url": change.url,
                "description": change.description,
                "events": events,
                "messages": change.messages,
                "now": now_ms,
                "key": key,
            },
        )
        if change.enabled is False:
            await tx.change(
                "UPDATE webhooks SET disabled = coalesce(disabled, ?) WHERE id = ?",
                (Disabled.OPERATOR, key),
            )
        elif change.enabled:
            await tx.change(
                "UPDATE webhooks SET disabled = NULL, failing_since = NULL WHERE id = ?", (key,)
            )
            await hasten(tx, key, now_ms)
        return await _webhook(tx, webhook_id)

    @transaction
    async def replace_secret(
        self,
        tx: Transaction,
        workspace_id: str,
        webhook_id: str,
        sealed: str,
        until_ms: int,
        now_ms: int,
    ) -> WebhookRecord:
        key = await _own_webhook(tx.all, workspace_id, webhook_id)
        await tx.change(
            "UPDATE webhooks SET previous_secret = secret, previous_until = ?, secret = ?,"
            " updated_at = ? WHERE id = ?",
            (until_ms, sealed, now_ms, key),
        )
        return await _webhook(tx, webhook_id)

    @transaction
    async def delete_webhook(self, tx: Transaction, workspace_id: str, webhook_id: str) -> None:
        key = await _own_webhook(tx.all, workspace_id, webhook_id)
        await tx.change("DELETE FROM webhooks WHERE id = ?", (key,))

    async def webhook_attempts(
        self,
        workspace_id: str,
        webhook_id: str,
        *,
        before: int | None = None,
        failed: bool | None = None,
        limit: int = 100,
    ) -> Sequence[AttemptRow]:
        read = self._connections.read
        key = await _own_webhook(read, workspace_id, webhook_id)
        which = "" if failed is None else " AND failed = ?"
        parameters: list[object] = [key, before or 2**62, *([] if failed is None else [failed])]
        rows = await read(
            "SELECT id, event, type, number, failed, code, status, took, created_at"  # noqa: S608
            f" FROM webhook_attempts WHERE webhook_id = ? AND id < ?{which}"
            " ORDER BY id DESC LIMIT ?",
            (*parameters, max(0, limit)),
        )
        return [_attempt_row(row) for row in rows]

    async def dead_letters(
        self, workspace_id: str, webhook_id: str, *, after: str | None = None, limit: int = 100
    ) -> Sequence[Waiting]:
        read = self._connections.read
        key = await _own_webhook(read, workspace_id, webhook_id)
        rows = await read(
            f"SELECT {WAITING_COLUMNS} FROM webhook_events AS q"  # noqa: S608 - constants only
            " WHERE q.webhook_id = ? AND q.state = 'dead' AND q.event > ?"
            " ORDER BY q.event LIMIT ?",
            (key, after or "", max(0, limit)),
        )
        return [waiting_row(row) for row in rows]

    @transaction
    async def replay(
        self,
        tx: Transaction,
        workspace_id: str,
        webhook_id: str,
        events: Collection[str] | None,
        now_ms: int,
    ) -> int:
        key = await _own_webhook(tx.all, workspace_id, webhook_id)
        which = "" if events is None else " AND event IN (SELECT value FROM json_each(?))"
        chosen = [] if events is None else [json.dumps(sorted(events))]
        return await tx.change(
            "UPDATE webhook_events SET state = 'waiting', lane = ?, step = 0,"  # noqa: S608
            f" next_at = ? WHERE webhook_id = ? AND state = 'dead'{which}",
            (REPLAY, now_ms, key, *chosen),
        )


async def hasten(tx: Transaction, webhook: int, now_ms: int) -> None:
    """Make all that waits for a webhook due now."""
    await tx.change(
        "UPDATE webhook_events SET next_at = ?1 WHERE webhook_id = ?2 AND state = 'waiting'"
        " AND next_at > ?1",
        (now_ms, webhook),
    )


async def _own_webhook(query: Query, workspace_id: str, webhook_id: str) -> int:
    workspace = await workspace_key(query, workspace_id)
    rows = await query(
        "SELECT id FROM webhooks WHERE uuid = ? AND workspace_id = ?", (webhook_id, workspace)
    )
    if not rows:
        raise _no_such_webhook(webhook_id)
    return int(rows[0][0])


async def _webhook(tx: Transaction, webhook_id: str) -> WebhookRecord:
    return webhook_record((await tx.all(f"{SELECT_WEBHOOKS} WHERE h.uuid = ?", (webhook_id,)))[0])


def _no_such_webhook(webhook_id: str) -> WebhookNotFound:
    return WebhookNotFound(f"There is no webhook {webhook_id}; list the webhooks to see their ids.")


def webhook_record(row: Row) -> WebhookRecord:
    """Map a row of SELECT_WEBHOOKS."""
    return WebhookRecord(
        id=row[0],
        workspace_id=row[1],
        session_id=row[2],
        url=row[3],
        description=row[4],
        events=frozenset(json.loads(row[5])),
        messages=bool(row[6]),
        secret=row[7],
        previous_secret=row[8],
        previous_until_ms=row[9],
        disabled=None if row[10] is None else Disabled(row[10]),
        place=row[11],
        failing_since_ms=row[12],
        created_ms=row[13],
        updated_ms=row[14],
    )


def waiting_row(row: Row) -> Waiting:
    """Map a row of WAITING_COLUMNS."""
    return Waiting(
        event_id=row[0],
        type=row[1],
        lane=row[2],
        step=row[3],
        attempts=row[4],
        next_ms=row[5],
        tried_ms=row[6],
        code=row[7],
        status=row[8],
        dead=row[9] == "dead",
    )


def _attempt_row(row: Row) -> AttemptRow:
    return AttemptRow(
        id=row[0],
        attempt=NewAttempt(
            event_id=row[1],
            type=row[2],
            number=row[3],
            failed=bool(row[4]),
            code=row[5],
            status=row[6],
            took_ms=row[7],
            at_ms=row[8],
        ),
    )
