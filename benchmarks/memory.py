"""memory: what the node itself takes (without Chromium), idle, with one session, with more.

Each figure is read once the resident size has stood still for a while.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import psutil

from benchmarks.families import browsers
from benchmarks.rows import Bar, Options, Row
from benchmarks.stage import connect, stage
from benchmarks.stats import slope
from supervisor.demo_parts import Api, DemoFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

MB: Final = 1_000_000
FIRST_PHONE: Final = 15550100001
ONE_BAR: Final = Bar(relation="<", limit=100.0)
MORE_BAR: Final = Bar(relation="<", limit=2.0)
LOOK_EVERY: Final = 0.25
STILL_FOR: Final = 5.0
STILL_WITHIN: Final = 256 * 1024
PATIENCE: Final = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Megabytes (10^6 bytes) with so many connected sessions."""

    sessions: int
    resident: float
    proportional: float


def run(options: Options) -> list[Row]:
    """Measure with 0 to `options.sessions` (at least 2) connected sessions."""
    most = max(2, options.sessions)
    with stage() as scene, scene.node() as node:

        async def measure() -> list[Size]:
            sizes = [await _settled(node.pid, 0)]
            async with Api.of(node, scene.place) as api:
                for number in range(1, most + 1):
                    await connect(api, f"session-{number}", str(FIRST_PHONE + number))
                    sizes.append(await _settled(node.pid, number))
                    await _all_connected(api, node.pid, number)
            return sizes

        sizes = asyncio.run(measure())
    return _rows(sizes)


def _rows(sizes: Sequence[Size]) -> list[Row]:
    one, last = sizes[1], sizes[-1]
    growth = slope([(size.sessions, size.resident) for size in sizes[1:]])
    growth_pss = slope([(size.sessions, size.proportional) for size in sizes[1:]])
    series = ", ".join(f"{size.sessions}: {size.resident:.1f}" for size in sizes)
    return [
        _row("memory.one", "node resident, one connected session", one.resident, ONE_BAR),
        _row(
            "memory.each_more",
            "node resident, growth for each further session",
            growth,
            MORE_BAR,
            f"least squares over 1 to {last.sessions} sessions; resident MB by sessions: {series}",
        ),
        _row("memory.idle", "node resident, no session", sizes[0].resident),
        _row(f"memory.with_{last.sessions}", "node resident, all sessions", last.resident),
        _row("memory.one_pss", "node's share (PSS), one session", one.proportional),
        _row("memory.each_more_pss", "node's share (PSS), each further session", growth_pss),
    ]


def _row(name: str, what: str, value: float, bar: Bar | None = None, note: str = "") -> Row:
    return Row(name=name, what=what, unit="MB", samples=(value,), bar=bar, note=note)


async def _all_connected(api: Api, pid: int, sessions: int) -> None:
    """Check that the size just read was that of so many sessions, each with its browser."""
    listed = (await api.get("/v1/sessions?limit=100"))["sessions"]
    connected = sum(session["status"] == "connected" for session in listed)
    running = len(browsers(pid))
    if (connected, running) != (sessions, sessions):
        raise DemoFailed(f"{sessions} sessions: {connected} connected, {running} browsers")


async def _settled(pid: int, sessions: int) -> Size:
    """Return the size once it has stood still for STILL_FOR seconds."""
    process = psutil.Process(pid)
    deadline = time.monotonic() + PATIENCE
    seen: list[int] = []
    enough = round(STILL_FOR / LOOK_EVERY)
    while time.monotonic() < deadline:
        seen = [*seen, process.memory_info().rss][-enough:]
        if len(seen) == enough and max(seen) - min(seen) <= STILL_WITHIN:
            full = process.memory_full_info()
            return Size(sessions=sessions, resident=full.rss / MB, proportional=full.pss / MB)
        await asyncio.sleep(LOOK_EVERY)
    raise DemoFailed(f"the node's memory did not stand still within {PATIENCE:g} s")
