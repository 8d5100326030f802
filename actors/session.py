"""The actor of one session: messages become events, the state machine decides, effects are done.

It owns one browser from launch to the proof that nothing of it is left. It has no judgement of its
own: what a fact means is in actors.state, what is shown in actors.publisher, what is written in
actors.recorder, what is sent in actors.courier, what is archived in actors.archivist, whether it is
well in actors.health; the browser comes from actors.launching.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, assert_never

import structlog

from actors import events
from actors import state as machine
from actors.archivist import Archivist
from actors.base import ChildActor
from actors.browser.driver import (
    AckChanged,
    BrowserFact,
    MessageReceived,
    PageCrashed,
    ServerHeard,
    SocketChanged,
)
from actors.browser.happenings import PollVoted, ReactionChanged
from actors.calls import Calls
from actors.care_messages import CollectGarbage, KillBrowser, NoteStorage
from actors.caring import Caring
from actors.courier import Courier
from actors.deps import BrowserSlot, SessionDeps
from actors.events import Phase
from actors.health import Health
from actors.health_changes import well
from actors.inbox import Inbox
from actors.launching import Launching
from actors.messages import (
    ArchiveSession,
    Begin,
    BrowserReported,
    ChildStable,
    ChildUp,
    ExitKind,
    OutboxChanged,
    Outcome,
    QrAnswered,
    RecycleProposed,
    RefreshQr,
    SendAnswered,
    SessionMessage,
    StopKind,
    StopSession,
    TimerFired,
)
from actors.page_calls import PageCalls
from actors.page_messages import ReadPage
from actors.publisher import Publisher
from actors.qr_desk import QrDesk
from actors.recorder import Recorder
from actors.recycling import Recycling

if TYPE_CHECKING:
    from pykka import ActorRef

    from actors.bridge import Timer
    from actors.browser.driver import Browser
    from actors.browser.profile_facts import Tidied
    from actors.state import State

log = structlog.get_logger(__name__)

FINAL_WRITE_TIMEOUT: Final = 10.0
STOP_SLACK: Final = 15.0


class SessionActor(ChildActor):
    """One session's actor; a new one is made for every incarnation."""

    def __init__(
        self, *, child_id: str, incarnation: int, parent: ActorRef[Any], deps: SessionDeps
    ) -> None:
        super().__init__(child_id=child_id, incarnation=incarnation, parent=parent)
        self._deps = deps
        self._slot = BrowserSlot()
        self._calls = Calls(self.actor_ref)
        self._recorder = Recorder(
            self._calls, deps.main, child_id, partial(self._arm_once, "recorder")
        )
        self._publisher = Publisher(
            session_id=child_id, incarnation=incarnation, deps=deps, recorder=self._recorder
        )
        self._courier = Courier(owner=self, calls=self._calls, deps=deps, recorder=self._recorder)
        self._archivist = Archivist(
            owner=self,
            session_id=child_id,
            calls=self._calls,
            deps=deps,
            recorder=self._recorder,
        )
        self._recycling = Recycling(self, self._archivist)
        self._inbox = Inbox(owner=self, calls=self._calls, deps=deps, recorder=self._recorder)
        self._caring = Caring(
            owner=self, calls=self._calls, deps=deps, slot=self._slot, recorder=self._recorder
        )
        self._qr = QrDesk(
            owner=self, calls=self._calls, deps=deps, slot=self._slot, recorder=self._recorder
        )
        self._health = Health(
            owner=self,
            session_id=child_id,
            calls=self._calls,
            deps=deps,
            recorder=self._recorder,
            publisher=self._publisher,
        )
        self._launching = Launching(
            owner=self,
            calls=self._calls,
            deps=deps,
            slot=self._slot,
            archivist=self._archivist,
            health=self._health,
        )
        self._page = PageCalls(owner=self, calls=self._calls, deps=deps, health=self._health)
        self._state = self._health.initial()
        self._timer: Timer | None = None
        self._timer_number = 0
        self._up_told = False

    # ---- messages in -----------------------------------------------------------------------------

    def handle(self, message: SessionMessage) -> None:
        match message:
            case Begin():
                structlog.contextvars.bind_contextvars(
                    session_id=self.child_id, incarnation=self.incarnation
                )
                self._step(events.Began())
            case Outcome():
                self._calls.settle(message)
            case BrowserReported(fact=fact):
                self._fact(fact)
            case StopSession():
                self._told_to_stop(message)
            case OutboxChanged() | SendAnswered():
                self._courier.handle(message)
            case RecycleProposed() | CollectGarbage() | KillBrowser() | NoteStorage():
                self._caring.handle(message)
            case ArchiveSession() | RefreshQr() | QrAnswered() | ReadPage():
                self._asked(message)
            case TimerFired():
                self._timer_fired(message)
            case _:
                assert_never(message)

    def _asked(self, message: ArchiveSession | RefreshQr | QrAnswered | ReadPage) -> None:
        match message:
            case ArchiveSession(reply=reply):
                self._archivist.asked(reply)
            case RefreshQr() | QrAnswered():
                self._qr.handle(message, self._state)
            case ReadPage():
                self._inbox.read(message)

    def _told_to_stop(self, stop: StopSession) -> None:
        if stop.kind in {StopKind.RESTART, StopKind.RECYCLE}:
            self._recycling.begin(stop.kind, stop.detail)
        else:
            self._step(events.StopRequested(kind=stop.kind))

    def _timer_fired(self, timer: TimerFired) -> None:
        match timer.name:
            case "phase" if timer.number == self._timer_number:
                self._phase_timed_out()
            case "recorder":
                self._recorder.retry()
            case "courier" | "clearance" | "doubts":
                self._courier.timer_fired(timer)
            case "archive":
                self._archivist.timer_fired(timer.number)
            case "recycle":
                self._recycling.timed_out()
            case "check":
                self._health.timer_fired(timer.number)
            case "qr":
                self._qr.timer_fired(timer.number)
            case "media":
                self._inbox.timer_fired()
            case "final":
                log.error("final_status_not_written")
                self._leave()
            case _:
                pass  # a phase timer that a later one has replaced

    def _phase_timed_out(self) -> None:
        if self._state.phase in {Phase.LOST, Phase.RESUMING}:
            self._health.trouble("socket_timeout", "it did not connect in time")
        else:
            self._step(events.PhaseTimedOut(phase=self._state.phase))

    def _fact(self, fact: BrowserFact) -> None:
        match fact:
            case AckChanged() if fact.ack >= 1:  # a refusal may be the page's own
                self._health.heard(ack=True)
            case MessageReceived() | ServerHeard() | ReactionChanged() | PollVoted():
                self._health.heard(ack=False)
            case PageCrashed() if not self._state.stale:
                self._health.trouble("page_crashed")
            case SocketChanged(socket="CONNECTED") if not self._state.stale:
                self._publisher.proven(self._deps.now_ms())
            case _:
                pass
        if not (isinstance(fact, AckChanged) and self._courier.withholds(fact)):
            self._inbox.take(fact)
        if not self._health.withholds(fact, self._state):
            self._step(fact)

    # ---- the machine -----------------------------------------------------------------------------

    def _step(self, event: events.Event) -> None:
        before = self._state
        self._state, effects = machine.step(before, event, self._deps.limits)
        if self._state != before:
            self._show(before)
            self._health.moved(before, self._state)
        for effect in effects:
            self._perform(effect)

    def _show(self, before: State) -> None:
        """Make the new state public, and tell those who wait for it."""
        state, browser = self._state, self._slot.browser
        self._publisher.show(state, None if browser is None else browser.pid)
        self._qr.moved(before, state)
        if before.phase is Phase.CONNECTED and state.phase is not Phase.CONNECTED:
            self._courier.halt()
            self._archivist.disconnected()
            self._inbox.disconnected()
        if state.phase in {Phase.STOPPING, Phase.ENDED}:
            self._archivist.leaving()
        if state.phase is Phase.CONNECTED and before.phase is not Phase.CONNECTED:
            self._archivist.connected(self.the_browser())
            self._inbox.connected(self.the_browser())
            self.tell_parent(ChildStable(child_id=self.child_id, incarnation=self.incarnation))
        if well(state) and not well(before):
            self._archivist.proven()
        if state.phase not in {Phase.NEW, Phase.LAUNCHING, Phase.OPENING} and not self._up_told:
            self._up_told = True
            self.tell_parent(ChildUp(child_id=self.child_id, incarnation=self.incarnation))

    # ---- effects ---------------------------------------------------------------------------------

    def _perform(self, effect: events.Effect) -> None:
        match effect:
            case events.Launch():
                self._launching.begin()
            case events.Open() | events.Reload() | events.TakeOver() | events.Unlink():
                self._page.perform(effect)
            case events.StopBrowser():
                self._page.perform(effect)
            case events.ArmTimer(seconds=seconds):
                self._arm_phase_timer(seconds)
            case events.Deliver():
                self._courier.start(self.the_browser())
            case events.AskQrWindow() | events.RefreshQr():
                self._qr.perform(effect)
            case events.ForgetArchives():
                self._archivist.login_ended()
            case events.Finish():
                self._finish()
            case _:
                assert_never(effect)

    def the_browser(self) -> Browser:
        """Return the browser, which there is from Launched to the end."""
        browser = self._slot.browser
        if browser is None:
            raise RuntimeError("an effect needs a browser and there is none")
        return browser

    def _finish(self) -> None:
        """Let everything be written, then end; the slot is closed in release()."""
        self._courier.abandon()
        self._arm_once("final", FINAL_WRITE_TIMEOUT)
        self._recorder.when_drained(self._leave)

    def _leave(self) -> None:
        exit_ = self._state.exit or machine.Exit(kind=ExitKind.CRASH, cause="actor_crashed")
        self.exit(exit_.kind, exit_.cause, exit_.detail)

    def dropped(self, message: SessionMessage) -> None:
        """Answer who asks too late for an archive, a QR code or the page."""
        if isinstance(message, ArchiveSession | RefreshQr | ReadPage):
            self._asked(message)

    # ---- what its parts ask, and timers ----------------------------------------------------------

    def is_leaving(self) -> bool:
        """The launch: whether a browser would only be stopped again."""
        return self._state.stop is not None

    def happened(self, event: events.Event) -> None:
        """Any of its parts: this has happened."""
        self._step(event)

    def page_is_sick(self, cause: str, detail: str) -> None:
        """The care: only a new browser can help."""
        self._step(events.CallFailed(cause=cause, detail=detail))

    def sending_failed(self, cause: str, detail: str) -> None:
        """The courier: the page can't be trusted any more, unless that is known already."""
        if self._state.phase is Phase.CONNECTED:
            self._health.trouble(cause, detail)

    def arm_check(self, seconds: float, number: int) -> Timer:
        """Its health: wake me then, and tell me the number."""
        fired = TimerFired(name="check", number=number)
        return self._deps.main.after(seconds, self.actor_ref, fired)

    def own_number(self) -> str | None:
        """The courier: the number that it sends from, once known."""
        return self._state.me

    def arm_archive_timer(self, seconds: float, number: int) -> Timer:
        """The archivist: wake me then, and tell me the number."""
        fired = TimerFired(name="archive", number=number)
        return self._deps.main.after(seconds, self.actor_ref, fired)

    def arm_media_timer(self, seconds: float) -> None:
        """The inbox: wake me then."""
        self._arm_once("media", seconds)

    def arm_recycle_deadline(self, seconds: float) -> None:
        """A planned restart: wake it then."""
        self._arm_once("recycle", seconds)

    def recycle(self, kind: StopKind, detail: str | None) -> None:
        """A planned restart: the browser can be stopped now."""
        self._step(events.StopRequested(kind=kind, detail=detail))

    def profile_tidied(self, tidied: Tidied | None) -> None:
        """The launch: what became of the profile before it."""
        self._caring.tidied(tidied)

    def noted(self, note: str | None) -> None:
        """The care: show this beside the state."""
        self._step(events.Noted(note=note))

    def suits(self, quiet: float | None) -> bool:
        """The care: whether a restart keeps nobody waiting now (RecycleProposed says how far)."""
        if not self._state.browser or self._state.stop is not None:
            return False
        if quiet is None:
            return True
        return self._courier.idle and (quiet == 0 or self._health.quiet_for() >= quiet)

    def _arm_once(self, name: str, seconds: float) -> None:
        self._deps.main.after(seconds, self.actor_ref, TimerFired(name=name, number=0))

    def _arm_phase_timer(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_number += 1
        if seconds is not None:
            fired = TimerFired(name="phase", number=self._timer_number)
            self._timer = self._deps.main.after(seconds, self.actor_ref, fired)

    # ---- the end ---------------------------------------------------------------------------------

    def release(self) -> None:
        """Runs once the actor is over, in its own thread: blocking is bounded and harms nobody."""
        self._arm_phase_timer(None)
        self._archivist.abandon()
        self._health.abandon(self._state)
        browser = self._slot.close()
        if browser is not None and self._state.phase is not Phase.ENDED:
            try:
                self._deps.browsers.run(partial(browser.stop, 0.0), STOP_SLACK)
            except Exception:
                log.exception("browser_release_failed")
                browser.kill()
        self._courier.release()
        self._publisher.withdraw()
