"""Routes of what happened: the event log and the access log of the caller's workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from api.caller import CALLER
from api.lookup import session_of_query
from api.parsing import json_response, read_query
from api.schemas import AuditOut, AuditQuery, EventsOut, EventsQuery
from api.streams import wants_stream
from api.views import access_out, event_out

if TYPE_CHECKING:
    from api.ports import ApiDeps
    from api.streams import Streams


class HistoryRoutes:
    """Handlers of /v1/events and /v1/audit."""

    def __init__(self, deps: ApiDeps, streams: Streams) -> None:
        self._store = deps.store
        self._streams = streams

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/v1/events", self.events), web.get("/v1/audit", self.audit)]

    async def events(self, request: web.Request) -> web.StreamResponse:
        """A page, oldest first, or a stream for who asks for one.

        For a key for certain sessions a page may hold fewer than there is room.
        """
        if wants_stream(request):
            return await self._streams.sse(request)
        query, caller = read_query(request, EventsQuery), request[CALLER]
        rows = await self._store.events(
            caller.workspace_id,
            after=query.after,
            limit=query.limit + 1,
            session_id=await session_of_query(self._store, caller, query.session),
            types=() if query.types is None else frozenset(query.types.split(",")),
        )
        page = rows[: query.limit]
        return json_response(
            EventsOut(
                events=[event_out(row) for row in page if caller.may_see(row.session_id)],
                next_after=page[-1].id if page else query.after,
                more=len(rows) > query.limit,
            )
        )

    async def audit(self, request: web.Request) -> web.Response:
        query, caller = read_query(request, AuditQuery), request[CALLER]
        entries = await self._store.access_log(
            caller.workspace_id,
            before=query.before,
            session_id=await session_of_query(self._store, caller, query.session),
            limit=query.limit + 1,
        )
        page = entries[: query.limit]
        more = len(entries) > query.limit
        return json_response(
            AuditOut(
                entries=[access_out(entry) for entry in page],
                next_before=page[-1].number if more else None,
            )
        )
