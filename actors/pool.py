"""The pool actor: who may run on this node, and when each may launch its browser.

What it decides is in actors.pool_plan; here it looks at the machine, keeps the timer, counts, and
tells the root. When it crashes, sessions that run go on; those that wait wait a moment longer.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import structlog

from actors import pool_plan as planner
from actors.calls import Calls
from actors.messages import (
    Begin,
    LaunchesBlocked,
    LaunchGranted,
    Outcome,
    PlaceRefused,
    TimerFired,
)
from actors.pool_messages import (
    PoolReport,
    Standing,
    TellPressure,
)
from actors.pool_plan import LookIn, Measure, Measured, Plan, TimeCame
from actors.pressure import Cause, Readings
from actors.service import ServiceActor

if TYPE_CHECKING:
    from collections.abc import Callable

    from pykka import ActorRef

    from actors.bridge import Bridge, Timer
    from actors.messages import Reply
    from actors.pool_plan import Rules
    from actors.telemetry import Telemetry

log = structlog.get_logger(__name__)

LOOK_DEADLINE: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolDeps:
    """`look` reads the machine, blocking; `monotonic` gives seconds."""

    main: Bridge
    rules: Rules
    look: Callable[[], Readings]
    telemetry: Telemetry
    monotonic: Callable[[], float]


class PoolActor(ServiceActor):
    """The one pool of a node."""

    def __init__(
        self, *, child_id: str, incarnation: int, parent: ActorRef[Any], deps: PoolDeps
    ) -> None:
        super().__init__(child_id=child_id, incarnation=incarnation, parent=parent)
        self._deps = deps
        self._telemetry = deps.telemetry.capacity
        self._calls = Calls(self.actor_ref)
        self._plan = Plan()
        self._looking = False
        self._askers: list[Reply] = []
        self._timer: Timer | None = None
        self._timer_number = 0

    def serve(self, message: Any) -> None:
        match message:
            case Begin():
                self._telemetry.pool_limit.set(self._deps.rules.most)
                self._telemetry.launch_slots.set(self._deps.rules.slots)
                self._show()
            case Outcome():
                self._calls.settle(message)
            case TimerFired(number=number):
                if number == self._timer_number:
                    self._step(TimeCame())
            case TellPressure(reply=reply):
                self._askers.append(reply)
                self._look()
            case _:
                self._step(message)

    def _step(self, event: planner.Event) -> None:
        before = self._plan
        self._plan, actions = planner.step(before, event, self._deps.rules, self._deps.monotonic())
        for action in actions:
            self._perform(action, before)
        if self._plan != before:
            self._show()

    def _perform(self, action: planner.Action, before: Plan) -> None:
        match action:
            case Measure():
                self._look()
                return
            case LookIn(seconds=seconds):
                self._arm(seconds)
                return
            case PlaceRefused(session_id=session_id, limit=limit):
                self._telemetry.pool_refused.inc()
                log.warning("start_refused", session_id=session_id, limit=limit)
            case LaunchGranted(session_id=session_id):
                urgency = self._plan.members[session_id].turn.urgency
                self._telemetry.launches_granted.labels(urgency=urgency.value).inc()
            case LaunchesBlocked(cause=cause):
                self._tell_of_block(cause, before)
        self.tell_parent(action)

    def _tell_of_block(self, cause: Cause | None, before: Plan) -> None:
        if before.block is not None:
            seconds = round(self._deps.monotonic() - before.block.since, 3)
            log.info("launches_unblocked", cause=before.block.cause.value, seconds=seconds)
        if cause is not None:
            log.warning("launches_blocked", cause=cause.value)
        for each in Cause:
            self._telemetry.launches_blocked.labels(cause=each.value).set(each is cause)

    # ---- looking at the machine ------------------------------------------------------------------

    def _look(self) -> None:
        """One look at a time: it answers all that is asked until it ends."""
        if not self._looking:
            self._looking = True
            self._calls.place(self._deps.main, self._read, self._looked, deadline=LOOK_DEADLINE)

    async def _read(self) -> Readings:
        return await asyncio.to_thread(self._deps.look)

    def _looked(self, outcome: Outcome) -> None:
        self._looking = False
        readings = Readings()
        if outcome.error is None:
            readings = outcome.value
            self._telemetry.machine_read(readings)
        else:  # then nothing speaks against a launch
            log.warning("machine_not_read", error=type(outcome.error).__name__)
        self._step(Measured(readings=readings))
        report = self._report(readings)
        for reply in self._askers:
            reply.put(report)
        self._askers.clear()

    def _report(self, readings: Readings) -> PoolReport:
        plan, block = self._plan, self._plan.block
        return PoolReport(
            limit=self._deps.rules.most,
            in_use=len(plan.members),
            slots=self._deps.rules.slots,
            launching=tuple(each.session_id for each in plan.standing(Standing.LAUNCHING)),
            waiting=tuple(each.session_id for each in planner.order(plan)),
            blocked=None if block is None else block.cause,
            blocked_seconds=None if block is None else self._deps.monotonic() - block.since,
            readings=readings,
        )

    def _arm(self, seconds: float) -> None:
        self._timer_number += 1
        fired = TimerFired(name=self.child_id, number=self._timer_number)
        self._timer = self._deps.main.after(seconds, self.actor_ref, fired)

    def _show(self) -> None:
        plan, telemetry = self._plan, self._telemetry
        telemetry.pool_in_use.set(len(plan.members))
        telemetry.launching.set(len(plan.standing(Standing.LAUNCHING)))
        telemetry.launches_waiting.set(len(plan.standing(Standing.WAITING)))

    def release(self) -> None:
        """Tell who still waits that the next pool has to be asked."""
        if self._timer is not None:
            self._timer.cancel()
        for reply in self._askers:
            self.dropped(TellPressure(reply=reply))
