"""The note to self: what it says, how it is asked for, and what its answer means.

It is the only thing that wafleet sends by itself. It is nobody's message: it is in no chat that
anybody reads, it is deleted when it has served, and nothing of it is stored.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from actors.bridge import DeadlineExceeded
from actors.browser.driver import CallTimedOut, NoteResult, PageRefused
from actors.health_events import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.browser.driver import Browser
    from actors.calls import Calls
    from actors.deps import SessionDeps
    from actors.messages import Outcome

log = structlog.get_logger(__name__)

BODY: Final = "wafleet checks this connection; this note is deleted at once."
SLACK: Final = 20.0
"""Above the browser's own deadline, whose clock stands still while its profile is copied."""

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
        calls: Calls,
        deps: SessionDeps,
        answered: Callable[[Verdict, str | None], None],
    ) -> None:
        """`answered` gets each verdict, and the note's id while it has no ack."""
        self._calls = calls
        self._deps = deps
        self._answered = answered

    def write(self, browser: Browser, unanswered: str | None) -> str:
        """Write a note and return its id: that of one whose ack is missing yet, else a new one."""
        note = unanswered or self._deps.new_wa_id()
        # A note counts against the number's caps: this is where the limiter will be asked for it.
        again = unanswered is not None
        work = partial(browser.send_note, wa_id=note, body=BODY, again=again)
        then = partial(self._settled, note)
        deadline = self._deps.timeouts.note + SLACK
        self._calls.place(self._deps.browsers, work, then, deadline=deadline)
        return note

    def _settled(self, note: str, outcome: Outcome) -> None:
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
