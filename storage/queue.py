"""The Queue port: what waits in a session to be sent, in the order in which it would be.

That order is: conversations before bulk, in each those without a time to be sent first, then by
that time, and as they were accepted. A chat that is held up lets others go ahead, and bulk is never
starved; so a place in it says where a message stands, not that none behind it goes first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storage.messages import MessageRow

MOST_BEFORE: Final = 10_000
"""As far as `waiting_before` counts."""


class Queue(Protocol):
    """Reading only. A session that is not there has an empty queue."""

    async def queue_depth(self, session_id: str) -> int:
        """Return how many messages wait."""

    async def queue_page(
        self, session_id: str, *, after: int = 0, limit: int = 100
    ) -> Sequence[MessageRow]:
        """Return those behind the first `after`, in order."""

    async def waiting_before(self, message_id: str) -> int | None:
        """Return how many wait before it, at most MOST_BEFORE; None if it does not wait."""
