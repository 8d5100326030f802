"""What the answer to a note to self means: every end that a call of the page can have."""

from __future__ import annotations

import pytest

from actors.bridge import BridgeClosed, DeadlineExceeded
from actors.browser.driver import CallTimedOut, ConnectionLost, NoteResult, PageGone, PageRefused
from actors.health_events import Verdict
from actors.messages import Outcome
from actors.notes import verdict_of

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("result", "verdict"),
    [
        (NoteResult(ack=1, deleted=True), Verdict.ACKED),
        (NoteResult(ack=3, deleted=False), Verdict.ACKED),
        (NoteResult(ack=1, deleted=True, old=True), Verdict.OLD),
    ],
)
def test_an_ack_is_a_proof_unless_it_is_an_old_one(result: NoteResult, verdict: Verdict) -> None:
    """Whether the note could be deleted is another matter."""
    assert verdict_of(Outcome(call_id=1, value=result)) is verdict


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (CallTimedOut("x"), Verdict.SILENT),
        (DeadlineExceeded("x"), Verdict.SILENT),
        (PageRefused("send_unconfirmed", "x"), Verdict.SILENT),
        (PageRefused("send_refused", "x"), Verdict.REFUSED),
        # it can't be written: no repair mends that, so none is tried
        (PageRefused("binding_missing", "x"), Verdict.IMPOSSIBLE),
        (PageRefused("note_impossible", "x"), Verdict.IMPOSSIBLE),
        (PageRefused("page_error", "x"), Verdict.IMPOSSIBLE),
        # not now: what keeps it from being written reports itself
        (PageRefused("not_connected", "x"), Verdict.LATER),
        (PageRefused("not_ready", "x"), Verdict.LATER),
        (PageGone("x"), Verdict.LATER),
        (ConnectionLost("x"), Verdict.LATER),
        (BridgeClosed("x"), Verdict.LATER),
    ],
)
def test_no_ack_means_silence_only_when_nothing_else_explains_it(
    error: Exception, verdict: Verdict
) -> None:
    """A session is never repaired for a page that could not even ask."""
    assert verdict_of(Outcome(call_id=1, error=error)) is verdict
