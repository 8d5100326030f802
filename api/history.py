"""Routes of what happened: the event log and the access log of the caller's workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from api.caller import CALLER
from api.lookup import is_ulid
from api.parsing import json_response, read_query
from api.schemas import AuditOut, AuditQuery, EventsOut, EventsQuery
from api.views import access_out, event_out
from storage.store import SessionNotFound

if TYPE_CHECKING:
    from api.keys import Caller
    from api.ports import ApiDeps


class HistoryRoutes:
    """Handlers of /v1/events and /v1/audit."""

    def __init__(self, deps: ApiDeps) -> None:
        self._store = deps.store

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/v1/events", self.events), web.get("/v1/audit", self.audit)]

    async def events(self, request: web.Request) -> web.Response:
        """Oldest first. For a key for certain sessions a page may hold fewer than there is room."""
        query, caller = read_query(request, EventsQuery), request[CALLER]
        rows = await self._store.events(
            caller.workspace_id,
            after=query.after,
            limit=query.limit + 1,
            session_id=await self._session(caller, query.session),
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
            session_id=await self._session(caller, query.session),
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

    async def _session(self, caller: Caller, ref: str | None) -> str | None:
        """Return the id of the session that a query names; ids may be those of deleted ones."""
        if ref is None:
            return None
        if not is_ulid(ref):
            ref = (await self._store.session_named(caller.workspace_id, ref)).id
        if not caller.may_see(ref):
            raise SessionNotFound("The key is not for this session.")
        return ref
