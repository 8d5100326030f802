"""Sends a session's accepted messages, one at a time, in the order of acceptance.

The store is the queue: claim_next commits `sending` before the page call, so that a crash at any
moment leaves a message either accepted (never handed over) or sending (its fate is unknown, and
shown so).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from actors.bridge import BridgeClosed, DeadlineExceeded
from actors.browser.driver import (
    ConnectionLost,
    PageGone,
    PageRefused,
    SendResult,
)
from storage.store import StoreBusy, StoreFull

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from actors.bridge import Bridge
    from actors.browser.driver import Browser
    from actors.calls import Calls
    from actors.handover import Handover
    from actors.messages import Outcome
    from actors.recorder import Recorder
    from actors.telemetry import Telemetry
    from storage.messages import MessageRow
    from storage.store import Store

log = structlog.get_logger(__name__)

CLAIM_DEADLINE: Final = 30.0
DEFINITE: Final = frozenset(
    {
        "not_on_whatsapp",
        "invalid_jid",
        "binding_missing",
        "send_refused",
        "unsupported_chat",
        "unsupported_kind",
        "not_permitted",
        "target_not_found",
        "media_unreadable",
        "media_too_large",
    }
)
"""Adapter codes that mean: certainly not handed over, and trying again would not help."""

SICK: Final = {
    PageGone: "page_crashed",
    ConnectionLost: "browser_exited",
    BridgeClosed: "browser_exited",
}


class CourierOwner(Protocol):
    """What the courier asks of its session actor."""

    def sending_failed(self, cause: str, detail: str) -> None: ...

    def arm_courier_retry(self) -> None: ...


class Courier:
    """Owned by one session actor and used only from its thread."""

    def __init__(
        self,
        *,
        owner: CourierOwner,
        session_id: str,
        calls: Calls,
        main: Bridge,
        browsers: Bridge,
        store: Store,
        recorder: Recorder,
        telemetry: Telemetry,
        handover: Handover,
        now_ms: Callable[[], int],
        send_deadline: float,
    ) -> None:
        self._owner = owner
        self._session_id = session_id
        self._calls = calls
        self._main = main
        self._browsers = browsers
        self._store = store
        self._recorder = recorder
        self._telemetry = telemetry
        self._handover = handover
        self._now_ms = now_ms
        self._send_deadline = send_deadline
        self._browser: Browser | None = None
        self._busy = False
        self._woken = False
        self._in_flight: MessageRow | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing is on its way to the page, nor about to be."""
        return not self._busy

    def start(self, browser: Browser) -> None:
        """The session is connected: learn what became of unknown messages, then send."""
        self._browser = browser
        if self._busy:
            self._woken = True
            return
        self._busy = True
        work = partial(self._store.unknown_messages, self._session_id)
        self._calls.place(self._main, work, self._unknown_read, deadline=CLAIM_DEADLINE)

    def halt(self) -> None:
        """The session is not connected any more: claim nothing; a call in flight goes on."""
        self._browser = None

    def wake(self) -> None:
        """A message was accepted."""
        if self._busy:
            self._woken = True
        else:
            self._claim()

    def abandon(self) -> None:
        """The session ends: what is in flight has an unknown fate."""
        self.halt()
        if self._in_flight is not None:
            self._mark_unknown(self._in_flight, "session_ended", "the session ended while sending")

    def _unknown_read(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            self._store_failed("unknown_messages_not_read", outcome.error)
            return
        self._resolve(outcome.value)

    def _resolve(self, rows: Sequence[MessageRow]) -> None:
        """Ask the page for the ack of each, one after the other."""
        if not rows or self._browser is None:
            self._busy = False
            self._claim()
            return
        row, rest = rows[0], rows[1:]
        work = partial(self._browser.lookup_ack, chat=row.chat, wa_id=row.wa_id)
        then = partial(self._looked_up, row, rest)
        self._calls.place(self._browsers, work, then, deadline=self._send_deadline)

    def _looked_up(self, row: MessageRow, rest: Sequence[MessageRow], outcome: Outcome) -> None:
        if outcome.error is not None and not isinstance(outcome.error, PageRefused):
            self._busy = False
            self._report_sick(outcome.error)
            return
        ack = outcome.value if outcome.error is None else None
        log.info("unknown_message_looked_up", session_id=row.session_id, message_id=row.id, ack=ack)
        if ack is not None and ack >= 1:
            write = partial(
                self._store.record_acks, row.session_id, [row.wa_id], ack, self._now_ms()
            )
            self._recorder.put("ack", write)
        self._resolve(rest)

    def _claim(self) -> None:
        if self._browser is None:
            return
        self._busy = True
        self._woken = False
        work = partial(self._store.claim_next, self._session_id, self._now_ms())
        self._calls.place(self._main, work, self._claimed, deadline=CLAIM_DEADLINE)

    def _claimed(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            self._store_failed("claim_failed", outcome.error)
            return
        row: MessageRow | None = outcome.value
        if row is None:
            self._idle()
            return
        if self._browser is None:  # lost the connection while claiming: it was not handed over
            self._recorder.put("unsent", partial(self._store.record_unsent, row.id, self._now_ms()))
            self._busy = False
            return
        self._in_flight = row
        self._telemetry.accept_to_page_seconds.observe((self._now_ms() - row.created_ms) / 1000)
        then = partial(self._answered, row)
        self._handover.place(row, self._browser, then, deadline=self._send_deadline)

    def _idle(self) -> None:
        self._busy = False
        if self._woken:
            self._claim()

    def _answered(self, row: MessageRow, outcome: Outcome) -> None:
        self._in_flight = None
        now = self._now_ms()
        match outcome.value, outcome.error:
            case SendResult(ack=ack), None:
                self._recorder.put("sent", partial(self._store.record_sent, row.id, ack, now))
            case _, PageRefused(reason="not_connected" | "not_now"):
                self._recorder.put("unsent", partial(self._store.record_unsent, row.id, now))
                self._busy = False  # the socket's own report, or its return, starts us again
                self._owner.arm_courier_retry()
                return
            case _, PageRefused(reason=reason) as error if reason in DEFINITE:
                write = partial(self._store.record_failed, row.id, reason, str(error), now)
                self._recorder.put("failed", write)
            case _, PageRefused(reason=reason) as error:
                self._mark_unknown(row, reason, str(error))
            case _, error:
                self._mark_unknown(row, "no_answer", type(error).__name__)
                self._busy = False
                # A page that hangs is found by its beats, long before a send runs out of time.
                self._report_sick(error or RuntimeError("no answer"), silence="acks_missing")
                return
        log.info(
            "message_handed_over",
            session_id=row.session_id,
            message_id=row.id,
            error=type(outcome.error).__name__ if outcome.error else None,
        )
        self._claim_or_rest()

    def _claim_or_rest(self) -> None:
        self._busy = False
        self._claim()

    def _mark_unknown(self, row: MessageRow, code: str, detail: str) -> None:
        self._in_flight = None
        write = partial(self._store.record_unknown, row.id, code, detail, self._now_ms())
        self._recorder.put("unknown", write)

    def _store_failed(self, event: str, error: Exception) -> None:
        log.warning(event, session_id=self._session_id, error=type(error).__name__)
        self._busy = False
        if isinstance(error, StoreBusy | StoreFull | DeadlineExceeded):
            self._owner.arm_courier_retry()

    def _report_sick(self, error: Exception, silence: str = "page_unresponsive") -> None:
        self._owner.sending_failed(SICK.get(type(error), silence), type(error).__name__)
