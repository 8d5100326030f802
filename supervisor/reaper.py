"""As PID 1 of a container we inherit every orphan of the machine's part that we are in.

A browser's helpers outlive their parent by moments when it is killed; then they are ours, and stay
zombies until somebody asks how they ended. Elsewhere init does that.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import structlog

from actors.browser import procfs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

log = structlog.get_logger(__name__)

INTERVAL: Final = 1.0
"""Seconds between two looks. A child of our own making is reaped by its owner within milliseconds,
so that what is a zombie in two looks in a row has no owner."""


def zombies(parent: int) -> frozenset[tuple[int, int]]:
    """Return (pid, start time) of the dead children that nobody has asked for yet."""
    return frozenset(
        (each.pid, each.started)
        for each in procfs.processes()
        if each.parent == parent and each.state == "Z"
    )


class Reaper:
    """Reaps orphans; used on one loop."""

    def __init__(self, parent: int, count: Callable[[int], None]) -> None:
        """`parent` is our own pid; `count` is told how many were reaped."""
        self._parent = parent
        self._count = count
        self._seen: frozenset[tuple[int, int]] = frozenset()

    async def work(self) -> None:
        """Reap until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL)
            now = await asyncio.to_thread(zombies, self._parent)
            lost = now & self._seen
            self._seen = now - lost
            for pid, _ in lost:
                self._reap(pid)

    def _reap(self, pid: int) -> None:
        try:
            reaped, _ = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            return  # its owner was slow, but not too slow
        if reaped:
            self._count(1)
            log.debug("orphan_reaped", pid=pid)


@asynccontextmanager
async def reaping(count: Callable[[int], None]) -> AsyncIterator[None]:
    """Reap orphans while the block runs, if we are PID 1; the kernel gives them to nobody else."""
    if os.getpid() != 1:
        yield
        return
    task = asyncio.create_task(Reaper(1, count).work())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
