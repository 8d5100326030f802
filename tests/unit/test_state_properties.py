"""The session state machine under any sequence of events: what never and what always happens."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.browser.driver import (
    AckChanged,
    BrowserExited,
    BrowserFact,
    DocumentChanged,
    LoggedOut,
    MessageReceived,
    PageCrashed,
    PageLoaded,
    QrIssued,
    ServerHeard,
    SocketChanged,
    UpdateRequired,
)
from actors.events import (
    Began,
    BrowserStopped,
    CallFailed,
    Effect,
    Event,
    Finish,
    Launch,
    Launched,
    LaunchFailed,
    LogoutDone,
    Open,
    Phase,
    PhaseTimedOut,
    QrGranted,
    QrNotRefreshed,
    QrRefused,
    QrRequested,
    Reloading,
    Sickened,
    StopBrowser,
    StopRequested,
    Suspected,
    TakingOver,
    Unlink,
)
from actors.messages import ExitKind, StopKind
from actors.reasons import PERMANENT, sentence
from actors.state import State, public, step
from storage.store import SessionStatus
from tests.unit.state_support import LIMITS, ME

pytestmark = pytest.mark.unit

SOCKETS = [
    "OPENING",
    "PAIRING",
    "UNPAIRED",
    "UNPAIRED_IDLE",
    "CONNECTED",
    "TIMEOUT",
    "CONFLICT",
    "UNLAUNCHED",
    "PROXYBLOCK",
    "TOS_BLOCK",
    "SMB_TOS_BLOCK",
    "DEPRECATED_VERSION",
    "SOMETHING_NEW",
]
MODES = [None, "QR", "MAIN", "SYNCING", "OFFLINE", "CONFLICT", "SOMETHING_NEW"]

text = st.text(max_size=5)
facts: st.SearchStrategy[BrowserFact] = st.one_of(
    st.builds(BrowserExited, pid=st.integers(1, 99), returncode=st.none() | st.integers(-9, 9)),
    st.builds(PageCrashed),
    st.builds(DocumentChanged),
    st.builds(ServerHeard),
    st.builds(
        PageLoaded,
        whatsapp_version=st.none() | text,
        wajs_version=text,
        missing=st.just(()) | st.just(("x",)),
        critical=st.sampled_from([(), (), (), ("Socket",)]),
    ),
    st.builds(QrIssued, text=text),
    st.builds(
        SocketChanged,
        socket=st.sampled_from(SOCKETS),
        mode=st.sampled_from(MODES),
        registered=st.booleans(),
        synced=st.booleans(),
        me=st.none() | st.just(ME),
    ),
    st.builds(LoggedOut, reason=st.none() | text),
    st.builds(UpdateRequired),
    st.builds(
        MessageReceived,
        wa_id=text,
        chat=text,
        sender=text,
        kind=text,
        body=text,
        sent_ms=st.integers(0, 9),
    ),
    st.builds(AckChanged, wa_ids=st.just(()), ack=st.integers(-1, 4)),
)
causes = st.sampled_from(["page_crashed", "page_unresponsive", "evidence_missing"])
codes = st.sampled_from(["launch_failed", "chromium_missing"])
any_event: st.SearchStrategy[Event] = st.one_of(
    facts,
    st.builds(Began),
    st.builds(Launched, login=st.booleans()),
    st.builds(LaunchFailed, code=codes, detail=text),
    st.builds(CallFailed, cause=st.just("page_unresponsive"), detail=text),
    st.builds(Suspected, cause=st.just("page_unresponsive")),
    st.builds(Reloading, cause=causes, fresh=st.booleans()),
    st.builds(Sickened, reason=st.sampled_from([None, "acks_missing", "unproven"])),
    st.builds(TakingOver),
    st.builds(StopRequested, kind=st.sampled_from(StopKind)),
    st.builds(LogoutDone, confirmed=st.booleans()),
    st.builds(BrowserStopped),
    st.builds(PhaseTimedOut, phase=st.sampled_from(Phase)),
    st.builds(QrGranted, number=st.integers(0, 3)),
    st.builds(QrRefused, number=st.integers(0, 3), detail=text),
    st.builds(QrRequested),
    st.builds(QrNotRefreshed),
)
lives = st.lists(any_event, max_size=30).map(lambda tail: [Began(), *tail])


@settings(max_examples=400)
@given(st.one_of(st.lists(any_event, max_size=30), lives))
def test_no_sequence_reaches_an_undeclared_or_unexplained_state(events: list[Event]) -> None:
    """Any events in any order: declared phase, known reason, and an exit exactly when leaving."""
    state = State()
    for event in events:
        state, _ = step(state, event, LIMITS)
        status, reason, _ = public(state)
        assert state.phase in Phase
        assert status in SessionStatus
        assert sentence(reason)
        leaving = state.phase in {Phase.STOPPING, Phase.ENDED}
        assert (state.exit is not None) == leaving
        if state.exit is not None:
            assert (state.exit.kind is ExitKind.PERMANENT) <= (state.exit.cause in PERMANENT)
        assert state.window <= LIMITS.qr_codes_per_window
        assert state.qr is None or (state.phase is Phase.QR and state.granted)
        assert state.granted <= state.windows
        assert state.trouble is None or state.phase not in {Phase.QR, Phase.CONNECTED}


@settings(max_examples=400)
@given(lives)
def test_every_state_has_a_way_out(events: list[Event]) -> None:
    """From wherever it is, a stop and the answers to its effects lead to the end."""
    state = State()
    for event in events:
        state, _ = step(state, event, LIMITS)
    answers: list[Event] = [StopRequested(kind=StopKind.STOP), Launched()]
    answers += [LogoutDone(confirmed=True), BrowserStopped()]
    for event in answers:
        state, _ = step(state, event, LIMITS)
    assert state.phase is Phase.ENDED


@settings(max_examples=400)
@given(lives)
def test_a_browser_is_launched_once_and_stopped_once(events: list[Event]) -> None:
    """One incarnation, one browser: whatever happens, the effects balance."""
    state, effects = State(), list[Effect]()
    for event in events:
        state, new = step(state, event, LIMITS)
        effects += new
    assert effects.count(Launch()) == 1
    assert effects.count(Finish()) == (state.phase is Phase.ENDED)
    assert effects.count(Open()) <= 1
    stops = sum(isinstance(effect, StopBrowser) for effect in effects)
    assert stops + effects.count(Unlink()) <= 2 + events.count(
        LogoutDone(confirmed=True)
    ) + events.count(LogoutDone(confirmed=False))
