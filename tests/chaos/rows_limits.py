"""Faults of what the machine gives: too few descriptors, too little memory."""

from __future__ import annotations

import itertools
import os
import resource
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from tests.chaos import sights
from tests.chaos.faults import NONE, ONE, UNHARMED, Fault, below, exactly
from tests.chaos.trial import trial
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from tests.chaos.faults import Figures, Options
    from tests.chaos.stage import Stage
    from tests.chaos.trial import Trial

LEFT: Final = 40
"""Descriptors that are left: enough for requests, but not for one more browser besides."""


async def few_descriptors(stage: Stage, _options: Options) -> Figures:
    """The running supervisor's limit is lowered; then the victim's browser dies."""
    async with stage.running("left") as (fleet, _), trial(fleet) as t:
        browser = t.browser
        soft, hard = resource.prlimit(fleet.pid, resource.RLIMIT_NOFILE)
        await t.strike(lambda: _starve(fleet.pid, hard))
        os.kill(browser.pid, 9)
        await t.detected()
        await t.api.becomes(t.victim, "queued")
        pressure = await t.api.get("/pressure")
        blocked = pressure["blocked"]
        t.figures["wrong"] = blocked is None or blocked["cause"] != "descriptors"
        t.figures["wrong"] += len(fleet.browsers(t.victim))
        healthy = await t.api.status("/healthz")
        t.figures["wrong"] += healthy != 200
        resource.prlimit(fleet.pid, resource.RLIMIT_NOFILE, (soft, hard))
        began = time.monotonic()
        await t.api.becomes(t.victim, "ready")
        t.figures["recovered"] = time.monotonic() - began
    return t.figures


def _starve(pid: int, hard: int) -> None:
    """Lower the limit so far that only LEFT numbers below it are free."""
    taken = {int(entry.name) for entry in (sights.PROC / str(pid) / "fd").iterdir()}
    free = (number for number in itertools.count() if number not in taken)
    limit = next(itertools.islice(free, LEFT, None))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, hard))


# ---- memory --------------------------------------------------------------------------------------

GENTLE: Final = {"mb_per_s": 60, "limit_mb": 400}
SUDDEN: Final = {"mb_per_s": 800, "limit_mb": 900}


async def memory_grows(
    stage: Stage, _options: Options, *, growth: dict[str, int], action: str, **limits: str
) -> Figures:
    """The page itself hoards; the supervisor must do this about it, to this session only."""
    settings = {
        "memory_interval": "0.3",
        "memory_soft_mb": "320",
        "memory_collect_pause": "10",
        "memory_recycle_pause": "0",
        "memory_patience": "1",
        **limits,
    }
    async with stage.running("left", **settings) as (fleet, _), trial(fleet) as t:
        browser = t.browser
        fault = {"kind": "memory_growth", "number": t.number, **growth}
        await t.strike(lambda: t.api.simulator("/faults", fault))

        async def told() -> bool:
            return any(e["payload"]["action"] == action for e in await t.events("memory"))

        await eventually_async(told)
        t.figures["detected"] = time.monotonic() - t.struck
        await eventually_async(lambda: _another(t, browser.pid))
        await t.api.becomes(t.victim, "ready")
        t.figures["recovered"] = time.monotonic() - t.struck - t.figures["detected"]
    return t.figures


async def _another(t: Trial, pid: int) -> bool:
    return [b.pid for b in t.fleet.browsers(t.victim)] not in ([], [pid])


FAULTS: Final = (
    Fault(
        name="memory_grows",
        what="the page's memory grows by 60 MB/s",
        scale="looked at every 0.3 s instead of 15 s, limits of 320 and 400 MB, no pauses",
        run=partial(memory_grows, growth=GENTLE, action="recycle", memory_hard_mb="400"),
        bars={
            **UNHARMED,
            "detected": below(10),
            "recovered": below(10),
            "restarts": exactly(1),
            "codes": NONE,
            "twins": ONE,
        },
        quick=False,
    ),
    Fault(
        name="memory_explodes",
        what="the page's memory grows by 800 MB/s",
        scale="looked at every 0.3 s instead of 15 s, killed above 500 MB instead of 1200 MB",
        run=partial(
            memory_grows,
            growth=SUDDEN,
            action="kill",
            memory_hard_mb="500",
            memory_kill_mb="500",
        ),
        bars={
            **UNHARMED,
            "detected": below(5),
            "recovered": below(5),
            "restarts": exactly(1),
            "codes": NONE,
            "twins": ONE,
        },
        quick=False,
    ),
    Fault(
        name="few_descriptors",
        what="no descriptors left for a browser, and the browser killed",
        scale="default settings",
        run=few_descriptors,
        bars={
            **UNHARMED,
            "detected": below(0.5),
            "recovered": below(5),
            "wrong": NONE,
            "codes": NONE,
            "twins": ONE,
        },
        quick=False,
    ),
)
