"""What the limiter actor is asked and answers. Pure.

Here with the limit of QR windows; the caps of messages come into the same place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from actors.messages import Done, Refused

if TYPE_CHECKING:
    from actors.messages import Reply


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
