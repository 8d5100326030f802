"""Whether the process makes progress: both loops turn and the root supervisor lives.

/healthz asks here. It says nothing of WhatsApp: a fleet without a single connection is healthy.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

log = structlog.get_logger(__name__)

BEAT: Final = 0.5
STALLED_AFTER: Final = 10.0


class Pulse:
    """Beats on a loop; `age` tells how long ago it last did."""

    def __init__(self, name: str, gauge: Callable[[float], None]) -> None:
        self._name = name
        self._gauge = gauge
        self._last = time.monotonic()

    @property
    def age(self) -> float:
        """Seconds since the last beat."""
        return time.monotonic() - self._last

    async def beat(self) -> None:
        """Beat until cancelled; the gauge gets the loop's lag in seconds, beat by beat."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(BEAT)
            self._last = time.monotonic()
            lag = self._last - before - BEAT
            self._gauge(max(0.0, lag))
            if lag > 1.0:
                log.warning("loop_lagged", loop=self._name, seconds=round(lag, 3))
