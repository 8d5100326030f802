"""The limiter with a real store: what it allows, what survives, and what it tells."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pykka
import pytest

from actors.base import tell
from actors.bridge import Bridge, FutureReply
from actors.caps import Caps
from actors.limiter import LimiterActor, LimiterDeps
from actors.limiter_door import LimiterDoor
from actors.limiter_messages import QrLimited, QrWindowGranted, QrWindowWanted, TellQrLimit
from actors.limiter_plan import Limit
from actors.messages import ChildExited, Done, Refused, StopService
from actors.telemetry import Telemetry
from storage.events import EventType
from storage.grants import Grant, GrantKind
from storage.sqlite import SqliteStore, open_store
from supervisor.parts import instant, now_ms
from tests.integration.tenant_support import home_of
from tests.other_writer import other_writer
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from actors.limiter_plan import Instant
    from actors.send_plan import LeaseBook

pytestmark = pytest.mark.integration

FIVE = Limit(most=5, period_ms=3_600_000)
CAPS = Caps(
    minute=Limit(most=20, period_ms=62_000),
    hour=Limit(most=500, period_ms=3_602_000),
    day=Limit(most=5000, period_ms=86_402_000),
)


class Parent(pykka.ThreadingActor):
    """Hears of the limiter's end."""

    use_daemon_thread = True

    def __init__(self, exits: list[ChildExited]) -> None:
        super().__init__()
        self.exits = exits

    def on_receive(self, message: Any) -> None:
        if isinstance(message, ChildExited):
            self.exits.append(message)


class Fragile(LimiterActor):
    """Also crashes on cue."""

    def serve(self, message: Any) -> None:
        if isinstance(message, BaseException):
            raise message
        super().serve(message)


@dataclass
class Clock:
    """This machine's, and what the test adds to it."""

    boot_id: str = ""
    boot_ms: int = 0
    wall_ms: int = 0

    def __call__(self) -> Instant:
        now = instant()
        return replace(
            now,
            boot_id=self.boot_id or now.boot_id,
            boot_ms=now.boot_ms + self.boot_ms,
            wall_ms=now.wall_ms + self.wall_ms,
        )


@dataclass
class Desk:
    """A limiter that can be ended and started anew on the same store."""

    store: SqliteStore
    main: Bridge
    parent: pykka.ActorRef[Any]
    exits: list[ChildExited]
    clock: Clock = field(default_factory=Clock)
    limit: Limit = FIVE
    caps: Caps = CAPS
    door: LimiterDoor = field(default_factory=LimiterDoor)
    telemetry: Telemetry = field(default_factory=Telemetry)
    ref: Any = None

    @property
    def book(self) -> LeaseBook:
        return self.door.book

    def start(self) -> None:
        deps = LimiterDeps(
            main=self.main,
            grants=self.store,
            store=self.store,
            limit=self.limit,
            caps=self.caps,
            book=self.book,
            instant=self.clock,
            telemetry=self.telemetry,
        )
        self.ref = Fragile.start(child_id="limiter", incarnation=1, parent=self.parent, deps=deps)
        self.door.open(self.ref)

    async def end(self, how: object) -> None:
        before = len(self.exits)
        tell(self.ref, how)

        async def ended() -> bool:
            return len(self.exits) > before

        await eventually_async(ended)
        self.door.close()

    async def again(self, how: object = StopService()) -> None:
        await self.end(how)
        self.start()

    async def ask(self, session_id: str, key: str) -> Any:
        reply = FutureReply()
        tell(self.ref, QrWindowWanted(session_id=session_id, key=key, reply=reply))
        return await reply.wait(10)

    async def could(self, session_id: str) -> Any:
        reply = FutureReply()
        tell(self.ref, TellQrLimit(session_id=session_id, reply=reply))
        return await reply.wait(10)

    async def events(self, kind: EventType) -> list[dict[str, Any]]:
        return [dict(row.payload) for row in await self.store.all_events(types={kind})]


