"""Faults of what the machine gives: too few descriptors."""

from __future__ import annotations

import itertools
import os
import resource
import time
from typing import TYPE_CHECKING, Final

from tests.chaos import sights
from tests.chaos.faults import NONE, ONE, UNHARMED, Fault, below
from tests.chaos.trial import trial
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from tests.chaos.faults import Figures, Options
    from tests.chaos.stage import Stage

LEFT: Final = 2
"""Descriptors that are left, besides those of the dead browser: enough for a request or two, not
for another browser's pipes."""


async def few_descriptors(stage: Stage, _options: Options) -> Figures:
    """The running supervisor's limit is lowered; then the victim's browser dies."""
    async with stage.running("left", restart_intensity="50") as (fleet, _), trial(fleet) as t:
        browser = t.browser
        soft, hard = resource.prlimit(fleet.pid, resource.RLIMIT_NOFILE)
        await t.strike(lambda: _starve(fleet.pid, hard))
        os.kill(browser.pid, 9)
        failures = 'wafleet_browser_launches_total{result="launch_failed"}'

        async def refused() -> bool:
            return await t.api.metric(failures) >= 1

        await t.detected()
        await eventually_async(refused)
        t.figures["wrong"] = len(fleet.browsers(t.victim))
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


FAULTS: Final = (
    Fault(
        name="few_descriptors",
        what="no descriptors left for a browser, and the browser killed",
        scale="default settings, but up to 50 restarts",
        run=few_descriptors,
        bars={
            **UNHARMED,
            "detected": below(0.5),
            "recovered": below(15),
            "wrong": NONE,
            "codes": NONE,
            "twins": ONE,
        },
        quick=False,
    ),
)
