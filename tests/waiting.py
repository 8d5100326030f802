"""Waiting for a condition with a deadline: the only way in which tests wait."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")
PATIENCE = 60.0
"""Seconds, no fewer than wafleet itself gives a browser (launch_timeout, open_timeout): what it
still waits for is no failure, and beside other tests a page takes its time."""
PROGRAM = 120.0
"""Seconds in which a program of ours that does one thing has ended."""
GLANCE = 0.005


def eventually(look: Callable[[], T], within: float = PATIENCE) -> T:
    """Return the first truthy thing that `look` returns, or fail with its last one."""
    deadline = time.monotonic() + within
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {within:g} s; last: {found!r}"
        time.sleep(GLANCE)


async def eventually_async(look: Callable[[], Awaitable[T]], within: float = PATIENCE) -> T:
    """Do the same with a coroutine function."""
    deadline = time.monotonic() + within
    while True:
        found = await look()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {within:g} s; last: {found!r}"
        await asyncio.sleep(GLANCE)
