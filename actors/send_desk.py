"""The limiter's part for messages: what each phone number may send, and when.

What is legal is reckoned in actors.send_plan. A grant is committed by who asked for it, together
with the message that it lets go; so its answer is at once, and a session that asks has no grant of
its own on the disk before it has one in the limiter's memory.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, assert_never

import structlog

from actors import send_plan as planner
from actors.limiter_messages import (
    TOLD_ONCE_IN,
    OversPut,
    SendGranted,
    SendLater,
    SendWanted,
)
from actors.messages import TimerFired
from actors.send_plan import Ask, Later, Sends
from storage.events import EventType
from storage.grants import MessageGrant

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pykka import ActorRef

    from actors.bridge import Bridge, Timer
    from actors.calls import Calls
    from actors.caps import Caps
    from actors.limiter_plan import Instant
    from actors.messages import Outcome
    from actors.send_plan import LeaseBook
    from actors.telemetry import Telemetry
    from storage.grants import MessageGrantLog, NumberLog
    from storage.store import Store

log = structlog.get_logger(__name__)

STORE_DEADLINE: Final = 30.0
RETRY: Final = 1.0
TIDY: Final = 3600.0
"""How often grants that count no more are dropped, in seconds."""


class SendDeps(Protocol):
    """What it needs of the limiter's deps."""

    @property
    def main(self) -> Bridge: ...
    @property
    def grants(self) -> MessageGrantLog: ...
    @property
    def store(self) -> Store: ...
    @property
    def caps(self) -> Caps: ...
    @property
    def book(self) -> LeaseBook: ...
    @property
    def instant(self) -> Callable[[], Instant]: ...
    @property
    def telemetry(self) -> Telemetry: ...


