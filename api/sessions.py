"""Routes of sessions: make, list, read, and the verbs on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from api.caller import CALLER, TRAIL
from api.commands import SessionCommands
from api.errors import plan_limit_reached, provider_unsupported
from api.lookup import find_session
from api.paging import visible_page
from api.parsing import json_response, read_body, read_query
from api.schemas import (
    ArchiveOut,
    NewSession,
    NoBody,
    NoQuery,
    SessionOut,
    SessionsOut,
    SessionsQuery,
)
from api.views import session_out
from storage.store import Provider
from storage.tenants import PlanLimitReached

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
            web.post(f"{one}/qr", self.renew_qr),
            web.post(f"{one}/reconnect", self.reconnect),
            web.post(f"{one}/primary", self.primary),
            web.post(f"{one}/activate", self.activate),
            web.post(f"{one}/deactivate", self.deactivate),
            web.post(f"{one}/archive", self.archive),
        ]

    async def create(self, request: web.Request) -> web.Response:
        """201 with the new session, 200 with the one that has this name already.

        With start: true it is started too; when that fails, the session exists nevertheless, and
        the same request can be repeated.
        """
        read_query(request, NoQuery)
        body = await read_body(request, NewSession, self._body_deadline)
        caller, now = request[CALLER], self._now_ms()
        try:
            row, created = await self._store.create_session(
                caller.workspace_id, body.name, now, created_by=caller.key
            )
        except PlanLimitReached as error:
            raise plan_limit_reached(error, now) from None
        request[TRAIL].session_id = row.id
        if body.start:
            row = await self._commands.start(caller.workspace_id, row.id)
        headers = {"Location": f"/v1/sessions/{row.id}"}
        return json_response(self._out(row), status=201 if created else 200, headers=headers)

    async def list(self, request: web.Request) -> web.Response:
        query = read_query(request, SessionsQuery)
        page, next_after = await visible_page(
            self._store, request[CALLER], after=query.after, limit=query.limit
        )
        return json_response(
            SessionsOut(sessions=[self._out(row) for row in page], next_after=next_after)
        )

    async def read(self, request: web.Request) -> web.Response:
        read_query(request, NoQuery)
        return json_response(self._out(await find_session(self._store, request)))

    async def start(self, request: web.Request) -> web.Response:
        return await self._command(request, self._commands.start)

    async def stop(self, request: web.Request) -> web.Response:
        return await self._command(request, self._commands.stop)

    async def restart(self, request: web.Request) -> web.Response:
        return await self._command(request, self._commands.restart)

    async def logout(self, request: web.Request) -> web.Response:
        return await self._command(request, self._commands.logout)

    async def renew_qr(self, request: web.Request) -> web.Response:
        """Show another QR code; 409 where the session shows none, 429 after too many windows."""
        return await self._command(request, self._commands.renew_qr)

    async def reconnect(self, request: web.Request) -> web.Response:
        """Bring it back with its login; 409 where it has none, or may not."""
        return await self._command(request, self._commands.reconnect)

    async def delete(self, request: web.Request) -> web.Response:
        """204 once it is gone; 404 for an id that is not (or no longer) known."""
        read_query(request, NoQuery)
        await read_body(request, NoBody, self._body_deadline)
        row = await find_session(self._store, request)
        await self._commands.delete(row.workspace_id, row.id)
        return web.Response(status=204)

    async def primary(self, request: web.Request) -> web.Response:
        """Make it the workspace's only primary number."""
        return await self._mark(request, self._store.set_primary)

    async def activate(self, request: web.Request) -> web.Response:
        """Undo deactivate; it stays stopped until it is started."""
        return await self._mark(request, self._store.activate)

    async def deactivate(self, request: web.Request) -> web.Response:
        read_query(request, NoQuery)
        await read_body(request, NoBody, self._body_deadline)
        row = await find_session(self._store, request)
        return json_response(self._out(await self._commands.deactivate(row.workspace_id, row.id)))

    async def archive(self, request: web.Request) -> web.Response:
        """200 once its login is archived; 409 unless it is connected."""
        row = await self._drivable(request)
        done = await self._commands.archive(row.id)
        return json_response(
            ArchiveOut(
                generation=done.generation,
                bytes=done.bytes,
                pause_seconds=done.pause_seconds,
                seconds=done.seconds,
            )
        )

    async def _mark(
        self, request: web.Request, mark: Callable[[str, str, int], Awaitable[SessionRow]]
    ) -> web.Response:
        read_query(request, NoQuery)
        await read_body(request, NoBody, self._body_deadline)
        row = await find_session(self._store, request)
        return json_response(self._out(await mark(row.workspace_id, row.id, self._now_ms())))

    async def _command(
        self, request: web.Request, command: Callable[[str, str], Awaitable[SessionRow]]
    ) -> web.Response:
        row = await self._drivable(request)
        return json_response(self._out(await command(row.workspace_id, row.id)))

    async def _drivable(self, request: web.Request) -> SessionRow:
        """Return the session that a verb without arguments is for, if it has a browser."""
        read_query(request, NoQuery)
        await read_body(request, NoBody, self._body_deadline)
        row = await find_session(self._store, request)
        if row.provider is not Provider.WEBJS:
            raise provider_unsupported()
        return row

    def _out(self, row: SessionRow) -> SessionOut:
        return session_out(row, self._live.get(row.id))
