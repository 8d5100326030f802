"""The state machine and the care: planned restarts of wafleet's own, and what is noted."""

from __future__ import annotations

import pytest

from actors.browser.driver import BrowserExited, PageLoaded, SocketChanged
from actors.events import (
    Began,
    BrowserStopped,
    CallFailed,
    Event,
    Launched,
    Noted,
    Phase,
    StopBrowser,
    StopRequested,
)
from actors.messages import ExitKind, StopKind
from actors.reasons import OUTSIDE, PERMANENT, REASONS, TRANSIENT
from actors.state import Limits, State, public, step
from storage.store import SessionStatus
from supervisor.child import stronger

pytestmark = pytest.mark.unit

LIMITS = Limits(
    open_timeout=60, sync_timeout=120, socket_timeout=60, qr_code_timeout=90, qr_codes_per_window=5
)
CONNECTED = SocketChanged(
    socket="CONNECTED", mode="MAIN", registered=True, synced=True, me="15550100001@c.us"
)
LOADED = PageLoaded(whatsapp_version="2", wajs_version="3")
DEGRADED = PageLoaded(whatsapp_version="2", wajs_version="3", missing=("Msg",))
TO_CONNECTED: tuple[Event, ...] = (Began(), Launched(), LOADED, CONNECTED)
RECYCLE = StopRequested(kind=StopKind.RECYCLE, detail="hard_limit")


def after(*events: Event) -> State:
    state = State()
    for event in events:
        state, _ = step(state, event, LIMITS)
    return state


@pytest.mark.parametrize(
    ("events", "shown"),
    [
        ((*TO_CONNECTED, Noted(note="large")), ("ready", "large")),
        ((Began(), Noted(note="large"), *TO_CONNECTED[1:]), ("ready", "large")),
        ((*TO_CONNECTED, Noted(note="large"), Noted(note=None)), ("ready", None)),
        ((*TO_CONNECTED, DEGRADED, Noted(note="large")), ("degraded", "missing: Msg; large")),
        ((*TO_CONNECTED, DEGRADED), ("degraded", "missing: Msg")),
        # only beside a state that is well otherwise
        ((Began(), Launched(), Noted(note="large")), ("opening", None)),
        (
            (*TO_CONNECTED, Noted(note="large"), RECYCLE, BrowserStopped()),
            ("recycling", "hard_limit"),
        ),
    ],
)
def test_a_note_is_shown_while_connected(events: tuple[Event, ...], shown: tuple[str, str]) -> None:
    _, reason, detail = public(after(*events))
    assert (reason, detail) == shown


def test_a_note_changes_nothing_else() -> None:
    for number in range(len(TO_CONNECTED) + 1):
        state = after(*TO_CONNECTED[:number])
        noted, effects = step(state, Noted(note="large"), LIMITS)
        assert effects == ()
        assert (noted.phase, noted.exit, noted.stop) == (state.phase, state.exit, state.stop)


def test_a_planned_restart_ends_as_asked_for() -> None:
    state, effects = step(after(*TO_CONNECTED), RECYCLE, LIMITS)
    assert state.phase is Phase.STOPPING
    assert StopBrowser() in effects
    over = after(*TO_CONNECTED, RECYCLE, BrowserExited(pid=1, returncode=0), BrowserStopped())
    assert over.exit is not None
    assert (over.exit.kind, over.exit.cause) == (ExitKind.NORMAL, "recycling")
    assert public(over) == (SessionStatus.DISCONNECTED, "recycling", "hard_limit")


def test_a_browser_killed_for_its_memory_is_a_crash_with_that_reason() -> None:
    killed = CallFailed(cause="memory_exceeded", detail="1300 MB")
    state = after(*TO_CONNECTED, killed, BrowserExited(pid=1, returncode=-9), BrowserStopped())
    assert state.exit is not None
    assert (state.exit.kind, state.exit.cause) == (ExitKind.CRASH, "memory_exceeded")
    assert public(state) == (SessionStatus.DISCONNECTED, "memory_exceeded", "1300 MB")


def test_an_operator_s_wish_is_stronger() -> None:
    for kind in set(StopKind) - {StopKind.RECYCLE}:
        assert stronger(StopKind.RECYCLE, kind) is kind
        assert stronger(kind, StopKind.RECYCLE) is kind


@pytest.mark.parametrize("reason", ["recycling", "disk_full", "memory_exceeded"])
def test_the_new_reasons_pass(reason: str) -> None:
    assert reason in REASONS
    assert reason in TRANSIENT
    assert reason not in PERMANENT | OUTSIDE
