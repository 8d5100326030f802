"""How often a session may look up whether a number is on WhatsApp: an exact sliding log.

WhatsApp blocks numbers that look many others up. A check is on the disk before the page is asked,
so that no restart lets more through, and is not given back: nobody can tell what was asked.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Final

import structlog

from actors.limiter_plan import settle, wait_ms
from storage.grants import Grant, GrantKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from actors.limiter_plan import Instant, Limit
    from storage.grants import GrantLog

log = structlog.get_logger(__name__)

KIND: Final = GrantKind.CONTACT_CHECK


class CheckCap:
    """The one of a node, used on the main loop; `instant` reads the clocks."""

    def __init__(self, *, grants: GrantLog, limit: Limit, instant: Callable[[], Instant]) -> None:
        self._grants = grants
        self._limit = limit
        self._instant = instant
        self._lock = asyncio.Lock()
        self._given: dict[str, list[Grant]] | None = None

    @property
    def most(self) -> int:
        """How many there may be in a period."""
        return self._limit.most

    async def take(self, session_id: str) -> int:
        """Count a check and return 0; or return the milliseconds to wait, and count nothing.

        Raises StoreError: then nothing may be asked, although it is counted.
        """
        async with self._lock:
            if self._given is None:
                self._given = await self._load()
            now, theirs = self._instant(), self._given.get(session_id, [])
            wait = wait_ms([grant.boot_ms for grant in theirs], now.boot_ms, [self._limit])
            if wait:
                log.warning("contact_check_refused", session_id=session_id, seconds=wait / 1000)
                return wait
            if over := self._over(theirs, now):
                await self._grants.drop_grants(over)
            grant = Grant(
                session_id=session_id,
                kind=KIND,
                key=secrets.token_hex(8),
                boot_id=now.boot_id,
                boot_ms=now.boot_ms,
                wall_ms=now.wall_ms,
            )
            # Whatever becomes of the write: one that was cut off may reach the disk.
            self._given[session_id] = [*(one for one in theirs if one not in over), grant]
            await self._grants.record_grant(grant)
            return 0

    async def _load(self) -> dict[str, list[Grant]]:
        now = self._instant()
        grants, moved = settle(await self._grants.grants(KIND), now)
        if moved:  # for good: another start of ours must not take them as new once more
            await self._grants.move_grants(moved)
            log.warning("contact_checks_counted_anew", count=len(moved))
        if over := self._over(grants, now):  # of sessions that look nobody up any more, too
            await self._grants.drop_grants(over)
        given: dict[str, list[Grant]] = {}
        for grant in grants:
            given.setdefault(grant.session_id, []).append(grant)
        return given

    def _over(self, grants: Iterable[Grant], now: Instant) -> list[Grant]:
        """Return those that count no more."""
        return [one for one in grants if now.boot_ms - one.boot_ms >= self._limit.period_ms]
