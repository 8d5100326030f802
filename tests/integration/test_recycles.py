"""Planned restarts through the root: one at a time, only of what runs, an operator first."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from actors.base import tell
from actors.bridge import FutureReply
from actors.gate import LaunchGate
from actors.messages import (
    Answer,
    ChildStable,
    Done,
    ExitKind,
    LaunchGateChanged,
    RecycleSession,
    Refused,
    StopKind,
    ToSession,
)
from supervisor.restarts import FusePolicy, RestartPolicy
from tests.integration.fleet_world import ASK, RULES, Leave, World, world
from tests.integration.test_pool import report
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration


async def recycle(
    fleet: World, session: str, incarnation: int = 1, cause: str = "max_age"
) -> Answer:
    reply = FutureReply()
    fleet.port.tell(
        RecycleSession(
            session_id=session, incarnation=incarnation, cause=cause, quiet=0.0, reply=reply
        )
    )
    answer: Answer = await reply.wait(ASK)
    return answer


def code(answer: Answer) -> str:
    return answer.code if isinstance(answer, Refused) else "done"


async def running(fleet: World, *names: str) -> list[str]:
    """Start so many sessions; return their ids."""
    ids = [await fleet.session(name) for name in names]
    for session in ids:
        await fleet.start(session)
        await fleet.child(session, 1)
    return ids


async def test_a_recycled_session_starts_again_in_a_new_life(tmp_path: Path) -> None:
    async with world(tmp_path) as fleet:
        (one,) = await running(fleet, "one")
        assert await recycle(fleet, one) == Done()
        await fleet.child(one, 2)
        assert fleet.lives(one) == 2


async def test_one_at_a_time_until_it_is_back(tmp_path: Path) -> None:
    async with world(tmp_path) as fleet:
        one, two = await running(fleet, "one", "two")
        assert await recycle(fleet, one) == Done()
        assert code(await recycle(fleet, two)) == "recycle_under_way"
        await fleet.child(one, 2)
        assert code(await recycle(fleet, two)) == "recycle_under_way"  # it is not connected yet
        fleet.port.tell(ChildStable(child_id=one, incarnation=2))
        assert await recycle(fleet, two) == Done()
        await fleet.child(two, 2)
        assert fleet.lives(one) == 2


async def test_what_its_old_life_still_says_is_not_its_return(tmp_path: Path) -> None:
    """It may lose and find its connection again while it is archived."""
    async with world(tmp_path) as fleet:
        fleet.deaf = True
        one, two = await running(fleet, "one", "two")
        assert await recycle(fleet, one) == Done()
        fleet.port.tell(ChildStable(child_id=one, incarnation=1))
        assert code(await recycle(fleet, two)) == "recycle_under_way"
        fleet.deaf = False
        for each in (one, two):
            tell(await fleet.child(each, 1), Leave(ExitKind.NORMAL, "recycling"))


async def test_racing_wishes_begin_one_restart(tmp_path: Path) -> None:
    async with world(tmp_path) as fleet:
        ids = await running(fleet, "one", "two", "three")
        answers = await asyncio.gather(*(recycle(fleet, each) for each in ids * 5))
        assert [code(each) for each in answers].count("done") == 1


@pytest.mark.parametrize("how", ["crashes", "stopped", "late"])
async def test_one_that_does_not_come_back_lets_others_go(tmp_path: Path, how: str) -> None:
    patience = 0.2 if how == "late" else 3600.0
    async with world(tmp_path, recycle_patience=patience) as fleet:
        one, two = await running(fleet, "one", "two")
        assert await recycle(fleet, one) == Done()
        child = await fleet.child(one, 2)
        assert how == "late" or code(await recycle(fleet, two)) == "recycle_under_way"
        if how == "crashes":
            tell(child, Leave(ExitKind.CRASH, "browser_exited"))
        elif how == "stopped":
            assert await fleet.end(one, StopKind.STOP) == Done()

        async def goes() -> bool:
            return await recycle(fleet, two) == Done()

        await eventually_async(goes)


async def test_what_does_not_run_is_not_started_by_it(tmp_path: Path) -> None:
    """Not a stopped one, not another life, not one that an operator is stopping."""
    async with world(tmp_path) as fleet:
        one, two = await running(fleet, "one", "two")
        assert await fleet.end(one, StopKind.STOP) == Done()
        assert code(await recycle(fleet, one)) == "not_running"
        assert code(await recycle(fleet, two, incarnation=2)) == "not_running"
        assert code(await recycle(fleet, "01JDXQ0000000000000000000A")) == "not_running"
        fleet.deaf = True
        await fleet.end(two, StopKind.RESTART)
        deaf = await fleet.child(two, 2)
        ending = asyncio.create_task(fleet.end(two, StopKind.STOP))

        async def refused() -> bool:
            return code(await recycle(fleet, two, incarnation=2)) == "not_running"

        await eventually_async(refused)
        tell(deaf, Leave(ExitKind.NORMAL, "stopped"))
        assert await ending == Done()
        assert (fleet.lives(one), fleet.lives(two)) == (1, 2)
        assert code(await recycle(fleet, two, incarnation=2)) == "not_running"


async def test_a_session_that_declines_is_left_alone_and_nobody_waits(tmp_path: Path) -> None:
    async with world(tmp_path) as fleet:
        one, two = await running(fleet, "one", "two")
        assert code(await recycle(fleet, one, cause="unwanted")) == "not_quiet"
        assert await recycle(fleet, two) == Done()
        assert fleet.lives(one) == 1


async def test_an_operator_overtakes_it(tmp_path: Path) -> None:
    """A stop during a recycle stays a stop."""
    async with world(tmp_path) as fleet:
        fleet.deaf = True
        (one,) = await running(fleet, "one")
        deaf = await fleet.child(one, 1)
        assert await recycle(fleet, one) == Done()
        ending = asyncio.create_task(fleet.end(one, StopKind.STOP))
        assert code(await recycle(fleet, one)) == "not_running"  # the stop is in the mailbox now
        tell(deaf, Leave(ExitKind.NORMAL, "recycling"))
        assert await ending == Done()
        assert fleet.lives(one) == 1


async def test_a_recycle_does_not_forgive_crashes(tmp_path: Path) -> None:
    """A session that crashes again and again is quarantined, whatever was planned in between."""
    restart = RestartPolicy(intensity=2, period=60, first=0.001, longest=0.01, stable_after=3600)
    async with world(tmp_path, restart=restart) as fleet:
        (one,) = await running(fleet, "one")
        tell(await fleet.child(one, 1), Leave(ExitKind.CRASH, "browser_exited"))
        await fleet.child(one, 2)
        assert await recycle(fleet, one, incarnation=2) == Done()
        for life in (3, 4):
            tell(await fleet.child(one, life), Leave(ExitKind.CRASH, "browser_exited"))
        await fleet.becomes(one, "failed", "crash_loop")


async def test_a_closed_gate_queues_launches_and_says_why(tmp_path: Path) -> None:
    """Sessions that run go on, a crash of one waits with the others, and nothing is recycled."""
    gate = LaunchGate()
    async with world(tmp_path, gate=gate) as fleet:
        one, two = await running(fleet, "one", "two")
        gate.close("disk_full")
        fleet.port.tell(LaunchGateChanged())
        three = await fleet.session("three")
        assert await fleet.start(three) == Done()
        tell(await fleet.child(two, 1), Leave(ExitKind.CRASH, "browser_exited"))

        async def waiting() -> bool:
            shown = [fleet.board.get(each) for each in (two, three)]
            return all(live is not None and live.reason == "disk_full" for live in shown)

        await eventually_async(waiting)
        assert code(await recycle(fleet, one)) == "launches_wait"
        assert [fleet.lives(each) for each in (one, two, three)] == [1, 1, 0]
        gate.open("disk_full")
        fleet.port.tell(LaunchGateChanged())
        await fleet.child(two, 2)
        await fleet.child(three, 1)
        assert await recycle(fleet, one) == Done()


async def test_a_gate_that_closes_says_so_to_those_that_wait_already(tmp_path: Path) -> None:
    gate = LaunchGate()
    async with world(tmp_path, gate=gate, rules=replace(RULES, slots=1)) as fleet:
        fleet.up = False
        ids = [await fleet.session(name) for name in ("one", "two")]
        for session in ids:
            await fleet.start(session)
        await fleet.child(ids[0], 1)

        async def shows(reason: str) -> bool:
            live = fleet.board.get(ids[1])
            return live is not None and live.reason == reason

        await eventually_async(lambda: shows("queued"))
        gate.close("disk_full")
        fleet.port.tell(LaunchGateChanged())
        await eventually_async(lambda: shows("disk_full"))
        gate.open("disk_full")
        fleet.port.tell(LaunchGateChanged())
        await eventually_async(lambda: shows("queued"))


async def test_a_gate_that_is_open_again_before_anybody_is_told_loses_nobody(
    tmp_path: Path,
) -> None:
    """What was granted meanwhile is launched as soon as the root looks at the gate."""
    gate = LaunchGate()
    async with world(tmp_path, gate=gate) as fleet:
        gate.close("disk_full")  # and the message about it is still on its way
        one = await fleet.session("one")
        assert await fleet.start(one) == Done()

        async def granted() -> bool:
            labels = {"urgency": "person"}
            name = "wafleet_launches_granted_total"
            return fleet.telemetry.registry.get_sample_value(name, labels) == 1

        await eventually_async(granted)
        await report(fleet)  # then the grant is in the root's mailbox,
        await fleet.start(one)  # and here it has been handled
        assert fleet.lives(one) == 0
        gate.open("disk_full")
        fleet.port.tell(LaunchGateChanged())
        await fleet.child(one, 1)


async def test_while_the_fuse_is_open_nothing_is_recycled(tmp_path: Path) -> None:
    async with world(tmp_path, fuse=FusePolicy(intensity=0, period=3600)) as fleet:
        one, two = await running(fleet, "one", "two")
        tell(await fleet.child(one, 1), Leave(ExitKind.CRASH, "browser_exited"))

        async def crashed() -> bool:
            restarts = "wafleet_session_restarts_total"
            labels = {"cause": "browser_exited"}
            return fleet.telemetry.registry.get_sample_value(restarts, labels) == 1

        await eventually_async(crashed)
        assert code(await recycle(fleet, two)) == "launches_wait"
        assert fleet.lives(two) == 1


def test_a_gate_keeps_its_reasons_apart() -> None:
    gate, seen = LaunchGate(), []
    for change, reason in (
        (gate.close, "disk_full"),
        (gate.close, "memory"),
        (gate.close, "disk_full"),
        (gate.open, "disk_full"),
        (gate.open, "disk_full"),
        (gate.open, "memory"),
    ):
        change(reason)
        seen.append(gate.reason)
    assert seen == ["disk_full", "disk_full", "disk_full", "memory", "memory", None]


async def test_a_message_for_one_life_reaches_no_other(tmp_path: Path) -> None:
    async with world(tmp_path) as fleet:
        (one,) = await running(fleet, "one")
        leave: Any = Leave(ExitKind.CRASH, "browser_exited")
        for incarnation in (0, 2):
            fleet.port.tell(ToSession(session_id=one, incarnation=incarnation, message=leave))
        fleet.port.tell(ToSession(session_id="nobody", incarnation=1, message=leave))
        assert await fleet.start(one) == Done()  # behind those in the mailbox
        assert fleet.lives(one) == 1
        fleet.port.tell(ToSession(session_id=one, incarnation=1, message=leave))
        await fleet.child(one, 2)
