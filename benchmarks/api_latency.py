"""api_latency: a client's GETs, one after the other on one connection, one session connected."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from benchmarks.rows import Options, Row
from benchmarks.stage import connect, stage
from supervisor.demo_parts import Api

PHONE: Final = "15550100001"
SESSION: Final = "watched"
REQUESTS: Final = 1000
WARM_UP: Final = 50
PATHS: Final = {
    "session": f"/v1/sessions/{SESSION}",
    "sessions": "/v1/sessions",
    "metrics": "/metrics",
}


def run(options: Options) -> list[Row]:
    count = options.runs_or(REQUESTS)
    with stage(f"--account={PHONE}:Shop") as scene, scene.node() as node:

        async def measure() -> dict[str, list[float]]:
            async with Api.of(node, scene.place) as api:
                await connect(api, SESSION, PHONE)
                return {name: await _requests(api, path, count) for name, path in PATHS.items()}

        found = asyncio.run(measure())
    return [
        Row(
            name=f"api_latency.{name}",
            what=f"GET {PATHS[name]}",
            unit="ms",
            samples=tuple(samples),
            note="the client's own time is in it",
        )
        for name, samples in found.items()
    ]


async def _requests(api: Api, path: str, count: int) -> list[float]:
    samples = []
    for _ in range(WARM_UP + count):
        began = time.perf_counter()
        await api.body(path)
        samples.append(1000 * (time.perf_counter() - began))
    return samples[WARM_UP:]
