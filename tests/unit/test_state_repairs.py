"""The session state machine under repair: what is shown meanwhile, and what is done."""

from __future__ import annotations

import pytest

from actors.browser.driver import DocumentChanged, PageCrashed, QrIssued, UpdateRequired
from actors.events import (
    ArmTimer,
    Began,
    Deliver,
    Effect,
    Event,
    Launched,
    Phase,
    Reload,
    Reloading,
    Sickened,
    Suspected,
    TakeOver,
    TakingOver,
)
from actors.state import State, public
from storage.store import SessionStatus
from tests.unit.state_support import (
    DOWN,
    READY,
    SYNCING,
    TO_CONNECTED,
    TO_QR,
    UNPAIRED,
    loaded,
    run,
    socket,
)

pytestmark = pytest.mark.unit

RELOADED = (*TO_CONNECTED, Reloading(cause="page_crashed", fresh=False))


@pytest.mark.parametrize(
    ("events", "phase", "status", "reason"),
    [
        # a page that is loaded anew: the cause is shown until it is connected again
        (RELOADED, Phase.OPENING, "disconnected", "page_crashed"),
        ((*RELOADED, DocumentChanged()), Phase.OPENING, "disconnected", "page_crashed"),
        (
            (*RELOADED, DocumentChanged(), socket("OPENING", registered=True)),
            Phase.RESUMING,
            "disconnected",
            "page_crashed",
        ),
        (
            (*RELOADED, DocumentChanged(), SYNCING),
            Phase.AUTHENTICATED,
            "disconnected",
            "page_crashed",
        ),
        ((*RELOADED, DocumentChanged(), READY), Phase.CONNECTED, "connected", "ready"),
        ((*RELOADED, DocumentChanged(), UNPAIRED), Phase.QR, "qr_scanning", "qr_expected"),
        # the page that is being replaced is not listened to any more
        ((*RELOADED, READY), Phase.OPENING, "disconnected", "page_crashed"),
        ((*RELOADED, UpdateRequired()), Phase.OPENING, "disconnected", "page_crashed"),
        ((*RELOADED, QrIssued(text="a")), Phase.OPENING, "disconnected", "page_crashed"),
        # it is not said to be connected while it may be dead
        (
            (*TO_CONNECTED, Suspected(cause="page_unresponsive")),
            Phase.LOST,
            "disconnected",
            "page_unresponsive",
        ),
        (
            (*TO_CONNECTED, Suspected(cause="page_unresponsive"), READY),
            Phase.CONNECTED,
            "connected",
            "ready",
        ),
        ((*TO_QR, Suspected(cause="page_unresponsive")), Phase.QR, "qr_scanning", "qr_shown"),
        # nor when WhatsApp itself loads its page anew
        ((*TO_CONNECTED, DocumentChanged()), Phase.LOST, "disconnected", "socket_lost"),
        ((*TO_QR, DocumentChanged()), Phase.QR, "qr_scanning", "qr_shown"),
        # connected, but not well
        (
            (*TO_CONNECTED, Sickened(reason="acks_missing")),
            Phase.CONNECTED,
            "connected",
            "acks_missing",
        ),
        (
            (*TO_CONNECTED, Sickened(reason="acks_missing"), Sickened(reason=None)),
            Phase.CONNECTED,
            "connected",
            "ready",
        ),
        (
            (
                *TO_CONNECTED,
                Reloading(cause="evidence_missing", fresh=False),
                DocumentChanged(),
                READY,
            ),
            Phase.CONNECTED,
            "connected",
            "evidence_missing",
        ),
        # the login is taken back
        ((*TO_CONNECTED, TakingOver()), Phase.LOST, "disconnected", "taking_over"),
        ((*TO_CONNECTED, TakingOver(), READY), Phase.CONNECTED, "connected", "ready"),
        # what is done about a crashed page depends on how often it crashed
        ((*TO_CONNECTED, PageCrashed()), Phase.CONNECTED, "connected", "ready"),
    ],
)
def test_repairs(events: tuple[Event, ...], phase: Phase, status: str, reason: str) -> None:
    """The status is never a lie: while something is repaired it says so, and what."""
    state, _ = run(*events)
    assert state.phase is phase
    assert public(state)[:2] == (SessionStatus(status), reason)


@pytest.mark.parametrize(
    ("before", "event", "effect"),
    [
        (TO_CONNECTED, Reloading(cause="page_crashed", fresh=False), Reload(fresh=False)),
        (TO_QR, Reloading(cause="page_unresponsive", fresh=True), Reload(fresh=True)),
        (TO_CONNECTED, TakingOver(), TakeOver()),
    ],
)
def test_a_repair_has_a_deadline(before: tuple[Event, ...], event: Event, effect: Effect) -> None:
    """A page that does not come up again is as bad as one that was never loaded."""
    state, effects = run(*before, event)
    timers = [each for each in effects if isinstance(each, ArmTimer)]
    assert [(timer.phase, timer.seconds) for timer in timers] == [(state.phase, 60)]
    assert effect in effects


def test_what_may_be_lost_is_not_sent() -> None:
    """A session whose acks are missing sends nothing until they are back; then all of it."""
    sick = Sickened(reason="acks_missing")
    state, _ = run(*TO_CONNECTED, sick)
    _, effects = run(DOWN, READY, state=state)
    assert Deliver() not in effects
    _, effects = run(Sickened(reason=None), state=state)
    assert effects == [Deliver()]
    _, effects = run(*TO_CONNECTED, DOWN, sick, Sickened(reason=None))
    assert effects == []
    _, effects = run(*TO_CONNECTED, Sickened(reason="unproven"), DOWN, READY)
    assert Deliver() in effects


def test_an_incarnation_may_begin_in_the_middle_of_an_outage() -> None:
    """Its cause is shown all the way up."""
    state = State(trouble="browser_exited")
    for event in (Began(), Launched(), loaded(), socket("OPENING", registered=True), SYNCING):
        state, _ = run(event, state=state)
        assert public(state)[:2] == (SessionStatus.DISCONNECTED, "browser_exited")
    state, _ = run(READY, state=state)
    assert public(state)[:2] == (SessionStatus.CONNECTED, "ready")
