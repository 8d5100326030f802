"""One stream of events, from its place in the log to its end."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from api.feed import PAGE, End, Told
from storage.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from api.feed import Feed, Subscription
    from api.stream_outlets import Outlet
    from storage.events import EventLog

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRules:
    """What streams keep to; times in seconds. All but `glance` are settings.

    `heartbeat` is how often a stream shows that it lives, and its key is checked; `glance` how
    often it looks whether a client that nothing is written to has left; `write` how long a client
    may take to make room for more, `goodbye` to take the reason of the end; `ping` how often a
    WebSocket's client is pinged; `shutdown` how long all may take to end when the node stops.
    `room` is how many events are kept for a slow one, `most` how many may be open.
    """

    heartbeat: float = 15.0
    glance: float = 2.0
    write: float = 10.0
    ping: float = 20.0
    goodbye: float = 5.0
    shutdown: float = 2.0
    room: int = 2_000
    most: int = 500
    most_per_workspace: int = 100


class Stream:
    """Reads the log up to its end, then follows the feed; writes what is wanted to the outlet."""

    def __init__(
        self,
        *,
        events: EventLog,
        feed: Feed,
        workspace_id: str,
        subscription: Subscription,
        outlet: Outlet,
        rules: StreamRules,
        key_holds: Callable[[], Awaitable[bool]],
    ) -> None:
        self._log = events
        self._feed = feed
        self._workspace_id = workspace_id
        self._subscription = subscription
        self._outlet = outlet
        self._rules = rules
        self._key_holds = key_holds
        self._last = ""
        self._due = 0.0
        self.written = 0

    async def run(self, last: str) -> End:
        """Write all that comes after the id `last`; return why that ended, which the client knows.

        Only a client that takes nothing any more is not told: its connection is dropped. No error
        leaves this but a cancellation: the answer has begun, so nothing can be refused.
        """
        self._last = last
        try:
            end = await self._follow()
        except TimeoutError:
            # Nothing may be written after a write that was given up: aiohttp would wait for what
            # was cancelled with it.
            self._outlet.abort()
            return End.TOO_SLOW
        except ConnectionResetError:
            end = End.LEFT
        except StoreError as error:
            log.warning("store_failed", code=error.code, route="/v1/events")
            end = End.FAILED
        except Exception:  # the border: as anywhere else, but the client is told in the stream
            log.exception("stream_failed", kind=self._outlet.kind)
            end = End.FAILED
        finally:
            await self._outlet.release()
        if end is not End.LEFT:
            await self._goodbye(end)
        return end

    async def _follow(self) -> End:
        rules, subscription = self._rules, self._subscription
        async with asyncio.timeout(rules.write):
            await self._outlet.begin(self._last, rules.heartbeat, subscription.finish)
        self._due = time.monotonic() + rules.heartbeat
        await self._read_on()
        # From here on nothing is missed; what was committed while the above ended is read once
        # more from the log, and passed over when the feed brings it, too.
        subscription.open()
        await self._read_on()
        while subscription.end is None:
            await self._write([t for t in subscription.take() if t.row.id > self._last])
            if not await self._beat():
                return End.KEY_REFUSED
            await subscription.wait(min(rules.glance, self._due - time.monotonic()))
            if self._outlet.gone:
                return End.LEFT
        return subscription.end

    async def _read_on(self) -> None:
        """Go through the log to its end, page by page, as fast as the client reads.

        Types are chosen here: for a rare one the log would be searched to its end in one query.
        """
        wanted = self._subscription.wanted
        while self._subscription.end is None:
            rows = await self._log.events(
                self._workspace_id, after=self._last, limit=PAGE, session_id=wanted.session_id
            )
            await self._write([Told(row) for row in rows if wanted.takes(row)])
            if rows:
                self._last = rows[-1].id
            if len(rows) < PAGE:
                return
            if not await self._beat():
                self._subscription.finish(End.KEY_REFUSED)

    async def _write(self, events: Sequence[Told]) -> None:
        if not events:
            return
        async with asyncio.timeout(self._rules.write):
            await self._outlet.write(events)
        self._last = events[-1].row.id
        self.written += len(events)

    async def _beat(self) -> bool:
        """Show life if it is time to; False if the key does not hold any more."""
        if time.monotonic() < self._due:
            return True
        if not await self._key_holds():
            return False
        if self._subscription.up_to_date:
            # What the feed has handed out and nobody here wanted need not be read again.
            self._last = max(self._last, self._feed.position)
        async with asyncio.timeout(self._rules.write):
            await self._outlet.beat(self._last)
        self._due = time.monotonic() + self._rules.heartbeat
        return True

    async def _goodbye(self, end: End) -> None:
        try:
            async with asyncio.timeout(self._rules.goodbye):
                await self._outlet.goodbye(end)
        except (TimeoutError, ConnectionResetError):
            self._outlet.abort()
