"""Asks after a session's health, and has it repaired, as actors.health_plan decides.

Its history is kept in the book, so that an outage is told of once and ends once, however many
pages and browsers it takes.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, assert_never

import structlog

from actors import events, outages
from actors import health_events as he
from actors.browser.driver import CallTimedOut, QrIssued, SocketChanged
from actors.events import Phase
from actors.health_changes import changes, well
from actors.health_plan import step
from actors.health_signs import Sign, Signs, look, signs
from actors.health_state import fresh
from actors.notes import Notes
from actors.outages import END_TO_END, LOGIN_LOST, Outage, Repair, Rung
from actors.state import State
from storage.events import EventType

if TYPE_CHECKING:
    from actors.bridge import Timer
    from actors.browser.driver import Browser, BrowserFact
    from actors.calls import Calls
    from actors.deps import SessionDeps
    from actors.messages import Outcome
    from actors.outages import History
    from actors.publisher import Publisher
    from actors.recorder import Recorder

log = structlog.get_logger(__name__)

SLACK: Final = 20.0
"""Above the browser's own deadlines, whose clock stands still while its profile is copied."""
KILLED_FIRST: Final = frozenset({"page_unresponsive"})
"""What a page is loaded anew for that would not hear of it."""

HealthSays = (
    events.Suspected | events.Reloading | events.Sickened | events.CallFailed | events.TakingOver
)


class HealthOwner(Protocol):
    """What its health asks of a session actor."""

    def the_browser(self) -> Browser: ...

    def happened(self, event: HealthSays) -> None: ...

    def tell_parent(self, message: object) -> None: ...

    def arm_check(self, seconds: float, number: int) -> Timer: ...


