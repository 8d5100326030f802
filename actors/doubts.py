"""What became of a session's messages in doubt: WhatsApp Web is asked after each of them.

What the answers mean is in actors.delivery. What is to be sent again is kept here until the courier
takes it; before it is, the page looks once more.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, assert_never

import structlog

from actors.browser.driver import PageRefused
from actors.delivery import ACK_MISSING, SENTENCES, Await, Expire, Resend, Settle, Stay, judge
from actors.messages import TimerFired

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pykka import ActorRef

    from actors.bridge import Timer
    from actors.browser.driver import Browser
    from actors.calls import Calls
    from actors.deps import SessionDeps
    from actors.messages import Outcome
    from actors.recorder import Recorder
    from storage.messages import MessageRow

log = structlog.get_logger(__name__)

READ_DEADLINE: Final = 30.0
CALL_SLACK: Final = 15.0
MOST: Final = 1000
SOON: Final = 5.0
"""Seconds until the page is asked again after what may still change by itself."""
LATE: Final = 60.0
"""The same for what has not changed for a long time."""
TIMER: Final = "doubts"


class DoubtsOwner(Protocol):
    """What they ask of their session actor."""

    child_id: str

    @property
    def actor_ref(self) -> ActorRef[Any]: ...

    def sending_failed(self, cause: str, detail: str) -> None: ...


class Doubts:
    """Owned by one session actor and used only from its thread."""

    def __init__(
        self, *, owner: DoubtsOwner, calls: Calls, deps: SessionDeps, recorder: Recorder
    ) -> None:
        self._owner = owner
        self._calls = calls
        self._deps = deps
        self._recorder = recorder
        self._resend: deque[MessageRow] = deque()
        self._pending: dict[str, float] = {}
        self._ended: Callable[[Exception | None], None] = _nobody
        self._browser: Browser | None = None
        self._timer: Timer | None = None
        self._timer_number = 0
        self.due = False

    def next(self) -> MessageRow | None:
        """Return the message to be sent again before all others, if there is one."""
        return self._resend[0] if self._resend else None

    def taken(self) -> None:
        """It was claimed, or can't be any more."""
        self._resend.popleft()

    def halt(self) -> None:
        """The session is not connected any more: what the page knows now says nothing."""
        self._browser = None

    def again(self, seconds: float = SOON) -> None:
        """Look again in a while; the courier is woken for it."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer_number += 1
        fired = TimerFired(name=TIMER, number=self._timer_number)
        self._timer = self._deps.main.after(seconds, self._owner.actor_ref, fired)

    def timer_fired(self, number: int) -> None:
        """The answer to `again`; an old timer's number changes nothing."""
        if number == self._timer_number:
            self.due = True

    def abandon(self) -> None:
        """The actor ends."""
        if self._timer is not None:
            self._timer.cancel()

    # ---- one round -------------------------------------------------------------------------------

    def examine(self, browser: Browser, ended: Callable[[Exception | None], None]) -> None:
        """Ask after all; `ended` gets what ended the round early, if something did."""
        self.due = False
        self._resend.clear()
        self._browser, self._ended = browser, ended
        # not before it is written what is known of them already
        self._recorder.put("settled", _nothing, self._read)

    def _read(self) -> None:
        work = partial(self._deps.store.unknown_messages, self._owner.child_id, MOST)
        self._calls.place(self._deps.main, work, self._found, deadline=READ_DEADLINE)

    def _found(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            self._end(outcome.error)
            return
        rows: Sequence[MessageRow] = outcome.value
        known = {row.id for row in rows}
        self._pending = {id_: since for id_, since in self._pending.items() if id_ in known}
        self._look_up(deque(rows))

    def _look_up(self, rows: deque[MessageRow]) -> None:
        """Ask the page for the ack of each, one after the other."""
        if not rows or self._browser is None:
            # What comes next reads what was found out: a chat may be free again.
            self._recorder.put("settled", _nothing, partial(self._end, None))
            return
        row = rows.popleft()
        work = partial(self._browser.lookup_ack, chat=row.chat, wa_id=row.wa_id)
        then = partial(self._looked_up, row, rows)
        deadline = self._deps.timeouts.call + CALL_SLACK
        self._calls.place(self._deps.browsers, work, then, deadline=deadline)

    def _looked_up(self, row: MessageRow, rows: deque[MessageRow], outcome: Outcome) -> None:
        error = outcome.error
        if self._browser is None:
            self._end(None)
            return
        if isinstance(error, PageRefused):  # it can't tell (now)
            log.info("unknown_message_not_looked_up", message_id=row.id, code=error.reason)
            self.again(LATE)
        elif error is not None:
            self._end(error)
            return
        else:
            self._judge(row, outcome.value)
        self._look_up(rows)

    def _judge(self, row: MessageRow, ack: int | None) -> None:
        deps, now = self._deps, self._deps.now_ms()
        since = self._pending.setdefault(row.id, deps.monotonic())
        verdict = judge(row, ack, deps.monotonic() - since, now, deps.delivery)
        action = type(verdict).__name__.lower()
        log.info("unknown_message_looked_up", message_id=row.id, ack=ack, action=action)
        if not isinstance(verdict, Await):
            del self._pending[row.id]
        match verdict:
            case Settle(ack=told):
                write = partial(deps.store.record_acks, row.session_id, [row.wa_id], told, now)
                self._recorder.put("ack", write)
            case Await(repair=repair):
                self.again(LATE if row.error_code == ACK_MISSING else SOON)
                if repair:
                    self._stays(row, ACK_MISSING)
                    self._owner.sending_failed("acks_missing", "a message is without an ack")
            case Resend():
                self._resend.append(row)
            case Expire():
                self._recorder.put("expired", partial(deps.store.record_expired, row.id, now))
            case Stay(code=code):
                self._stays(row, code)
            case _:
                assert_never(verdict)

    def _stays(self, row: MessageRow, code: str) -> None:
        if row.error_code != code:
            log.warning("message_stays_unknown", message_id=row.id, code=code)
            stuck, now = self._deps.store.record_stuck, self._deps.now_ms()
            self._recorder.put("stuck", partial(stuck, row.id, code, SENTENCES[code], now))

    def _end(self, error: Exception | None) -> None:
        ended, self._ended, self._browser = self._ended, _nobody, None
        ended(error)


async def _nothing() -> None:
    """Write nothing: what was put before is written when this is."""


def _nobody(error: Exception | None) -> None:
    """Wait for no round."""
