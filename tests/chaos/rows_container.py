"""wafleet as the first process of a container: every orphan of the machine's part is its own."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Final

import psutil

from tests.chaos import sights
from tests.chaos.faults import NONE, ONE, AtLeast, Fault
from tests.chaos.sights import Guard
from tests.chaos.trial import settled
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from tests.chaos.faults import Figures, Options
    from tests.chaos.stage import Stage

PATIENT: Final = {
    "restart_backoff_first": "0.01",
    "restart_backoff_max": "0.01",
    "restart_intensity": "1000",
    "fleet_intensity": "10000",
}


async def pid_1(stage: Stage, options: Options) -> Figures:
    """Kill the browser again and again; its helpers become children of ours."""
    cycles = 10 if options.quick else 100
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    wrapper = ["unshare", *user, "--pid", "--fork", "--mount-proc", "--kill-child"]
    with stage.fleet(**PATIENT) as fleet, Guard(fleet.data) as guard:
        fleet.start(wrapper=wrapper)
        [inside] = psutil.Process(fleet.pid).children()
        try:
            async with fleet.client() as api:
                await fleet.link(api, "one")
                for _ in range(cycles):
                    browser = fleet.browser("one")
                    os.kill(browser.pid, signal.SIGKILL)

                    async def again(before: int = browser.pid) -> bool:
                        return [b.pid for b in fleet.browsers("one")] not in ([], [before])

                    await eventually_async(again)
                    await api.becomes("one", "ready")
                zombies = settled(lambda: sights.zombies(inside.pid))
                reaped = await api.metric("wafleet_orphans_reaped_total")
                alive = sights.members(fleet.browser("one").pid)
                orphans = settled(lambda: len(set(guard.left()) - set(alive)))
        finally:
            inside.terminate()
            fleet.wait()
    return {
        "rounds": cycles,
        "reaped": reaped,
        "zombies": zombies,
        "orphans": orphans + settled(lambda: len(guard.left())),
        "twins": guard.twins,
    }


FAULTS: Final = (
    Fault(
        name="pid_1",
        what="SIGKILL of the browser, a hundred times, wafleet being PID 1",
        scale="pauses before a restart of 10 ms instead of 1 to 60 s",
        run=pid_1,
        bars={
            "rounds": AtLeast(relation="<=", limit=10),
            "zombies": NONE,
            "orphans": NONE,
            "twins": ONE,
        },
        quick=False,
    ),
)
