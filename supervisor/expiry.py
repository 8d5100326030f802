"""The expirer: messages whose time is over expire, whatever becomes of their sessions meanwhile.

No session has to run for it. That none is sent late is not its business: a claim looks for itself.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from storage.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from storage.store import Store

log = structlog.get_logger(__name__)

INTERVAL: Final = 1.0
"""Seconds; a look costs next to nothing while nothing expires."""
BATCH: Final = 100


class Expirer:
    """Used on the loop of the store."""

    def __init__(
        self, *, store: Store, now_ms: Callable[[], int], interval: float = INTERVAL
    ) -> None:
        self._store = store
        self._now_ms = now_ms
        self._interval = interval

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while True:
            try:
                await self.round()
            except Exception:  # whatever it is, it must not end all later rounds
                log.exception("expiry_crashed")
            await asyncio.sleep(self._interval)

    async def round(self) -> int:
        """Let all expire whose time is over now; return how many did."""
        total, now_ms = 0, self._now_ms()
        try:
            while True:
                count = await self._store.expire_messages(now_ms, BATCH)
                total += count
                if count < BATCH:
                    break
        except StoreError as error:
            log.warning("expiry_failed", code=error.code)
        if total:
            log.info("messages_expired", count=total)
        return total
