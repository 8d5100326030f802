"""What the limiter actor is asked and answers. Pure.

QR windows are limited by session, messages by phone number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from actors.messages import Done, Refused

if TYPE_CHECKING:
    from actors.messages import Reply
    from storage.grants import MessageGrant

TOLD_ONCE_IN: Final = {
    "minute": 3_600_000,
    "hour": 3_600_000,
    "day": 86_400_000,
    "warm_up": 86_400_000,
}
"""How often it is told, at most, that a session has reached a cap, in milliseconds.

That of a minute is no trouble, and comes and goes with every minute of a steady load: one event an
hour says that the number is held to it, and is not the log's main content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QrWindowWanted:
    """A session, through the root: it is at a QR code, and asks whether it may show it.

    Answered with QrWindowGranted once that is on the disk, with QrLimited, or with another Refused:
    ask again in a moment. `key` names the window: asking again for the same one counts once.
    """

    session_id: str
    key: str
    reply: Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class TellQrLimit:
    """The API: could this session open a window now? Answered with Done or QrLimited."""

    session_id: str
    reply: Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class QrWindowGranted(Done):
    """The window may be opened; it is the `used`-th of `most`."""

    used: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QrLimited(Refused):
    """The session has opened `most` windows; the next one is allowed in `seconds`, at `next_ms`.

    `next_ms` is in milliseconds since the epoch, as the wall clock goes now.
    """

    most: int
    seconds: float
    next_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SendWanted:
    """A session's courier, through the door, asks whether a message may be handed over now.

    Answered with SendGranted, SendLater, or another Refused (ask again in a moment). A number that
    was granted one is busy until its Over, or until `lease_seconds` have passed: one send at a time
    per number, whichever session of it asks. `first_contact`: this number has never written to this
    chat. Asking again under the same key asks for the same grant.
    """

    session_id: str
    number: str
    key: str
    first_contact: bool
    lease_seconds: float
    reply: Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class SendLater(Refused):
    """Not before `seconds` have passed. `window` says what binds.

    minute, hour, day: a cap; warm_up: the lower cap of a new number; pace: the delay between
    messages; busy: another message of the number is on its way, `seconds` is a guess.
    """

    seconds: float
    window: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SendGranted(Done):
    """It may be handed over, once `grant` is committed together with `sending`.

    `next` is what the number's next message waits for from now on, whichever it is, if the grant is
    used: to ask before is of no use. None if it waits for nothing.
    """

    grant: MessageGrant
    next: SendLater | None = None


@dataclass(frozen=True, slots=True)
class OversPut:
    """The door: a session has put an Over into the book, which is to be looked at now.

    Not answered. If it is lost with a limiter, the next one looks at the book.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class SendSlot:
    """A forecast: not before `seconds` from now; `window` binds, as in SendLater, None: nothing."""

    seconds: float
    window: str | None
