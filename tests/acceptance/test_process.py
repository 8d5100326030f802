"""The node as a process: asked where it stands, and as PID 1 of a container."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from supervisor.reaper import zombies
from tests.acceptance.conftest import connect
from tests.waiting import eventually, eventually_async

if TYPE_CHECKING:
    from collections.abc import Callable

    from supervisor.processes import SimulatorPlace
    from tests.acceptance.conftest import Node

pytestmark = pytest.mark.acceptance

KILLS = 3
CONTAINER = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
"""A PID namespace: what makes a container's first process PID 1."""


def test_sigusr1_shows_where_every_thread_stands(node: Node) -> None:
    """For a person who wonders; the node goes on."""
    os.kill(node.program.pid, signal.SIGUSR1)
    for place in ("supervisor/watchdog.py", "actors/bridge.py", "pykka"):
        eventually(lambda place=place: place in node.log)  # type: ignore[misc]
    assert node.program.stop() == 0


def policies(pid: int) -> Counter[int]:
    """Count a process's threads by how the system schedules them."""
    tasks = [int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()]
    return Counter(os.sched_getscheduler(task) for task in tasks)


async def test_its_threads_interrupt_no_other_and_its_browsers_are_ordinary(node: Node) -> None:
    async with node.api() as api:
        await connect(api, "one")
        (browser,) = node.browsers()
        found = await asyncio.to_thread(policies, node.program.pid)
        if "scheduling_not_changed" in node.log:
            pytest.skip(
                "sched_setscheduler is forbidden here: the node says so and runs on as it is"
            )
        assert found.pop(os.SCHED_OTHER) == 1, "the lifeline of these tests"
        assert set(found) == {os.SCHED_BATCH}
        assert set(await asyncio.to_thread(policies, browser.pid)) == {os.SCHED_OTHER}


async def test_as_pid_1_it_reaps_what_its_browsers_leave(
    make_node: Callable[..., Node], place: SimulatorPlace
) -> None:
    """A killed browser's helpers become children of ours, and none stays a zombie."""
    node = make_node(place, WAFLEET_RESTART_BACKOFF_FIRST="0.01", WAFLEET_RESTART_INTENSITY="99")
    user = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    node.start(*CONTAINER, *user)
    (inside,) = psutil.Process(node.program.pid).children()
    try:
        assert node.program.ready["pid"] == 1
        async with node.api() as api:
            await connect(api, "one")
            for _ in range(KILLS):
                (browser,) = node.browsers()
                os.kill(browser.pid, signal.SIGKILL)

                async def again(before: int = browser.pid) -> bool:
                    now = [each.pid for each in node.browsers()]
                    return len(now) == 1 and now != [before]

                await eventually_async(again)
                await api.session_becomes("one", "connected", "ready")
            metrics = await api.text("/metrics")
        eventually(lambda: not zombies(inside.pid))
        reaped = next(
            float(line.split()[1])
            for line in metrics.splitlines()
            if line.startswith("wafleet_orphans_reaped_total")
        )
        assert reaped > 0
    finally:
        inside.terminate()
        node.program.process.wait(30)
    assert not node.browsers()
