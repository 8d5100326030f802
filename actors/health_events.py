"""What the plan of a session's health hears and says: events and actions. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actors.browser.driver import PageView
    from actors.outages import Outage, Repair, Rung

# ---- events --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Up:
    """There is a browser."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """The session entered or left CONNECTED, or the phases in which its page must answer."""

    connected: bool
    watched: bool


@dataclass(frozen=True, slots=True)
class BrowserAnswered:
    """The answer to AskBrowser, or to ArmBeat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageAnswered:
    """The answer to AskPage; no view if the adapter did not run."""

    view: PageView | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Silent:
    """AskBrowser, ArmBeat or AskPage was not answered in time."""

    rung: Rung


@dataclass(frozen=True, slots=True)
class Void:
    """It was answered by something that says nothing of its rung: a page on its way, a stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Freed:
    """The answer to FreePage: whether the page gave a sign of life."""

    alive: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """WhatsApp's server spoke; with an `ack` to an own message."""

    ack: bool


@dataclass(frozen=True, slots=True)
class CheckDue:
    """The timer of the last ArmCheck ran out."""


class Verdict(StrEnum):
    """What became of a note."""

    ACKED = "acked"
    OLD = "old"  # the one before had arrived some time ago; the next one will tell
    REFUSED = "refused"  # by the server, which thereby spoke
    SILENT = "silent"
    IMPOSSIBLE = "impossible"  # it can't be written, or not be deleted again
    LATER = "later"  # not now: the page was not connected, or on its way


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """The answer to Probe."""

    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Somebody found that the session does not work; `cause` is a reason code."""

    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A well session is not well any more; `lasting` if nothing but a person can mend that."""

    cause: str
    detail: str | None = None
    lasting: bool = False


@dataclass(frozen=True, slots=True)
class Well:
    """The session is connected, and what was in doubt is proven."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """The incarnation ends: to be started `again` for this cause, or for good."""

    cause: str
    again: bool


PlanEvent = (
    Up
    | Moved
    | BrowserAnswered
    | PageAnswered
    | Silent
    | Void
    | Freed
    | Heard
    | CheckDue
    | Probed
    | Trouble
    | Lost
    | Well
    | Leaving
)


# ---- actions -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AskBrowser:
    """Answer with BrowserAnswered, Silent or Void."""


@dataclass(frozen=True, slots=True)
class AskPage:
    """Answer with PageAnswered, Silent or Void."""


@dataclass(frozen=True, slots=True)
class FreePage:
    """End what the page is busy with; answer with Freed."""


@dataclass(frozen=True, slots=True)
class Probe:
    """Write a note to self; answer with Probed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmBeat:
    """Ask the browser as AskBrowser does, in these seconds."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmCheck:
    """Forget the check's timer, if it is armed, and arm it for these seconds, unless None."""

    seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """The session is not to be called connected while its page is being looked after."""

    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sicken:
    """The session is connected, but not well, for this reason; None takes that back."""

    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mend:
    """Load the page anew, or start the browser anew."""

    repair: Repair
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tell:
    """Write into the log of events: `action` is lost, recovered or ended."""

    action: str
    outage: Outage
    repair: Repair
    seconds: float


Action = (
    AskBrowser | AskPage | FreePage | Probe | ArmBeat | ArmCheck | Suspect | Sicken | Mend | Tell
)
