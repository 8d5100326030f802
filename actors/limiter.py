"""The limiter actor: what may be done only so often, and when the next one is allowed.

What is legal is reckoned in actors.limiter_plan; here is the log on the disk, read at the start and
written before anything is allowed. So neither a crash nor a restart lets more through. Here are the
QR windows of each session: WhatsApp blocks numbers that ask for too many codes. The messages of
each number are in actors.send_desk.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog

from actors import limiter_plan as planner
from actors.calls import Calls
from actors.limiter_messages import (
    OversPut,
    QrLimited,
    QrWindowGranted,
    QrWindowWanted,
    SendWanted,
    TellQrLimit,
)
from actors.limiter_plan import (
    Allow,
    Drop,
    Instant,
    Limit,
    Plan,
    Postpone,
    Record,
    Recorded,
    Refuse,
    TimeCame,
    Wake,
    Wanted,
)
from actors.messages import Begin, Done, Outcome, Refused, TimerFired
from actors.send_desk import SendDesk
from actors.send_plan import LeaseBook
from actors.service import ServiceActor
from storage.events import EventType
from storage.grants import Grant, GrantKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pykka import ActorRef

    from actors.bridge import Bridge, Timer
    from actors.caps import Caps
    from actors.messages import Reply
    from actors.telemetry import Telemetry
    from storage.grants import GrantLog, NumberLog
    from storage.store import Store

log = structlog.get_logger(__name__)

STORE_DEADLINE: Final = 30.0
RETRY: Final = 1.0
KIND: Final = GrantKind.QR_WINDOW
POSTPONED: Final = Refused(
    code="service_down", message="The database did not take it; try again in a moment."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimiterDeps:
    """`limit` is that of QR windows of one session, `caps` those of a number's messages.

    `instant` reads the clocks; `book` outlives the limiter.
    """

    main: Bridge
    grants: GrantLog
    store: Store
    limit: Limit
    caps: Caps
    book: LeaseBook = field(default_factory=LeaseBook)
    instant: Callable[[], Instant]
    telemetry: Telemetry


class LimiterActor(ServiceActor):
    """The one limiter of a node."""

    def __init__(
        self, *, child_id: str, incarnation: int, parent: ActorRef[Any], deps: LimiterDeps
    ) -> None:
        super().__init__(child_id=child_id, incarnation=incarnation, parent=parent)
        self._deps = deps
        self._limits = (deps.limit,)
        self._calls = Calls(self.actor_ref)
        self._desk = SendDesk(ref=self.actor_ref, calls=self._calls, deps=deps)
        self._plan: Plan | None = None
        self._early: list[Any] = []
        self._waiters: dict[tuple[str, str], list[Reply]] = {}
        self._timer: Timer | None = None
        self._timer_number = 0

    def serve(self, message: Any) -> None:
        match message:
            case Begin():
                self._load()
            case Outcome():
                self._calls.settle(message)
            case TimerFired():
                self._timer_fired(message)
            case _ if self._plan is None:
                self._early.append(message)  # answered as soon as the log is read
            case QrWindowWanted(session_id=session_id, key=key, reply=reply):
                self._waiters.setdefault((session_id, key), []).append(reply)
                self._step(Wanted(session_id=session_id, key=key))
            case TellQrLimit(session_id=session_id, reply=reply):
                reply.put(self._tell(session_id, self._plan))
            case SendWanted() | OversPut():
                self._desk.handle(message)

    def _timer_fired(self, timer: TimerFired) -> None:
        match timer.name:
            case "load":
                self._load()
            case "sends":
                self._desk.timer_fired()
            case _ if timer.number == self._timer_number:
                self._step(TimeCame())
            case _:
                pass  # a later one has replaced it

    def _tell(self, session_id: str, plan: Plan) -> Done | QrLimited:
        now = self._deps.instant()
        wait = planner.wait_of(plan, session_id, self._limits, now)
        if wait == 0:
            return Done()
        self._count(session_id, "refused")
        return self._limited(wait, now)

    # ---- reading the log -------------------------------------------------------------------------

    def _load(self) -> None:
        self._calls.place(self._deps.main, self._read, self._loaded, deadline=STORE_DEADLINE)

    async def _read(self) -> tuple[Sequence[Grant], Sequence[NumberLog]]:
        return await self._read_windows(), await self._desk.read()

    async def _read_windows(self) -> Sequence[Grant]:
        deps, now = self._deps, self._deps.instant()
        grants, moved = planner.settle(await deps.grants.grants(KIND), now)
        if moved:  # for good: another start of ours must not take them as new once more
            await deps.grants.move_grants(moved)
            for session_id, theirs in planner.by_session(moved).items():
                told = {"action": "counted_anew", "cause": "boot", "count": len(theirs)}
                await deps.store.record_event(session_id, EventType.LIMITER, told, now.wall_ms)
            log.warning("grants_counted_anew", count=len(moved))
        return grants

    def _loaded(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            log.error("limiter_log_not_read", error=type(outcome.error).__name__)
            fired = TimerFired(name="load", number=0)
            self._deps.main.after(RETRY, self.actor_ref, fired)
            return
        windows, numbers = outcome.value
        self._plan = planner.loaded(windows)
        self._desk.loaded(numbers)
        self._step(TimeCame())
        early, self._early = self._early, []
        for message in early:
            self.serve(message)

    # ---- the plan --------------------------------------------------------------------------------

    def _step(self, event: planner.Event) -> None:
        if self._plan is None:
            raise RuntimeError("the limiter was asked before it had read its log")
        now = self._deps.instant()
        self._plan, actions = planner.step(self._plan, event, KIND, self._limits, now)
        for action in actions:
            self._perform(action, now)

    def _perform(self, action: planner.Action, now: Instant) -> None:
        match action:
            case Record(grant=grant, used=used):
                self._record(grant, used)
            case Allow(session_id=session_id, key=key, used=used):
                self._allow((session_id, key), used)
            case Refuse(session_id=session_id, key=key, wait_ms=wait):
                self._refuse((session_id, key), self._limited(wait, now), now)
            case Postpone(session_id=session_id, key=key):
                self._answer((session_id, key), POSTPONED)
            case Drop(grants=grants):
                work = partial(self._deps.grants.drop_grants, grants)
                self._calls.place(self._deps.main, work, self._dropped, deadline=STORE_DEADLINE)
            case Wake(ms=ms):
                self._arm(ms / 1000)

    def _record(self, grant: Grant, used: int) -> None:
        told = {"action": "opened", "window": used, "limit": self._deps.limit.most}
        work = partial(self._deps.grants.record_grant, grant, EventType.SESSION_QR, told)
        then = partial(self._recorded, grant)
        self._calls.place(self._deps.main, work, then, deadline=STORE_DEADLINE)

    def _recorded(self, grant: Grant, outcome: Outcome) -> None:
        session_id, error = grant.session_id, outcome.error
        if error is not None:
            log.warning("grant_not_recorded", session_id=session_id, error=type(error).__name__)
        self._step(Recorded(session_id=session_id, key=grant.key, safe=error is None))

    def _allow(self, place: tuple[str, str], used: int) -> None:
        self._count(place[0], "granted")
        self._answer(place, QrWindowGranted(used=used, most=self._deps.limit.most))

    def _refuse(self, place: tuple[str, str], answer: QrLimited, now: Instant) -> None:
        session_id, _ = place
        self._count(session_id, "refused")
        log.warning("qr_window_refused", session_id=session_id, seconds=answer.seconds)
        told = {
            "action": "refused",
            "cause": "qr_limited",
            "seconds": answer.seconds,
            "next_ms": answer.next_ms,
            "limit": answer.most,
        }
        event = partial(
            self._deps.store.record_event, session_id, EventType.SESSION_QR, told, now.wall_ms
        )
        self._calls.place(self._deps.main, event, self._told, deadline=STORE_DEADLINE)
        self._answer(place, answer)

    def _limited(self, wait_ms: int, now: Instant) -> QrLimited:
        most, period = self._deps.limit.most, self._deps.limit.period_ms / 1000
        return QrLimited(
            code="qr_limited",
            message=(
                f"The session has opened {most} QR windows within {period:.0f} s, and WhatsApp"
                f" blocks numbers that ask too often; ask again in {wait_ms / 1000:.0f} s."
            ),
            most=most,
            seconds=wait_ms / 1000,
            next_ms=now.wall_ms + wait_ms,
        )

    def _told(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            log.warning("event_not_written", error=type(outcome.error).__name__)

    def _dropped(self, outcome: Outcome) -> None:
        if outcome.error is not None:  # the next start drops them
            log.warning("grants_not_dropped", error=type(outcome.error).__name__)

    def _answer(self, place: tuple[str, str], answer: Done | Refused) -> None:
        for reply in self._waiters.pop(place, ()):
            reply.put(answer)

    def _count(self, session_id: str, result: str) -> None:
        counter = self._deps.telemetry.capacity.qr_windows
        counter.labels(session=session_id, result=result).inc()

    def _arm(self, seconds: float) -> None:
        self._timer_number += 1
        if self._timer is not None:
            self._timer.cancel()
        fired = TimerFired(name=self.child_id, number=self._timer_number)
        self._timer = self._deps.main.after(seconds, self.actor_ref, fired)

    def release(self) -> None:
        """Tell who still waits that the next limiter has to be asked."""
        if self._timer is not None:
            self._timer.cancel()
        self._desk.close()
        for place in list(self._waiters):
            self._answer(place, POSTPONED)
        for message in self._early:
            self.dropped(message)
