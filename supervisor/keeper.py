"""The keeper: what outlived its workspace's times to live goes, round after round, bit by bit.

A round takes bounded batches with a pause after each, so that others get their turn at the
database. Pointers to files go first, then the files; what a crash leaves between the two is swept
at the next start. A round that fails is told, and the next one tries again: nothing waits for it.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from storage.store import StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from actors.telemetry import Telemetry
    from storage.media import MediaStore
    from storage.privacy import Privacy

log = structlog.get_logger(__name__)

FIRST: Final = 10.0
"""The first round comes soon after the start, but not into the middle of it."""
JITTER: Final = 0.1
"""Nodes that were started together do not stay together."""
BATCH: Final = 100
"""Holds the database for some 6 ms: less than what a message's way to the page may take."""
PAUSE: Final = 0.05
"""Far longer than a batch, so that even another process, which can't queue up, gets its turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What a round took; `files_left` are files that it could not remove."""

    messages: int = 0
    media: int = 0
    events: int = 0
    files_left: int = 0


class Rounds(Protocol):
    """Work that goes on, round after round, for as long as a node runs."""

    async def run(self) -> None:
        """Do round after round until cancelled."""


class Keeper:
    """Used on the loop of the store. `interval` is in seconds, from one round's end to the next."""

    def __init__(
        self,
        *,
        privacy: Privacy,
        media: MediaStore,
        telemetry: Telemetry,
        interval: float,
        now_ms: Callable[[], int],
        uniform: Callable[[float, float], float],
    ) -> None:
        self._privacy = privacy
        self._media = media
        self._counter = telemetry.retention_removed
        self._interval = interval
        self._now_ms = now_ms
        self._uniform = uniform

    async def run(self) -> None:
        """Do round after round until cancelled."""
        await asyncio.sleep(min(FIRST, self._interval) * self._uniform(0, 1))
        while True:
            try:
                await self.round()
            except Exception:  # whatever it is, it must not end all later rounds
                log.exception("retention_crashed")
            await asyncio.sleep(self._interval * self._uniform(1 - JITTER, 1 + JITTER))

    async def round(self) -> Removed:
        """Take all that is too old now; return what was taken, also if a batch failed."""
        began, now_ms, total, more = time.monotonic(), self._now_ms(), Removed(), True
        try:
            while more:
                total, more = await self._batch(now_ms, total)
                await asyncio.sleep(PAUSE if more else 0)
        except StoreError as error:
            log.warning("retention_failed", code=error.code)
        if total != Removed():
            log.info(
                "retention_ended",
                messages_removed=total.messages,
                media_removed=total.media,
                events_removed=total.events,
                files_left=total.files_left,
                seconds=round(time.monotonic() - began, 3),
            )
        return total

    async def _batch(self, now_ms: int, total: Removed) -> tuple[Removed, bool]:
        purged = await self._privacy.purge_expired(now_ms, BATCH)
        left = await self._media.discard(purged.media) if purged.media else ()
        for kind, count in (
            ("messages", purged.messages),
            ("media", len(purged.media)),
            ("events", purged.events),
        ):
            self._counter.labels(kind=kind).inc(count)
        total = Removed(
            messages=total.messages + purged.messages,
            media=total.media + len(purged.media),
            events=total.events + purged.events,
            files_left=total.files_left + len(left),
        )
        return total, purged.more


@asynccontextmanager
async def keeping(keeper: Rounds) -> AsyncIterator[None]:
    """Let a keeper work while the block runs. At its end what is under way is broken off."""
    task = asyncio.create_task(keeper.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
