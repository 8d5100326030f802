"""What may be done about a session, by its status, reason and phase: two tables. Pure.

For asking for another QR code, and for bringing a session back without one. Where it is not
permitted there is a sentence that says what to do instead.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from actors.events import Phase
from storage.store import SessionStatus


class QrVerb(StrEnum):
    """How another QR code comes about."""

    OPEN = "open"  # the session is started: it shows a code in a new window
    REFRESH = "refresh"  # it shows one: in the same window, or in a new one after its last code


class ReconnectVerb(StrEnum):
    """How a session is brought back."""

    NOTHING = "nothing"  # it is there, or on its way
    START = "start"  # at once, instead of after its pause
    RESTART = "restart"  # its browser is closed and started again, with its login


NO_LOGIN: Final = frozenset({"created", "qr_timeout", "qr_limited", "logged_out"})
"""Reasons that say that there is no login: only a QR code brings such a session back."""

ON_ITS_WAY: Final = frozenset(
    {"queued", "launching", "opening", "resuming", "restarting", "recycling"}
)

BANNED: Final = "WhatsApp has blocked this number; appeal in the phone's WhatsApp, then start it."
LEAVING: Final = "The session is just ending; ask again in a moment."
STOPPED: Final = "The session was stopped on request; start it."


def qr_verb(status: SessionStatus, reason: str, phase: str | None) -> QrVerb | str:
    """Return how to get another QR code, or the sentence that says why not; no actor, no phase."""
    match status:
        case SessionStatus.QR_SCANNING:
            return QrVerb.REFRESH
        case SessionStatus.CONNECTED | SessionStatus.AUTHENTICATED:
            return "The session is linked already; log it out first to link another phone."
        case SessionStatus.FAILED if reason == "banned":
            return BANNED
        case SessionStatus.FAILED:
            return "The session failed; mend what its reason says, then reconnect it."
        case _ if reason in NO_LOGIN:
            return QrVerb.OPEN if phase is None else LEAVING
        case _ if reason == "stopped":
            return f"{STOPPED} It shows a code if it has no login."
        case _:
            return "The session may have a login; ask again if its status becomes qr_scanning."


def reconnect_verb(status: SessionStatus, reason: str, phase: str | None) -> ReconnectVerb | str:
    """Return how to bring the session back, or the sentence that says why not."""
    if phase in {Phase.STOPPING, Phase.ENDED} and reason not in ON_ITS_WAY:
        return LEAVING
    match status:
        case SessionStatus.CONNECTED:
            return ReconnectVerb.NOTHING if reason == "ready" else ReconnectVerb.RESTART
        case SessionStatus.AUTHENTICATED:
            return ReconnectVerb.NOTHING
        case SessionStatus.QR_SCANNING:
            return "The session has no login; scan its QR code."
        case SessionStatus.FAILED:
            return BANNED if reason == "banned" else ReconnectVerb.START
        case _ if reason in NO_LOGIN:
            return "The session has no login to come back with; ask for a QR code (POST …/qr)."
        case _ if reason == "stopped":
            return STOPPED
        case _ if reason in ON_ITS_WAY:
            return ReconnectVerb.NOTHING
        case _:
            return ReconnectVerb.RESTART if phase == Phase.LOST else ReconnectVerb.START
