"""Carry out the session verbs: remember what the operator wants, then have the fleet do it.

Every verb is idempotent. Per session, the wish is stored and the command handed over in one step,
so that the last wish stored is also the last command that the fleet gets. A wish outlives a command
that is refused or late: the supervisor reconciles to it at the next boot.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from actors.limiter_messages import TellQrLimit
from actors.messages import (
    Archived,
    ArchiveSession,
    Done,
    EndSession,
    RefreshQr,
    Refused,
    Service,
    StartSession,
    StopKind,
    ToService,
)
from actors.verbs import QrVerb, ReconnectVerb, qr_verb, reconnect_verb
from api.errors import ApiError, fleet_down, fleet_timeout
from api.refusals import CAPACITY_REACHED, not_permitted, refused
from api.views import as_of_now
from storage.store import Desired, Provider, SessionNotFound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from actors.messages import FleetMessage, Reply
    from api.ports import ApiDeps
    from storage.store import SessionRow


@dataclass(eq=False, slots=True, kw_only=True, weakref_slot=True)
class _Turn:
    """Whose turn it is at a session: `lock` keeps wishes in order.

    `open` are wishes without an answer; `settled` is what holds if the last ones are refused.
    """

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    open: int = 0
    settled: Desired = Desired.STOPPED


class SessionCommands:
    """The verbs on existing sessions, by workspace and id.

    All raise SessionNotFound, other StoreErrors, and ApiError: fleet_down, fleet_timeout, or the
    code with which the fleet refused. Those that let a session run raise SessionInactive for a
    deactivated number.
    """

    def __init__(self, deps: ApiDeps) -> None:
        self._store = deps.store
        self._fleet = deps.fleet
        self._live = deps.live
        self._now_ms = deps.now_ms
        self._deadline = deps.command_deadline
        self._turns: WeakValueDictionary[str, _Turn] = WeakValueDictionary()

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

    async def renew_qr(self, workspace_id: str, session_id: str) -> SessionRow:
        """Show another QR code: in the window that is open, or in a new one.

        Refused as qr_not_permitted where the session shows none, and as qr_limited.
        """
        row, phase = await self._as_of_now(workspace_id, session_id)
        verb = qr_verb(row.status, row.reason, phase)
        match verb:
            case QrVerb.REFRESH:
                await self._ask(lambda reply: RefreshQr(session_id=session_id, reply=reply))
            case QrVerb.OPEN:
                await self._ask(lambda reply: _qr_limit(session_id, reply))
                return await self.start(workspace_id, session_id)
            case str():
                raise not_permitted("qr_not_permitted", row.status, row.reason, verb)
        return await self._store.session(workspace_id, session_id)

    async def reconnect(self, workspace_id: str, session_id: str) -> SessionRow:
        """Bring it back with its login; nothing changes if it is there or on its way.

        Refused as reconnect_not_permitted.
        """
        row, phase = await self._as_of_now(workspace_id, session_id)
        verb = reconnect_verb(row.status, row.reason, phase)
        match verb:
            case ReconnectVerb.NOTHING:
                return row
            case ReconnectVerb.START:
                return await self.start(workspace_id, session_id)
            case ReconnectVerb.RESTART:
                return await self.restart(workspace_id, session_id)
            case str():
                raise not_permitted("reconnect_not_permitted", row.status, row.reason, verb)

    async def _as_of_now(self, workspace_id: str, session_id: str) -> tuple[SessionRow, str | None]:
        """Return the session as the board shows it, and the phase of its actor if it has one."""
        if not self._fleet.alive():
            raise fleet_down()
        row = await self._store.session(workspace_id, session_id)
        live = self._live.get(session_id)
        return as_of_now(row, live), None if live is None else live.phase

    def _turn(self, session_id: str) -> _Turn:
        return self._turns.setdefault(session_id, _Turn())

    @asynccontextmanager
    async def _lock(self, session_id: str) -> AsyncIterator[None]:
        turn = self._turn(session_id)  # held here: nothing else keeps it
        async with turn.lock:
            yield

    async def _wish(
        self,
        workspace_id: str,
        session_id: str,
        desired: Desired,
        build: Callable[[Reply], FleetMessage],
    ) -> None:
        turn = self._turn(session_id)
        async with turn.lock:
            before = await self._want(workspace_id, session_id, desired)
            if not turn.open:
                turn.settled = before
            turn.open += 1
            # Tasks begin in the order in which they are made: commands keep the order of wishes,
            # while the wait for the answer does not hold up a later verb.
            asked = asyncio.ensure_future(self._ask(build))
        full = False
        try:
            await asked
            turn.settled = desired
        except ApiError as error:
            full = error.problem.code == CAPACITY_REACHED
            raise
        finally:
            turn.open -= 1
            if full and not turn.open and turn.settled is Desired.STOPPED:
                await self._take_back(workspace_id, session_id)

    async def _take_back(self, workspace_id: str, session_id: str) -> None:
        """There was no place: nothing was started, and nothing is to be at the next boot."""
        async with self._lock(session_id):
            row = await self._store.session(workspace_id, session_id)
            if row.desired is Desired.RUNNING:
                now = self._now_ms()
                await self._store.set_desired(workspace_id, session_id, Desired.STOPPED, now)

    async def _want(self, workspace_id: str, session_id: str, desired: Desired) -> Desired:
        """Remember the wish and return what it was before."""
        if not self._fleet.alive():
            raise fleet_down()
        row = await self._store.session(workspace_id, session_id)
        if row.desired is not desired:
            await self._store.set_desired(workspace_id, session_id, desired, self._now_ms())
        return row.desired

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


def _qr_limit(session_id: str, reply: Reply) -> ToService:
    return ToService(
        service=Service.LIMITER, message=TellQrLimit(session_id=session_id, reply=reply)
    )


def _start(session_id: str) -> Callable[[Reply], FleetMessage]:
    return lambda reply: StartSession(session_id=session_id, reply=reply)


def _end(session_id: str, kind: StopKind) -> Callable[[Reply], FleetMessage]:
    return lambda reply: EndSession(session_id=session_id, kind=kind, reply=reply)
