"""archives: what it costs to archive a login, and how fast its encryption is.

The pause and the total are a real node's, with a profile of 20 MB. The encryption is measured in a
process of its own on 100 MB in memory, against bare AES-GCM on the same chunks, in turn; then a
whole archive of that size is written and read through files, to see what memory it takes.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from benchmarks.rows import Bar, Options, Row
from benchmarks.stage import connect, stage
from supervisor.demo_parts import Api

if TYPE_CHECKING:
    from collections.abc import Sequence

RUNS: Final = 10
VAULT_RUNS: Final = 5
PHONE: Final = "15550100001"
MB: Final = 1_000_000
PROFILE_BYTES: Final = 20 * MB
PARTS: Final = 200
"""LevelDB splits its tables: a real profile of this size has some hundreds of files."""
CHILD_TIMEOUT: Final = 300.0


def run(options: Options) -> list[Row]:
    """Raises DemoFailed, ValueError for a node that does not answer as it should."""
    answers = _archived(options.runs_or(RUNS))
    return [*_node_rows(answers), *_vault_rows(_vault(options.runs_or(VAULT_RUNS)))]


def _archived(runs: int) -> list[dict[str, float]]:
    """Archive a padded profile again and again; the first one, on cold caches, does not count."""
    with stage() as scene, scene.node(archive_delay="3600") as node:

        async def measure() -> list[dict[str, float]]:
            async with Api.of(node, scene.place) as api:
                await connect(api, "one", PHONE)
                (profile,) = (scene.directory / "data/sessions").glob("*/profile")
                _pad(profile / "Default" / "IndexedDB" / "ballast")
                found = [await api.post("/v1/sessions/one/archive", {}) for _ in range(runs + 1)]
                await api.session_becomes("one", "connected", "ready")
                return found[1:]

        return asyncio.run(measure())


def _pad(directory: Path) -> None:
    """Fill a directory with 20 MB, half of it compressible, in files of the size of tables."""
    directory.mkdir()
    source = random.Random(1)  # noqa: S311 - the same content in every run
    half = PROFILE_BYTES // PARTS // 2
    for number in range(PARTS):
        (directory / f"{number:06}.ldb").write_bytes(
            source.randbytes(half) + b"message " * (half // 8)
        )


def _vault(runs: int) -> dict[str, Any]:
    """Measure the encryption in a process of its own, whose memory nobody else grows."""
    with TemporaryDirectory(prefix="wafleet-bench-") as directory:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.vault_child", directory, str(runs)],
            cwd=Path(__file__).parent.parent,
            capture_output=True,
            text=True,
            timeout=CHILD_TIMEOUT,
            check=False,
        )
    if done.returncode != 0:
        raise RuntimeError(f"the vault's process failed: {done.stderr.strip()[-500:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _node_rows(answers: Sequence[dict[str, float]]) -> list[Row]:
    note = f"20 MB in {PARTS} files beside the real login; after one run that does not count"
    return [
        Row(
            name="archives.pause",
            what="the browser stands still, of a 20 MB profile",
            unit="ms",
            samples=tuple(answer["pause_seconds"] * 1000 for answer in answers),
            bar=Bar(relation="<", limit=500.0),
            note=note,
        ),
        Row(
            name="archives.total",
            what="freeze to a verified, counted archive, of a 20 MB profile",
            unit="s",
            samples=tuple(answer["seconds"] for answer in answers),
            bar=Bar(relation="<", limit=2.0),
        ),
        Row(
            name="archives.stored",
            what="size of that archive",
            unit="MB",
            samples=tuple(answer["bytes"] / MB for answer in answers),
        ),
    ]


def _vault_rows(found: dict[str, Any]) -> list[Row]:
    ours, bare = found["ours"], found["bare"]
    return [
        Row(
            name="archives.encryption",
            what="100 MB encrypted and decrypted, our time / bare AES-GCM's",
            unit="ratio",
            samples=tuple(mine / theirs for mine, theirs in zip(ours, bare, strict=True)),
            bar=Bar(relation="<=", limit=3.0),
            note="a third of its speed is three times its time; by pairs, in turn, in one process",
        ),
        _seconds("archives.encryption.ours", "100 MB, chunks of an archive, both ways", ours),
        _seconds("archives.encryption.bare", "100 MB, the same chunks, AES-GCM alone", bare),
        _seconds(
            "archives.whole",
            "100 MB compressed, encrypted, synced, verified, and read back",
            found["whole"],
        ),
        Row(
            name="archives.memory",
            what="most growth of resident memory while 100 MB are written and read",
            unit="MB",
            samples=(max(found["grown"]) / MB,),
            bar=Bar(relation="<", limit=32.0),
        ),
    ]


def _seconds(name: str, what: str, samples: Sequence[float]) -> Row:
    return Row(name=name, what=what, unit="s", samples=tuple(samples))
