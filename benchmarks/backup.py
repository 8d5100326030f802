"""backup: what a backup of a large database costs those who send messages meanwhile.

A node with one connected session and a database of 1 GB. Messages are posted at a steady thousand
a minute, each at its time whether or not the one before was answered, for as long as a backup takes
without one, then during one, in turn.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.ballast import fill
from benchmarks.rows import Bar, Options, Row
from benchmarks.stage import connect, stage
from benchmarks.stats import percentile
from supervisor.demo_parts import Api, DemoFailed

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from benchmarks.stage import Stage

GB: Final = 1_000_000_000
ROUNDS: Final = 5
A_MINUTE: Final = 1000
LEAST_SECONDS: Final = 20.0
"""A quiet time is at least so long: 333 messages, of which three are beyond the p99."""
WARM_UP: Final = 5.0
PHONE: Final = "15550100001"
CONTACT: Final = "15550100002"
SESSION: Final = "sender"
BACKUP_TIMEOUT: Final = 300.0


def run(options: Options) -> list[Row]:
    """Raises DemoFailed for a backup or a message that failed."""
    people = (f"--account={PHONE}:Shop", f"--contact={CONTACT}:Alice")
    with stage(*people, "--ack-delay=0.01", "--offline-delay=0.1") as scene:
        with scene.node(archive_delay="3600") as node:
            asyncio.run(_link(Api.of(node, scene.place)))
        database = scene.directory / "data/wafleet.db"
        fill(database, GB)
        with scene.node(archive_delay="3600") as node:
            api = Api.of(node, scene.place)
            rounds = asyncio.run(_rounds(api, scene, options.runs_or(ROUNDS)))
        size = database.stat().st_size
    return _rows(rounds, size)


async def _link(api: Api) -> None:
    async with api:
        await connect(api, SESSION, PHONE)


async def _rounds(api: Api, scene: Stage, count: int) -> list[tuple[list[float], list[float]]]:
    """Return (milliseconds of accepts without a backup, with one) of each round."""
    found = []
    async with api:
        await api.session_becomes(SESSION, "connected", "ready")
        await _flow(api, asyncio.sleep(WARM_UP))
        seconds = LEAST_SECONDS
        for number in range(count):
            quiet = await _flow(api, asyncio.sleep(max(seconds, LEAST_SECONDS)))
            began = time.monotonic()
            busy = await _flow(api, _backup(scene, scene.directory / f"backup{number}"))
            seconds = time.monotonic() - began
            found.append((quiet, busy))
    return found


async def _flow(api: Api, meanwhile: Coroutine[Any, Any, None]) -> list[float]:
    """Post messages until `meanwhile` is over; return how long each took, in milliseconds."""
    over = asyncio.create_task(meanwhile)
    began, posts = time.monotonic(), list[asyncio.Task[float]]()
    while not over.done():
        posts.append(asyncio.create_task(_post(api)))
        due = began + len(posts) * 60 / A_MINUTE
        await asyncio.wait({over}, timeout=max(0.0, due - time.monotonic()))
    over.result()
    return list(await asyncio.gather(*posts))


async def _post(api: Api) -> float:
    began = time.perf_counter()
    await api.post(f"/v1/sessions/{SESSION}/messages", {"to": f"+{CONTACT}", "text": "hello"})
    return 1000 * (time.perf_counter() - began)


async def _backup(scene: Stage, target: Path) -> None:
    """Run the program as an operator would."""
    backup = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "supervisor", "backup", str(target)),
        cwd=Path(__file__).parent.parent,
        env={"WAFLEET_DATA_DIR": str(scene.directory / "data"), "PATH": "/usr/bin:/bin"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(BACKUP_TIMEOUT):
        said, _ = await backup.communicate()
    if backup.returncode != 0:
        raise DemoFailed(f"the backup failed: {said.decode().strip()[-500:]}")


def _rows(rounds: Sequence[tuple[list[float], list[float]]], size: int) -> list[Row]:
    quiet = [sample for samples, _ in rounds for sample in samples]
    busy = [sample for _, samples in rounds for sample in samples]
    pooled = percentile(busy, 99) / percentile(quiet, 99)
    return [
        Row(
            name="backup.accept_p99",
            what="p99 of accepting a message during a backup / without one",
            unit="ratio",
            samples=tuple(percentile(b, 99) / percentile(q, 99) for q, b in rounds),
            bar=Bar(relation="<", limit=2.0),
            note=f"{size / GB:.2f} GB database, {A_MINUTE} messages a minute, by rounds;"
            f" of all rounds together {pooled:.2f}",
        ),
        Row(
            name="backup.accept_p99.without",
            what="p99 of accepting, by rounds",
            unit="ms",
            samples=tuple(percentile(q, 99) for q, _ in rounds),
            note=f"{len(quiet)} messages, median {percentile(quiet, 50):.1f} ms",
        ),
        Row(
            name="backup.accept_p99.during",
            what="p99 of accepting during a backup, by rounds",
            unit="ms",
            samples=tuple(percentile(b, 99) for _, b in rounds),
            note=f"{len(busy)} messages, median {percentile(busy, 50):.1f} ms",
        ),
        Row(
            name="backup.seconds",
            what="the backup, with the program's start",
            unit="s",
            samples=tuple(len(b) * 60 / A_MINUTE for _, b in rounds),
        ),
    ]
