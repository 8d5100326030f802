"""What the session state machine moves: the state, how it ends, and how it is shown. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from actors.events import Phase
from actors.messages import ExitKind, StopKind
from actors.reasons import PERMANENT
from storage.store import SessionStatus

FAILED_CAUSES: Final = PERMANENT - {"qr_timeout", "qr_limited", "logged_out"}
STOP_REASONS: Final = {
    StopKind.STOP: "stopped",
    StopKind.RESTART: "restarting",
    StopKind.RECYCLE: "recycling",
    StopKind.LOGOUT: "logged_out",
    StopKind.DELETE: "stopped",
    StopKind.SHUTDOWN: "supervisor_stopped",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How this incarnation ended; `cause` is a reason code."""

    kind: ExitKind
    cause: str
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Where a session is. `me` is the own phone number, `window` counts a window's QR codes.

    `windows` counts the QR windows that were asked for, `granted` is the last one that the limiter
    allowed, and `held` the code that waits for that: only `qr` is shown. `refreshing`: the page was
    asked for another code.

    `trouble` is what is being repaired, `sick` why a connection is not what it seems, `stale` that
    the page still is the one that is being replaced: what it says does not count any more. `note`
    is what an operator should know of a session that is well otherwise.
    """

    phase: Phase = Phase.NEW
    me: str | None = None
    qr: str | None = None
    window: int = 0
    windows: int = 0
    granted: int = 0
    held: str | None = None
    refreshing: bool = False
    missing: tuple[str, ...] = ()
    note: str | None = None
    trouble: str | None = None
    trouble_detail: str | None = None
    sick: str | None = None
    stale: bool = False
    browser: bool = False
    stop: StopKind | None = None
    exit: Exit | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Seconds that each phase may take, and how many codes a QR window has."""

    open_timeout: float
    sync_timeout: float
    socket_timeout: float
    qr_code_timeout: float
    qr_codes_per_window: int


def public(state: State) -> tuple[SessionStatus, str, str | None]:
    """Return the public status, reason and detail of a state."""
    match state.phase:
        case Phase.QR:
            reason = "qr_shown" if state.qr else "qr_expected"
            return SessionStatus.QR_SCANNING, reason, None
        case Phase.CONNECTED if state.sick is not None:
            return SessionStatus.CONNECTED, state.sick, None
        case Phase.CONNECTED if state.missing:
            missing = "missing: " + ", ".join(state.missing)
            detail = missing if state.note is None else f"{missing}; {state.note}"
            return SessionStatus.CONNECTED, "degraded", detail
        case Phase.CONNECTED:
            return SessionStatus.CONNECTED, "ready", state.note
        case Phase.ENDED if state.exit is not None:
            failed = state.exit.cause in FAILED_CAUSES
            status = SessionStatus.FAILED if failed else SessionStatus.DISCONNECTED
            return status, state.exit.cause, state.exit.detail
        case Phase.STOPPING if state.exit is not None and state.exit.kind is ExitKind.CRASH:
            return SessionStatus.DISCONNECTED, state.exit.cause, state.exit.detail
        case Phase.STOPPING:
            return SessionStatus.DISCONNECTED, "stopping", None
        case _ if state.trouble is not None:
            return SessionStatus.DISCONNECTED, state.trouble, state.trouble_detail
        case Phase.AUTHENTICATED:
            return SessionStatus.AUTHENTICATED, "syncing", None
        case Phase.NEW | Phase.LAUNCHING | Phase.ENDED:
            return SessionStatus.DISCONNECTED, "launching", None
        case Phase.LOST:
            return SessionStatus.DISCONNECTED, "socket_lost", None
        case Phase.OPENING | Phase.RESUMING:
            return SessionStatus.DISCONNECTED, state.phase.value, None
