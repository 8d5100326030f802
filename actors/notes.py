"""The note to self: what it says, how it is asked for, and what its answer means.

It is the only thing that wafleet sends by itself. It is nobody's message: it is in no chat that
anybody reads, it is deleted when it has served, and nothing of it is stored. It counts against the
number's caps as any message does, and is left out where one of them would not allow it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from actors.bridge import DeadlineExceeded, FutureReply
from actors.browser.driver import CallTimedOut, NoteResult, PageRefused
from actors.health_events import Verdict
from actors.limiter_messages import SendGranted, SendLater, SendWanted
from actors.messages import Refused
from actors.send_plan import NOTE, Over

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.browser.driver import Browser
    from actors.calls import Calls
    from actors.deps import SessionDeps
    from actors.messages import Answer, Outcome

log = structlog.get_logger(__name__)

BODY: Final = "wafleet checks this connection; this note is deleted at once."
SLACK: Final = 20.0
"""Above the browser's own deadline, whose clock stands still while its profile is copied."""

ANSWER: Final = 5.0
"""Seconds within which the limiter answers, or is being started anew."""
STORE_DEADLINE: Final = 30.0
UNKNOWN_NUMBER: Final = Refused(
    code="number_unknown", message="The page has not told its number yet; ask again in a moment."
)
LIMITER_DOWN: Final = Refused(
    code="service_down", message="The limiter is being started again; ask again in a moment."
)

REFUSALS: Final = {
    "send_refused": Verdict.REFUSED,
    "send_unconfirmed": Verdict.SILENT,
    "not_connected": Verdict.LATER,
    "not_ready": Verdict.LATER,
}
"""Whatever else the page says means that it can't write one."""


class Notes:
    """Owned by one session actor and used only from its thread; one note at a time."""

    def __init__(
        self,
        *,
        session_id: str,
        calls: Calls,
        deps: SessionDeps,
        answered: Callable[[Verdict, str | None], None],
    ) -> None:
        """`answered` gets each verdict, and the note's id while it has no ack."""
        self._session_id = session_id
        self._calls = calls
        self._deps = deps
        self._answered = answered
        self._open: Over | None = None

    def write(self, browser: Browser, unanswered: str | None) -> str:
        """Write a note and return its id: that of one whose ack is missing yet, else a new one."""
        note = unanswered or self._deps.new_wa_id()
        again = unanswered is not None
        work, then = partial(self._clear, note), partial(self._cleared, browser, note, again=again)
        deadline = ANSWER + STORE_DEADLINE
        self._calls.place(self._deps.main, work, then, deadline=deadline, discard=self._too_late)
        return note

    async def _clear(self, note: str) -> Answer:
        """Ask the limiter, and keep what it grants before anything is written; on the main loop."""
        live = self._deps.board.get(self._session_id)
        if live is None or live.phone_number is None:
            return UNKNOWN_NUMBER
        reply = FutureReply()
        wanted = SendWanted(
            session_id=self._session_id,
            number=live.phone_number,
            key=f"{NOTE}{note}.{self._deps.now_ms()}",
            first_contact=False,
            lease_seconds=self._deps.timeouts.note + SLACK,
            reply=reply,
        )
        if not self._deps.limiter.ask(wanted):
            return LIMITER_DOWN
        try:
            answer: Answer = await reply.wait(ANSWER)
            if isinstance(answer, SendGranted):
                await self._deps.grants.record_message_grant(answer.grant)
        except Exception:  # nothing was written, whatever became of the grant
            self._over(wanted.number, wanted.key, committed=False)
            raise
        return answer

    async def _too_late(self, answer: Answer) -> None:
        """The session did not wait for the grant, or is over."""
        if isinstance(answer, SendGranted):
            self._over(answer.grant.number, answer.grant.key, committed=True)

    def _over(self, number: str, key: str, *, committed: bool) -> None:
        self._deps.limiter.over(Over(number=number, key=key, committed=committed))

    def _cleared(self, browser: Browser, note: str, outcome: Outcome, *, again: bool) -> None:
        if not isinstance(outcome.value, SendGranted):
            self._skip(outcome, note if again else None)
            return
        grant = outcome.value.grant
        self._open = Over(number=grant.number, key=grant.key, committed=True)
        work = partial(browser.send_note, wa_id=note, body=BODY, again=again)
        then = partial(self._settled, note)
        deadline = self._deps.timeouts.note + SLACK
        self._calls.place(self._deps.browsers, work, then, deadline=deadline)

    def _skip(self, outcome: Outcome, unanswered: str | None) -> None:
        """It may not be written now; if not for long, the session can't be proven meanwhile."""
        answer = outcome.value
        verdict, cause, seconds = Verdict.LATER, "limiter", 0.0
        if isinstance(answer, SendLater):
            cause, seconds = answer.window, answer.seconds
        if seconds > self._deps.health_rules.interval:
            verdict = Verdict.IMPOSSIBLE
        self._deps.telemetry.health.probes.labels(verdict=verdict.value).inc()
        log.info("note_skipped", cause=cause, seconds=seconds, verdict=verdict.value)
        self._answered(verdict, unanswered)

    def abandon(self) -> None:
        """The session ends: nobody waits for the note any more."""
        if self._open is not None:
            over, self._open = self._open, None
            self._deps.limiter.over(over)

    def _settled(self, note: str, outcome: Outcome) -> None:
        self.abandon()
        verdict = verdict_of(outcome)
        telemetry = self._deps.telemetry.health
        telemetry.probes.labels(verdict=verdict.value).inc()
        error = None if outcome.error is None else type(outcome.error).__name__
        log.info("session_probed", verdict=verdict.value, error=error)
        result = outcome.value
        if isinstance(result, NoteResult) and not result.deleted:
            telemetry.notes_left.inc()
            log.warning("note_not_deleted")
        open_ = verdict in {Verdict.SILENT, Verdict.LATER}
        self._answered(verdict, note if open_ else None)


def verdict_of(outcome: Outcome) -> Verdict:
    """Return what an answer means."""
    match outcome.error:
        case None:
            old = isinstance(outcome.value, NoteResult) and outcome.value.old
            return Verdict.OLD if old else Verdict.ACKED
        case CallTimedOut() | DeadlineExceeded():
            return Verdict.SILENT
        case PageRefused(reason=reason):
            return REFUSALS.get(reason, Verdict.IMPOSSIBLE)
        case _:
            return Verdict.LATER  # the page or the browser went away, which reports itself
