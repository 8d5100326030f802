"""The services beside the sessions: permanent children of the root, one of each kind.

The pool, the limiter, the memory and the janitor actor. The root addresses them by name; a session
or another service reaches one through the root (`ToService`), and nobody else keeps its ref, but
for the limiter's door (actors.limiter_door): every message that is sent asks there. One that
crashes is started again, for ever and ever slower: without it the sessions run on, uncared
for, which is an alarm and no reason to end them. It starts from what the root and the store know,
so that a crash loses nothing but time.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from actors.base import tell
from actors.messages import Refused, StopService, TimerFired
from supervisor.restarts import backoff, note_crash

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pykka import ActorRef

    from actors.bridge import Bridge, Timer
    from actors.messages import ChildExited, Service
    from actors.telemetry import Telemetry
    from supervisor.restarts import RestartPolicy

log = structlog.get_logger(__name__)


class Door(Protocol):
    """A way to one service."""

    def open(self, ref: ActorRef[Any]) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSpec:
    """How to start one: `start` gets the incarnation and the root's ref; it must not block.

    `door` is opened and closed for those who ask the service directly, because they ask often.
    """

    service: Service
    start: Callable[[int, ActorRef[Any]], ActorRef[Any]]
    door: Door | None = None


@dataclass(slots=True, kw_only=True)
class _Running:
    spec: ServiceSpec
    incarnation: int = 0
    ref: ActorRef[Any] | None = None
    timer: Timer | None = None
    crashes: deque[float] = field(default_factory=deque)


def service_down(service: Service) -> Refused:
    """Answer who asks a service that is being started again."""
    message = f"The {service.value} is being started again; try again in a moment."
    return Refused(code="service_down", message=message)


class Services:
    """Owned by the root supervisor and used only from its thread."""

    def __init__(
        self,
        *,
        specs: Sequence[ServiceSpec],
        root: ActorRef[Any],
        main: Bridge,
        restart: RestartPolicy,
        telemetry: Telemetry,
        uniform: Callable[[float, float], float],
        monotonic: Callable[[], float],
        started: Callable[[Service], None],
    ) -> None:
        """`started` is called after each start of a service: tell it what it has to know."""
        self._running = {spec.service: _Running(spec=spec) for spec in specs}
        self._root = root
        self._main = main
        self._restart = restart
        self._telemetry = telemetry
        self._uniform = uniform
        self._monotonic = monotonic
        self._started = started
        self._stopping = False

    def start_all(self) -> None:
        """Start every service, in the order of their specs."""
        for running in self._running.values():
            self._start(running)

    def tell(self, service: Service, message: object) -> bool:
        """Put a message in a service's mailbox; False while there is none to take it."""
        running = self._running.get(service)
        return running is not None and running.ref is not None and tell(running.ref, message)

    def exited(self, message: ChildExited) -> bool:
        """A child ended; True if it was a service, which is then started again after a pause."""
        running = next(
            (r for r in self._running.values() if r.spec.service == message.child_id), None
        )
        if running is None:
            return False
        if message.incarnation != running.incarnation or running.ref is None:
            log.info("stale_exit_dropped", service=message.child_id)
            return True
        running.ref = None
        if running.spec.door is not None:
            running.spec.door.close()
        if not self._stopping:
            self._plan_restart(running, message.cause)
        return True

    def timer_fired(self, timer: TimerFired) -> bool:
        """A timer ran out; True if it was one of a service's restarts."""
        running = next((r for r in self._running.values() if r.spec.service == timer.name), None)
        if running is None:
            return False
        if timer.number == running.incarnation and running.ref is None and not self._stopping:
            self._start(running)
        return True

    def stop_all(self) -> None:
        """Tell every service to end; for the shutdown, when no session is left. Idempotent."""
        self._stopping = True
        for running in self._running.values():
            if running.timer is not None:
                running.timer.cancel()
            if running.ref is not None:
                tell(running.ref, StopService())

    def all_ended(self) -> bool:
        """Tell whether none runs any more."""
        return all(running.ref is None for running in self._running.values())

    def _start(self, running: _Running) -> None:
        running.incarnation += 1
        running.timer = None
        running.ref = running.spec.start(running.incarnation, self._root)
        if running.spec.door is not None:
            running.spec.door.open(running.ref)
        self._telemetry.capacity.mailboxes.watch(running.spec.service.value, running.ref)
        self._started(running.spec.service)

    def _plan_restart(self, running: _Running, cause: str) -> None:
        name = running.spec.service.value
        self._telemetry.service_restarts.labels(service=name).inc()
        breach = note_crash(running.crashes, self._monotonic(), self._restart)
        delay = self._restart.longest
        if breach:
            log.error("service_crash_loop", service=name, cause=cause, seconds=delay)
        else:
            delay = backoff(len(running.crashes), self._restart, self._uniform)
            log.warning("service_restart_planned", service=name, cause=cause, seconds=delay)
        fired = TimerFired(name=name, number=running.incarnation)
        running.timer = self._main.after(delay, self._root, fired)
