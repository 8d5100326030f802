"""The session state machine: `step(state, event) -> (state, effects)`. Pure.

    NEW ──▶ LAUNCHING ──▶ OPENING ──┬──▶ QR ──▶ AUTHENTICATED ──▶ CONNECTED ◀──▶ LOST
                             ▲      └──▶ RESUMING ──────▲────────────▲
                             └─── a page that is loaded anew, from any phase after it
    every phase ──▶ STOPPING ──▶ ENDED

One machine is one incarnation: one actor, one browser. Leaving (told to, a permanent cause, a
crash) is always the same way: STOPPING, which stops the browser, then ENDED with an Exit. What
follows an Exit (start again, wait, give up) is the supervisor's business.

Phase to public status: QR is qr_scanning, AUTHENTICATED is authenticated, CONNECTED is connected,
ENDED with a cause in FAILED_CAUSES is failed, everything else is disconnected. While something is
being repaired (`trouble`) a session is disconnected, with that reason, until it is CONNECTED.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from actors.browser.driver import (
    AckChanged,
    BrowserExited,
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
    ArmTimer,
    AskQrWindow,
    Began,
    BrowserStopped,
    CallFailed,
    Deliver,
    Effect,
    Event,
    Finish,
    ForgetArchives,
    Launch,
    Launched,
    LaunchFailed,
    LogoutDone,
    Noted,
    Open,
    Phase,
    PhaseTimedOut,
    QrGranted,
    QrNotRefreshed,
    QrRefused,
    QrRequested,
    RefreshQr,
    Reload,
    Reloading,
    Sickened,
    StopBrowser,
    StopRequested,
    Suspected,
    TakeOver,
    TakingOver,
    Unlink,
)
from actors.messages import ExitKind, StopKind
from actors.outages import END_TO_END
from actors.reasons import PERMANENT
from actors.states import STOP_REASONS, Exit, Limits, State, public

__all__ = ["STOP_REASONS", "Exit", "Limits", "State", "Step", "public", "step"]

UNRESPONSIVE: Final = frozenset({"browser_unresponsive", "page_unresponsive"})
"""Causes of browsers that would not hear that they are to close."""

BLOCKED_SOCKETS: Final = {
    "TOS_BLOCK": "banned",
    "SMB_TOS_BLOCK": "banned",
    "PROXYBLOCK": "proxy_blocked",
    "DEPRECATED_VERSION": "deprecated_version",
    "CONFLICT": "conflict",
}

Step = tuple[State, tuple[Effect, ...]]


def step(state: State, event: Event, limits: Limits) -> Step:
    """Return what `event` makes of `state`, and what has to be done about it."""
    match state.phase:
        case Phase.ENDED:
            return state, ()
        case _ if isinstance(event, Noted):
            return replace(state, note=event.note), ()
        case Phase.STOPPING:
            return _while_stopping(state, event)
        case Phase.NEW | Phase.LAUNCHING:
            return _while_launching(state, event, limits)
        case _:
            return _while_live(state, event, limits)


def _while_launching(state: State, event: Event, limits: Limits) -> Step:
    match event:
        case Began() if state.phase is Phase.NEW:
            return replace(state, phase=Phase.LAUNCHING), (Launch(),)
        case Launched(login=login):
            state = replace(state, browser=True)
            if state.stop is not None:
                return _leave(state, _stopped(state.stop))
            if login:
                return _enter(state, Phase.OPENING, limits, Open())
            state = replace(state, windows=state.windows + 1)
            return state, (AskQrWindow(number=state.windows),)
        case _ if state.browser:
            return _before_opening(state, event, limits)
        case LaunchFailed(code=code, detail=detail):
            cause = code if code in PERMANENT else "launch_failed"
            exit_ = _stopped(state.stop) if state.stop else _exit(cause, detail)
            return replace(state, phase=Phase.ENDED, exit=exit_), (Finish(),)
        case StopRequested(kind=kind) if state.phase is Phase.NEW:
            return replace(state, phase=Phase.ENDED, stop=kind, exit=_stopped(kind)), (Finish(),)
        case StopRequested(kind=kind):
            return replace(state, stop=kind), ()  # the launch's answer decides; it has a deadline
        case BrowserExited():
            return state, ()  # the driver's launch raises for it
        case _:
            return state, ()


def _before_opening(state: State, event: Event, limits: Limits) -> Step:
    """A browser without a login: its page may not be opened before its QR window is allowed."""
    match event:
        case QrGranted(number=number) if number == state.windows:
            return _enter(replace(state, granted=number), Phase.OPENING, limits, Open())
        case QrRefused(number=number, detail=detail) if number == state.windows:
            return _leave(state, _exit("qr_limited", detail))
        case StopRequested(kind=kind, detail=detail):
            return _leave(replace(state, stop=kind), _stopped(kind, detail))
        case BrowserExited(returncode=code):
            return _leave(state, _exit("browser_exited", f"exit code {code}"))
        case _:
            return state, ()


def _while_stopping(state: State, event: Event) -> Step:
    match event:
        case BrowserStopped():
            return replace(state, phase=Phase.ENDED, browser=False, qr=None), (
                ArmTimer(phase=Phase.ENDED, seconds=None),
                Finish(),
            )
        case LogoutDone(confirmed=confirmed):
            exit_ = state.exit if confirmed or state.exit is None else _unconfirmed(state.exit)
            return replace(state, exit=exit_), (StopBrowser(),)
        case LoggedOut():  # of our own making, or the phone was faster than the stop
            return state, (ForgetArchives(),)
        case StopRequested(kind=kind) if state.stop is None:
            # already leaving for another cause: what the operator wants has the last word
            return replace(state, stop=kind, exit=_logged_out_or(kind, state.me)), ()
        case _:
            return state, ()


def _while_live(state: State, event: Event, limits: Limits) -> Step:
    match event:
        case StopRequested(kind=kind, detail=detail):
            return _leave(replace(state, stop=kind), _stopped(kind, detail))
        case BrowserExited(returncode=code):
            return _leave(state, _exit("browser_exited", f"exit code {code}"))
        case Suspected(cause=cause) if state.phase is Phase.CONNECTED:
            return _enter(_in_trouble(state, cause), Phase.LOST, limits)
        case Reloading():
            return _reloading(state, event, limits)
        case Sickened(reason=reason):
            healed = state.sick in END_TO_END and reason not in END_TO_END
            delivers = healed and state.phase is Phase.CONNECTED
            return replace(state, sick=reason), (Deliver(),) if delivers else ()
        case TakingOver():
            state = replace(_in_trouble(state, "taking_over"), qr=None)
            return _enter(state, Phase.LOST, limits, TakeOver())
        case CallFailed(cause=cause, detail=detail):
            return _leave(state, _exit(cause, detail))
        case LoggedOut(reason=reason):
            left, effects = _leave(state, _exit("logged_out", reason))
            return left, (*effects, ForgetArchives())
        case PageLoaded() | QrIssued() | SocketChanged() | UpdateRequired() if state.stale:
            return state, ()
        case UpdateRequired():
            return _leave(state, _exit("update_required"))  # a new page is a new version
        case PhaseTimedOut(phase=phase) if phase is state.phase:
            return _leave(state, _exit(_TIMEOUT_CAUSES[phase]))
        case DocumentChanged():
            return _document_changed(state, limits)
        case PageLoaded(critical=critical) if critical:
            return _leave(state, _exit("page_incompatible", "missing: " + ", ".join(critical)))
        case PageLoaded(missing=missing):
            return replace(state, missing=missing), ()
        case QrIssued(text=text):
            return _qr_issued(state, text, limits)
        case QrNotRefreshed():
            return replace(state, refreshing=False), ()
        case QrGranted() | QrRefused() | QrRequested() if state.phase is Phase.QR:
            return _qr_decided(state, event, limits)
        case SocketChanged():
            return _socket_changed(state, event, limits)
        case MessageReceived() | AckChanged() | ServerHeard():
            return state, ()  # the actor records them; they change no phase
        case PageCrashed():
            return state, ()  # what is done about it depends on how often it did: actors.health
        case _:
            return state, ()


def _reloading(state: State, event: Reloading, limits: Limits) -> Step:
    sick = event.cause if event.cause in END_TO_END else state.sick
    state = replace(_without_qr(_in_trouble(state, event.cause)), sick=sick, stale=True)
    return _enter(state, Phase.OPENING, limits, Reload(fresh=event.fresh))


def _in_trouble(state: State, cause: str) -> State:
    return replace(state, trouble=cause, trouble_detail=None)


def _document_changed(state: State, limits: Limits) -> Step:
    """A page that WhatsApp itself loads anew is not connected until it says so."""
    state = replace(state, stale=False)
    if state.phase is Phase.CONNECTED:
        return _enter(state, Phase.LOST, limits)
    return state, ()


def _qr_issued(state: State, text: str, limits: Limits) -> Step:
    if text in {state.qr, state.held}:
        return state, ()
    state = replace(state, refreshing=False)
    if not state.granted:
        return _enter(replace(state, held=text), Phase.QR, limits)  # the window is not open yet
    if state.window >= limits.qr_codes_per_window:
        return _leave(state, _exit("qr_timeout"))
    state = replace(state, qr=text, window=state.window + 1)
    return _enter(state, Phase.QR, limits)


def _qr_decided(state: State, event: QrGranted | QrRefused | QrRequested, limits: Limits) -> Step:
    """The window in which this phase began, or another one that was asked for within it."""
    match event:
        case QrGranted(number=number) if number == state.windows and number > state.granted:
            renewed, held = state.granted > 0, state.held
            state = replace(state, granted=number, window=0, held=None)
            if renewed:
                return replace(state, refreshing=True), (RefreshQr(),)
            return _qr_issued(state, held, limits) if held is not None else (state, ())
        case QrRefused(number=number, detail=detail) if number == state.windows:
            if state.granted == 0:
                return _leave(state, _exit("qr_limited", detail))
            return replace(state, windows=state.granted), ()  # the open window goes on
        case QrRequested() if state.granted == state.windows and not state.refreshing:
            if state.window < limits.qr_codes_per_window:
                return replace(state, refreshing=True), (RefreshQr(),)
            state = replace(state, windows=state.windows + 1)
            return state, (AskQrWindow(number=state.windows),)
        case _:
            return state, ()  # what was asked for is on its way


def _socket_changed(state: State, fact: SocketChanged, limits: Limits) -> Step:
    if fact.socket in BLOCKED_SOCKETS:
        return _leave(state, _exit(BLOCKED_SOCKETS[fact.socket]))
    if fact.me is not None:
        state = replace(state, me=_number(fact.me))
    if not fact.registered:
        return _unregistered(state, fact, limits)
    return _move(_without_qr(state), _registered_phase(state, fact), limits)


def _unregistered(state: State, fact: SocketChanged, limits: Limits) -> Step:
    if fact.socket == "UNPAIRED_IDLE":  # WhatsApp has closed its own QR window
        return _leave(state, _exit("qr_timeout"))
    if state.phase is Phase.QR or fact.socket == "UNPAIRED":
        return _move(state, Phase.QR, limits)
    return state, ()


def _registered_phase(state: State, fact: SocketChanged) -> Phase:
    if fact.socket == "CONNECTED" and fact.mode == "MAIN" and fact.synced:
        return Phase.CONNECTED
    if state.phase in {Phase.CONNECTED, Phase.LOST}:
        return Phase.LOST
    if fact.socket in {"CONNECTED", "PAIRING"} or state.phase in {Phase.QR, Phase.AUTHENTICATED}:
        return Phase.AUTHENTICATED
    return Phase.RESUMING


def _move(state: State, phase: Phase, limits: Limits) -> Step:
    """Enter `phase` unless the state is in it: a timer counts from the first entry."""
    if phase is state.phase:
        return state, ()
    return _enter(state, phase, limits)


def _enter(state: State, phase: Phase, limits: Limits, *effects: Effect) -> Step:
    seconds = {
        Phase.OPENING: limits.open_timeout,
        Phase.RESUMING: limits.socket_timeout,
        Phase.LOST: limits.socket_timeout,
        Phase.AUTHENTICATED: limits.sync_timeout,
        Phase.QR: limits.qr_code_timeout,
    }.get(phase)
    can_send = phase is Phase.CONNECTED and state.sick not in END_TO_END
    deliver = (Deliver(),) if can_send else ()
    timer = ArmTimer(phase=phase, seconds=seconds)
    if phase is Phase.QR and state.phase is not Phase.QR and not state.granted:
        state = replace(state, windows=state.windows + 1)
        effects = (*effects, AskQrWindow(number=state.windows))
    if phase in {Phase.QR, Phase.CONNECTED}:
        state = replace(state, trouble=None, trouble_detail=None)
    return replace(state, phase=phase), (timer, *effects, *deliver)


def _without_qr(state: State) -> State:
    return replace(state, qr=None, held=None, window=0, granted=0, refreshing=False)


def _leave(state: State, exit_: Exit) -> Step:
    """Start to stop; a login is unlinked first when that was asked for and the page can do it."""
    wanted = state.stop in {StopKind.LOGOUT, StopKind.DELETE} and state.browser
    unlink = wanted and state.phase in {Phase.AUTHENTICATED, Phase.CONNECTED}
    if wanted and not unlink and state.me is not None:
        exit_ = _unconfirmed(exit_)
    left = replace(_without_qr(state), phase=Phase.STOPPING, exit=exit_)
    timer = ArmTimer(phase=Phase.STOPPING, seconds=None)
    stop = StopBrowser(at_once=exit_.cause in UNRESPONSIVE)
    return left, (timer, Unlink() if unlink else stop)


_TIMEOUT_CAUSES: Final = {
    Phase.OPENING: "open_timeout",
    Phase.RESUMING: "socket_timeout",
    Phase.LOST: "socket_timeout",
    Phase.AUTHENTICATED: "sync_timeout",
    Phase.QR: "page_unresponsive",
}


def _stopped(kind: StopKind, detail: str | None = None) -> Exit:
    return Exit(kind=ExitKind.NORMAL, cause=STOP_REASONS[kind], detail=detail)


def _logged_out_or(kind: StopKind, me: str | None) -> Exit:
    exit_ = _stopped(kind)
    unlinks = kind in {StopKind.LOGOUT, StopKind.DELETE} and me is not None
    return _unconfirmed(exit_) if unlinks else exit_


def _unconfirmed(exit_: Exit) -> Exit:
    """The login is removed here, but WhatsApp could not be told: say so."""
    return replace(exit_, detail="WhatsApp could not be told: remove the device on the phone")


def _number(jid: str) -> str:
    """Return the phone number of an own jid: 15550100001:3@c.us is device 3 of 15550100001."""
    return jid.partition("@")[0].partition(":")[0]


def _exit(cause: str, detail: str | None = None) -> Exit:
    kind = ExitKind.PERMANENT if cause in PERMANENT else ExitKind.CRASH
    return Exit(kind=kind, cause=cause, detail=detail)
