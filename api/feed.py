"""The feed: one reader of the event log for all who follow it live.

It sleeps until events are committed, reads them once, and hands each to those who want it. Readers
never make it wait: what one has not taken yet is kept up to a limit, and whoever is further behind
than that is cut off. Nothing is lost by that: the log has it, and whoever comes back with the last
id seen reads on from there.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Final

import structlog

from api.views import event_out
from storage.store import StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from storage.events import EventLog, EventRow

log = structlog.get_logger(__name__)

BEGINNING: Final = "0" * 26
"""The id before all others: the place of whoever has seen nothing in an empty log."""
ROOM: Final = 2_000
"""How many events are kept for a reader that has not taken them yet."""
PAGE: Final = 500
PATIENCE: Final = 5.0
"""Seconds after which the log is read without news: other programs append to it, too."""
_RETRY: Final = 1.0
_KEEP_UP: Final = 1.0
"""Seconds by which the feed may be behind while nobody reads."""


class End(StrEnum):
    """Why a reader is told no more; all but the first are told to whoever reads."""

    LEFT = "left"
    TOO_SLOW = "too_slow"
    SHUTDOWN = "shutdown"
    KEY_REFUSED = "key_refused"
    FAILED = "failed"
    UNEXPECTED_DATA = "unexpected_data"


@dataclass(frozen=True)
class Told:
    """One event on its way; its JSON is made once for all who get it."""

    row: EventRow

    @cached_property
    def json(self) -> str:
        return event_out(self.row).model_dump_json(by_alias=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which events a reader gets; what is None or empty does not restrict them.

    `visible` are the only sessions that the reader may know of.
    """

    workspace_id: str | None = None
    session_id: str | None = None
    types: frozenset[str] = frozenset()
    visible: frozenset[str] | None = None

    def takes(self, row: EventRow) -> bool:
        """Tell whether this event is wanted."""
        return (
            self.workspace_id in {None, row.workspace_id}
            and self.session_id in {None, row.session_id}
            and (not self.types or row.type in self.types)
            and (self.visible is None or row.session_id in self.visible)
        )


class Subscription:
    """What one reader has not taken yet. It gets nothing before `open`."""

    def __init__(self, wanted: Wanted, room: int) -> None:
        self.wanted: Final = wanted
        self.end: End | None = None
        self._room = room
        self._opened = False
        self._events: deque[Told] = deque()
        self._woken = asyncio.Event()

    def open(self) -> None:
        """From now on events are kept for the reader."""
        self._opened = True

    def offer(self, told: Told) -> bool:
        """Keep an event if it is wanted; False if that was one too many, and the reader is cut off.

        What was kept for a reader that is cut off is dropped at once.
        """
        if not self._opened or self.end is not None or not self.wanted.takes(told.row):
            return True
        if len(self._events) >= self._room:
            self._events.clear()
            self.finish(End.TOO_SLOW)
            return False
        self._events.append(told)
        self._woken.set()
        return True

    def take(self) -> list[Told]:
        """Return what came since the last time."""
        events = list(self._events)
        self._events.clear()
        self._woken.clear()
        if self.end is not None:
            self._woken.set()
        return events

    @property
    def up_to_date(self) -> bool:
        """Whether the reader has taken all that the feed has handed out."""
        return self._opened and not self._events and self.end is None

    def finish(self, end: End) -> None:
        """Let the reader end; the first reason counts."""
        if self.end is None:
            self.end = end
        self._woken.set()

    async def wait(self, within: float) -> None:
        """Return when there is something to take, the end has come, or the seconds have passed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._woken.wait()


class Feed:
    """Used on the loop of the store; `running` keeps it going."""

    def __init__(self, events: EventLog, *, room: int = ROOM) -> None:
        self._log = events
        self._room = room
        self._subscriptions: set[Subscription] = set()
        self._position = BEGINNING
        self._joined = asyncio.Event()
        self._closed = False

    @property
    def position(self) -> str:
        """The id of the last event that was handed out: up to there subscriptions have them all."""
        return self._position

    @property
    def closed(self) -> bool:
        """Whether the node stops, and nobody is told anything any more."""
        return self._closed

    def subscribe(self, wanted: Wanted) -> Subscription:
        """Return a new subscription; give it back with `leave`."""
        subscription = Subscription(wanted, self._room)
        self._subscriptions.add(subscription)
        self._joined.set()
        if self._closed:
            subscription.finish(End.SHUTDOWN)
        return subscription

    def leave(self, subscription: Subscription) -> None:
        self._subscriptions.discard(subscription)

    def close(self) -> None:
        """Let every reader end, those who come later too: the node stops."""
        self._closed = True
        for subscription in self._subscriptions:
            subscription.finish(End.SHUTDOWN)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow the log, from its end as it is now, while the block runs. Raises StoreErrors."""
        self._position = await self._log.newest_event() or BEGINNING
        task = asyncio.create_task(self._follow())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def _follow(self) -> None:
        seen = 0
        while True:
            try:
                await self._catch_up()
            except StoreError as error:
                log.warning("feed_not_read", code=error.code)
                await asyncio.sleep(_RETRY)
            except Exception:  # whatever it is, it must not silence the feed for good
                log.exception("feed_failed")
                await asyncio.sleep(_RETRY)
            else:
                await self._while_nobody_reads()
                seen = await self._log.event_news(seen, PATIENCE)

    async def _while_nobody_reads(self) -> None:
        """A node without readers does not look at each event; it only keeps up."""
        self._joined.clear()
        if not self._subscriptions:
            with suppress(TimeoutError):
                async with asyncio.timeout(_KEEP_UP):
                    await self._joined.wait()

    async def _catch_up(self) -> None:
        if not self._subscriptions:
            newest = await self._log.newest_event() or BEGINNING
            if not self._subscriptions:  # else somebody came meanwhile, who is owed what was new
                self._position = max(self._position, newest)
                return
        rows = None
        while rows is None or len(rows) == PAGE:
            rows = await self._log.all_events(after=self._position, limit=PAGE)
            for row in rows:
                self._hand_out(Told(row))
            if rows:
                self._position = rows[-1].id

    def _hand_out(self, told: Told) -> None:
        for subscription in self._subscriptions:
            if not subscription.offer(told):
                log.warning("reader_cut_off", code=End.TOO_SLOW, limit=self._room)
