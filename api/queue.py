"""A session's queue: who waits, and when it may be sent at the earliest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import web

from api.lookup import find_session
from api.parsing import json_response, read_query
from api.schemas_queue import QueuedOut, QueueOut, QueuePlaceOut, QueueQuery
from api.times import rfc3339
from api.views import as_of_now
from storage.queue import MOST_BEFORE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.limiter_messages import SendSlot
    from api.ports import ApiDeps
    from storage.messages import MessageRow
    from storage.store import SessionRow

SEND_AT: Final = "send_at"


class QueueRoutes:
    """Handler of /v1/sessions/{session}/queue."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/v1/sessions/{session}/queue", self.read)]

    async def read(self, request: web.Request) -> web.Response:
        query, deps = read_query(request, QueueQuery), self._deps
        session = await find_session(deps.store, request)
        rows = await deps.store.queue_page(session.id, after=query.after, limit=query.limit + 1)
        page = rows[: query.limit]
        first = forecast(deps, session, 0, 1)
        slots = forecast(deps, session, query.after, len(page)) if page else ()
        now_ms = deps.now_ms()
        earliest_at, bound_by = _when(first[0] if first else None, None, now_ms)
        messages = [
            _queued(row, number, slots[index] if slots else None, now_ms)
            for index, (number, row) in enumerate(enumerate(page, query.after + 1))
        ]
        more = len(rows) > query.limit
        return json_response(
            QueueOut(
                depth=await deps.store.queue_depth(session.id),
                earliest_at=earliest_at,
                bound_by=bound_by,
                messages=messages,
                next_after=query.after + len(page) if more else None,
            )
        )


def queue_fields(
    deps: ApiDeps, session: SessionRow, message: MessageRow, ahead: int | None
) -> dict[str, QueuePlaceOut | None]:
    """Return the `queue` field of a message with so many ahead of it; null: it does not wait."""
    if ahead is None:
        return {"queue": None}
    slots = forecast(deps, session, ahead, 1)
    slot = slots[0] if slots else None
    earliest_at, bound_by = _when(slot, message.send_at_ms, deps.now_ms())
    place = QueuePlaceOut(
        position=ahead + 1 if ahead < MOST_BEFORE else None,
        earliest_at=earliest_at,
        bound_by=bound_by,
    )
    return {"queue": place}


def forecast(deps: ApiDeps, session: SessionRow, ahead: int, count: int) -> Sequence[SendSlot]:
    """Return when those behind the first `ahead` may go at the earliest; empty: nobody knows now.

    A session has no number before it was linked.
    """
    number = as_of_now(session, deps.live.get(session.id)).phone_number
    return () if number is None else deps.forecasts.slots(number, ahead, count)


def _queued(row: MessageRow, position: int, slot: SendSlot | None, now_ms: int) -> QueuedOut:
    earliest_at, bound_by = _when(slot, row.send_at_ms, now_ms)
    return QueuedOut(
        position=position,
        earliest_at=earliest_at,
        bound_by=bound_by,
        id=row.id,
        chat=row.chat,
        kind=row.kind,
        priority=row.priority,
        send_at=None if row.send_at_ms is None else rfc3339(row.send_at_ms),
        expires_at=None if row.expires_ms is None else rfc3339(row.expires_ms),
        created_at=rfc3339(row.created_ms),
    )


def _when(
    slot: SendSlot | None, send_at_ms: int | None, now_ms: int
) -> tuple[str | None, str | None]:
    """The number's turn or the message's own time: whichever comes later."""
    if slot is None:
        return None, None
    turn_ms = now_ms + round(slot.seconds * 1000)
    if send_at_ms is not None and send_at_ms > turn_ms:
        return rfc3339(send_at_ms), SEND_AT
    return rfc3339(turn_ms), slot.window
