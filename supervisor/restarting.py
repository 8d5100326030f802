"""What the root does about a session that crashed: a pause and a restart, or quarantine.

The rules are in supervisor.restarts; here are the timers, the words in the store, and the fuse:
when the whole fleet crashes too often, nothing is started for a while, and what runs goes on.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, Protocol

import structlog

from actors.live import LiveSession
from actors.messages import TimerFired
from actors.reasons import OUTSIDE
from storage.store import SessionStatus
from supervisor.child import ChildPhase
from supervisor.restarts import backoff, fuse_closes_in, fuse_opens, is_stable, note_crash

if TYPE_CHECKING:
    from pykka import ActorRef

    from supervisor.child import Child
    from supervisor.deps import FleetDeps

log = structlog.get_logger(__name__)

FUSE: Final = "fuse"
UNWRITTEN: Final = frozenset({"actor_crashed", "storage_failed"})
"""Causes that no actor has written into the store itself."""


class RestartOwner(Protocol):
    """What restarting asks of the root supervisor."""

    def start_anew(self, child: Child) -> None: ...

    def write_status(
        self, child: Child, status: SessionStatus, reason: str, detail: str
    ) -> None: ...


class Restarting:
    """Owned by the root supervisor and used only from its thread."""

    def __init__(self, owner: RestartOwner, root: ActorRef[Any], deps: FleetDeps) -> None:
        self._owner = owner
        self._root = root
        self._deps = deps
        self._crashes: deque[float] = deque()
        self._fuse_timer = 0

    def crashed(self, child: Child, cause: str, detail: str | None = None) -> None:
        """A child ended without being told to: plan what comes next."""
        deps, now = self._deps, self._deps.monotonic()
        self.note(child, cause, now)
        outside = cause in OUTSIDE
        if note_crash(child.crashes, now, deps.restart) and not outside:
            child.phase = ChildPhase.QUARANTINED
            log.error("session_quarantined", session_id=child.spec.id, cause=cause)
            last = f"last: {detail or cause}"
            self._show(child, SessionStatus.FAILED, "crash_loop", last)
            self._owner.write_status(child, SessionStatus.FAILED, "crash_loop", last)
            self._arm(child, deps.quarantine)
            return
        child.phase = ChildPhase.BACKOFF
        self._show(child, SessionStatus.DISCONNECTED, cause, detail)
        if cause in UNWRITTEN:
            self._owner.write_status(child, SessionStatus.DISCONNECTED, cause, detail or cause)
        delay = backoff(len(child.crashes), deps.restart, deps.uniform)
        deps.telemetry.restarts.labels(cause=cause).inc()
        log.warning("session_restart_planned", session_id=child.spec.id, cause=cause, seconds=delay)
        self._arm(child, delay)

    def note(self, child: Child, cause: str, now: float) -> None:
        """Count a crash for the fuse; forgive the child if it had been connected long enough."""
        if is_stable(child.connected_since, now, self._deps.restart):
            child.crashes.clear()
        child.connected_since = None
        if cause not in OUTSIDE and fuse_opens(self._crashes, now, self._deps.fuse):
            log.error("fleet_fuse_open", crashes=len(self._crashes))

    def fuse_is_open(self) -> bool:
        """Tell whether nothing may be started now; a timer then tells when it may."""
        wait = fuse_closes_in(self._crashes, self._deps.monotonic(), self._deps.fuse)
        if wait <= 0:
            return False
        self._fuse_timer += 1
        fired = TimerFired(name=FUSE, number=self._fuse_timer)
        self._deps.main.after(wait, self._root, fired)
        return True

    def fuse_closed(self, timer: TimerFired) -> bool:
        """Tell whether this is the timer of the fuse that was armed last."""
        return timer.name == FUSE and timer.number == self._fuse_timer

    def timer_fired(self, child: Child, timer: TimerFired) -> None:
        """A child's pause is over, unless it was cut short meanwhile."""
        if child.timer_number != timer.number:
            return
        if child.phase is ChildPhase.QUARANTINED:
            child.crashes.clear()
        self._owner.start_anew(child)

    def disarm(self, child: Child) -> None:
        """Forget the child's timer."""
        child.timer_number += 1
        if child.timer is not None:
            child.timer.cancel()
            child.timer = None

    def _show(self, child: Child, status: SessionStatus, reason: str, detail: str | None) -> None:
        """Have the board say what became of it: where the store can't be written, nobody else does.

        It would go on to say what was true before the disk was full.
        """
        now_ms = self._deps.now_ms()
        self._deps.board.put(
            LiveSession(
                session_id=child.spec.id,
                incarnation=child.incarnation,
                phase=child.phase.value,
                status=status.value,
                reason=reason,
                since_ms=now_ms,
                detail=detail,
            )
        )

    def _arm(self, child: Child, seconds: float) -> None:
        self.disarm(child)
        fired = TimerFired(name=child.spec.id, number=child.timer_number)
        child.timer = self._deps.main.after(seconds, self._root, fired)
