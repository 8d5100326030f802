"""restart and kill: how soon a linked session is connected again, without a QR code."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING, Any, Final

from benchmarks.families import browsers
from benchmarks.rows import Options, Row
from benchmarks.stage import Stage, connect, stage
from supervisor.demo_parts import Api, DemoFailed, until

if TYPE_CHECKING:
    from supervisor.processes import Program

PHONE: Final = "15550100001"
SESSION: Final = "comeback"
ROUNDS: Final = 5
PATIENT: Final = {
    # Each kill counts as a crash; the benchmark must not end in the quarantine, and every pause
    # must be drawn from the first one's range.
    "restart_intensity": "1000",
    "fleet_intensity": "1000",
    "restart_backoff_max": "1",
}


def restart(options: Options) -> list[Row]:
    """restart_to_connected: SIGTERM, then a new node, until connected."""
    rounds = options.runs_or(ROUNDS)
    stops, starts, totals = [], [], []
    with stage(f"--account={PHONE}:Shop") as scene:
        with scene.node() as node:
            asyncio.run(_link(scene, node))
        for _ in range(rounds):
            with scene.node() as node:
                asyncio.run(_connected(scene, node))
                began = time.monotonic()
                node.stop(signal.SIGTERM)
            stopped = time.monotonic()
            with scene.node() as node:
                asyncio.run(_connected(scene, node))
                connected = time.monotonic()
            stops.append(stopped - began)
            starts.append(connected - stopped)
            totals.append(connected - began)
    return [
        _seconds("restart_to_connected", "SIGTERM to connected in a new node", totals),
        _seconds("restart_to_connected.stop", "… SIGTERM to the end, nothing left", stops),
        _seconds("restart_to_connected.start", "… new process to connected", starts),
    ]


def kill(options: Options) -> list[Row]:
    """kill_to_connected: SIGKILL of the browser, until connected."""
    rounds = options.runs_or(ROUNDS)
    with stage(f"--account={PHONE}:Shop") as scene, scene.node(**PATIENT) as node:

        async def measure() -> list[tuple[float, float]]:
            async with Api.of(node, scene.place) as api:
                await connect(api, SESSION, PHONE)
                return [await _kill_once(scene, node, api) for _ in range(rounds)]

        found = asyncio.run(measure())
    return [
        _seconds(
            "kill_to_connected",
            "SIGKILL of the browser to connected",
            [seconds for seconds, _ in found],
            "the planned pause before the restart is in it",
        ),
        _seconds("kill_to_connected.pause", "… the planned pause", [pause for _, pause in found]),
    ]


def _seconds(name: str, what: str, samples: list[float], note: str = "") -> Row:
    return Row(name=name, what=what, unit="s", samples=tuple(samples), note=note)


async def _link(scene: Stage, node: Program) -> None:
    async with Api.of(node, scene.place) as api:
        await connect(api, SESSION, PHONE)


async def _connected(scene: Stage, node: Program) -> None:
    async with Api.of(node, scene.place) as api:
        seen = await api.statuses_until(SESSION, "connected")
        if "qr_scanning" in seen:
            raise DemoFailed("the session asked for a QR code again")


async def _kill_once(scene: Stage, node: Program, api: Api) -> tuple[float, float]:
    """Return seconds until connected again, and the pause that the supervisor planned."""
    logged = scene.node_log.stat().st_size
    [browser] = browsers(node.pid)
    began = time.monotonic()
    browser.kill()
    await until(lambda: _left_connected(api), "the killed browser was not noticed")
    seen = await api.statuses_until(SESSION, "connected")
    seconds = time.monotonic() - began
    if "qr_scanning" in seen:
        raise DemoFailed("the session asked for a QR code again")
    return seconds, _planned_pause(scene.log_since(logged))


async def _left_connected(api: Api) -> bool | None:
    session = await api.get(f"/v1/sessions/{SESSION}")
    return None if session["status"] == "connected" else True


def _planned_pause(log: list[dict[str, Any]]) -> float:
    pauses = [e["seconds"] for e in log if e["event"] == "session_restart_planned"]
    if len(pauses) != 1:
        raise DemoFailed(f"one kill led to {len(pauses)} restarts")
    return float(pauses[0])