class Health:
    """Owned by one session actor and used only from its thread."""

    def __init__(
        self,
        *,
        owner: HealthOwner,
        session_id: str,
        calls: Calls,
        deps: SessionDeps,
        recorder: Recorder,
        publisher: Publisher,
    ) -> None:
        self._owner = owner
        self._session_id = session_id
        self._calls = calls
        self._deps = deps
        self._recorder = recorder
        self._publisher = publisher
        self._plan = fresh(deps.health.get(session_id))
        self._notes = Notes(session_id=session_id, calls=calls, deps=deps, answered=self._probed)
        self._next_beat: Timer | None = None
        self._seen: Sign | None = None
        self._check: Timer | None = None
        self._number = 0
        self._in_conflict = self._claiming = False
        self._detail = ""
        self._traffic = deps.monotonic()
        self._archived = False

    # ---- told by the session ---------------------------------------------------------------------

    def initial(self) -> State:
        """Return where a new incarnation begins: perhaps in the middle of an outage."""
        outage = self._plan.history.outage
        if outage is None:
            return State()
        cause = outage.cause
        sick = cause if cause in END_TO_END else None
        return State(trouble=cause, trouble_detail=outage.detail, sick=sick)

    def moved(self, before: State, after: State) -> None:
        """The machine made a step. What follows from this never makes another one at once."""
        for event in changes(before, after):
            if isinstance(event, he.Leaving) and event.again and after.stop is None:
                self._count(Repair.RESTART, event.cause)
            self._step(event)

    def heard(self, *, ack: bool) -> None:
        """WhatsApp's server spoke; with an `ack` to an own message."""
        self._traffic = self._deps.monotonic()
        self._publisher.proven(self._deps.now_ms())
        self._step(he.Heard(ack=ack))

    def quiet_for(self) -> float:
        """Return for how many seconds there has been no traffic; a note to self is none."""
        return self._deps.monotonic() - self._traffic

    def trouble(self, cause: str, detail: str = "") -> None:
        """The session does not work, for this cause: have it repaired."""
        self._detail = detail
        self._step(he.Trouble(cause=cause))

    def withholds(self, fact: BrowserFact, state: State) -> bool:
        """Tell whether the machine is not to see a fact: it is answered here."""
        if state.stale:
            return False
        if isinstance(fact, SocketChanged) and self._takes_over(fact):
            return True
        return self._awaits_login(fact, state.phase)

    def _takes_over(self, fact: SocketChanged) -> bool:
        """Answer another window's claim, perhaps.

        A conflict is reported more than once: only the first report counts.
        """
        conflict = fact.socket == "CONFLICT"
        if conflict and not self._in_conflict:
            policy, now = self._deps.health_rules.policy, self._deps.monotonic()
            history, self._claiming = outages.take_over(self._plan.history, now, policy)
            self._remember(history)
            if self._claiming:
                self._count(Repair.TAKE_OVER, "conflict")
                self._owner.happened(events.TakingOver())
        self._in_conflict = conflict
        return conflict and self._claiming

    def timer_fired(self, number: int) -> None:
        """The answer to arm_check; an old timer's number changes nothing."""
        if number == self._number:
            self._step(he.CheckDue())

    def wants_snapshot(self) -> bool:
        """Tell whether restarts do not help: the launch should try the last good snapshot."""
        return outages.wants_snapshot(self._plan.history, self._deps.health_rules.policy)

    def expects_login(self, *, archived: bool) -> None:
        """The launch: whether the profile should hold a login, since one is archived."""
        self._archived = archived

    def _awaits_login(self, fact: BrowserFact, phase: Phase) -> bool:
        """Have a page repaired that has no login where one was kept.

        Chromium silently makes a damaged database anew. But if the login has ended, the page says
        so before it shows a code.
        """
        tried = self._plan.history.snapshot_tried
        if not self._archived or tried or phase not in {Phase.OPENING, Phase.RESUMING}:
            return False
        match fact:
            case QrIssued():
                self.trouble(LOGIN_LOST, "a QR code is shown where a login was kept")
                return True
            case SocketChanged(socket="UNPAIRED", registered=False):
                return True
            case _:
                return False

    def snapshot_tried(self, *, restored: bool) -> None:
        """The launch had the last good one if there is one; another try would end no better."""
        history = replace(self._plan.history, snapshot_tried=True)
        if restored:
            self._count(Repair.SNAPSHOT, history.failed or "")
            history = outages.repaired(history, Repair.SNAPSHOT, self._deps.monotonic())
        self._remember(history)

    def abandon(self, state: State) -> None:
        """The actor is over; it crashed if the machine does not know of it."""
        self._notes.abandon()
        self._arm_check(None)
        if self._next_beat is not None:
            self._next_beat.cancel()
        if state.phase is Phase.ENDED:
            return
        history, now, cause = self._plan.history, self._deps.monotonic(), "actor_crashed"
        if well(state) and history.outage is None:
            found = Outage(cause=cause, rung=Rung.PROCESS, since=now, found=now)
            history = replace(history, outage=found)
        self._count(Repair.RESTART, cause)
        self._remember(outages.failed(history, cause, now))

    # ---- the plan --------------------------------------------------------------------------------

    def _step(self, event: he.PlanEvent) -> None:
        deps = self._deps
        now = deps.monotonic()
        self._plan, actions = step(self._plan, event, now, deps.health_rules, deps.uniform)
        deps.health.put(self._session_id, self._plan.history)
        for action in actions:
            self._perform(action)

    def _remember(self, history: History) -> None:
        self._plan = replace(self._plan, history=history)
        self._deps.health.put(self._session_id, history)

    def _perform(self, action: he.Action) -> None:
        match action:
            case he.AskBrowser() | he.ArmBeat() | he.AskPage() | he.FreePage():
                self._ask(action)
            case he.Probe():
                self._probe()
            case he.ArmCheck(seconds=check):
                self._arm_check(check)
            case he.Suspect(cause=cause):
                log.warning("page_suspected", cause=cause)
                self._owner.happened(events.Suspected(cause=cause))
            case he.Sicken(reason=reason):
                self._owner.happened(events.Sickened(reason=reason))
            case he.Mend():
                self._mend(action)
            case he.Tell():
                self._tell(action)
            case _:
                assert_never(action)

    def _arm_check(self, seconds: float | None) -> None:
        self._number += 1
        if self._check is not None:
            self._check.cancel()
            self._check = None
        if seconds is not None and not self._plan.closed:
            self._check = self._owner.arm_check(seconds, self._number)

    # ---- signs of life ---------------------------------------------------------------------------

    def _ask(self, action: he.AskBrowser | he.ArmBeat | he.AskPage | he.FreePage) -> None:
        match action:
            case he.AskBrowser():
                self._beat(0.0)
            case he.ArmBeat(seconds=seconds):
                self._beat(seconds)
            case he.AskPage():
                self._ask_page()
            case he.FreePage():
                self._free()

    def _beat(self, seconds: float) -> None:
        """Ask in so many seconds; the page with it, if it must answer as things are now."""
        if self._plan.closed:
            return
        work = partial(signs, self._owner.the_browser(), page=self._plan.watched)
        place, bridge = self._calls.place_after, self._deps.browsers
        self._next_beat = place(seconds, bridge, work, self._beaten, deadline=self._patience())

    def _patience(self) -> float:
        return 3 * self._deps.timeouts.beat + SLACK

    def _beaten(self, outcome: Outcome) -> None:
        found: Signs = outcome.value or Signs(browser=Sign(error=outcome.error))
        self._seen = found.page
        self._step(self._sign(found.browser, Rung.CDP) or he.BrowserAnswered())
        self._show_proofs()

    def _ask_page(self) -> None:
        """It was asked with its browser, unless it had no need to answer then."""
        seen, self._seen = self._seen, None
        if seen is not None:
            self._page_answered(seen)
            return
        work = partial(look, self._owner.the_browser())
        bridge, then = self._deps.browsers, self._looked
        self._calls.place(bridge, work, then, deadline=self._patience())

    def _looked(self, outcome: Outcome) -> None:
        self._page_answered(outcome.value or Sign(error=outcome.error))
        self._show_proofs()

    def _page_answered(self, sign: Sign) -> None:
        self._step(self._sign(sign, Rung.PAGE) or he.PageAnswered(view=sign.view))

    def _free(self) -> None:
        self._count(Repair.FREE, "page_unresponsive")
        work = self._owner.the_browser().free
        self._calls.place(self._deps.browsers, work, self._freed, deadline=self._patience())

    def _sign(self, sign: Sign, rung: Rung) -> he.Silent | he.Void | None:
        if sign.error is None:
            return None
        if not isinstance(sign.error, CallTimedOut):
            return he.Void()  # what it was reports itself
        self._deps.telemetry.health.missed_beats.labels(rung=rung.value).inc()
        log.warning("beat_missed", rung=rung.value)
        return he.Silent(rung=rung)

    def _show_proofs(self) -> None:
        self._publisher.signs(asdict(self._plan.proofs))

    def _freed(self, outcome: Outcome) -> None:
        log.info("page_freed", error=type(outcome.error).__name__ if outcome.error else None)
        self._step(he.Freed(alive=outcome.error is None))

    def _probe(self) -> None:
        history = self._plan.history
        note = self._notes.write(self._owner.the_browser(), history.note)
        self._remember(replace(history, note=note))

    def _probed(self, verdict: he.Verdict, note: str | None) -> None:
        self._remember(replace(self._plan.history, note=note))
        if verdict in {he.Verdict.ACKED, he.Verdict.REFUSED}:
            self._publisher.proven(self._deps.now_ms())
        self._step(he.Probed(verdict=verdict))
        self._show_proofs()

    # ---- what is done about it -------------------------------------------------------------------

    def _mend(self, action: he.Mend) -> None:
        cause = action.cause
        log.warning("session_repaired", cause=cause, repair=action.repair.value)
        detail, self._detail = self._detail or f"no sign of life: {cause}", ""
        if action.repair is Repair.RELOAD:
            self._count(Repair.RELOAD, cause)
            reloading = events.Reloading(cause=cause, fresh=cause in KILLED_FIRST)
            self._owner.happened(reloading)
        else:
            self._owner.happened(events.CallFailed(cause=cause, detail=detail))

    def _count(self, repair: Repair, cause: str) -> None:
        self._deps.telemetry.health.repairs.labels(repair=repair.value, cause=cause).inc()

    def _tell(self, action: he.Tell) -> None:
        """Write it into the log of events: one `lost` and one `recovered` or `ended` an outage."""
        outage, telemetry = action.outage, self._deps.telemetry.health
        labels = {"cause": outage.cause, "rung": outage.rung.value}
        detected = outage.found - outage.since
        payload = {"action": action.action, **labels, "seconds": round(action.seconds, 3)}
        if action.action == "lost":
            telemetry.outages.labels(**labels).inc()
            telemetry.detection_seconds.labels(cause=outage.cause).observe(detected)
        else:
            payload |= {"repair": action.repair.value, "detected_seconds": round(detected, 3)}
        if action.action == "recovered":
            recovery = telemetry.recovery_seconds.labels(cause=outage.cause)
            recovery.observe(action.seconds - detected)
        log.warning(
            "session_health",
            action=action.action,
            cause=outage.cause,
            rung=outage.rung.value,
            repair=action.repair.value,
            seconds=payload["seconds"],
        )
        now, store = self._deps.now_ms(), self._deps.store
        work = partial(store.record_event, self._session_id, EventType.SESSION_HEALTH, payload, now)
        self._recorder.put("health", work)
