"""The session state machine: its table of transitions, step by step."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.browser.driver import (
    BrowserExited,
    LoggedOut,
    QrIssued,
    UpdateRequired,
)
from actors.events import (
    Began,
    BrowserStopped,
    CallFailed,
    Deliver,
    Event,
    Finish,
    ForgetArchives,
    Launch,
    Launched,
    LaunchFailed,
    LogoutDone,
    Open,
    Phase,
    PhaseTimedOut,
    StopBrowser,
    StopRequested,
    Unlink,
)
from actors.messages import ExitKind, StopKind
from actors.reasons import REASONS, sentence
from actors.state import public
from storage.store import SessionStatus
from tests.unit.state_support import (
    DOWN,
    ME,
    PAIRED,
    READY,
    RESTORED,
    SYNCING,
    TO_CONNECTED,
    TO_QR,
    UNPAIRED,
    loaded,
    run,
    socket,
)

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("events", "phase", "status", "reason"),
    [
        ((), Phase.NEW, "disconnected", "launching"),
        ((Began(),), Phase.LAUNCHING, "disconnected", "launching"),
        ((Began(), Launched()), Phase.OPENING, "disconnected", "opening"),
        ((Began(), Launched(), loaded(), UNPAIRED), Phase.QR, "qr_scanning", "qr_expected"),
        (TO_QR, Phase.QR, "qr_scanning", "qr_shown"),
        ((*TO_QR, PAIRED), Phase.AUTHENTICATED, "authenticated", "syncing"),
        ((*TO_QR, PAIRED, SYNCING), Phase.AUTHENTICATED, "authenticated", "syncing"),
        (TO_CONNECTED, Phase.CONNECTED, "connected", "ready"),
        ((*TO_CONNECTED, DOWN), Phase.LOST, "disconnected", "socket_lost"),
        ((*TO_CONNECTED, DOWN, READY), Phase.CONNECTED, "connected", "ready"),
        (RESTORED, Phase.RESUMING, "disconnected", "resuming"),
        ((*RESTORED, SYNCING), Phase.AUTHENTICATED, "authenticated", "syncing"),
        ((*RESTORED, READY), Phase.CONNECTED, "connected", "ready"),
    ],
)
def test_the_way_up(events: tuple[Event, ...], phase: Phase, status: str, reason: str) -> None:
    """Each step from nothing to connected has its phase, public status and reason."""
    state, _ = run(*events)
    assert state.phase is phase
    assert state.me in {None, ME}
    assert public(state)[:2] == (SessionStatus(status), reason)


@pytest.mark.parametrize(
    ("event", "kind", "cause"),
    [
        (BrowserExited(pid=1, returncode=-9), ExitKind.CRASH, "browser_exited"),
        (
            CallFailed(cause="browser_unresponsive", detail="x"),
            ExitKind.CRASH,
            "browser_unresponsive",
        ),
        (CallFailed(cause="acks_missing", detail="x"), ExitKind.CRASH, "acks_missing"),
        (CallFailed(cause="page_unresponsive", detail="x"), ExitKind.CRASH, "page_unresponsive"),
        (LoggedOut(reason="0"), ExitKind.PERMANENT, "logged_out"),
        (UpdateRequired(), ExitKind.CRASH, "update_required"),
        (socket("TOS_BLOCK"), ExitKind.PERMANENT, "banned"),
        (socket("SMB_TOS_BLOCK"), ExitKind.PERMANENT, "banned"),
        (socket("PROXYBLOCK"), ExitKind.PERMANENT, "proxy_blocked"),
        (socket("CONFLICT", registered=True), ExitKind.PERMANENT, "conflict"),
        (socket("DEPRECATED_VERSION"), ExitKind.PERMANENT, "deprecated_version"),
        (loaded("Socket", missing=("Socket",)), ExitKind.PERMANENT, "page_incompatible"),
        (StopRequested(kind=StopKind.STOP), ExitKind.NORMAL, "stopped"),
        (StopRequested(kind=StopKind.RESTART), ExitKind.NORMAL, "restarting"),
        (StopRequested(kind=StopKind.SHUTDOWN), ExitKind.NORMAL, "supervisor_stopped"),
        (StopRequested(kind=StopKind.LOGOUT), ExitKind.NORMAL, "logged_out"),
    ],
)
@pytest.mark.parametrize("before", [TO_QR, TO_CONNECTED, (*TO_CONNECTED, DOWN), RESTORED])
def test_every_way_down_stops_the_browser_first(
    before: tuple[Event, ...], event: Event, kind: ExitKind, cause: str
) -> None:
    """Whatever ends a live session, the browser is stopped before the end is told."""
    state, effects = run(*before, event)
    assert state.phase is Phase.STOPPING
    at_once = cause in {"browser_unresponsive", "page_unresponsive"}  # it would not hear of it
    assert StopBrowser(at_once=at_once) in effects or Unlink() in effects
    assert Finish() not in effects
    reason = cause if kind is ExitKind.CRASH else "stopping"
    assert public(state)[:2] == (SessionStatus.DISCONNECTED, reason)
    if Unlink() in effects:
        state, effects = run(LogoutDone(confirmed=True), state=state)
        assert effects == [StopBrowser()]
    state, effects = run(BrowserStopped(), state=state)
    assert state.phase is Phase.ENDED
    assert effects[-1] == Finish()
    assert state.exit is not None
    assert (state.exit.kind, state.exit.cause) == (kind, cause)


@pytest.mark.parametrize(
    ("before", "forgets"),
    [
        (TO_CONNECTED, True),
        ((*TO_CONNECTED, StopRequested(kind=StopKind.STOP)), True),
        ((*TO_CONNECTED, StopRequested(kind=StopKind.STOP), BrowserStopped()), False),
    ],
)
def test_the_end_of_a_login_is_the_end_of_its_archives(
    before: tuple[Event, ...], forgets: bool
) -> None:
    """However it is told of, as long as the actor runs; a stop or a crash forgets nothing."""
    state, effects = run(*before)
    assert ForgetArchives() not in effects
    _, effects = run(LoggedOut(reason=None), state=state)
    assert (ForgetArchives() in effects) is forgets


def test_a_logout_unlinks_when_it_can_and_says_so_when_it_could_not() -> None:
    """A connected session is unlinked; a session that lost its socket can't tell WhatsApp."""
    stop = StopRequested(kind=StopKind.LOGOUT)
    _, effects = run(*TO_CONNECTED, stop)
    assert Unlink() in effects
    state, effects = run(*TO_CONNECTED, DOWN, stop, BrowserStopped())
    assert state.exit is not None
    assert "remove the device" in (state.exit.detail or "")
    state, _ = run(*TO_CONNECTED, stop, LogoutDone(confirmed=False), BrowserStopped())
    assert state.exit is not None
    assert "remove the device" in (state.exit.detail or "")