@asynccontextmanager
async def desk(tmp_path: Path, **changes: Any) -> AsyncIterator[tuple[Desk, str]]:
    """Run a limiter while the block runs; also yields the id of a session."""
    async with open_store(tmp_path / "db", busy_timeout_ms=200) as store:
        main = Bridge(asyncio.get_running_loop(), "main")
        exits: list[ChildExited] = []
        parent = Parent.start(exits)
        here = Desk(store=store, main=main, parent=parent, exits=exits, **changes)
        row, _ = await store.create_session(await home_of(store), "one", now_ms())
        here.start()
        try:
            yield here, row.id
            await here.end(StopService())
        finally:
            pykka.ActorRegistry.stop_all(timeout=5)
            await main.close(5)


async def test_five_windows_and_no_sixth_though_it_is_started_anew_in_between(
    tmp_path: Path,
) -> None:
    """However it ended: what it allowed is on the disk before anybody heard of it."""
    async with desk(tmp_path) as (here, one):
        for number in range(1, 6):
            assert await here.could(one) == Done()
            granted = await here.ask(one, str(number))
            assert granted == QrWindowGranted(used=number, most=5)
            await here.again(RuntimeError("x") if number % 2 else StopService())
        refused = await here.ask(one, "6")
        assert isinstance(refused, QrLimited)
        assert refused.code == "qr_limited"
        assert 3590 < refused.seconds <= 3600
        assert abs(refused.next_ms - (now_ms() + refused.seconds * 1000)) < 5000
        asked = await here.could(one)
        assert isinstance(asked, QrLimited)
        assert await here.ask(one, "3") == QrWindowGranted(used=5, most=5)  # one of those five
        opened = [{"action": "opened", "window": n, "limit": 5} for n in range(1, 6)]
        refusal = {
            "action": "refused",
            "cause": "qr_limited",
            "seconds": refused.seconds,
            "next_ms": refused.next_ms,
            "limit": 5,
        }

        async def told() -> bool:
            return await here.events(EventType.SESSION_QR) == [*opened, refusal]

        await eventually_async(told)
        value = here.telemetry.registry.get_sample_value
        labels = {"session": one, "result": "refused"}
        assert value("wafleet_qr_windows_total", labels) == 2.0


async def test_each_session_has_its_own_windows(tmp_path: Path) -> None:
    async with desk(tmp_path, limit=replace(FIVE, most=1)) as (here, one):
        row, _ = await here.store.create_session(await home_of(here.store), "two", now_ms())
        assert isinstance(await here.ask(one, "1"), QrWindowGranted)
        assert isinstance(await here.ask(one, "2"), QrLimited)
        assert isinstance(await here.ask(row.id, "1"), QrWindowGranted)


async def test_the_wall_clock_is_nothing_to_it_and_the_boot_clock_is(tmp_path: Path) -> None:
    async with desk(tmp_path, limit=replace(FIVE, most=1)) as (here, one):
        await here.ask(one, "1")
        for jump in (3_600_000, -3_600_000, 86_400_000):
            here.clock.wall_ms = jump
            refused = await here.ask(one, f"jump {jump}")
            assert isinstance(refused, QrLimited)
            assert 3590 < refused.seconds <= 3600
            await here.again()
        here.clock.boot_ms = 3_600_000
        assert isinstance(await here.ask(one, "2"), QrWindowGranted)


async def test_after_a_reboot_what_counted_counts_for_one_period_more(tmp_path: Path) -> None:
    """Once: another start in the same boot does not begin it anew. And an event tells of it."""
    async with desk(tmp_path, limit=replace(FIVE, most=1)) as (here, one):
        await here.ask(one, "1")
        await here.end(StopService())
        here.clock.boot_id, here.clock.wall_ms = "another", 10**10
        here.start()
        refused = await here.ask(one, "2")
        assert isinstance(refused, QrLimited)
        assert refused.seconds > 3590
        here.clock.boot_ms = 3_000_000
        await here.again()
        refused = await here.ask(one, "3")
        assert isinstance(refused, QrLimited)
        assert refused.seconds < 610
        assert await here.events(EventType.LIMITER) == [
            {"action": "counted_anew", "cause": "boot", "count": 1}
        ]


