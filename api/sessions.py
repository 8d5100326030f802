"""Routes of sessions: make, list, read, and the verbs start, stop, restart, logout, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from api.commands import SessionCommands
from api.lookup import find_session
from api.parsing import json_response, read_body, read_query
from api.schemas import (
    NewSession,
    NoBody,
    NoQuery,
    SessionOut,
    SessionsOut,
    SessionsQuery,
)
from api.views import session_out

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from api.ports import ApiDeps
    from storage.store import SessionRow


class SessionRoutes:
    """Handlers of /v1/sessions and /v1/sessions/{session}."""

    def __init__(self, deps: ApiDeps) -> None:
        self._store = deps.store
        self._live = deps.live
        self._now_ms = deps.now_ms
        self._body_deadline = deps.body_deadline
        self._commands = SessionCommands(deps)

    def routes(self) -> list[web.RouteDef]:
        one = "/v1/sessions/{session}"
        return [
            web.post("/v1/sessions", self.create),
            web.get("/v1/sessions", self.list),
            web.get(one, self.read),
            web.delete(one, self.delete),
            web.post(f"{one}/start", self.start),
            web.post(f"{one}/stop", self.stop),
            web.post(f"{one}/restart", self.restart),
            web.post(f"{one}/logout", self.logout),
        ]

    async def create(self, request: web.Request) -> web.Response:
        """201 with the new session, 200 with the one that has this name already.

        With start: true it is started too; when that fails, the session exists nevertheless, and
        the same request can be repeated.
        """
        read_query(request, NoQuery)
        body = await read_body(request, NewSession, self._body_deadline)
        row, created = await self._store.create_session(body.name, self._now_ms())
        if body.start:
            row = await self._commands.start(row.id)
        headers = {"Location": f"/v1/sessions/{row.id}"}
        return json_response(self._out(row), status=201 if created else 200, headers=headers)

    async def list(self, request: web.Request) -> web.Response:
        query = read_query(request, SessionsQuery)
        rows = await self._store.sessions(after=query.after, limit=query.limit + 1)
        page = rows[: query.limit]
        more = len(rows) > query.limit
        return json_response(
            SessionsOut(
                sessions=[self._out(row) for row in page],
                next_after=page[-1].id if more else None,
            )
        )

    async def read(self, request: web.Request) -> web.Response:
        read_query(request, NoQuery)
        return json_response(self._out(await self._find(request)))

    async def start(self, request: web.Request) -> web.Response:
        return await self._command(request, self._commands.start)

    async def stop(self, request: web.Request) -> web.Response:
        return await self._command(request, self._commands.stop)

    async def restart(self, request: web.Request) -> web.Response:
        return await self._command(request, self._commands.restart)

    async def logout(self, request: web.Request) -> web.Response:
        return await self._command(request, self._commands.logout)

    async def delete(self, request: web.Request) -> web.Response:
        """204 once it is gone; 404 for an id that is not (or no longer) known."""
        read_query(request, NoQuery)
        await read_body(request, NoBody, self._body_deadline)
        row = await self._find(request)
        await self._commands.delete(row.id)
        return web.Response(status=204)

    async def _command(
        self, request: web.Request, command: Callable[[str], Awaitable[SessionRow]]
    ) -> web.Response:
        read_query(request, NoQuery)
        await read_body(request, NoBody, self._body_deadline)
        row = await self._find(request)
        return json_response(self._out(await command(row.id)))

    async def _find(self, request: web.Request) -> SessionRow:
        return await find_session(self._store, request.match_info["session"])

    def _out(self, row: SessionRow) -> SessionOut:
        return session_out(row, self._live.get(row.id))
