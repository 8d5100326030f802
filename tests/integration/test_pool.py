"""The pool under a real root: places, turns, a machine that is short of something, and crashes."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import generate_latest

from actors.base import tell
from actors.bridge import FutureReply
from actors.messages import (
    CapacityReached,
    ChildUp,
    Done,
    EndSession,
    ExitKind,
    Refused,
    Service,
    StartSession,
    StopKind,
    ToService,
)
from actors.pool_messages import PoolReport, TellPressure
from actors.pressure import Cause, Mark, Readings
from storage.store import StatusChange
from supervisor.parts import now_ms
from supervisor.places import boot_order
from supervisor.restarts import FusePolicy, RestartPolicy
from tests.integration.fleet_world import ASK, RULES, Leave, World, world
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration


@dataclass
class Weather:
    """A machine whose readings are set by the test."""

    readings: Readings

    def look(self) -> Readings:
        return self.readings


async def sessions(here: World, count: int) -> list[str]:
    return [await here.session(f"s{n}") for n in range(count)]


async def report(here: World) -> PoolReport:
    async def look() -> PoolReport | None:
        reply = FutureReply()
        here.port.tell(ToService(service=Service.POOL, message=TellPressure(reply=reply)))
        answer = await reply.wait(5.0)
        return answer if isinstance(answer, PoolReport) else None

    found = await eventually_async(look)
    assert found is not None
    return found


def metric(here: World, line: str) -> bool:
    return line in generate_latest(here.telemetry.registry).decode().splitlines()


async def queued(here: World, session_id: str, detail: str | None) -> None:
    async def look() -> bool:
        live = here.board.get(session_id)
        return live is not None and (live.reason, live.detail) == ("queued", detail)

    await eventually_async(look)


async def all_started(here: World, ids: list[str]) -> None:
    async def look() -> bool:
        return {sid for sid, _, _ in here.children} >= set(ids)

    await eventually_async(look)


@pytest.mark.parametrize("most", [5, 50])
async def test_sixty_starts_are_as_many_sessions_as_there_are_places(
    tmp_path: Path, most: int
) -> None:
    """The others are refused at once, with limit and use, and nothing of them is started."""
    async with world(tmp_path, rules=replace(RULES, most=most)) as here:
        ids = await sessions(here, 60)
        answers = await asyncio.gather(*(here.start(sid) for sid in ids))
        refused = [a for a in answers if isinstance(a, CapacityReached)]
        assert answers.count(Done()) == most
        assert len(refused) == 60 - most
        assert {(a.code, a.limit, a.used) for a in refused} == {("capacity_reached", most, most)}
        running = [sid for sid, answer in zip(ids, answers, strict=True) if answer == Done()]
        await all_started(here, running)
        assert Counter(sid for sid, _, _ in here.children) == Counter(running)
        told = await report(here)
        assert (told.in_use, told.limit) == (most, most)
        assert metric(here, f"wafleet_pool_refused_total {60 - most}.0")
        assert metric(here, f"wafleet_pool_in_use {most}.0")
        late = next(sid for sid in ids if sid not in running)
        assert (await here.store.any_session(late)).reason == "created"
        # a place that is left is a place for another
        assert isinstance(await here.start(late), CapacityReached)
        assert await here.end(running[0], StopKind.STOP) == Done()
        assert await here.start(late) == Done()
        await here.child(late, 1)


async def test_a_session_keeps_its_place_through_crashes_and_restarts(tmp_path: Path) -> None:
    policy = RestartPolicy(intensity=1, period=60, first=3600, longest=3600, stable_after=3600)
    rules = replace(RULES, most=1)
    async with world(tmp_path, rules=rules, restart=policy) as here:
        one, two = await sessions(here, 2)
        await here.start(one)
        tell(await here.child(one, 1), Leave(ExitKind.CRASH, "browser_exited"))
        assert isinstance(await here.start(two), CapacityReached)  # one is in its pause
        assert await here.end(one, StopKind.RESTART) == Done()
        await here.child(one, 2)
        assert isinstance(await here.start(two), CapacityReached)
        assert await here.end(one, StopKind.DELETE) == Done()
        assert await here.start(two) == Done()


async def test_ending_what_does_not_run_takes_no_place(tmp_path: Path) -> None:
    """A logout or a deletion has work to do, and is no session that runs."""
    async with world(tmp_path, rules=replace(RULES, most=1)) as here:
        one, two = await sessions(here, 2)
        assert await here.start(one) == Done()
        await here.child(one, 1)
        assert await here.end(two, StopKind.LOGOUT) == Done()
        answers = await asyncio.gather(here.end(two, StopKind.LOGOUT), here.start(two))
        assert answers[0] == Done()
        assert isinstance(answers[1], CapacityReached)
        assert (await report(here)).in_use == 1


async def test_a_boot_with_too_few_places_turns_the_last_away(tmp_path: Path) -> None:
    """And says so in the store, since nobody waits for the answer."""
    async with world(tmp_path, rules=replace(RULES, most=2)) as here:
        ids = await sessions(here, 3)
        await here.boot(*ids)
        await here.becomes(ids[2], "disconnected", "capacity_reached")
        await all_started(here, ids[:2])
        assert here.lives(ids[2]) == 0


async def test_the_boot_begins_with_primary_numbers_and_the_latest_connected(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as here:
        never, old, new, primary = await sessions(here, 4)
        for session_id, at in ((old, 1000), (new, 2000)):
            change = StatusChange(
                session_id=session_id,
                incarnation=0,
                sequence=1,
                status="connected",  # type: ignore[arg-type]
                reason="ready",
                detail=None,
                since_ms=at,
            )
            await here.store.record_status(change)
        await here.store.set_primary(here.workspace_id, primary, now_ms())
        rows = await here.store.all_sessions()
        assert [row.id for row in boot_order(rows)] == [primary, new, old, never]


async def test_a_person_goes_before_the_boot_and_crashes_take_turns_with_it(
    tmp_path: Path,
) -> None:
    """One launch at a time; each is up when the test says so."""
    async with world(tmp_path, rules=replace(RULES, slots=1)) as here:
        here.up = False
        ids = await sessions(here, 5)
        first, second, third, asked, again = ids
        await here.boot(first, second, third)
        await here.child(first, 1)
        await here.start(asked)
        await here.start(again)
        await eventually_async(lambda: _waiting(here, asked, again, second, third))
        await here.start(third)  # a person can't wait any longer
        await eventually_async(lambda: _waiting(here, asked, again, third, second))
        expected = [(first, 1), (asked, 1), (again, 1), (third, 1), (again, 2), (second, 1)]
        for session_id, number in expected:
            child = await here.child(session_id, number)
            if (session_id, number) == (again, 1):  # it crashes while it launches
                tell(child, Leave(ExitKind.CRASH, "browser_exited"))
                await eventually_async(lambda: _waiting(here, again, second))
            else:
                tell(here.ref, ChildUp(child_id=session_id, incarnation=number))
        assert [(sid, life) for sid, life, _ in here.children] == expected


async def _waiting(here: World, *ids: str) -> bool:
    return (await report(here)).waiting == ids


@pytest.mark.parametrize(
    ("bad", "cause", "words"),
    [
        (Readings(memory_available=0), Cause.MEMORY, "memory is available"),
        (Readings(descriptors_used=9, descriptors_limit=9), Cause.DESCRIPTORS, "descriptors"),
        (Readings(cpu_pressure=95), Cause.CPU_PRESSURE, "processors"),
        (Readings(memory_pressure=95), Cause.MEMORY_PRESSURE, "waits for memory"),
    ],
)
async def test_what_waits_for_the_machine_says_for_what(
    tmp_path: Path, bad: Readings, cause: Cause, words: str
) -> None:
    """What runs goes on; when the machine has room again, launches do."""
    marks = replace(RULES.marks, cpu_pressure=Mark(high=90, low=50))
    marks = replace(marks, memory_pressure=Mark(high=90, low=50))
    weather = Weather(Readings())
    async with world(tmp_path, rules=replace(RULES, marks=marks), look=weather.look) as here:
        one, two = await sessions(here, 2)
        await here.start(one)
        runs = await here.child(one, 1)
        weather.readings = bad
        assert await here.start(two) == Done()

        async def blocked() -> bool:
            live = here.board.get(two)
            return live is not None and live.detail is not None and words in live.detail

        await eventually_async(blocked)
        told = await report(here)
        assert (told.blocked, told.waiting) == (cause, (two,))
        assert told.blocked_seconds is not None
        assert metric(here, f'wafleet_launches_blocked{{cause="{cause.value}"}} 1.0')
        assert here.lives(two) == 0
        assert runs.is_alive()
        weather.readings = Readings(cpu_pressure=49, memory_pressure=49)
        await here.child(two, 1)
        assert (await report(here)).blocked is None


async def test_a_storm_is_bounded_though_the_pool_crashes_again_and_again(
    tmp_path: Path,
) -> None:
    """Never more launches than slots; nobody is forgotten, nobody is launched twice."""
    async with world(tmp_path, rules=replace(RULES, slots=3, most=50)) as here:
        here.up = False
        ids = await sessions(here, 60)
        starts = [asyncio.create_task(here.start(sid)) for sid in ids]
        launching: set[str] = set()
        seen = 0
        most_at_once = 0

        async def storm() -> bool:
            nonlocal seen, most_at_once
            for session_id, _, _ in here.children[seen:]:
                launching.add(session_id)
                seen += 1
            most_at_once = max(most_at_once, len(launching))
            if launching:
                up = launching.pop()
                tell(here.ref, ChildUp(child_id=up, incarnation=1))
                if seen % 7 == 0:
                    tell(here.pools[-1], RuntimeError("in the middle of it"))
            return seen == 50

        await eventually_async(storm)
        answers = await asyncio.gather(*starts)
        assert answers.count(Done()) == 50
        assert sum(isinstance(a, CapacityReached) for a in answers) == 10
        assert len(here.pools) > 3
        assert most_at_once <= 3
        assert set(Counter(sid for sid, _, _ in here.children).values()) == {1}
        assert (await report(here)).in_use == 50
        assert all(ref.is_alive() for _, _, ref in here.children)


async def test_a_question_to_a_pool_that_is_down_is_answered_by_the_next_one(
    tmp_path: Path,
) -> None:
    policy = RestartPolicy(intensity=3, period=60, first=0.3, longest=0.3, stable_after=3600)
    async with world(tmp_path, restart=policy) as here:
        (one,) = await sessions(here, 1)
        tell(here.pools[0], RuntimeError("x"))
        await eventually_async(lambda: _dead(here.pools[0]))
        assert await here.start(one) == Done()
        assert len(here.pools) == 2
        await here.child(one, 1)


async def _dead(ref: Any) -> bool:
    return not ref.is_alive()


async def test_a_stop_and_a_shutdown_do_not_wait_for_the_pool(tmp_path: Path) -> None:
    """Who asked for the start is answered all the same."""
    policy = RestartPolicy(intensity=3, period=60, first=3600, longest=3600, stable_after=3600)
    async with world(tmp_path, restart=policy) as here:
        one, two = await sessions(here, 2)
        tell(here.pools[0], RuntimeError("x"))
        await eventually_async(lambda: _dead(here.pools[0]))
        starting = [asyncio.create_task(here.start(sid)) for sid in (one, two)]
        await asyncio.sleep(0)
        assert await here.end(one, StopKind.STOP) == Done()
        assert await starting[0] == Done()
        assert (await here.store.any_session(one)).reason == "stopped"
    answer = await starting[1]
    assert isinstance(answer, Refused)
    assert answer.code == "shutting_down"
    assert here.children == []


async def test_what_was_granted_before_the_fleet_began_to_crash_waits_too(
    tmp_path: Path,
) -> None:
    fuse = FusePolicy(intensity=1, period=0.6)
    async with world(tmp_path, fuse=fuse) as here:
        one, two = await sessions(here, 2)
        await here.start(one)
        for life in (1, 2):
            tell(await here.child(one, life), Leave(ExitKind.CRASH, "browser_exited"))
        await here.start(two)
        await queued(here, two, SENTENCE)
        assert (await report(here)).blocked is Cause.FLEET_CRASHES
        tell(here.pools[0], RuntimeError("and the pool as well"))

        async def anew() -> bool:
            return len(here.pools) == 2

        await eventually_async(anew)
        assert (await report(here)).blocked is Cause.FLEET_CRASHES
        await here.child(two, 1)
        await here.child(one, 3)


SENTENCE = "Too many sessions crashed in a short time: nothing is launched for now."


async def test_a_thousand_starts_and_stops_leave_the_pool_and_the_root_of_one_mind(
    tmp_path: Path,
) -> None:
    """Whatever crosses whatever: in the end as many are in use as run, and none waits."""
    async with world(tmp_path, rules=replace(RULES, most=3, slots=2)) as here:
        ids = await sessions(here, 5)
        for round_ in range(40):
            asks = []
            for n, session_id in enumerate(ids):
                if (round_ + n) % 3:
                    asks.append(here.start(session_id))
                else:
                    kind = StopKind.RESTART if n % 2 else StopKind.STOP
                    asks.append(here.end(session_id, kind))
            await asyncio.gather(*asks)
            if round_ % 10 == 9:
                tell(here.pools[-1], RuntimeError("x"))

        async def calm() -> bool:
            told = await report(here)
            alive = {sid for sid, _, ref in here.children if ref.is_alive()}
            return told.waiting == () and told.launching == () and told.in_use == len(alive)

        await eventually_async(calm)
        assert (await report(here)).in_use <= 3
        for session_id in ids:
            message = EndSession(session_id=session_id, kind=StopKind.STOP)
            here.port.tell(message)
        assert (
            await here.port.ask(
                lambda r: EndSession(session_id=ids[0], kind=StopKind.STOP, reply=r), ASK
            )
            == Done()
        )

        async def empty() -> bool:
            return (await report(here)).in_use == 0

        await eventually_async(empty)
        here.port.tell(StartSession(session_id=ids[0]))
        await eventually_async(lambda: _runs(here, ids[0]))


async def _runs(here: World, session_id: str) -> bool:
    return any(ref.is_alive() for sid, _, ref in here.children if sid == session_id)
