"""The root supervisor: an actor that starts, watches, restarts and stops every session actor.

One-for-one: a child's crash touches that child only. Nobody else keeps refs; the API and the boot
address sessions by id. Every exit and timer carries the incarnation or number it belongs to, and
what is stale is dropped. All verbs are idempotent: asking for what already is answers Done.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, assert_never

import structlog

from actors.base import BaseActor, tell
from actors.calls import Calls
from actors.messages import (
    Answer,
    ArchiveSession,
    Begin,
    ChildExited,
    ChildStable,
    ChildUp,
    Done,
    EndSession,
    FleetMessage,
    LaunchesBlocked,
    LaunchGateChanged,
    LaunchGranted,
    Outcome,
    PlaceGiven,
    PlaceRefused,
    RecycleDecided,
    RecycleSession,
    RefreshQr,
    Refused,
    Service,
    Shutdown,
    StartSession,
    StopKind,
    StopSession,
    TimerFired,
    ToService,
    ToSession,
)
from actors.page_messages import ReadPage
from actors.pool_messages import Urgency
from actors.pressure import Cause, gate_cause
from actors.state import STOP_REASONS
from supervisor.child import Child, ChildPhase, restarts, stronger
from supervisor.clerk import not_cleaned
from supervisor.places import answer_start
from supervisor.recycles import Recycles
from supervisor.relay import Relay, answer
from supervisor.restarting import FUSE, Restarting
from supervisor.services import Services
from supervisor.starting import Starting

if TYPE_CHECKING:
    from actors.messages import Reply
    from storage.store import SessionStatus
    from supervisor.deps import FleetDeps

log = structlog.get_logger(__name__)

STORE_DEADLINE: Final = 60.0
SHUTTING_DOWN: Final = Refused(
    code="shutting_down", message="wafleet is stopping; start it again first."
)


class FleetSupervisor(BaseActor):
    """Parent of all session actors."""

    def __init__(self, deps: FleetDeps) -> None:
        super().__init__()
        self._deps = deps
        self._calls = Calls(self.actor_ref)
        self._children: dict[str, Child] = {}
        self._restarting = Restarting(self, self.actor_ref, deps)
        self._shutdown: Shutdown | None = None
        deps.telemetry.capacity.mailboxes.watch("root", self.actor_ref)
        self._services = Services(
            specs=deps.services,
            root=self.actor_ref,
            main=deps.main,
            restart=deps.restart,
            telemetry=deps.telemetry,
            uniform=deps.uniform,
            monotonic=deps.monotonic,
            started=self._service_started,
        )
        self._relay = Relay(self._children, self._services)
        self._recycles = Recycles(self, deps)
        self._starting = Starting(
            self,
            root=self.actor_ref,
            children=self._children,
            calls=self._calls,
            restarting=self._restarting,
            tell=self._services.tell,
            deps=deps,
        )
        self._places = self._starting.places

    # ---- messages in -----------------------------------------------------------------------------

    def handle(self, message: FleetMessage) -> None:
        match message:
            case Begin():
                self._hold_launches()
                self._services.start_all()
                log.info("fleet_started")
            case Outcome():
                self._calls.settle(message)
            case StartSession(session_id=session_id, reply=reply, boot=boot):
                self._start(session_id, reply, Urgency.BOOT if boot else Urgency.PERSON)
            case EndSession():
                self._end_session(message)
            case ArchiveSession() | RefreshQr() | ReadPage():
                self._relay.pass_on(message)
            case ToSession() | ToService():
                self._relay.pass_on(message)
            case RecycleSession(session_id=session_id, incarnation=incarnation):
                self._recycles.ask(message, self._current(session_id, incarnation))
            case RecycleDecided(child_id=child_id, incarnation=incarnation):
                self._recycles.decided(message, self._current(child_id, incarnation))
            case LaunchGateChanged():
                self._hold_launches()
            case ChildUp(child_id=child_id, incarnation=incarnation):
                child = self._current(child_id, incarnation)
                if child is not None:
                    self._places.launched(child)
            case ChildStable(child_id=child_id, incarnation=incarnation):
                child = self._current(child_id, incarnation)
                if child is not None:
                    child.connected_since = self._deps.monotonic()
                    self._recycles.back(child_id, incarnation)
            case ChildExited():
                self._child_exited(message)
            case TimerFired():
                self._timer_fired(message)
            case PlaceGiven() | PlaceRefused() | LaunchGranted() | LaunchesBlocked():
                self._places.heard(message)
            case Shutdown():
                self._shut_down(message)
            case _:
                assert_never(message)

    def _start(self, session_id: str, reply: Reply | None, urgency: Urgency) -> None:
        if self._shutdown is None:
            self._starting.start(session_id, reply, urgency)
        else:
            answer(reply, SHUTTING_DOWN)

    def _service_started(self, service: Service) -> None:
        if service is Service.POOL:
            self._places.tell_all()

    def _current(self, child_id: str, incarnation: int) -> Child | None:
        child = self._children.get(child_id)
        return child if child is not None and child.incarnation == incarnation else None

    # ---- holding launches ------------------------------------------------------------------------

    def _hold_launches(self) -> None:
        """The fuse or the gate may have changed; the gate's reason is shown as it is."""
        reason = self._deps.gate.reason
        if reason is not None:
            self._places.hold(gate_cause(reason), reason)
        elif self._restarting.fuse_is_open():
            self._places.hold(Cause.FLEET_CRASHES)
        else:
            self._places.hold(None)

    def launches_wait(self) -> bool:
        """Recycles: whether a session that is stopped now could not come back at once."""
        self._hold_launches()
        return self._places.held

    # ---- stopping --------------------------------------------------------------------------------

    def _end_session(self, message: EndSession) -> None:
        child = self._children.get(message.session_id)
        if child is None:
            child = self._absent(message)
            if child is None:
                return
        if message.reply is not None:
            child.waiters.append(message.reply)
        again = message.kind is StopKind.RESTART and self._shutdown is None
        child.start_again = again and child.stop is not StopKind.DELETE
        if child.start_again:
            urgency = Urgency.RELAUNCH if message.reply is None else Urgency.PERSON
            child.turn = self._places.turn(urgency)
        match child.phase:
            case ChildPhase.RUNNING:
                self._tell_stop(child, message.kind)
            case ChildPhase.STOPPING | ChildPhase.CLEANING:
                self._tell_stronger(child, message.kind)
            case _:
                self._restarting.disarm(child)
                self._places.launched(child)
                answer_start(child, Done())
                child.stop = message.kind
                self._clean(child, spoke=False)

    def _absent(self, message: EndSession) -> Child | None:
        """Answer at once where nothing has to be done; else return a record to do it with."""
        match message.kind:
            case StopKind.RESTART:
                self._start(message.session_id, message.reply, Urgency.PERSON)
                return None
            case StopKind.DELETE | StopKind.LOGOUT:
                return self._starting.new_child(message.session_id, Urgency.PERSON)
            case _:
                answer(message.reply, Done())
                return None

    def recycle(self, child: Child, detail: str) -> None:
        """Recycles: restart it; it runs, and nobody wants anything else of it."""
        child.start_again = True
        child.turn = self._places.turn(Urgency.RELAUNCH)
        self._tell_stop(child, StopKind.RECYCLE, detail)

    def _tell_stop(self, child: Child, kind: StopKind, detail: str | None = None) -> None:
        child.phase = ChildPhase.STOPPING
        child.stop = kind
        tell(child.ref, StopSession(kind=kind, detail=detail))

    def _tell_stronger(self, child: Child, kind: StopKind) -> None:
        """What it is doing is finished first, but for a restart that still archives."""
        child.stop = stronger(child.stop, kind)
        if child.ref is not None:
            tell(child.ref, StopSession(kind=child.stop))

    def _child_exited(self, message: ChildExited) -> None:
        if self._services.exited(message):
            self._maybe_done()
            return
        child = self._current(message.child_id, message.incarnation)
        if child is None or child.phase not in {ChildPhase.RUNNING, ChildPhase.STOPPING}:
            log.info("stale_exit_dropped", session_id=message.child_id)
            return
        self._deps.telemetry.exits.labels(kind=message.kind.value, cause=message.cause).inc()
        log.info(
            "session_ended",
            session_id=message.child_id,
            incarnation=message.incarnation,
            kind=message.kind.value,
            cause=message.cause,
        )
        child.ref = None
        self._places.launched(child)
        if child.stop is None and restarts(child.spec.restart, message.kind):
            self._crashed(child, message.cause, message.detail)
        else:
            expected = STOP_REASONS[child.stop] if child.stop else message.cause
            self._clean(child, spoke=message.cause == expected)

    def _clean(self, child: Child, *, spoke: bool) -> None:
        """It has no actor any more: do what ending it means, then answer and forget."""
        child.phase = ChildPhase.CLEANING
        kind = child.stop or StopKind.STOP
        work = partial(self._deps.clerk.close, child.spec.id, kind, spoke=spoke)
        then = partial(self._cleaned, child, kind)
        self._calls.place(self._deps.main, work, then, deadline=STORE_DEADLINE)

    def _cleaned(self, child: Child, kind: StopKind, outcome: Outcome) -> None:
        if outcome.error is not None:
            log.error("session_not_cleaned", session_id=child.spec.id, kind=kind.value)
            self._finish(child, not_cleaned(outcome.error))
        elif child.stop is not None and stronger(child.stop, kind) is not kind:
            self._clean(child, spoke=True)  # asked meanwhile: a logout or a delete on top of a stop
        else:
            self._finish(child, Done())

    def _finish(self, child: Child, answer: Answer) -> None:
        self._answer_waiters(child, answer)
        if child.start_again and self._shutdown is None:
            self._starting.again(child)
        else:
            self.forget(child)

    def forget(self, child: Child) -> None:
        """It has ended, or never began: nothing of it is left."""
        self._recycles.over(child.spec.id)
        self._restarting.disarm(child)
        self._places.leave(child)
        self._deps.board.drop(child.spec.id, child.incarnation)
        self._children.pop(child.spec.id, None)
        self._answer_waiters(child, Done())
        answer_start(child, SHUTTING_DOWN if self._shutdown is not None else Done())
        self._maybe_done()

    # ---- crashes and timers ----------------------------------------------------------------------

    def not_started(self, child: Child, cause: str) -> None:
        """Starting: the store did not count it."""
        self._crashed(child, cause)

    def _crashed(self, child: Child, cause: str, detail: str | None = None) -> None:
        self._recycles.over(child.spec.id)
        if self._shutdown is None:
            self._restarting.crashed(child, cause, detail)
            self._hold_launches()
        else:
            self._restarting.note(child, cause, self._deps.monotonic())
            self.forget(child)

    def _timer_fired(self, timer: TimerFired) -> None:
        if timer.name == "shutdown":
            self._give_up()
        elif timer.name == FUSE:
            if self._restarting.fuse_closed(timer):
                self._hold_launches()
        elif not self._services.timer_fired(timer):
            child = self._children.get(timer.name)
            if child is not None:
                self._restarting.timer_fired(child, timer)

    def start_anew(self, child: Child) -> None:
        """Restarting: its pause is over."""
        self._starting.count(child, Urgency.RELAUNCH)

    def write_status(self, child: Child, status: SessionStatus, reason: str, detail: str) -> None:
        """Restarting: say in the store what became of a child that has no actor."""
        clerk = self._deps.clerk
        work = partial(clerk.write, child.spec.id, child.incarnation, status, reason, detail)
        self._calls.place(self._deps.main, work, self.written, deadline=STORE_DEADLINE)

    def written(self, outcome: Outcome) -> None:
        """What was to stand in the store stands there, or does not."""
        if outcome.error is not None:
            log.error("status_not_written", error=type(outcome.error).__name__)

    # ---- shutting down ---------------------------------------------------------------------------

    def _shut_down(self, message: Shutdown) -> None:
        self._shutdown = message
        fired = TimerFired(name="shutdown", number=0)
        self._deps.main.after(message.deadline, self.actor_ref, fired)
        log.info("fleet_stopping", sessions=len(self._children))
        for child in list(self._children.values()):
            child.start_again = False
            if child.phase is ChildPhase.RUNNING:
                self._tell_stop(child, StopKind.SHUTDOWN)
            elif child.phase is ChildPhase.STOPPING:
                self._tell_stronger(child, StopKind.SHUTDOWN)
            elif child.phase is not ChildPhase.CLEANING:
                self.forget(child)
        self._maybe_done()

    def _maybe_done(self) -> None:
        """Sessions first, then the services that care for them, then the root."""
        if self._shutdown is None or self._children:
            return
        self._services.stop_all()
        if self._services.all_ended():
            self._shutdown.reply.put(Done())
            self.end()

    def _give_up(self) -> None:
        """The common deadline is over: say who is left; the main program kills what they own."""
        if self._shutdown is None:
            return
        left = sorted(self._children)
        log.error("fleet_stop_timed_out", sessions=len(left))
        self._services.stop_all()
        self._shutdown.reply.put(Refused(code="stop_timed_out", message=f"{len(left)} left"))
        self.end()

    def died(self, error: BaseException) -> None:
        """The root has no parent: the main program watches it and ends the process."""

    def dropped(self, message: FleetMessage) -> None:
        """Answer who asks too late; the API must not wait for its deadline to learn that."""
        gone = Refused(code="fleet_down", message="wafleet is stopping; try again later.")
        answer(getattr(message, "reply", None), gone)

    def cleanup(self) -> None:
        log.info("fleet_stopped", sessions=len(self._children))

    def _answer_waiters(self, child: Child, answer: Answer) -> None:
        for reply in child.waiters:
            reply.put(answer)
        child.waiters.clear()
