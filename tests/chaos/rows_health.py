"""Silent disconnections: browsers and pages that hang or crash, a server that is not heard."""

from __future__ import annotations

import os
import signal
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from tests.chaos import sights
from tests.chaos.faults import NONE, ONE, UNHARMED, Fault, below, exactly
from tests.chaos.trial import trial
from tests.waiting import eventually, eventually_async

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.faults import Figures, Options
    from tests.chaos.stage import Stage
    from tests.chaos.trial import Trial

INTERVAL: Final = 6.0
"""A health interval on the stage of the silent socket: a twentieth of the default."""
ACK_TIMEOUT: Final = 3.0
"""How long an ack may take on the stage where they are swallowed: a tenth of the default."""


# ---- what hangs or crashes -----------------------------------------------------------------------


async def outage(
    stage: Stage,
    _options: Options,
    *,
    fault: Callable[[Trial], object],
    cause: str,
    **settings: str,
) -> Figures:
    """One outage of this cause must be told, and mended; `restarts` tells if by a new browser."""
    async with stage.running("left", **settings) as (fleet, _), trial(fleet) as t:
        await t.strike(lambda: fault(t))
        await t.detected()
        await t.recovered()
        await _judge_events(t, cause)
    return t.figures


async def _judge_events(t: Trial, cause: str) -> None:
    """Wait until the recovery is told; there must be that one outage and nothing else."""

    async def told() -> bool:
        events = await t.events("session.health")
        return any(each["payload"]["action"] == "recovered" for each in events)

    await eventually_async(told)
    payloads = [each["payload"] for each in await t.events("session.health")]
    t.figures["events"] = len(payloads)
    t.figures["wrong"] = sum(each["cause"] != cause for each in payloads)


def _signal_browser(t: Trial, number: signal.Signals) -> None:
    os.kill(t.browser.pid, number)


def _signal_renderer(t: Trial, number: signal.Signals) -> None:
    os.kill(_renderer(t.browser.pid), number)


def _renderer(browser: int) -> int:
    """Return the pid of the page's process."""

    def look() -> list[int]:
        found = []
        for pid in sights.members(browser):
            try:
                command = (sights.PROC / str(pid) / "cmdline").read_bytes()
            except OSError:
                continue
            if b"--type=renderer" in command:
                found.append(pid)
        return found

    return eventually(look)[0]


async def _simulate(t: Trial, **fault: Any) -> None:
    await t.api.simulator("/faults", {"number": t.number, **fault})


# ---- a server that is not heard ------------------------------------------------------------------


async def silent_socket(stage: Stage, _options: Options) -> Figures:
    """Frames vanish both ways, everything else is healthy. Nobody sends anything meanwhile."""
    settings = {"health_interval": f"{INTERVAL:g}", "probe_timeout": "2"}
    async with (
        stage.running("left", **settings) as (fleet, _),
        trial(fleet, outbound=False) as t,
    ):
        await t.strike(lambda: _simulate(t, kind="silent_socket"))
        await t.detected()
        await t.recovered()
        await t.api.becomes(t.victim, "ready")  # proven from end to end
        await _judge_events(t, "evidence_missing")
    return t.figures


async def acks_swallowed(stage: Stage, _options: Options) -> Figures:
    """The server takes what is sent, but never says so."""
    settings = {
        "ack_timeout": f"{ACK_TIMEOUT:g}",
        "health_interval": "20",
        "heartbeat_interval": "1",
        "heartbeat_timeout": "0.8",
    }
    async with (
        stage.running("left", **settings) as (fleet, _),
        trial(fleet, inbound=False) as t,
    ):
        browser = t.browser
        await t.strike(lambda: _simulate(t, kind="drop_acks"))
        t.figures["detected"] = await t.tells(lambda _, reason: reason == "acks_missing")
        degraded = await t.api.session(t.victim)
        await eventually_async(lambda: _another(t, browser.pid))
        await t.api.simulator_delete("/faults")
        await t.api.becomes(t.victim, "ready")
        t.figures["recovered"] = await t.tells(
            lambda status, reason: (status, reason) == ("connected", "ready"),
            after=t.figures["detected"],
        )
        await _judge_events(t, "acks_missing")
    t.figures["wrong"] += degraded["status"] != "connected"
    return t.figures


async def _another(t: Trial, pid: int) -> bool:
    return [b.pid for b in t.fleet.browsers(t.victim)] not in ([], [pid])


# ---- rows ----------------------------------------------------------------------------------------


def _row(name: str, what: str, limit: float, restarts: int, **rest: Any) -> Fault:
    quick = rest.pop("quick", False)
    return Fault(
        name=name,
        what=what,
        scale="default settings",
        run=partial(outage, **rest),
        bars={
            **UNHARMED,
            "detected": below(limit),
            "recovered": below(limit),
            "events": exactly(2),
            "wrong": NONE,
            "restarts": exactly(restarts),
            "codes": NONE,
            "twins": ONE,
        },
        quick=quick,
    )


FAULTS: Final = (
    _row(
        "browser_stopped",
        "SIGSTOP of the browser",
        25,
        restarts=1,
        cause="browser_unresponsive",
        fault=partial(_signal_browser, number=signal.SIGSTOP),
    ),
    _row(
        "renderer_stopped",
        "SIGSTOP of the renderer",
        25,
        restarts=0,
        cause="page_unresponsive",
        fault=partial(_signal_renderer, number=signal.SIGSTOP),
    ),
    _row(
        "page_loops",
        "while (true) in the page",
        25,
        restarts=0,
        cause="page_unresponsive",
        fault=partial(_simulate, kind="page_hang"),
    ),
    _row(
        "renderer_killed",
        "SIGKILL of the renderer",
        5,
        restarts=0,
        cause="page_crashed",
        fault=partial(_signal_renderer, number=signal.SIGKILL),
        quick=True,
    ),
    _row(
        "renderer_crashed",
        "SIGSEGV in the renderer, as chrome://crash has it",
        5,
        restarts=0,
        cause="page_crashed",
        fault=partial(_signal_renderer, number=signal.SIGSEGV),
    ),
    _row(
        "conflict_taken_over",
        "another window takes the login over, and the policy is to take it back",
        5,
        restarts=0,
        cause="conflict",
        fault=partial(_simulate, kind="conflict"),
        conflict_policy="take_over",
    ),
    Fault(
        name="silent_socket",
        what="frames vanish both ways, everything else is healthy",
        scale="health_interval 6 s instead of 120 s",
        run=silent_socket,
        bars={
            **UNHARMED,
            "detected": below(INTERVAL),
            "recovered": below(INTERVAL + 5),
            "missed": NONE,
            "events": exactly(2),
            "wrong": NONE,
            "codes": NONE,
            "twins": ONE,
        },
    ),
    Fault(
        name="acks_swallowed",
        what="the server takes messages and never says so",
        scale="ack_timeout 3 s instead of 30 s, heartbeats every 1 s instead of 5 s",
        run=acks_swallowed,
        bars={
            **UNHARMED,
            "detected": below(ACK_TIMEOUT + 4),
            "recovered": below(2 * ACK_TIMEOUT + 12),
            "unknown": NONE,
            "events": exactly(2),
            "wrong": NONE,
            "restarts": exactly(1),
            "codes": NONE,
            "twins": ONE,
        },
        quick=False,
    ),
)
