"""The launch of a session's browser, and what its profile needs before it.

A lost login is restored, if there is one to restore; a profile that is above its limit is cleaned:
nothing runs on it now.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

import structlog

from actors.base import tell
from actors.browser.driver import BrowserFact, ConnectionLost, DriverError
from actors.browser.logins import may_hold_login
from actors.events import Launched, LaunchFailed
from actors.messages import BrowserReported

if TYPE_CHECKING:
    from pykka import ActorRef

    from actors.archivist import Archivist
    from actors.browser.driver import Browser
    from actors.browser.profile_facts import Tidied
    from actors.calls import Calls
    from actors.deps import BrowserSlot, SessionDeps
    from actors.health import Health
    from actors.messages import Outcome
    from storage.archives import Restored

log = structlog.get_logger(__name__)

RESTORE_TIMEOUT: Final = 600.0
LAUNCH_SLACK: Final = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What became of the profile: what was `restored` and deleted; whether it is `archived`.

    `login` is False if it certainly has none.
    """

    restored: Restored | None
    tidied: Tidied | None
    archived: bool
    login: bool


class LaunchOwner(Protocol):
    """What the launch asks of its session actor."""

    child_id: str
    incarnation: int

    @property
    def actor_ref(self) -> ActorRef[Any]: ...

    def is_leaving(self) -> bool: ...

    def profile_tidied(self, tidied: Tidied | None) -> None: ...

    def happened(self, event: Launched | LaunchFailed) -> None: ...


class Launching:
    """Owned by one session actor, used once and only from its thread."""

    def __init__(
        self,
        *,
        owner: LaunchOwner,
        calls: Calls,
        deps: SessionDeps,
        slot: BrowserSlot,
        archivist: Archivist,
        health: Health,
    ) -> None:
        self._owner = owner
        self._calls = calls
        self._deps = deps
        self._slot = slot
        self._archivist = archivist
        self._health = health
        self._began_ms = 0

    def begin(self) -> None:
        """Start; exactly one happened follows."""
        snapshot = self._health.wants_snapshot()
        prepare = partial(self._prepare, snapshot)
        then = partial(self._prepared, snapshot)
        self._calls.place(self._deps.main, prepare, then, deadline=RESTORE_TIMEOUT)

    async def _prepare(self, snapshot: bool) -> Prepared:
        """Work in the profile's directory, while nobody else of this process does."""
        profiles, session_id = self._deps.profiles, self._owner.child_id
        async with profiles.holding(session_id):
            restored = await self._archivist.restore(snapshot=snapshot)
            archived = bool(await self._deps.archives.list(session_id))
            try:
                tidied = await profiles.tidy(session_id)
            except OSError as error:  # too large is no reason not to run
                log.warning("profile_not_cleaned", error=type(error).__name__)
                tidied = None
        login = archived or await self._may_have_login()
        return Prepared(restored=restored, tidied=tidied, archived=archived, login=login)

    async def _may_have_login(self) -> bool:
        """As far as the profile and its last life tell; the page may find out otherwise."""
        profile = self._deps.paths(self._owner.child_id).profile
        if not await asyncio.to_thread(may_hold_login, profile):
            return False
        return (await self._deps.store.any_session(self._owner.child_id)).linked

    def _prepared(self, snapshot: bool, outcome: Outcome) -> None:
        error = outcome.error
        if error is not None:
            # going on without the login would end in a QR code for want of some disk space
            log.error("restore_failed", error=type(error).__name__)
            self._owner.happened(LaunchFailed(code="restore_failed", detail=str(error)))
            return
        prepared: Prepared = outcome.value
        self._archivist.restored(prepared.restored)
        if snapshot:
            found = prepared.restored is not None and prepared.restored.archive is not None
            self._health.snapshot_tried(restored=found)
        self._health.expects_login(archived=prepared.archived)
        self._owner.profile_tidied(prepared.tidied)
        if self._owner.is_leaving():
            self._owner.happened(LaunchFailed(code="stopped", detail="Not launched any more."))
        else:
            self._launch(login=prepared.login)

    def _launch(self, *, login: bool) -> None:
        deps, ref, session_id = self._deps, self._owner.actor_ref, self._owner.child_id
        incarnation = self._owner.incarnation
        self._began_ms = deps.now_ms()

        def sink(fact: BrowserFact) -> None:
            tell(ref, BrowserReported(launch=incarnation, fact=fact))

        async def launch() -> Browser:
            browser = await deps.driver.launch(session_id, deps.paths(session_id), sink)
            if not self._slot.offer(browser):
                await browser.stop(0.0)
                raise ConnectionLost("The session ended while its browser was being launched.")
            return browser

        deadline = deps.timeouts.launch + LAUNCH_SLACK
        then = partial(self._launched, login)
        self._calls.place(deps.browsers, launch, then, deadline=deadline)

    def _launched(self, login: bool, outcome: Outcome) -> None:
        telemetry, error = self._deps.telemetry, outcome.error
        if error is None:
            seconds = (self._deps.now_ms() - self._began_ms) / 1000
            telemetry.launches.labels(result="ok").inc()
            telemetry.launch_seconds.observe(seconds)
            log.info("browser_launched", pid=outcome.value.pid, seconds=seconds)
            self._owner.happened(Launched(login=login))
            return
        code = error.code if isinstance(error, DriverError) else "launch_failed"
        telemetry.launches.labels(result=code).inc()
        log.warning("browser_launch_failed", code=code, error=type(error).__name__)
        self._owner.happened(LaunchFailed(code=code, detail=str(error)))