async def test_what_counts_no_more_is_taken_off_the_disk(tmp_path: Path) -> None:
    """By itself, when its time has come; and at the start."""
    async with desk(tmp_path, limit=Limit(most=5, period_ms=150)) as (here, one):
        await here.ask(one, "1")
        await eventually_async(lambda: _empty(here))
        await here.end(StopService())
        now = instant()
        old = Grant(
            session_id=one,
            kind=GrantKind.QR_WINDOW,
            key="old",
            boot_id=now.boot_id,
            boot_ms=now.boot_ms - 200,
            wall_ms=now.wall_ms,
        )
        await here.store.record_grant(old, EventType.SESSION_QR, {})
        here.start()
        await eventually_async(lambda: _empty(here))


async def _empty(here: Desk) -> bool:
    return await here.store.grants(GrantKind.QR_WINDOW) == []


async def test_while_the_database_is_locked_nothing_is_allowed(tmp_path: Path) -> None:
    """Who asks is told to ask again, counts once, and gets it when the lock is gone."""
    async with desk(tmp_path, limit=replace(FIVE, most=1)) as (here, one):
        await here.could(one)  # it has read its log
        async with other_writer(tmp_path / "db", "BEGIN EXCLUSIVE"):
            answer = await here.ask(one, "1")
            assert isinstance(answer, Refused)
            assert answer.code == "service_down"
            assert isinstance(await here.ask(one, "2"), QrLimited)  # "1" may be on the disk
        assert await here.ask(one, "1") == QrWindowGranted(used=1, most=1)
        assert len(await here.store.grants(GrantKind.QR_WINDOW)) == 1


async def test_a_limiter_that_can_not_read_its_log_answers_later_and_not_wrongly(
    tmp_path: Path,
) -> None:
    async with desk(tmp_path, limit=replace(FIVE, most=1)) as (here, one):
        await here.ask(one, "1")
        await here.end(StopService())
        broken = replace_grants(here)
        here.start()
        waiting = asyncio.create_task(here.ask(one, "2"))
        await eventually_async(lambda: _failed(broken))
        assert not waiting.done()
        broken.fails = False
        assert isinstance(await waiting, QrLimited)


@dataclass
class Failing:
    """A store whose log can't be read for a while; the rest is the real one's."""

    store: SqliteStore
    fails: bool = True
    failures: int = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def grants(self, kind: GrantKind) -> Any:
        if self.fails:
            self.failures += 1
            raise OSError("no")
        return await self.store.grants(kind)


def replace_grants(here: Desk) -> Failing:
    failing = Failing(here.store)
    here.store = failing  # type: ignore[assignment]
    return failing


async def _failed(failing: Failing) -> bool:
    return failing.failures > 0


async def test_who_still_waits_when_it_ends_is_told(tmp_path: Path) -> None:
    async with desk(tmp_path) as (here, one):
        await here.could(one)
        async with other_writer(tmp_path / "db", "BEGIN EXCLUSIVE"):
            waiting = asyncio.create_task(here.ask(one, "1"))
            await asyncio.sleep(0)
            await here.again(RuntimeError("x"))
            answer = await waiting
            assert isinstance(answer, Refused)
            assert answer.code == "service_down"
        granted = await here.ask(one, "1")
        assert isinstance(granted, QrWindowGranted)


async def test_a_session_that_was_deleted_meanwhile_is_nobodys_trouble(tmp_path: Path) -> None:
    async with desk(tmp_path, limit=Limit(most=5, period_ms=150)) as (here, one):
        await here.ask(one, "1")
        await here.store.delete_session(one, now_ms())
        answer = await here.ask(one, "2")
        assert isinstance(answer, Refused)
        await eventually_async(lambda: _empty(here))
