"""A data directory with a snapshot, what was done after it, ways to spoil it, and boots on it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from storage.sqlite import open_store
from storage.sqlite.snapshots import SnapshotFiles
from storage.store import Desired
from supervisor.datadir import DataDir
from supervisor.parts import now_ms
from supervisor.recovery import safe_store
from tests.integration.archive_support import RING, archive_files, make_profile
from tests.integration.backup_support import Furnished, furnish
from tests.integration.tenant_support import NOW, outbound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from storage.snapshots import SnapshotFile
    from storage.sqlite.store import SqliteStore
    from storage.vault import Keyring
    from supervisor.recovery import Restored

BUSY_MS: Final = 2000
LATER: Final = "AFTER"
"""The WhatsApp id of a message that was accepted after the snapshot."""

LEAVE_A_LOG = """
import asyncio, os, signal, sys
from pathlib import Path
from storage.sqlite import open_store

async def main():
    async with open_store(Path(sys.argv[1])) as store:
        await store.ping()
        home = await store.workspace_named("default")
        await store.create_session(home.id, "in the log only", 1)
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@dataclass(frozen=True)
class Lived:
    """What `live` has made: a snapshot, and after it a session with a login and archives."""

    furnished: Furnished
    snapshot: SnapshotFile
    later: str

    @property
    def root(self) -> Path:
        return self.furnished.root

    @property
    def database(self) -> Path:
        return self.furnished.place.data.database


def snapshots_of(root: Path, keep: int = 3) -> SnapshotFiles:
    data = DataDir(root)
    return SnapshotFiles(
        database=data.database, directory=data.snapshots, keep=keep, reserve=0, busy_timeout_ms=500
    )


def take(root: Path, keep: int = 3) -> SnapshotFile:
    return snapshots_of(root, keep).take(now_ms(), lambda: False)


async def live(root: Path) -> Lived:
    """Furnish, take a snapshot, and go on: a third session, archives, a message, a deletion."""
    furnished = await furnish(root)
    snapshot = await asyncio.to_thread(take, root)
    data = furnished.place.data
    async with open_store(data.database) as store:
        archives = archive_files(root, store)
        later, _ = await store.create_session(furnished.workspace, "later", NOW)
        await store.set_desired(furnished.workspace, later.id, Desired.RUNNING, NOW)
        make_profile(data.paths(later.id).profile, "login of later")
        await archives.save(later.id, make_profile(root / "copied", "later 1"))
        for _ in range(2):
            await archives.save(furnished.sessions[0], make_profile(root / "copied", "one later"))
        await store.accept_message(
            furnished.workspace, outbound(furnished.sessions[0], LATER, now_ms=NOW + 1)
        )
    return Lived(furnished, snapshot, later.id)


@asynccontextmanager
async def boot(
    root: Path, keyring: Keyring = RING
) -> AsyncIterator[tuple[SqliteStore, Restored | None]]:
    """Open the store as a node does at its start."""
    data = DataDir(root)
    with data.owned():
        async with safe_store(
            data=data,
            keyring=keyring,
            snapshots=snapshots_of(root),
            busy_timeout_ms=BUSY_MS,
            now_ms=now_ms,
        ) as opened:
            yield opened


def leave_a_log(database: Path) -> bytes:
    """Let a program write and be killed; return the log that it leaves."""
    done = subprocess.run(
        [sys.executable, "-c", LEAVE_A_LOG, str(database)], timeout=60, check=False
    )
    assert done.returncode == -9
    return database.with_name(f"{database.name}-wal").read_bytes()


# ---- ways to spoil a database --------------------------------------------------------------------


def overwrite_pages(database: Path) -> None:
    """Put noise over everything but the first two pages."""
    size = database.stat().st_size
    with database.open("r+b") as file:
        file.seek(8192)
        file.write(os.urandom(size - 8192))


def overwrite_one_page(database: Path) -> None:
    """Put noise over the root page of the messages."""
    with closing(sqlite3.connect(database)) as plain:
        [(page,)] = plain.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'messages'"
        ).fetchall()
        [(size,)] = plain.execute("PRAGMA page_size").fetchall()
    with database.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(os.urandom(size))


def overwrite_header(database: Path) -> None:
    with database.open("r+b") as file:
        file.write(b"no database any more" * 10)


def truncate(database: Path) -> None:
    os.truncate(database, database.stat().st_size // 2)


def truncate_to_nothing(database: Path) -> None:
    os.truncate(database, 0)


def replace_by_an_empty_one(database: Path) -> None:
    """What a program that makes missing databases leaves in the place of a lost one."""
    database.unlink()
    with closing(sqlite3.connect(database)) as plain:
        plain.execute("PRAGMA journal_mode = WAL")


def remove(database: Path) -> None:
    database.unlink()


DAMAGES: Final[tuple[Callable[[Path], None], ...]] = (
    overwrite_one_page,
    overwrite_pages,
    overwrite_header,
    truncate,
)
LOSSES: Final[tuple[Callable[[Path], None], ...]] = (
    truncate_to_nothing,
    replace_by_an_empty_one,
    remove,
)
