"""A session's QR windows: each is asked for at the limiter, told of when it closes, and renewed.

A QR window is one request for a code: WhatsApp refreshes the code inside it until nobody scans it
any more. What follows from the answers is in actors.state; here are the questions, again and again
until there is an answer, and those who wait for another code.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

import structlog

from actors import events
from actors.base import tell
from actors.events import Phase
from actors.limiter_messages import QrLimited, QrWindowGranted, QrWindowWanted
from actors.messages import (
    Done,
    QrAnswered,
    RefreshQr,
    Refused,
    Service,
    TimerFired,
    ToService,
)
from storage.events import EventType

if TYPE_CHECKING:
    from pykka import ActorRef

    from actors.calls import Calls
    from actors.deps import BrowserSlot, SessionDeps
    from actors.messages import Answer, Outcome, Reply
    from actors.recorder import Recorder
    from actors.state import State

log = structlog.get_logger(__name__)

PATIENCE: Final = 5.0
"""Seconds after which the limiter is asked again: it may have been started anew meanwhile."""
CALL_SLACK: Final = 15.0


class QrOwner(Protocol):
    """What the desk asks of its session actor."""

    child_id: str
    incarnation: int

    @property
    def actor_ref(self) -> ActorRef[Any]: ...

    def happened(self, event: events.Event) -> None: ...

    def tell_parent(self, message: object) -> None: ...


@dataclass(frozen=True, slots=True)
class Letter:
    """A Reply that ends in the session's own mailbox."""

    ref: ActorRef[Any]
    number: int

    def put(self, value: Any) -> None:
        tell(self.ref, QrAnswered(number=self.number, answer=value))


class QrDesk:
    """Owned by one session actor and used only from its thread."""

    def __init__(
        self,
        *,
        owner: QrOwner,
        calls: Calls,
        deps: SessionDeps,
        slot: BrowserSlot,
        recorder: Recorder,
    ) -> None:
        self._owner = owner
        self._slot = slot
        self._calls = calls
        self._deps = deps
        self._recorder = recorder
        self._asked = 0
        self._opened = 0.0
        self._waiters: list[Reply] = []

    def handle(self, message: QrAnswered | RefreshQr, state: State) -> None:
        """A message of the limiter's or the API's; `state` is the session's now."""
        match message:
            case QrAnswered():
                self._answered(message)
            case RefreshQr(reply=reply):
                self._requested(reply, state)

    def perform(self, effect: events.AskQrWindow | events.RefreshQr) -> None:
        """Do what the state machine wants."""
        match effect:
            case events.AskQrWindow(number=number):
                self._ask(number)
            case events.RefreshQr():
                self._refresh()

    # ---- asking the limiter ----------------------------------------------------------------------

    def _ask(self, number: int) -> None:
        """Ask whether the n-th window of this life may be opened."""
        self._asked = number
        wanted = QrWindowWanted(
            session_id=self._owner.child_id,
            key=f"{self._owner.incarnation}.{number}",
            reply=Letter(self._owner.actor_ref, number),
        )
        self._owner.tell_parent(ToService(service=Service.LIMITER, message=wanted))
        fired = TimerFired(name="qr", number=number)
        self._deps.main.after(PATIENCE, self._owner.actor_ref, fired)

    def timer_fired(self, number: int) -> None:
        """No answer to that question yet; or the timer of one that was answered."""
        if number == self._asked:
            self._ask(number)

    def _answered(self, message: QrAnswered) -> None:
        """The limiter's answer; one that it could not give yet is asked for again."""
        number, answer = message.number, message.answer
        if number != self._asked or not isinstance(answer, QrWindowGranted | QrLimited):
            return
        self._asked = 0
        if isinstance(answer, QrWindowGranted):
            log.info("qr_window_opened", number=answer.used, limit=answer.most)
            self._owner.happened(events.QrGranted(number=number))
            return
        self._answer(answer)
        detail = f"the next one is allowed at {_clock(answer.next_ms)}"
        self._owner.happened(events.QrRefused(number=number, detail=detail))

    # ---- another code ----------------------------------------------------------------------------

    def _requested(self, reply: Reply | None, state: State) -> None:
        """Somebody wants another code than the one on show."""
        on_its_way = state.refreshing or state.granted != state.windows
        if state.phase is not Phase.QR or on_its_way:
            if reply is not None:
                reply.put(Done() if state.phase is Phase.QR else not_at_qr())
            return
        if reply is not None:
            self._waiters.append(reply)
        self._owner.happened(events.QrRequested())

    def _refresh(self) -> None:
        browser = self._slot.browser
        if browser is None:
            raise RuntimeError("a session at a QR code has a browser, and there is none")
        deadline = self._deps.timeouts.call + CALL_SLACK
        self._calls.place(
            self._deps.browsers, browser.refresh_qr, self._refreshed, deadline=deadline
        )

    def _refreshed(self, outcome: Outcome) -> None:
        error = outcome.error
        if error is None:
            self._answer(Done())
            return
        code = getattr(error, "reason", None) or getattr(error, "code", "page_unresponsive")
        log.warning("qr_not_refreshed", code=code, error=type(error).__name__)
        self._answer(Refused(code=str(code), message=f"The page showed no new code: {error}"))
        self._owner.happened(events.QrNotRefreshed())

    # ---- what has become of a window -------------------------------------------------------------

    def moved(self, before: State, state: State) -> None:
        """The session's state changed: a window may have opened or closed with it."""
        if before.granted and state.granted != before.granted:
            self._closed(before, state)
        if state.granted and state.granted != before.granted:
            self._opened = self._deps.monotonic()
        if state.phase in {Phase.STOPPING, Phase.ENDED}:
            self._asked = 0
        if before.phase is Phase.QR and state.phase is not Phase.QR:
            self._asked = 0
            self._answer(not_at_qr())

    def _closed(self, before: State, state: State) -> None:
        if state.exit is not None:
            cause = state.exit.cause
        elif state.phase is Phase.QR:
            cause = "renewed"
        elif before.phase is not Phase.QR or before.phase is not Phase.QR:
            cause = "not_needed"  # there was a login after all
        else:
            cause = state.trouble or "scanned"
        told = {
            "action": "closed",
            "cause": cause,
            "seconds": round(self._deps.monotonic() - self._opened, 3),
            "codes": before.window,
        }
        log.info("qr_window_closed", cause=cause, seconds=told["seconds"])
        write = partial(
            self._deps.store.record_event,
            self._owner.child_id,
            EventType.SESSION_QR,
            told,
            self._deps.now_ms(),
        )
        self._recorder.put("qr_window", write)

    def _answer(self, answer: Answer) -> None:
        for reply in self._waiters:
            reply.put(answer)
        self._waiters.clear()


def not_at_qr() -> Refused:
    """Return the answer to who wants another code where there is none."""
    return Refused(
        code="not_at_qr", message="The session shows no QR code now; see its status and reason."
    )


def _clock(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms // 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
