"""The event log: appended to by every half of the store, inside its transactions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from storage.events import FACTS, EventRow, EventType
from storage.sqlite.scope import own_session_keys, session_keys
from storage.sqlite.transactions import transaction

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from storage.sqlite.connection import Connections
    from storage.sqlite.ids import MonotonicIds
    from storage.sqlite.scope import SessionKeys
    from storage.sqlite.transactions import Row, Transaction

VERSION: Final = 1

_INSERT: Final = (
    "INSERT INTO events (uuid, workspace_id, whatsapp_session_id, type, version, payload,"
    " created_at) VALUES (?, ?, ?, ?, ?, ?, ?)"
)
EVENT_COLUMNS: Final = "e.uuid, w.uuid, s.uuid, e.type, e.version, e.payload, e.created_at"
_SELECT: Final = (
    f"SELECT {EVENT_COLUMNS} FROM events AS e"  # noqa: S608 - constants only
    " JOIN workspaces AS w ON w.id = e.workspace_id"
    " LEFT JOIN whatsapp_sessions AS s ON s.id = e.whatsapp_session_id"
)
# The place of an id in the log: that event itself, or the last one kept before it.
_PLACE: Final = "coalesce((SELECT id FROM events WHERE uuid <= ? ORDER BY uuid DESC LIMIT 1), 0)"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """An event about to be committed with its change."""

    session: SessionKeys
    type: EventType
    payload: Mapping[str, Any]


async def append_events(
    tx: Transaction, ids: MonotonicIds, events: Sequence[NewEvent], now_ms: int
) -> None:
    """Append events in this order, to be committed or undone with what they tell of."""
    if not events:
        return
    rows = [
        _new_row(ids, event.session.workspace, event.session.id, event.type, event.payload, now_ms)
        for event in events
    ]
    await tx.many(_INSERT, rows)
    tx.has_news = True


def _new_row(
    ids: MonotonicIds,
    workspace: int,
    session: int | None,
    event: EventType,
    payload: Mapping[str, Any],
    now_ms: int,
) -> tuple[object, ...]:
    text = json.dumps(payload, separators=(",", ":"))
    return ids.next(now_ms), workspace, session, event, VERSION, text, now_ms


class EventTable:
    """Reads events, and appends those that stand for themselves."""

    def __init__(self, connections: Connections, ids: MonotonicIds) -> None:
        self._connections = connections
        self._ids = ids

    async def events(
        self,
        workspace_id: str,
        *,
        after: str | None = None,
        limit: int = 100,
        session_id: str | None = None,
        types: Collection[str] = (),
    ) -> Sequence[EventRow]:
        if session_id is not None:
            read = self._connections.read
            keys = await own_session_keys(read, workspace_id, session_id, deleted=True)
            return await self._page("e.whatsapp_session_id = ?", [keys.id], after, limit, types)
        own = "e.workspace_id = (SELECT id FROM workspaces WHERE uuid = ?)"
        return await self._page(own, [workspace_id], after, limit, types)

    async def all_events(
        self, *, after: str | None = None, limit: int = 100, types: Collection[str] = ()
    ) -> Sequence[EventRow]:
        return await self._page("TRUE", [], after, limit, types)

    async def newest_event(self) -> str | None:
        rows = await self._connections.read(
            "SELECT uuid FROM events WHERE id = (SELECT max(id) FROM events)"
        )
        return rows[0][0] if rows else None

    async def event_news(self, seen: int, within: float) -> int:
        return await self._connections.news.beyond(seen, within)

    async def last_event(self, workspace_id: str) -> str | None:
        rows = await self._connections.read(
            "SELECT uuid FROM events WHERE workspace_id ="
            " (SELECT id FROM workspaces WHERE uuid = ?) ORDER BY id DESC LIMIT 1",
            (workspace_id,),
        )
        return rows[0][0] if rows else None

    @transaction
    async def record_event(
        self,
        tx: Transaction,
        session_id: str,
        event: EventType,
        payload: Mapping[str, Any],
        now_ms: int,
    ) -> None:
        _require_fact(event)
        keys = await session_keys(tx.all, session_id, deleted=True)
        new = NewEvent(session=keys, type=event, payload=payload)
        await append_events(tx, self._ids, [new], now_ms)

    @transaction
    async def record_notice(
        self, tx: Transaction, event: EventType, payload: Mapping[str, Any], now_ms: int
    ) -> None:
        _require_fact(event)
        rows = await tx.all(
            "SELECT DISTINCT workspace_id FROM whatsapp_sessions WHERE deleted_at IS NULL"
            " ORDER BY workspace_id"
        )
        told = [_new_row(self._ids, row[0], None, event, payload, now_ms) for row in rows]
        if told:
            await tx.many(_INSERT, told)
            tx.has_news = True

    async def _page(
        self,
        whose: str,
        values: Sequence[object],
        after: str | None,
        limit: int,
        types: Collection[str],
    ) -> Sequence[EventRow]:
        conditions = [whose, f"e.id > {_PLACE}"]
        parameters: list[object] = [*values, after or ""]
        if types:
            conditions.append(f"e.type IN ({', '.join('?' * len(types))})")
            parameters += sorted(types)
        rows = await self._connections.read(
            f"{_SELECT} WHERE {' AND '.join(conditions)} ORDER BY e.id LIMIT ?",
            (*parameters, max(0, limit)),
        )
        return [event_row(row) for row in rows]


def _require_fact(event: EventType) -> None:
    if event not in FACTS:
        raise ValueError(f"{event} is told by what changes, in its own transaction")


def event_row(row: Row) -> EventRow:
    """Map a row of EVENT_COLUMNS."""
    return EventRow(
        id=row[0],
        workspace_id=row[1],
        session_id=row[2],
        type=row[3],
        version=row[4],
        payload=json.loads(row[5]),
        created_ms=row[6],
    )
