"""The limiter's messages with a real store: what a number may send, what survives, what is told."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from actors.base import tell
from actors.bridge import FutureReply
from actors.caps import Pace
from actors.limiter_door import Forecasts
from actors.limiter_messages import (
    SendGranted,
    SendLater,
    SendSlot,
    SendWanted,
)
from actors.limiter_plan import Limit
from actors.messages import StopService
from actors.send_plan import Over
from storage.events import EventType
from storage.grants import Forgotten, MessageGrant
from storage.sqlite.backup import doubt_accepted
from storage.store import SessionStatus, StatusChange, StoreError
from supervisor.parts import instant
from tests.integration.outbox_support import claim_next
from tests.integration.tenant_support import home_of, outbound
from tests.integration.test_limiter import CAPS, Desk, desk
from tests.other_writer import other_writer
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from pathlib import Path

    from actors.caps import Caps

pytestmark = pytest.mark.integration

ONE = "15550100001"
TWO = "15550100002"


async def want(
    here: Desk, session: str, key: str, *, number: str = ONE, first: bool = False
) -> Any:
    reply = FutureReply()
    wanted = SendWanted(
        session_id=session,
        number=number,
        key=key,
        first_contact=first,
        lease_seconds=60,
        reply=reply,
    )
    tell(here.ref, wanted)
    return await reply.wait(10)


def over(here: Desk, key: str, *, number: str = ONE, committed: bool = True) -> None:
    here.door.over(Over(number=number, key=key, committed=committed))


async def send(here: Desk, session: str, key: str, *, number: str = ONE) -> None:
    """Send one as a courier does: the grant is on the disk before the page hears of it."""
    granted = await want(here, session, key, number=number)
    assert isinstance(granted, SendGranted), granted
    await here.store.record_message_grant(granted.grant)
    over(here, key, number=number)
    await here.could(session)  # by then it has heard of it


async def refused(here: Desk, session: str, key: str, *, number: str = ONE) -> SendLater:
    answer = await want(here, session, key, number=number)
    assert isinstance(answer, SendLater), answer
    return answer


async def test_the_twenty_first_of_a_minute_waits_however_often_it_is_started_anew(
    tmp_path: Path,
) -> None:
    async with desk(tmp_path) as (here, one):
        for number in range(20):
            await send(here, one, str(number))
            if number % 7 == 0:
                await here.again(RuntimeError("x") if number else StopService())
        later = await refused(here, one, "x")
        assert (later.code, later.window) == ("send_later", "minute")
        assert 55 < later.seconds <= 62
        await here.again()
        again = await refused(here, one, "x")
        assert later.seconds - 5 < again.seconds <= later.seconds
        await send(here, one, "y", number=TWO)
        here.clock.boot_ms += 62_000
        await send(here, one, "x")
        value = here.telemetry.registry.get_sample_value
        assert value("wafleet_sends_total", {"session": one, "result": "granted"}) == 22.0
        assert value("wafleet_sends_held_total", {"window": "minute"}) == 2.0


async def test_two_sessions_of_one_number_share_its_caps(tmp_path: Path) -> None:
    async with desk(tmp_path, caps=replace(CAPS, minute=replace(CAPS.minute, most=2))) as (
        here,
        one,
    ):
        row, _ = await here.store.create_session(await home_of(here.store), "two", 1)
        granted = await want(here, one, "1")
        busy = await refused(here, row.id, "2")
        assert (busy.window, busy.seconds) == ("busy", 0.25)
        await here.store.record_message_grant(granted.grant)
        over(here, "1")
        await send(here, row.id, "2")
        assert (await refused(here, one, "3")).window == "minute"
        assert (await refused(here, row.id, "3")).window == "minute"


async def test_the_wall_clock_is_nothing_to_it(tmp_path: Path) -> None:
    async with desk(tmp_path, caps=replace(CAPS, minute=replace(CAPS.minute, most=1))) as (
        here,
        one,
    ):
        await send(here, one, "1")
        for jump in (86_400_000 * 400, -86_400_000 * 400):
            here.clock.wall_ms = jump
            assert 55 < (await refused(here, one, "2")).seconds <= 62
            await here.again()
            assert 55 < (await refused(here, one, "2")).seconds <= 62


async def test_after_a_reboot_all_of_it_counts_as_before_the_boot(tmp_path: Path) -> None:
    """As far apart as it was; told once, to everybody."""
    caps = replace(CAPS, minute=Limit(most=2, period_ms=62_000))
    async with desk(tmp_path, caps=caps) as (here, one):
        await send(here, one, "1")
        here.clock.boot_ms += 30_000
        await send(here, one, "2")
        await here.end(StopService())
        here.clock.boot_id = "another"
        uptime = here.clock().boot_ms
        here.clock.boot_ms -= uptime - 5000  # the machine came up five seconds ago
        here.start()
        later = await refused(here, one, "3")
        assert 62 - 30 - 5 - 2 < later.seconds <= 62 - 30 - 5
        await here.again()
        await refused(here, one, "3")
        told = [e for e in await here.events(EventType.LIMITER) if e["action"] != "capped"]
        assert told == [{"action": "counted_anew", "cause": "boot", "count": 2}]


async def test_what_was_never_committed_is_free_again(tmp_path: Path) -> None:
    async with desk(tmp_path, caps=replace(CAPS, minute=replace(CAPS.minute, most=1))) as (
        here,
        one,
    ):
        assert isinstance(await want(here, one, "1"), SendGranted)
        over(here, "1", committed=False)
        await send(here, one, "2")
        assert (await refused(here, one, "3")).window == "minute"


async def test_a_grant_that_is_not_on_the_disk_yet_outlives_the_limiter(tmp_path: Path) -> None:
    """It was told, so it counts, and its number is busy, for the next limiter as well."""
    async with desk(tmp_path, caps=replace(CAPS, minute=replace(CAPS.minute, most=1))) as (
        here,
        one,
    ):
        granted = await want(here, one, "1")
        await here.again(RuntimeError("x"))
        assert (await refused(here, "another", "2")).window == "minute"
        assert (await want(here, one, "1")).grant == granted.grant
        over(here, "1", committed=False)
        await send(here, one, "2")


async def test_a_slow_message_counts_from_its_end_on_the_disk_too(tmp_path: Path) -> None:
    async with desk(tmp_path) as (here, one):
        granted = await want(here, one, "1")
        await here.store.record_message_grant(granted.grant)
        here.clock.boot_ms += 20_000

        async def moved() -> bool:
            [log] = await here.store.number_logs()
            return [g.boot_ms for g in log.grants] != [granted.grant.boot_ms]

        async with other_writer(tmp_path / "db", "BEGIN EXCLUSIVE"):
            over(here, "1")
            behind = await here.ask(one, "a QR window")  # writes take turns
            assert (behind.code, await moved()) == ("service_down", False)
        await eventually_async(moved)  # the disk did not take it at first
        [log] = await here.store.number_logs()
        assert 20_000 <= log.grants[0].boot_ms - granted.grant.boot_ms < 25_000


async def test_what_was_on_its_way_when_everything_died_counts_from_the_start(
    tmp_path: Path,
) -> None:
    async with desk(tmp_path, caps=replace(CAPS, minute=replace(CAPS.minute, most=1))) as (
        here,
        one,
    ):
        home = await home_of(here.store)
        row = await here.store.accept_message(home, outbound(one, "A1"))
        await claim_next(here.store, one, 1)
        granted = await want(here, one, f"{row.id}.1")
        await here.store.record_message_grant(granted.grant)
        await here.end(StopService())
        here.book.leases = {}
        here.clock.boot_ms += 40_000
        here.start()
        assert 60 < (await refused(here, one, "2")).seconds <= 62
        await here.store.record_sent(row.id, 1, 2)
        here.clock.boot_ms += 40_000
        await here.again()
        assert 20 < (await refused(here, one, "2")).seconds <= 22, "that is known now"


async def test_who_asks_before_the_log_is_read_is_answered_afterwards(tmp_path: Path) -> None:
    async with desk(tmp_path, caps=replace(CAPS, minute=replace(CAPS.minute, most=1))) as (
        here,
        one,
    ):
        await send(here, one, "1")
        await here.end(StopService())
        here.start()
        assert (await refused(here, one, "2")).window == "minute"


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"minute": Limit(most=2, period_ms=62_000)}, "minute"),
        ({"hour": Limit(most=2, period_ms=3_602_000)}, "hour"),
        ({"day": Limit(most=2, period_ms=86_402_000)}, "day"),
        ({"warm_up": (2, 4)}, "warm_up"),
    ],
)
async def test_a_cap_that_is_reached_is_told_once(
    tmp_path: Path, changes: dict[str, Any], cause: str
) -> None:
    caps: Caps = replace(CAPS, **changes)
    async with desk(tmp_path, caps=caps) as (here, one):
        for number in range(2):
            await send(here, one, str(number))
        for _ in range(3):
            later = await refused(here, one, "2")
            assert later.window == cause

        async def told() -> list[dict[str, Any]]:
            return await here.events(EventType.LIMITER)

        [event] = await eventually_async(told)
        assert (event["action"], event["cause"]) == ("capped", cause)
        assert abs(event["seconds"] - later.seconds) < 5
        assert set(event) == {"action", "cause", "seconds", "next_ms"}


async def test_a_steady_load_is_told_of_once_an_hour(tmp_path: Path) -> None:
    """It reaches the cap of a minute every minute, and each session that waits is told."""
    caps = replace(CAPS, minute=Limit(most=1, period_ms=62_000))
    async with desk(tmp_path, caps=caps) as (here, one):
        row, _ = await here.store.create_session(await home_of(here.store), "two", 1)
        sends = here.telemetry.capacity.sends
        for minute in range(60):
            await send(here, one, str(minute))
            for session in (one, row.id):
                assert (await refused(here, session, "next")).window == "minute"
                told = sends.labels(session=session, result="capped")._value.get()
                assert told == (1 if minute * 62 < 3600 else 2), minute
            here.clock.boot_ms += 62_000

        async def written() -> bool:
            found = await here.events(EventType.LIMITER)
            return [event["cause"] for event in found] == ["minute"] * 4

        await eventually_async(written)


async def test_the_pace_is_kept_and_longer_for_a_first_contact(tmp_path: Path) -> None:
    caps = replace(CAPS, pace=Pace(delay_ms=2000, first_contact_ms=5000))
    async with desk(tmp_path, caps=caps) as (here, one):
        await send(here, one, "1")
        later = await refused(here, one, "2")
        assert later.window == "pace"
        assert 1 < later.seconds <= 2
        first = await want(here, one, "2", first=True)
        assert 6 < first.seconds <= 7
        here.clock.boot_ms += 2000
        await send(here, one, "2")


async def test_what_counts_no_more_is_dropped_from_the_disk(tmp_path: Path) -> None:
    async with desk(tmp_path) as (here, one):
        await send(here, one, "1")
        here.clock.boot_ms += 86_402_001
        await here.again()

        async def dropped() -> bool:
            [log] = await here.store.number_logs()
            return not log.grants

        await eventually_async(dropped)
        await send(here, one, "2")
        [log] = await here.store.number_logs()
        assert (log.day, len(log.grants)) == (2, 1), "its day of warm-up is kept"


async def test_a_forecast_says_when_and_what_binds(tmp_path: Path) -> None:
    async with desk(tmp_path) as (here, one):
        forecasts = Forecasts(book=here.book, caps=here.caps, instant=here.clock)
        await here.could(one)  # by then it has read its log
        assert forecasts.slots(ONE, 18, 4) == (
            SendSlot(seconds=0, window=None),
            SendSlot(seconds=0, window=None),
            SendSlot(seconds=62, window="minute"),
            SendSlot(seconds=62, window="minute"),
        )
        await send(here, one, "1")
        [slot] = forecasts.slots(ONE, 19, 1)
        assert slot.window == "minute"
        assert 60 < slot.seconds <= 62


async def test_a_number_is_digits_and_nothing_else(tmp_path: Path) -> None:
    """What is no number is refused by the database, before anything of it is sent."""
    async with desk(tmp_path) as (here, _):
        for wrong in ("", "+15550100001", "15550100001@c.us"):
            grant = MessageGrant(number=wrong, key="1", boot_id="b", boot_ms=1, wall_ms=1)
            with pytest.raises(StoreError):
                await here.store.record_message_grant(grant)
        with closing(sqlite3.connect(tmp_path / "db")) as plain:
            assert plain.execute("SELECT count(*) FROM message_grants").fetchone() == (0,)


async def test_a_database_that_was_put_back_counts_what_it_may_have_forgotten(
    tmp_path: Path,
) -> None:
    """The most that the caps allowed meanwhile, as late as can be, for every number it knows."""
    caps = replace(CAPS, hour=replace(CAPS.hour, most=30), day=replace(CAPS.day, most=1000))
    async with desk(tmp_path, caps=caps) as (here, one):
        await send(here, one, "1")
        await connected(here, one, TWO)
    now = instant()
    gone = Forgotten(
        since_ms=now.wall_ms - 100_000,
        boot_id=now.boot_id,
        boot_ms=now.boot_ms,
        wall_ms=now.wall_ms,
    )
    assert await asyncio.to_thread(doubt_accepted, tmp_path / "db", gone) == 0
    async with desk(tmp_path, caps=caps) as (here, one):
        for number in (ONE, TWO):
            later = await refused(here, one, "2", number=number)
            assert later.window == "hour"
            # 20 just now and 10 a minute before, the last of which make room in an hour
            assert 3602 - 62 - 10 < later.seconds <= 3602 - 62
            await here.again()
            assert (await refused(here, one, "2", number=number)).window == "hour"
        await send(here, one, "2", number="15550100003")
        here.clock.boot_ms += 3602_000 - 62_000
        for more in range(9):
            await send(here, one, f"3{more}")
        assert (await refused(here, one, "4")).window == "hour"
        here.clock.boot_ms += 86_402_000
        await here.again()
        await send(here, one, "5")

        async def dropped() -> bool:
            logs = await here.store.number_logs()
            return not any(g.key == gone.key for log in logs for g in log.grants)

        await eventually_async(dropped)


async def connected(here: Desk, session: str, number: str) -> None:
    """The session is known to be of this number, which has sent nothing yet."""
    change = StatusChange(
        session_id=session,
        incarnation=1,
        sequence=1,
        status=SessionStatus.CONNECTED,
        reason="ready",
        detail=None,
        since_ms=1,
        phone_number=number,
    )
    await here.store.record_status(change)
