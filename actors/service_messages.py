"""What the memory and the janitor actor are told.

What they say to sessions is in actors.care_messages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from actors.messages import Begin, Outcome, TimerFired

if TYPE_CHECKING:
    from actors.messages import Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionEnded:
    """A session: the collection is over, after so many seconds; `code` says what failed, if so."""

    session_id: str
    incarnation: int
    seconds: float
    code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecycleAnswered:
    """The root, by way of a MailReply: whether the recycle that was asked for has begun."""

    session_id: str
    incarnation: int
    answer: Answer


JanitorMessage = Begin | Outcome | TimerFired | RecycleAnswered
MemoryMessage = JanitorMessage | CollectionEnded
