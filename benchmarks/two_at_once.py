"""two_at_once: two sessions started in the same instant both show a QR code."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from benchmarks.rows import Options, Row
from benchmarks.stage import show_qr, stage
from supervisor.demo_parts import Api

if TYPE_CHECKING:
    from collections.abc import Sequence

ROUNDS: Final = 3


def run(options: Options) -> list[Row]:
    """Raises DemoFailed if one of the two does not get there."""
    rounds = options.runs_or(ROUNDS)
    with stage() as scene, scene.node() as node:

        async def measure() -> list[tuple[float, float, float]]:
            async with Api.of(node, scene.place) as api:
                found = []
                for number in range(rounds + 1):
                    alone = (await _start(api, [f"alone-{number}"]))[0]
                    first, second = await _start(api, [f"first-{number}", f"second-{number}"])
                    found.append((alone, first, second))
                return found[1:]  # the first round finds cold caches

        times = asyncio.run(measure())
    note = f"{rounds} rounds, after one that does not count; alone and together in turn"
    together = [max(first, second) for _, first, second in times]
    return [
        Row(
            name="two_at_once",
            what="both of two show a QR code, time of the later / of one alone",
            unit="ratio",
            samples=tuple(both / alone for both, (alone, *_) in zip(together, times, strict=True)),
            note=note,
        ),
        _seconds("two_at_once.alone", "one started alone", [alone for alone, *_ in times]),
        _seconds("two_at_once.first", "the first of two", [first for _, first, _ in times]),
        _seconds("two_at_once.second", "the second of two", [second for *_, second in times]),
    ]


def _seconds(name: str, what: str, samples: Sequence[float]) -> Row:
    return Row(name=name, what=f"POST start to QR, {what}", unit="s", samples=tuple(samples))


async def _start(api: Api, names: Sequence[str]) -> list[float]:
    """Start them in one instant; return the seconds that each took; delete them."""
    sessions = [(await api.post("/v1/sessions", {"name": name}))["id"] for name in names]
    began = time.monotonic()

    async def shown(session: str) -> float:
        await show_qr(api, session)
        return time.monotonic() - began

    seconds = await asyncio.gather(*(shown(session) for session in sessions))
    for session in sessions:
        await api.delete(f"/v1/sessions/{session}")
    return seconds
