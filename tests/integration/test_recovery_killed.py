"""A boot that is killed at any step of the recovery is finished by the next one, every time."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from supervisor.datadir import DataDir
from supervisor.quarantine import settled_files
from tests.integration import recovery_support as support
from tests.integration.backup_support import query
from tests.integration.recovery_support import LATER, Lived, boot, leave_a_log, live

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.integration


def killed_boots(root: Path, copies: Path) -> list[str]:
    """Return before what each boot was killed; the last one was not."""
    copies.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.killed_boots", str(root), str(copies)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [line.partition(" ")[2] for line in done.stdout.splitlines()]


@pytest.mark.parametrize("damage", [support.overwrite_pages, support.remove])
async def test_a_boot_killed_at_any_step_is_finished_by_the_next(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """Either the damaged database is there or the restored one; its log never meets the other."""
    lived = await live(tmp_path / "data")
    lived.furnished.archive(0, 4).with_name("9.wfa").write_bytes(b"no archive")
    left = leave_a_log(lived.database)
    damage(lived.database)
    lived.database.with_name("wafleet.db-wal").write_bytes(left)
    damaged = None if damage is support.remove else lived.database.read_bytes()
    steps = await asyncio.to_thread(killed_boots, lived.root, tmp_path / "copies")
    assert steps[-1] == ""
    told = Counter(steps[:-1])
    assert told["link"] == 2 + (damaged is not None)
    assert told["unlink"] >= 2
    assert told["replace"] == 1
    assert told["rename"] >= 2
    assert told["fsync"] > 10
    for number in range(1, len(steps) + 1):
        await look(lived, tmp_path / "copies" / str(number), damaged, left, steps[number - 1])


def strays(root: Path) -> list[str]:
    names = [path.name for path in root.iterdir()]
    return [name for name in names if name.startswith(".") or "restored" in name]


def aside(root: Path) -> list[Path]:
    return list(root.glob("damaged/*/archives/*/*/9.wfa"))


async def look(
    lived: Lived, root: Path, damaged: bytes | None, log: bytes, killed_before: str
) -> None:
    """See what the killed boot left, boot again, and see that everything is as it should be."""
    database = root / "wafleet.db"
    if killed_before and damaged is not None:
        found = database.read_bytes()
        if found != damaged:
            assert not settled_files(DataDir(root))
            assert query(database, "PRAGMA integrity_check") == [("ok",)]
            assert not database.with_name("wafleet.db-wal").exists()
        elif not settled_files(DataDir(root)):
            assert database.with_name("wafleet.db-wal").read_bytes() == log
    home = lived.furnished.workspace
    async with boot(root) as (store, _):
        rows = {row.name: row.reason for row in await store.sessions(home)}
        assert set(rows) == {"one", "two", f"recovered-{lived.later.lower()}"}
        one = lived.furnished.sessions[0]
        assert [r.generation for r in await store.archives(one)] == [4, 3, 2, 1]
        entries = await store.access_log(home)
        assert [entry.action for entry in entries].count("database.restore") == 1
    assert LATER not in {row[0] for row in query(database, "SELECT wa_id FROM messages")}
    [folder] = (root / "damaged").iterdir()
    assert (folder / "wafleet.db-wal").read_bytes() == log
    if damaged is not None:
        assert (folder / "wafleet.db").read_bytes() == damaged
    assert aside(root)
    assert strays(root) == []
    if not killed_before:
        async with boot(root) as (_, again):
            assert again is None
