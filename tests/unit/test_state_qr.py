"""The session state machine at a QR code: windows asked for, granted, refused, renewed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.browser.driver import BrowserExited, DocumentChanged, QrIssued
from actors.events import (
    AskQrWindow,
    Began,
    BrowserStopped,
    Effect,
    Event,
    Launched,
    Open,
    Phase,
    QrGranted,
    QrNotRefreshed,
    QrRefused,
    QrRequested,
    RefreshQr,
    Reloading,
    StopBrowser,
    StopRequested,
)
from actors.messages import ExitKind, StopKind
from actors.state import State, public, step
from storage.store import SessionStatus
from tests.unit.state_support import (
    DOWN,
    LIMITS,
    PAIRED,
    READY,
    RESTORED,
    SYNCING,
    TO_QR,
    UNPAIRED,
    loaded,
    run,
)

pytestmark = pytest.mark.unit

WITHOUT_GRANT = (Began(), Launched(), loaded(), UNPAIRED, QrIssued(text="a"))


def test_a_code_is_shown_once_its_window_is_granted() -> None:
    """Asked for when the session finds itself at a code; until then the code is held back."""
    _, effects = run(*WITHOUT_GRANT[:-1])
    assert AskQrWindow(number=1) in effects
    state, effects = run(*WITHOUT_GRANT)
    assert public(state)[1] == "qr_expected"
    assert (state.qr, state.window) == (None, 0)
    assert not any(isinstance(effect, AskQrWindow) for effect in effects)
    for number in (0, 2):  # an answer to another question
        other, _ = run(QrGranted(number=number), state=state)
        assert other == state
    shown, _ = run(QrIssued(text="b"), QrGranted(number=1), state=state)
    assert (shown.qr, shown.window) == ("b", 1)


def test_a_code_before_the_socket_tells_asks_as_well() -> None:
    _, effects = run(Began(), Launched(), loaded(), QrIssued(text="a"))
    assert AskQrWindow(number=1) in effects


def test_who_resumes_with_a_login_asks_for_no_window() -> None:
    state, effects = State(), list[Effect]()
    for event in (*RESTORED, SYNCING, READY, DOWN, READY):
        state, new = step(state, event, LIMITS)
        effects += new
    assert not any(isinstance(effect, AskQrWindow) for effect in effects)


def test_a_refused_window_ends_the_session_until_somebody_asks_again() -> None:
    state, effects = run(*WITHOUT_GRANT, QrRefused(number=1, detail="at six"))
    assert StopBrowser() in effects
    state, _ = run(BrowserStopped(), state=state)
    assert state.exit is not None
    assert (state.exit.kind, state.exit.cause) == (ExitKind.PERMANENT, "qr_limited")
    assert public(state) == (SessionStatus.DISCONNECTED, "qr_limited", "at six")


def test_another_code_comes_inside_the_window_as_long_as_it_has_codes() -> None:
    state, effects = run(*TO_QR, QrRequested())
    assert effects == [RefreshQr()]
    state, effects = run(QrRequested(), state=state)
    assert effects == []  # it is on its way
    failed, _ = run(QrNotRefreshed(), state=state)
    assert run(QrRequested(), state=failed)[1] == [RefreshQr()]
    state, _ = run(QrIssued(text="b"), state=state)
    assert (state.qr, state.window, state.windows) == ("b", 2, 1)
    assert run(QrRequested(), state=state)[1] == [RefreshQr()]


def test_after_its_last_code_another_one_needs_another_window() -> None:
    state, _ = run(*TO_QR, *(QrIssued(text=text) for text in "bcde"))
    state, effects = run(QrRequested(), state=state)
    assert effects == [AskQrWindow(number=2)]
    assert run(QrRequested(), state=state)[1] == []
    refused, effects = run(QrRefused(number=2, detail="later"), state=state)
    assert (refused.phase, refused.qr, effects) == (Phase.QR, "e", [])  # the open one goes on
    assert run(QrRequested(), state=refused)[1] == [AskQrWindow(number=2)]
    granted, effects = run(QrGranted(number=2), state=state)
    assert effects == [RefreshQr()]
    granted, _ = run(QrIssued(text="f"), state=granted)
    assert (granted.qr, granted.window) == ("f", 1)


def test_a_page_that_is_at_a_code_again_needs_another_window() -> None:
    state, effects = run(*TO_QR, PAIRED, UNPAIRED)
    assert AskQrWindow(number=2) in effects
    assert (state.qr, state.granted) == (None, 0)


def test_a_page_that_is_loaded_anew_asks_for_a_window_of_its_own() -> None:
    """It has asked WhatsApp for another code, whatever the one before was worth."""
    state, _ = run(*TO_QR, Reloading(cause="page_crashed", fresh=False))
    assert (state.phase, state.qr, state.granted) == (Phase.OPENING, None, 0)
    state, effects = run(DocumentChanged(), loaded(), UNPAIRED, state=state)
    assert AskQrWindow(number=2) in effects


def test_without_a_login_the_page_is_not_opened_before_its_window_is_granted() -> None:
    """Its page asks WhatsApp for a code as soon as it is there: what counts is that."""
    asked, effects = run(Began(), Launched(login=False))
    assert effects == [AskQrWindow(number=1)]
    assert (asked.phase, public(asked)[1]) == (Phase.LAUNCHING, "launching")
    state, effects = run(QrGranted(number=1), state=asked)
    assert Open() in effects
    for told in ((UNPAIRED, QrIssued(text="a")), (QrIssued(text="a"),)):
        shown, _ = run(loaded(), *told, state=state)
        assert (shown.phase, shown.qr, shown.window) == (Phase.QR, "a", 1)
        assert (shown.windows, shown.granted) == (1, 1)


def test_without_a_login_and_a_window_the_session_ends_before_whatsapp_hears_of_it() -> None:
    state, effects = run(Began(), Launched(login=False), QrRefused(number=1, detail="at six"))
    assert StopBrowser() in effects
    assert Open() not in effects
    state, _ = run(BrowserStopped(), state=state)
    assert public(state) == (SessionStatus.DISCONNECTED, "qr_limited", "at six")


@pytest.mark.parametrize(
    ("event", "cause"),
    [
        (StopRequested(kind=StopKind.STOP), "stopped"),
        (BrowserExited(pid=1, returncode=-9), "browser_exited"),
    ],
)
def test_what_ends_a_browser_that_waits_for_its_window(event: Event, cause: str) -> None:
    asked, _ = run(Began(), Launched(login=False))
    for number in (0, 2):  # an answer to another question
        assert run(QrGranted(number=number), state=asked)[0] == asked
    state, effects = run(event, state=asked)
    assert StopBrowser() in effects
    assert state.exit is not None
    assert state.exit.cause == cause


def test_a_login_after_all_gives_up_the_window() -> None:
    """The next code, if there ever is one, needs its own."""
    state, _ = run(Began(), Launched(login=False), QrGranted(number=1), loaded(), SYNCING)
    assert (state.phase, state.granted) == (Phase.AUTHENTICATED, 0)


texts = st.sampled_from("abcdefgh")
courses = st.lists(
    st.one_of(
        st.builds(QrIssued, text=texts),
        st.builds(QrGranted, number=st.integers(0, 4)),
        st.builds(QrRefused, number=st.integers(0, 4), detail=st.just("later")),
        st.builds(QrRequested),
        st.builds(QrNotRefreshed),
        st.sampled_from([UNPAIRED, PAIRED]),
    ),
    max_size=40,
)


@settings(max_examples=400)
@given(courses)
def test_no_code_is_shown_without_a_window_that_was_asked_for_and_granted(
    events: list[Event],
) -> None:
    """Each window is asked for once, in order; the codes of one are bounded."""
    state, asked, codes = State(), 0, 0
    for event in (Began(), Launched(), loaded(), *events):
        before = state
        state, effects = step(state, event, LIMITS)
        for effect in effects:
            if isinstance(effect, AskQrWindow):
                assert effect.number in {asked + 1, asked}
                asked = effect.number
        if state.granted != before.granted:
            assert state.granted in {0, asked}
            codes = 0
        if state.qr not in {None, before.qr}:
            codes += 1
            assert 1 <= codes <= LIMITS.qr_codes_per_window
            assert state.granted
