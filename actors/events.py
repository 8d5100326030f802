"""What the session state machine hears and says: phases, events, effects. Pure.

Facts from the browser (actors.browser.driver) are events too, as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from actors.browser.driver import BrowserFact

if TYPE_CHECKING:
    from actors.messages import StopKind


class Phase(StrEnum):
    NEW = "new"
    LAUNCHING = "launching"
    OPENING = "opening"
    RESUMING = "resuming"
    QR = "qr"
    AUTHENTICATED = "authenticated"
    CONNECTED = "connected"
    LOST = "lost"
    STOPPING = "stopping"
    ENDED = "ended"


# ---- events: what happened (besides BrowserFact) -------------------------------------------------


@dataclass(frozen=True, slots=True)
class Began:
    """The actor runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launched:
    """The driver returned a browser. Without a `login` its page will ask for a QR code at once."""

    login: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchFailed:
    """The driver raised; `code` is the error's code."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFailed:
    """A call to the page failed in a way that means that the page or the browser is sick."""

    cause: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspected:
    """The page gives no sign of life; whether it can be helped is being found out."""

    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloading:
    """The page is to be loaded anew for this cause; `fresh` if its process has to go first."""

    cause: str
    fresh: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Sickened:
    """The connection is not what it says it is, for this reason; None takes that back."""

    reason: str | None


@dataclass(frozen=True, slots=True)
class TakingOver:
    """Another window has the login, and it is to be taken back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRequested:
    """The supervisor said so; `detail` is shown beside the reason."""

    kind: StopKind
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """Something to be shown beside the state while it is connected; None: nothing any more."""

    note: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoutDone:
    """The unlink call ended; `confirmed` if WhatsApp was told. The browser can be stopped."""

    confirmed: bool


@dataclass(frozen=True, slots=True)
class BrowserStopped:
    """The browser is proven gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseTimedOut:
    """The timer armed on entering `phase` ran out."""

    phase: Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class QrGranted:
    """The limiter allows the QR window that AskQrWindow asked for under this number."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QrRefused:
    """The limiter does not; the detail says when the next one is allowed."""

    number: int
    detail: str


@dataclass(frozen=True, slots=True)
class QrRequested:
    """Somebody wants another QR code than the one on show."""


@dataclass(frozen=True, slots=True)
class QrNotRefreshed:
    """The page did not take RefreshQr."""


Event = (
    Began
    | Launched
    | LaunchFailed
    | CallFailed
    | Suspected
    | Reloading
    | Sickened
    | TakingOver
    | StopRequested
    | Noted
    | LogoutDone
    | BrowserStopped
    | PhaseTimedOut
    | QrGranted
    | QrRefused
    | QrRequested
    | QrNotRefreshed
    | BrowserFact
)


# ---- effects: what the actor must do, in order ---------------------------------------------------


@dataclass(frozen=True, slots=True)
class Launch:
    """Restore a lost profile, launch a browser; answer with Launched or LaunchFailed."""


@dataclass(frozen=True, slots=True)
class Open:
    """Navigate to WhatsApp Web; a failure is answered with CallFailed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reload:
    """Load WhatsApp Web anew, in a `fresh` process if need be; a failure is answered likewise."""

    fresh: bool


@dataclass(frozen=True, slots=True)
class TakeOver:
    """Claim the login back in the page."""


@dataclass(frozen=True, slots=True)
class Unlink:
    """Log out in the page; answer with LogoutDone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopBrowser:
    """Stop the browser, by force at the deadline or `at_once`; answer with BrowserStopped."""

    at_once: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmTimer:
    """Cancel the phase timer and, unless seconds is None, arm it for this phase."""

    phase: Phase
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Deliver:
    """The session can send: resolve what is unknown, then send what is accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskQrWindow:
    """Ask the limiter for a QR window, the n-th of this life; QrGranted or QrRefused follows."""

    number: int


@dataclass(frozen=True, slots=True)
class RefreshQr:
    """Have the page show another code; QrIssued or QrNotRefreshed follows."""


@dataclass(frozen=True, slots=True)
class ForgetArchives:
    """The login has ended for good: what was kept of it must never come back."""


@dataclass(frozen=True, slots=True)
class Finish:
    """Write the last status and end the actor with the state's exit."""


Effect = (
    Launch
    | Open
    | Reload
    | TakeOver
    | Unlink
    | StopBrowser
    | ArmTimer
    | Deliver
    | AskQrWindow
    | RefreshQr
    | ForgetArchives
    | Finish
)
