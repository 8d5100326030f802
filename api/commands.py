"""Carry out the session verbs: remember what the operator wants, then have the fleet do it.

Every verb is idempotent. Per session, the wish is stored and the command handed over in one step,
so that the last wish stored is also the last command that the fleet gets. A wish outlives a command
that is refused or late: the supervisor reconciles to it at the next boot.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from actors.messages import (
    Archived,
    ArchiveSession,
    Done,
    EndSession,
    Refused,
    StartSession,
    StopKind,
)
from api.errors import fleet_down, fleet_timeout, refused
from storage.store import Desired, Provider, SessionNotFound

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.messages import FleetMessage, Reply
    from api.ports import ApiDeps
    from storage.store import SessionRow


class SessionCommands:
    """The verbs on existing sessions, by workspace and id.

    All raise SessionNotFound, other StoreErrors, and ApiError: fleet_down, fleet_timeout, or the
    code with which the fleet refused. Those that let a session run raise SessionInactive for a
    deactivated number.
    """

    def __init__(self, deps: ApiDeps) -> None:
        self._store = deps.store
        self._fleet = deps.fleet
        self._now_ms = deps.now_ms
        self._deadline = deps.command_deadline
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def start(self, workspace_id: str, session_id: str) -> SessionRow:
        """Let it run; nothing changes if it runs already."""
        await self._wish(workspace_id, session_id, Desired.RUNNING, _start(session_id))
        return await self._store.session(workspace_id, session_id)

    async def stop(self, workspace_id: str, session_id: str) -> SessionRow:
        """Close its browser, keep its login."""
        await self._wish(workspace_id, session_id, Desired.STOPPED, _end(session_id, StopKind.STOP))
        return await self._store.session(workspace_id, session_id)

    async def logout(self, workspace_id: str, session_id: str) -> SessionRow:
        """Unlink the device and close the browser."""
        await self._wish(
            workspace_id, session_id, Desired.STOPPED, _end(session_id, StopKind.LOGOUT)
        )
        return await self._store.session(workspace_id, session_id)

    async def restart(self, workspace_id: str, session_id: str) -> SessionRow:
        """Close its browser and let it run again; a stopped session is started."""
        await self._wish(
            workspace_id, session_id, Desired.RUNNING, _end(session_id, StopKind.RESTART)
        )
        async with self._lock(session_id):
            row = await self._store.session(workspace_id, session_id)
            # A stop that came in meanwhile is the later wish and wins.
            asked = None
            if row.desired is Desired.RUNNING:
                asked = asyncio.ensure_future(self._ask(_start(session_id)))
        if asked is not None:
            await asked
        return await self._store.session(workspace_id, session_id)

    async def delete(self, workspace_id: str, session_id: str) -> None:
        """Unlink the device, close the browser, forget the session.

        Other verbs on the session wait meanwhile and then find it gone. After fleet_timeout the
        session is still listed, as stopped; the same request again finishes the work.
        """
        async with self._lock(session_id):
            try:
                await self._want(workspace_id, session_id, Desired.STOPPED)
                await self._ask(_end(session_id, StopKind.DELETE))
                await self._store.delete_session(session_id, self._now_ms())
            except SessionNotFound:
                # Another request deleted it while this one waited: what was asked is done.
                return

    async def archive(self, session_id: str) -> Archived:
        """Archive a connected session's login now; the caller looked whose it is.

        Refused as not_connected, session_stopping, or with what failed.
        """
        if not self._fleet.alive():
            raise fleet_down()
        answer = await self._answer(
            lambda reply: ArchiveSession(session_id=session_id, reply=reply)
        )
        if not isinstance(answer, Archived):
            raise RuntimeError("the fleet archived a session and did not say how")  # noqa: TRY004
        return answer

    async def deactivate(self, workspace_id: str, session_id: str) -> SessionRow:
        """Close its browser, and let it neither run nor send nor be primary until `activate`."""
        async with self._lock(session_id):
            if not self._fleet.alive():
                raise fleet_down()
            row = await self._store.deactivate(workspace_id, session_id, self._now_ms())
            if row.provider is not Provider.WEBJS:
                return row  # the fleet has nothing to close, and its status is not the fleet's
            asked = asyncio.ensure_future(self._ask(_end(session_id, StopKind.STOP)))
        await asked
        return await self._store.session(workspace_id, session_id)

    def _lock(self, session_id: str) -> asyncio.Lock:
        return self._locks.setdefault(session_id, asyncio.Lock())

    async def _wish(
        self,
        workspace_id: str,
        session_id: str,
        desired: Desired,
        build: Callable[[Reply], FleetMessage],
    ) -> None:
        async with self._lock(session_id):
            await self._want(workspace_id, session_id, desired)
            # Tasks begin in the order in which they are made: commands keep the order of wishes,
            # while the wait for the answer does not hold up a later verb.
            asked = asyncio.ensure_future(self._ask(build))
        await asked

    async def _want(self, workspace_id: str, session_id: str, desired: Desired) -> None:
        if not self._fleet.alive():
            raise fleet_down()
        row = await self._store.session(workspace_id, session_id)
        if row.desired is not desired:
            await self._store.set_desired(workspace_id, session_id, desired, self._now_ms())

    async def _ask(self, build: Callable[[Reply], FleetMessage]) -> None:
        await self._answer(build)

    async def _answer(self, build: Callable[[Reply], FleetMessage]) -> Done:
        try:
            answer = await self._fleet.ask(build, self._deadline)
        except TimeoutError:
            raise fleet_timeout() from None
        match answer:
            case Done():
                return answer
            case Refused():
                raise refused(answer)


def _start(session_id: str) -> Callable[[Reply], FleetMessage]:
    return lambda reply: StartSession(session_id=session_id, reply=reply)


def _end(session_id: str, kind: StopKind) -> Callable[[Reply], FleetMessage]:
    return lambda reply: EndSession(session_id=session_id, kind=kind, reply=reply)
