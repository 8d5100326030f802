"""News of the event log: who follows it sleeps until events were committed (used on one loop)."""

from __future__ import annotations

import asyncio
from contextlib import suppress


class EventNews:
    """Counts the commits that appended events, and wakes whoever waits for the next one.

    It knows of this process's commits only. Whoever must not miss what another program appended
    (the command line beside a running node) reads again after a while, news or none.
    """

    def __init__(self) -> None:
        self._count = 0
        self._next = asyncio.Event()

    def tell(self) -> None:
        """Events were committed: wake all who wait."""
        self._count += 1
        woken, self._next = self._next, asyncio.Event()
        woken.set()

    async def beyond(self, seen: int, within: float) -> int:
        """Return the count once it is not `seen` any more, or as it is after `within` seconds."""
        if self._count == seen:
            with suppress(TimeoutError):
                async with asyncio.timeout(within):
                    await self._next.wait()
        return self._count