class SendDesk:
    """Owned by the limiter and used only from its thread, but for `read`."""

    def __init__(self, *, ref: ActorRef[Any], calls: Calls, deps: SendDeps) -> None:
        self._ref = ref
        self._calls = calls
        self._deps = deps
        self._sends = Sends()
        self._told: dict[tuple[str, str], int] = {}
        self._timer: Timer | None = None

    # ---- reading the log -------------------------------------------------------------------------

    async def read(self) -> Sequence[NumberLog]:
        """Return the log with times of this boot, on the disk as well; runs on the main loop."""
        deps, now = self._deps, self._deps.instant()
        logs, foreign = [], 0
        for log_ in await deps.grants.number_logs():
            # What is in the hand of a session that outlived the limiter is in no doubt.
            held = log_.number in deps.book.leases
            found = replace(log_, in_doubt=log_.in_doubt and not held)
            settled = planner.settle(found, now)
            if settled is not None:
                foreign += sum(grant.boot_id != now.boot_id for grant in found.grants)
                await deps.grants.move_number_log(settled)
            logs.append(settled or found)
        if foreign:
            told = {"action": "counted_anew", "cause": "boot", "count": foreign}
            await deps.store.record_notice(EventType.LIMITER, told, now.wall_ms)
            log.warning("grants_counted_anew", count=foreign)
        return logs

    def loaded(self, logs: Sequence[NumberLog]) -> None:
        """The log was read: from now on it can be asked."""
        self._keep(planner.loaded(logs, self._deps.book, self._deps.caps))
        self._hear_overs()
        self._record_moved()  # the one before may have died before the disk had it
        self._tidy()

    # ---- what it is asked ------------------------------------------------------------------------

    def handle(self, message: SendWanted | OversPut) -> None:
        """A message through the door."""
        self._hear_overs()  # also of what was put without a message: nothing seems on its way
        match message:
            case SendWanted():
                self._wanted(message)
            case OversPut():
                pass
            case _:
                assert_never(message)

    def _wanted(self, wanted: SendWanted) -> None:
        now = self._deps.instant()
        ask = Ask(
            session_id=wanted.session_id,
            number=wanted.number,
            key=wanted.key,
            first_contact=wanted.first_contact,
            lease_ms=round(wanted.lease_seconds * 1000),
        )
        sends, answer = planner.want(self._sends, ask, self._deps.caps, now)
        self._keep(sends)
        if isinstance(answer, MessageGrant):
            self._count(wanted.session_id, "granted")
            later = planner.after(sends, wanted.number, self._deps.caps, now)
            following = None if later is None else _later(later)
            wanted.reply.put(SendGranted(grant=answer, next=following))
            return
        self._deps.telemetry.capacity.sends_held.labels(window=answer.window).inc()
        if answer.window in TOLD_ONCE_IN:
            self._tell(wanted.session_id, answer, now)
        wanted.reply.put(_later(answer))

    def _hear_overs(self) -> None:
        put, now = self._deps.book.over, self._deps.instant()
        while put:
            each = put.popleft()
            number, key, committed = each.number, each.key, each.committed
            self._keep(planner.over(self._sends, number, key, now, committed=committed))

    def _keep(self, sends: Sends) -> None:
        book = self._deps.book
        self._sends = book.sends = replace(sends, moved=())
        book.leases, book.late = sends.leases, sends.late
        for grant in sends.moved:
            book.moved = {**book.moved, grant.key: grant}
            self._record(grant)

    def _count(self, session_id: str, result: str) -> None:
        self._deps.telemetry.capacity.sends.labels(session=session_id, result=result).inc()

    def _tell(self, session_id: str, later: Later, now: Instant) -> None:
        """The session has reached a cap: one event in a while, however often it asks."""
        place, again = (session_id, later.window), TOLD_ONCE_IN[later.window]
        last = self._told.get(place)
        if last is not None and now.boot_ms - last < again:
            return
        self._told[place] = now.boot_ms
        self._count(session_id, "capped")
        cause, seconds = later.window, later.wait_ms / 1000
        told = {
            "action": "capped",
            "cause": cause,
            "seconds": seconds,
            "next_ms": now.wall_ms + later.wait_ms,
        }
        log.warning(
            "sends_capped", session_id=session_id, cause=later.window, seconds=told["seconds"]
        )
        record = self._deps.store.record_event
        work = partial(record, session_id, EventType.LIMITER, told, now.wall_ms)
        self._calls.place(self._deps.main, work, _event_written, deadline=STORE_DEADLINE)

    # ---- the log on the disk ---------------------------------------------------------------------

    def _record(self, grant: MessageGrant) -> None:
        """It counts from later on: also for the limiter that comes after this one."""
        work = partial(self._deps.grants.record_message_grant, grant)
        then = partial(self._recorded, grant)
        self._calls.place(self._deps.main, work, then, deadline=STORE_DEADLINE)

    def _recorded(self, grant: MessageGrant, outcome: Outcome) -> None:
        if outcome.error is None:
            moved = self._deps.book.moved
            if moved.get(grant.key) == grant:
                self._deps.book.moved = {k: g for k, g in moved.items() if k != grant.key}
            return
        log.warning("grant_not_moved", error=type(outcome.error).__name__)
        self._arm(RETRY)

    def timer_fired(self) -> None:
        """Time to record again what the disk did not take, and to drop what counts no more."""
        self._record_moved()
        self._tidy()

    def _record_moved(self) -> None:
        for grant in self._deps.book.moved.values():
            self._record(grant)

    def _tidy(self) -> None:
        before = self._deps.instant().boot_ms - self._deps.caps.day.period_ms
        for number in self._sends.lines:
            work = partial(self._deps.grants.drop_message_grants, number, before)
            self._calls.place(self._deps.main, work, _dropped, deadline=STORE_DEADLINE)
        self._arm(TIDY)

    def _arm(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        fired = TimerFired(name="sends", number=0)
        self._timer = self._deps.main.after(seconds, self._ref, fired)

    def close(self) -> None:
        """The limiter ends."""
        if self._timer is not None:
            self._timer.cancel()


def _later(answer: Later) -> SendLater:
    seconds = answer.wait_ms / 1000
    return SendLater(
        code="send_later",
        message=f"The number may send its next message in {seconds:g} s ({answer.window}).",
        seconds=seconds,
        window=answer.window,
    )


def _event_written(outcome: Outcome) -> None:
    if outcome.error is not None:
        log.warning("event_not_written", error=type(outcome.error).__name__)


def _dropped(outcome: Outcome) -> None:
    if outcome.error is not None:  # the next time drops them
        log.warning("grants_not_dropped", error=type(outcome.error).__name__)
