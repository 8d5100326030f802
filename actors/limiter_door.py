"""The way to the node's limiter, whichever incarnation of it runs; used from any thread.

The root opens it at each start of the limiter and closes it at its end. Without it every question
of a session and every answer would wake the root, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors import send_plan as planner
from actors.base import tell
from actors.limiter_messages import OversPut, SendSlot
from actors.send_plan import LeaseBook

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pykka import ActorRef

    from actors.caps import Caps, Turn
    from actors.limiter_messages import SendWanted
    from actors.limiter_plan import Instant
    from actors.send_plan import Over


class LimiterDoor:
    """What sessions know of the limiter; it and its `book` outlive each of them."""

    def __init__(self) -> None:
        self.book = LeaseBook()
        self._ref: ActorRef[Any] | None = None

    def open(self, ref: ActorRef[Any]) -> None:
        """A limiter was started."""
        self._ref = ref

    def close(self) -> None:
        """It has ended."""
        self._ref = None

    def ask(self, wanted: SendWanted) -> bool:
        """Put a question; False while there is nobody to answer it: ask again in a moment."""
        return self._tell(wanted)

    def over(self, over: Over) -> None:
        """Note that a hand-over has ended; heard in any case, if need be by the next limiter."""
        self.book.over.append(over)
        self._tell(OversPut())

    def _tell(self, message: SendWanted | OversPut) -> bool:
        ref = self._ref
        return ref is not None and tell(ref, message)


class Forecasts:
    """When numbers may send, from what the limiter knew last."""

    def __init__(self, *, book: LeaseBook, caps: Caps, instant: Callable[[], Instant]) -> None:
        self._book = book
        self._caps = caps
        self._instant = instant

    def slots(self, number: str, ahead: int, count: int) -> Sequence[SendSlot]:
        """Return when `count` messages may go that have `ahead` of their number before them.

        At the earliest, if the others do. Empty while no limiter has read its log: nobody knows.
        """
        sends = self._book.sends
        if sends is None:
            return ()
        now = self._instant().boot_ms
        turns = planner.forecast(sends, number, self._caps, now, ahead, count)
        return tuple(_slot(turn, now) for turn in turns)


def _slot(turn: Turn, now_ms: int) -> SendSlot:
    wait = turn.at - now_ms
    if wait <= 0:
        return SendSlot(seconds=0, window=None)
    return SendSlot(seconds=wait / 1000, window=turn.window)
