"""The two clocks that the simulator reads, passed in so that pure parts can be tested."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Clock:
    """``now_ms`` is wall time in milliseconds, ``monotonic_ns`` never goes back."""

    now_ms: Callable[[], int] = _wall_ms
    monotonic_ns: Callable[[], int] = time.monotonic_ns
