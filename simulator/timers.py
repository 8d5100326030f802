"""Delayed calls that can all be cancelled together, so that a stopped simulator stays stopped."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


TIDY_AT = 10_000


class Timers:
    """Runs plain functions later on the running loop; delays are seconds."""

    def __init__(self) -> None:
        self._handles: set[asyncio.TimerHandle] = set()

    def later(self, delay: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        """Call once after ``delay``; cancel through the returned handle or ``cancel_all``."""
        loop = asyncio.get_running_loop()

        def run() -> None:
            self._handles.discard(handle)
            call()

        handle = loop.call_later(max(0.0, delay), run)
        self._handles.add(handle)
        # handles that were cancelled elsewhere pile up
        if len(self._handles) > TIDY_AT:
            self._handles = {h for h in self._handles if not h.cancelled()}
        return handle

    def cancel_all(self) -> None:
        for handle in self._handles:
            handle.cancel()
        self._handles.clear()
