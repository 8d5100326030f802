"""The seams between log and feed: an event that falls into one is told all the same, once."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from api.event_stream import Stream, StreamRules
from api.feed import End, Feed, Subscription, Wanted
from storage.events import EventType
from storage.sqlite import SqliteStore, open_store
from tests.integration.tenant_support import NOW, home_of
from tests.waiting import PATIENCE, eventually_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from aiohttp import web

    from api.feed import Told

pytestmark = pytest.mark.integration


@dataclass
class Place:
    """A store with one session, and a feed of it."""

    store: SqliteStore
    home: str
    session: str
    feed: Feed

    async def happen(self, word: str) -> None:
        payload = {"action": "collect", "cause": word, "before": 1}
        await self.store.record_event(self.session, EventType.MEMORY, payload, NOW)

    async def caught_up(self) -> None:
        """Wait until the feed has handed out all that there is."""

        async def there() -> bool:
            return self.feed.position == await self.store.newest_event()

        await eventually_async(there)


@asynccontextmanager
async def place(folder: Path, log: Callable[[SqliteStore], Any]) -> AsyncIterator[Place]:
    async with open_store(folder / "wafleet.db") as store:
        home = await home_of(store)
        session, _ = await store.create_session(home, "a", NOW)
        feed = Feed(log(store))
        async with feed.running():
            yield Place(store, home, session.id, feed)


@dataclass
class Client:
    """An outlet that does something while it is first written to, and ends the stream at `last`."""

    subscription: Subscription
    meanwhile: Callable[[], Any]
    last: str
    heard: list[str] = field(default_factory=list)
    kind: str = "test"
    gone: bool = False

    @property
    def response(self) -> web.StreamResponse:
        raise NotImplementedError

    async def begin(self, position: str, heartbeat: float, heard: object) -> None:
        assert (len(position), heartbeat) == (26, StreamRules().heartbeat)
        assert heard == self.subscription.finish

    async def write(self, events: Sequence[Told]) -> None:
        if not self.heard:
            await self.meanwhile()
        self.heard += [told.row.payload["cause"] for told in events]
        if self.heard[-1] == self.last:
            self.subscription.finish(End.LEFT)

    async def beat(self, position: str) -> None:
        raise AssertionError(position)

    async def goodbye(self, end: End) -> None:
        raise AssertionError(end)

    def abort(self) -> None:
        raise AssertionError

    async def release(self) -> None:
        self.kind = "released"


async def test_what_happens_while_the_log_is_read_comes_once(tmp_path: Path) -> None:
    """Committed after the page was read, handed out by the feed before the stream follows it."""
    async with place(tmp_path, lambda store: store) as here:
        start = str(await here.store.newest_event())
        await here.happen("before")
        subscription = here.feed.subscribe(Wanted(workspace_id=here.home))

        async def meanwhile() -> None:
            await here.happen("between")
            await here.caught_up()

        client = Client(subscription, meanwhile, "after")

        async def holds() -> bool:
            return True

        stream = Stream(
            events=here.store,
            feed=here.feed,
            workspace_id=here.home,
            subscription=subscription,
            outlet=client,
            rules=StreamRules(),
            key_holds=holds,
        )
        running = asyncio.create_task(stream.run(start))

        async def between() -> bool:
            return "between" in client.heard

        await eventually_async(between)
        await here.happen("after")
        assert await asyncio.wait_for(running, PATIENCE) is End.LEFT
        assert client.heard == ["before", "between", "after"]
        assert (client.kind, stream.written) == ("released", 3)


class SlowLog:
    """The log, but where it ends is told only when the gate is open."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def newest_event(self) -> str | None:
        self.asked += 1
        await self.gate.wait()
        return await self._store.newest_event()


async def test_who_comes_while_nobody_listened_misses_nothing(tmp_path: Path) -> None:
    """The feed skips what nobody wants: not what happens once somebody does."""
    logs: list[SlowLog] = []

    def slow(store: SqliteStore) -> SlowLog:
        logs.append(SlowLog(store))
        return logs[0]

    async with place(tmp_path, slow) as here:
        [log] = logs
        await here.caught_up()
        log.gate.clear()
        asked = log.asked
        await here.happen("unheard")

        async def looking() -> bool:
            return log.asked > asked

        await eventually_async(looking)
        subscription = here.feed.subscribe(Wanted())
        subscription.open()
        await here.happen("heard")
        log.gate.set()
        await here.caught_up()
        told = [each.row.payload["cause"] for each in subscription.take()]
        assert told[-1:] == ["heard"]
        here.feed.leave(subscription)


async def test_a_feed_that_is_closed_takes_nobody(tmp_path: Path) -> None:
    async with place(tmp_path, lambda store: store) as here:
        before = here.feed.subscribe(Wanted())
        here.feed.close()
        after = here.feed.subscribe(Wanted())
        assert before.end is after.end is End.SHUTDOWN


async def test_what_another_program_appends_is_read_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.feed.PATIENCE", 0.05)
    async with (
        place(tmp_path, lambda store: store) as here,
        open_store(tmp_path / "wafleet.db") as other,
    ):
        subscription = here.feed.subscribe(Wanted())
        subscription.open()
        payload = {"action": "collect", "cause": "elsewhere", "before": 1}
        await other.record_event(here.session, EventType.MEMORY, payload, NOW + 10_000)
        await subscription.wait(PATIENCE)
        assert [told.row.payload["cause"] for told in subscription.take()] == ["elsewhere"]
        here.feed.leave(subscription)