def test_a_stop_during_a_launch_waits_for_its_answer() -> None:
    """The launch can't be called back: its browser is stopped as soon as it is there."""
    stop = StopRequested(kind=StopKind.STOP)
    state, effects = run(Began(), stop)
    assert (state.phase, effects) == (Phase.LAUNCHING, [])
    late, effects = run(Launched(), state=state)
    assert late.phase is Phase.STOPPING
    assert StopBrowser() in effects
    failed, effects = run(LaunchFailed(code="launch_failed", detail=""), state=state)
    assert (failed.phase, effects) == (Phase.ENDED, [Finish()])
    assert failed.exit is not None
    assert failed.exit.kind is ExitKind.NORMAL


@pytest.mark.parametrize(
    ("code", "kind", "cause"),
    [
        ("launch_failed", ExitKind.CRASH, "launch_failed"),
        ("call_timed_out", ExitKind.CRASH, "launch_failed"),
        ("chromium_missing", ExitKind.PERMANENT, "chromium_missing"),
        ("bundle_missing", ExitKind.PERMANENT, "bundle_missing"),
        ("profile_in_use", ExitKind.PERMANENT, "profile_in_use"),
    ],
)
def test_a_failed_launch_is_a_crash_unless_trying_again_cannot_help(
    code: str, kind: ExitKind, cause: str
) -> None:
    """What a person has to mend is not tried again and again."""
    state, effects = run(Began(), LaunchFailed(code=code, detail="why"))
    assert effects == [Finish()]
    assert state.exit is not None
    assert (state.exit.kind, state.exit.cause, state.exit.detail) == (kind, cause, "why")


def test_a_qr_window_has_a_bounded_number_of_codes() -> None:
    """The sixth code closes a window of five; a repeat of the shown code counts once."""
    state, _ = run(*TO_QR)
    for text in "bcde":
        state, _ = run(QrIssued(text=text), QrIssued(text=text), state=state)
        assert state.phase is Phase.QR
    assert state.window == 5
    state, _ = run(QrIssued(text="f"), state=state)
    assert state.exit is not None
    assert (state.exit.kind, state.exit.cause) == (ExitKind.PERMANENT, "qr_timeout")


def test_whatsapp_closing_its_own_window_is_a_qr_timeout() -> None:
    """UNPAIRED_IDLE means that WhatsApp shows no more codes by itself."""
    state, _ = run(*TO_QR, socket("UNPAIRED_IDLE", "QR"))
    assert state.exit is not None
    assert state.exit.cause == "qr_timeout"


def test_a_missing_feature_degrades_but_does_not_end_a_session() -> None:
    """Connected stays connected, with the missing names in its detail."""
    events = (Began(), Launched(), loaded(missing=("sendText",)), READY)
    state, effects = run(*events)
    assert public(state) == (SessionStatus.CONNECTED, "degraded", "missing: sendText")
    assert Deliver() in effects


@pytest.mark.parametrize(
    ("events", "cause"),
    [
        ((Began(), Launched()), "open_timeout"),
        (TO_QR, "page_unresponsive"),
        ((*TO_QR, PAIRED), "sync_timeout"),
        (RESTORED, "socket_timeout"),
        ((*TO_CONNECTED, DOWN), "socket_timeout"),
    ],
)
def test_every_phase_that_waits_has_a_deadline(events: tuple[Event, ...], cause: str) -> None:
    """Running out of time is a crash with the phase's own cause; another phase's timer is stale."""
    state, _ = run(*events)
    for phase in Phase:
        after, _ = run(PhaseTimedOut(phase=phase), state=state)
        if phase is not state.phase:
            assert after == state
        else:
            assert after.exit is not None
            assert after.exit.cause == cause


def test_the_first_entry_arms_a_phase_timer_and_repeats_do_not() -> None:
    """A socket that flaps inside a phase can't push its deadline away."""
    _, effects = run(*TO_CONNECTED, DOWN)
    assert len(effects) == 1
    _, effects = run(*TO_CONNECTED, DOWN, socket("OPENING", "OFFLINE", registered=True))
    assert effects == []


def test_open_follows_launch_and_launch_follows_begin() -> None:
    """The way up is driven by effects."""
    assert run(Began())[1] == [Launch()]
    assert Open() in run(Began(), Launched())[1]


@given(st.sampled_from(sorted(REASONS)))
def test_every_reason_has_a_sentence_that_ends(reason: str) -> None:
    """An operator reads a whole sentence, never a bare code."""
    assert sentence(reason).endswith((".", ").")), reason
    assert reason == reason.lower()
