"""Sends a session's messages, one at a time: the store says whose turn it is, the limiter when.

`sending`, the attempt and the limiter's grant commit together, before the page call. So a crash at
any moment leaves a message either accepted (never handed over) or in doubt, and shown so. What is
in doubt is looked up first (actors.doubts), and only sent again under its own id.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

import structlog

from actors import clearance, doubts
from actors.bridge import BridgeClosed, DeadlineExceeded
from actors.browser.driver import (
    ConnectionLost,
    PageGone,
    PageRefused,
    SendResult,
)
from actors.clearance import Clearance
from actors.delivery import is_definite
from actors.doubts import Doubts
from actors.handover import PREPARE_DEADLINE, Handover
from actors.limiter_messages import SendGranted, SendLater
from actors.messages import SendAnswered, TimerFired
from actors.upload_time import upload_seconds
from storage.messages import Priority
from storage.outbox import Due
from storage.store import StoreBusy, StoreError, StoreFull

if TYPE_CHECKING:
    from pykka import ActorRef

    from actors.bridge import Timer
    from actors.browser.driver import AckChanged, Browser
    from actors.calls import Calls
    from actors.deps import SessionDeps
    from actors.messages import OutboxChanged, Outcome
    from actors.recorder import Recorder
    from storage.grants import MessageGrant
    from storage.messages import MessageRow

log = structlog.get_logger(__name__)

CLAIM_DEADLINE: Final = 30.0
SEND_SLACK: Final = 15.0
MOMENT: Final = 1.0
LONGEST_NAP: Final = 60.0
"""Seconds; clocks are looked at again after that, whatever was reckoned before."""
FAIR_SHARE: Final = 4
"""So many messages of conversations go in a row before one of bulk."""
CAPS: Final = frozenset({"minute", "hour", "day", "warm_up"})
"""Windows that bind the number, whichever message is next."""
TIMER: Final = "courier"
SICK: Final = {
    PageGone: "page_crashed",
    ConnectionLost: "browser_exited",
    BridgeClosed: "browser_exited",
}


class CourierOwner(Protocol):
    """What the courier asks of its session actor."""

    child_id: str
    incarnation: int

    @property
    def actor_ref(self) -> ActorRef[Any]: ...

    def own_number(self) -> str | None: ...

    def sending_failed(self, cause: str, detail: str) -> None: ...


class Courier:
    """Owned by one session actor and used only from its thread."""

    def __init__(
        self, *, owner: CourierOwner, calls: Calls, deps: SessionDeps, recorder: Recorder
    ) -> None:
        self._owner = owner
        self._calls = calls
        self._deps = deps
        self._recorder = recorder
        self._clearance = Clearance(owner, deps.main, deps.limiter, deps.monotonic)
        self._doubts = Doubts(owner=owner, calls=calls, deps=deps, recorder=recorder)
        self._handover = Handover(calls, deps)
        self._browser: Browser | None = None
        self._busy = False
        self._woken = False
        self._bell = deps.bells.hang(owner.child_id, owner.actor_ref)
        self._in_a_row = 0
        self._refused: str | None = None
        self._in_flight: MessageRow | None = None
        self._withheld = False
        self._last = False
        self._free_ms = 0
        self._timer: Timer | None = None
        self._timer_number = 0

    # ---- told by the session ---------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Whether nothing is on its way to the page, nor about to be."""
        return not self._busy

    def withholds(self, fact: AckChanged) -> bool:
        """Keep back an ack that the page is about to answer with: it is written down once."""
        row = self._in_flight
        mine = row is not None and fact.ack == 1 and list(fact.wa_ids) == [row.wa_id]
        self._withheld = self._withheld or mine
        return mine

    def start(self, browser: Browser) -> None:
        """The session is connected: learn what became of unknown messages, then send."""
        self._browser = browser
        self._bell.muffled = False
        self._free_ms = self._deps.now_ms()
        self._doubts.due = True
        self._next()

    def halt(self) -> None:
        """The session is not connected any more: claim nothing; a call in flight goes on."""
        self._browser = None
        self._doubts.halt()

    def handle(self, message: OutboxChanged | SendAnswered) -> None:
        """A message was accepted, or another one has changed; or the limiter answers."""
        if isinstance(message, SendAnswered):
            self._clearance.answered(message)
        elif not self._bell.muffled:
            self._next()

    def timer_fired(self, timer: TimerFired) -> None:
        """A timer of ours or of our parts; an old one's number changes nothing."""
        match timer.name:
            case clearance.TIMER:
                self._clearance.timer_fired()
            case doubts.TIMER:
                self._doubts.timer_fired(timer.number)
                self._next()
            case _ if timer.number == self._timer_number:
                self._clearance.forget()
                self._bell.muffled = False
                self._next()
            case _:
                pass

    def abandon(self) -> None:
        """The session ends: what is in flight has an unknown fate."""
        self.halt()
        if self._in_flight is not None:
            self._give_back(self._in_flight)
            self._mark_unknown(self._in_flight, "session_ended", "the session ended while sending")

    def release(self) -> None:
        """The actor is over, its browser is gone: another session of the number may send."""
        self._deps.bells.take_down(self._owner.child_id, self._bell)
        self._clearance.abandon()
        self._doubts.abandon()
        if self._timer is not None:
            self._timer.cancel()

    # ---- whose turn it is ------------------------------------------------------------------------

    def _next(self) -> None:
        """Do what comes next, unless something is under way: then when it has ended."""
        if self._busy:
            self._woken = True
            return
        if self._browser is None:
            return
        self._busy, self._woken = True, False
        again = self._doubts.next()
        if self._doubts.due:
            self._doubts.examine(self._browser, self._examined)
        elif (held := self._clearance.held(self._owner.own_number())) is not None:
            self._deps.telemetry.capacity.sends_held.labels(window=held.window).inc()
            self._wait_for(held, capped=True)
        elif again is not None:
            self._ask(Due(message=again), again)
        else:
            bulk_first = self._in_a_row >= FAIR_SHARE
            work = partial(
                self._deps.store.due,
                self._owner.child_id,
                self._deps.now_ms(),
                bulk_first=bulk_first,
            )
            self._calls.place(self._deps.main, work, self._looked, deadline=CLAIM_DEADLINE)

    def _rest(self, seconds: float | None = None) -> None:
        """Nothing is under way; look again in `seconds`, or when there is something new."""
        self._busy = False
        if seconds is not None:
            self._arm(seconds)
        if self._doubts.due or (self._woken and not self._bell.muffled):
            self._next()

    def _go_on(self) -> None:
        self._busy = False
        self._next()

    def _arm(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_number += 1
        fired = TimerFired(name=TIMER, number=self._timer_number)
        nap = min(max(0.0, seconds), LONGEST_NAP)
        self._timer = self._deps.main.after(nap, self._owner.actor_ref, fired)

    def _examined(self, error: Exception | None) -> None:
        if error is None:
            self._go_on()
        elif isinstance(error, StoreError | DeadlineExceeded):
            self._doubts.due = True
            self._store_failed("unknown_messages_not_read", error)
        else:
            self._doubts.again()
            self._busy = False
            self._report_sick(error)

    def _looked(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            self._store_failed("turn_not_read", outcome.error)
            return
        due: Due = outcome.value
        if due.message is not None:
            self._ask(due, due.message)
        elif due.next_ms is not None:
            self._rest((due.next_ms - self._deps.now_ms()) / 1000)
        else:
            self._rest()

    # ---- when ------------------------------------------------------------------------------------

    def _ask(self, due: Due, row: MessageRow) -> None:
        number = self._owner.own_number()
        if number is None or self._browser is None:
            self._rest(MOMENT)
            return
        lease = CLAIM_DEADLINE + PREPARE_DEADLINE + self._send_deadline(row)
        if due.reply and self._deps.delivery.typing > 0:
            lease += self._deps.timeouts.call + self._deps.delivery.typing + SEND_SLACK
        self._clearance.ask(
            row.id,
            number,
            first_contact=due.first_contact,
            lease=lease,
            then=partial(self._cleared, due, row),
        )

    def _cleared(self, due: Due, row: MessageRow, answer: SendGranted | SendLater) -> None:
        if isinstance(answer, SendLater):
            self._wait_for(answer, capped=answer.window in CAPS)
        elif self._browser is None:
            self._clearance.over(committed=False)
            self._rest()
        elif due.reply and self._deps.delivery.typing > 0:
            self._show_typing(due, row, answer.grant, self._browser)
        else:
            self._claim(due, row, answer.grant)

    def _wait_for(self, later: SendLater, *, capped: bool) -> None:
        """With `capped` it is for the number itself: whatever else comes waits, too."""
        self._bell.muffled = capped
        self._free_ms = self._deps.now_ms() + round(1000 * later.seconds)
        self._rest(later.seconds)

    def _show_typing(
        self, due: Due, row: MessageRow, grant: MessageGrant, browser: Browser
    ) -> None:
        then = partial(self._typing_shown, due, row, grant)
        deadline = self._deps.timeouts.call + SEND_SLACK
        self._handover.announce(row, browser, self._deps.delivery.typing, then, deadline=deadline)

    def _typing_shown(
        self, due: Due, row: MessageRow, grant: MessageGrant, outcome: Outcome
    ) -> None:
        if outcome.error is not None:  # no reason not to send
            log.info("typing_not_shown", message_id=row.id, error=type(outcome.error).__name__)
        if self._browser is None:
            self._clearance.over(committed=False)
            self._rest()
        else:
            self._claim(due, row, grant)

    def _claim(self, due: Due, row: MessageRow, grant: MessageGrant) -> None:
        work = partial(self._deps.store.claim, row.id, grant, self._deps.now_ms())
        then = partial(self._claimed, due, row)
        self._calls.place(self._deps.main, work, then, deadline=CLAIM_DEADLINE)

    def _claimed(self, due: Due, asked: MessageRow, outcome: Outcome) -> None:
        if self._doubts.next() is asked and outcome.error is None:
            self._doubts.taken()
        row: MessageRow | None = outcome.value
        if outcome.error is not None:
            late = isinstance(outcome.error, DeadlineExceeded)  # it may be committed all the same
            self._clearance.over(committed=late)
            if late:
                self._unsent(asked)
            self._store_failed("claim_failed", outcome.error)
        elif row is None:
            self._clearance.over(committed=False)
            twice, self._refused = self._refused == asked.id, asked.id
            self._rest(MOMENT) if twice else self._go_on()
        elif self._browser is None:  # lost the connection while claiming: it was not handed over
            self._clearance.over(committed=True)
            self._unsent(row)
            self._rest()
        else:
            self._in_a_row = self._in_a_row + 1 if due.turn is Priority.CONVERSATION else 0
            self._last = due.last
            self._hand_over(row, self._browser)

    # ---- the page --------------------------------------------------------------------------------

    def _hand_over(self, row: MessageRow, browser: Browser) -> None:
        self._in_flight, self._withheld = row, False
        since = max(row.created_ms, row.send_at_ms or 0)
        now, telemetry = self._deps.now_ms(), self._deps.telemetry
        telemetry.accept_to_page_seconds.observe((now - since) / 1000)
        telemetry.turn_to_page_seconds.observe(max(0, now - max(since, self._free_ms)) / 1000)
        then = partial(self._page_answered, row)
        self._handover.place(row, browser, then, deadline=self._send_deadline(row))

    def _page_answered(self, row: MessageRow, outcome: Outcome) -> None:
        self._in_flight = None
        self._clearance.over(committed=True)
        now, store = self._deps.now_ms(), self._deps.store
        self._free_ms = now
        if outcome.error is not None:
            self._give_back(row)
        match outcome.value, outcome.error:
            case SendResult(ack=ack), None:
                write = partial(store.record_sent, row.id, ack, now, patient=self._has_time())
                self._recorder.put("sent", write, self._rest if self._last else self._go_on)
            case _, PageRefused(reason="not_connected" | "not_now"):
                self._unsent(row)
                self._rest(MOMENT)  # the socket's own report, or its return, starts us again
            case _, PageRefused(reason=reason) as error if is_definite(row, reason):
                write = partial(store.record_failed, row.id, reason, str(error), now)
                self._recorder.put("failed", write, self._go_on)
            case _, PageRefused(reason=reason) as error:
                self._mark_unknown(row, reason, str(error))
                self._go_on()
            case _, error:
                self._mark_unknown(row, "no_answer", type(error).__name__)
                self._busy = False
                # A page that hangs is found by its beats, long before a send runs out of time.
                self._report_sick(error or RuntimeError("no answer"), silence="acks_missing")
        log.info(
            "message_handed_over",
            session_id=row.session_id,
            message_id=row.id,
            attempt=row.attempts,
            error=type(outcome.error).__name__ if outcome.error else None,
        )

    def _has_time(self) -> bool:
        """Nobody is kept waiting: it was the last one (more wakes us), or the next waits anyway."""
        held = self._clearance.held(self._owner.own_number())
        return self._last or (held is not None and held.seconds >= MOMENT)

    def _give_back(self, row: MessageRow) -> None:
        """There is no answer that holds the ack: what is written after it changes nothing then."""
        if self._withheld:
            acks, now = self._deps.store.record_acks, self._deps.now_ms()
            self._recorder.put("acks", partial(acks, row.session_id, [row.wa_id], 1, now))

    def _unsent(self, row: MessageRow) -> None:
        unsent, now = self._deps.store.record_unsent, self._deps.now_ms()
        self._recorder.put("unsent", partial(unsent, row.id, now))
        if row.attempts > 1:
            self._doubts.again()

    def _mark_unknown(self, row: MessageRow, code: str, detail: str) -> None:
        self._in_flight = None
        unknown, now = self._deps.store.record_unknown, self._deps.now_ms()
        self._recorder.put("unknown", partial(unknown, row.id, code, detail, now))
        self._doubts.again()

    def _store_failed(self, event: str, error: Exception) -> None:
        log.warning(event, session_id=self._owner.child_id, error=type(error).__name__)
        passing = isinstance(error, StoreBusy | StoreFull | DeadlineExceeded)
        self._rest(MOMENT if passing else None)

    def _report_sick(self, error: Exception, silence: str = "page_unresponsive") -> None:
        self._owner.sending_failed(SICK.get(type(error), silence), type(error).__name__)

    def _send_deadline(self, row: MessageRow) -> float:
        return self._deps.timeouts.send + upload_seconds(row.content) + SEND_SLACK
