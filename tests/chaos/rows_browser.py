"""Faults of the browser: killed, cut off, deaf."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from typing import TYPE_CHECKING, Final

from actors.browser.chromium import find_executable
from tests.chaos import pipe_relay, sights
from tests.chaos.faults import NONE, ONE, UNHARMED, Fault, below, exactly
from tests.chaos.stage import STOP_TIMEOUT
from tests.chaos.trial import trial
from tests.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chaos.faults import Figures, Options
    from tests.chaos.stage import Stage

SLACK: Final = 1.5
"""Seconds that a stop may take beyond its deadline: to kill, to prove, and to answer."""


async def browser_killed(stage: Stage, _options: Options) -> Figures:
    async with trial(await stage.shared()) as t:
        browser = t.browser
        await t.strike(lambda: os.kill(browser.pid, signal.SIGKILL))
        await t.detected()
        await t.recovered()
    return t.figures


async def idle_browser_killed(stage: Stage, _options: Options) -> Figures:
    """Nobody asks anything of it: only its end itself tells."""
    async with trial(await stage.shared(), outbound=False, inbound=False) as t:
        browser = t.browser
        await t.strike(lambda: os.kill(browser.pid, signal.SIGKILL))
        await t.detected()
        await t.recovered()
    return t.figures


async def pipe_closed(stage: Stage, _options: Options) -> Figures:
    async with (
        stage.running("left", chromium_path=str(_relayed(stage))) as (fleet, _),
        trial(fleet) as t,
    ):
        browser = t.browser
        relay = _relay_of(browser)
        await t.strike(lambda: os.kill(relay, signal.SIGUSR1))
        alive = sights.sight(browser.pid)
        assert alive is not None
        assert alive.state not in "ZX", "the browser itself must not be hurt"
        await t.detected()
        await t.recovered()
    return t.figures


async def close_unanswered(stage: Stage, _options: Options) -> Figures:
    async with trial(await stage.shared()) as t:
        browser = t.browser
        await t.strike(lambda: os.killpg(browser.pid, signal.SIGSTOP))
        t.delivered = False
        began = time.monotonic()
        await t.api.post(f"/v1/sessions/{t.victim}/stop", {})
        t.figures["stopped"] = time.monotonic() - began
        assert not sights.members(browser.pid), "answered, but not gone"
        assert (await t.api.session(t.victim))["reason"] == "stopped"
    return t.figures


def _relayed(stage: Stage) -> Path:
    """Return a Chromium with a relay on its pipe."""
    program = stage.directory / "relayed-chromium"
    command = shlex.join([sys.executable, pipe_relay.__file__, str(find_executable(None))])
    program.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    program.chmod(0o755)
    return program


def _relay_of(browser: sights.Browser) -> int:
    """Return the pid of the relay of a browser."""

    def look() -> list[int]:
        return [p for p in sights.members(browser.pid) if b"pipe_relay.py" in _command(p)]

    [found] = eventually(look)
    return found


def _command(pid: int) -> bytes:
    try:
        return (sights.PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return b""


FAULTS: Final = (
    Fault(
        name="browser_killed",
        what="SIGKILL of the browser",
        scale="default settings",
        run=browser_killed,
        bars={
            **UNHARMED,
            "detected": below(0.5),
            "recovered": below(5),
            "codes": NONE,
            "twins": ONE,
            "restarts": exactly(1),
        },
    ),
    Fault(
        name="idle_browser_killed",
        what="SIGKILL of a browser that has nothing to do",
        scale="default settings",
        run=idle_browser_killed,
        bars={
            **UNHARMED,
            "detected": below(0.5),
            "recovered": below(5),
            "codes": NONE,
            "twins": ONE,
            "restarts": exactly(1),
        },
    ),
    Fault(
        name="pipe_closed",
        what="the CDP pipe closed by force, the browser unharmed",
        scale="default settings",
        run=pipe_closed,
        bars={
            **UNHARMED,
            "detected": below(2),
            "recovered": below(5),
            "codes": NONE,
            "twins": ONE,
            "restarts": exactly(1),
        },
    ),
    Fault(
        name="close_unanswered",
        what="SIGSTOP of the browser, then a stop: it never answers",
        scale="stop_timeout 3 s instead of 30 s",
        run=close_unanswered,
        bars={**UNHARMED, "stopped": below(STOP_TIMEOUT + SLACK), "restarts": NONE, "codes": NONE},
    ),
)
