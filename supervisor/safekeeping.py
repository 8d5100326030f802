"""The safekeeper: a snapshot of the database, time after time, for the boot that finds it damaged.

Each is made in a thread and in small steps, beside all who use the database. One that fails is told
and counted, and the next round tries again.
"""

from __future__ import annotations

import asyncio
import errno
import math
import threading
from typing import TYPE_CHECKING, Final

import structlog

from storage.space import Space
from storage.store import StoreBusy, StoreDamaged, StoreError, StoreFull

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.telemetry_safekeeping import SafekeepingTelemetry
    from storage.snapshots import SnapshotFile, Snapshots

log = structlog.get_logger(__name__)

FIRST: Final = 10.0
"""The first one comes soon after the start, but not into the middle of it."""
JITTER: Final = 0.1
"""Nodes that were started together do not stay together."""
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class Safekeeper:
    """Used on one loop. `interval` is in seconds, from one round's end to the next.

    While `space` says that the disk is low, no snapshot is taken.
    """

    def __init__(
        self,
        *,
        snapshots: Snapshots,
        telemetry: SafekeepingTelemetry,
        interval: float,
        now_ms: Callable[[], int],
        monotonic: Callable[[], float],
        uniform: Callable[[float, float], float],
        space: Space | None = None,
    ) -> None:
        self._snapshots = snapshots
        self._telemetry = telemetry
        self._interval = interval
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._uniform = uniform
        self._space = space or Space()
        self._halted = threading.Event()
        self._newest = -math.inf  # when it was taken, by the monotonic clock
        telemetry.snapshot_age.set_function(self.age)

    def age(self) -> float:
        """Return how old the newest snapshot is, in seconds; infinite without one."""
        return self._monotonic() - self._newest

    async def run(self) -> None:
        """Do round after round until cancelled; the first one when one is due."""
        try:
            await self._look()
            soon = min(FIRST, self._interval) * self._uniform(0, 1)
            await asyncio.sleep(max(soon, self._interval - self.age()))
            while True:
                try:
                    await self.round()
                except Exception:  # whatever it is, it must not end all later rounds
                    self._count("failed")
                    log.exception("snapshot_crashed")
                await asyncio.sleep(self._interval * self._uniform(1 - JITTER, 1 + JITTER))
        finally:
            self._halted.set()

    async def round(self) -> SnapshotFile | None:
        """Take one now; return it, or None if it could not be taken."""
        if (refused := self._space.refusal()) is not None:
            self._failed(StoreFull(refused))
            return None
        began = self._monotonic()
        work = asyncio.ensure_future(
            asyncio.to_thread(self._snapshots.take, self._now_ms(), self._halted.is_set)
        )
        try:
            taken = await asyncio.shield(work)
        except asyncio.CancelledError:
            # The thread is at work on files that others are about to let go of.
            self._halted.set()
            await asyncio.wait({work})
            raise
        except (StoreError, OSError) as error:
            self._failed(error)
            return None
        self._newest = began
        self._count("taken")
        log.info("snapshot_taken", seconds=round(self._monotonic() - began, 3))
        return taken

    async def _look(self) -> None:
        """Learn how old the newest one of an earlier life is; what the clock can't tell is old."""
        try:
            found = await asyncio.to_thread(self._snapshots.found)
        except OSError as error:
            self._failed(error)
            return
        if found:
            age = (self._now_ms() - found[0].taken_ms) / 1000
            self._newest = self._monotonic() - (age if age >= 0 else self._interval)

    def _failed(self, error: StoreError | OSError) -> None:
        result = _result(error)
        self._count(result)
        if result == "damaged":
            log.error("database_damaged", detail=str(error))
        else:
            code = getattr(error, "code", type(error).__name__)
            log.warning("snapshot_failed", cause=result, code=code, detail=str(error))

    def _count(self, result: str) -> None:
        self._telemetry.snapshots.labels(result=result).inc()


def _result(error: StoreError | OSError) -> str:
    match error:
        case StoreFull():
            return "full"
        case OSError() if error.errno in _FULL:
            return "full"
        case StoreBusy():
            return "busy"
        case StoreDamaged():
            return "damaged"
        case _:
            return "failed"
