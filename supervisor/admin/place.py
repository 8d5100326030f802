"""Where the commands work: the data directory's database, and when it may be touched.

Commands that only add or read rows work beside a running node: SQLite lets one of them write at a
time, and a node reads what it needs anew. They never migrate, since that would pull the schema from
under a running node. Commands that migrate, rewrite keys or import hold the data directory's lock,
so that they refuse while a node runs, and a node refuses to start while they run.
"""

from __future__ import annotations

import os
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from storage.sqlite import migrations, open_store
from supervisor.admin.errors import DatabaseMissing, MigrationPending
from supervisor.datadir import DataDir

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from config.settings import Settings
    from storage.sqlite.store import SqliteStore

    Tick = Callable[[int, int | None], None]
    """Progress: how much is done, and of how much, None if that is not known."""


def no_tick(_done: int, _total: int | None) -> None:
    """Show no progress."""


@dataclass(frozen=True, slots=True)
class Place:
    """A data directory as the commands see it."""

    data: DataDir
    busy_timeout_ms: int

    @classmethod
    def of(cls, settings: Settings) -> Place:
        return cls(DataDir(settings.data_dir), int(settings.busy_timeout * 1000))

    def require_database(self) -> None:
        """Raise DatabaseMissing instead of making an empty database somewhere by mistake."""
        if not self.data.database.is_file():
            raise DatabaseMissing(
                f"There is no database in {self.data.root}: run wafleet migrate up to make one, or "
                "set WAFLEET_DATA_DIR to the directory of the node."
            )

    @asynccontextmanager
    async def store(self) -> AsyncIterator[SqliteStore]:
        """Open the store beside whoever else uses it.

        Raises DatabaseMissing, MigrationPending, StoreErrors.
        """
        self.require_database()
        states = migrations.status(self.data.database, busy_timeout_ms=self.busy_timeout_ms)
        pending = [state.id for state in states if state.known and not state.applied]
        if pending:
            raise MigrationPending(
                f"The database lacks {pending[0]}"
                f"{f' and {len(pending) - 1} more' if len(pending) > 1 else ''}: stop wafleet and "
                "run wafleet migrate up."
            )
        async with open_store(self.data.database, busy_timeout_ms=self.busy_timeout_ms) as store:
            yield store

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Hold the data directory while the block runs. Raises DataDirInUse, DataDirUnusable."""
        with self.data.owned():
            yield


def now_ms() -> int:
    """Return wall-clock milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def actor() -> str:
    """Name who acts, for the access log: the command line of this operating system user."""
    return f"cli:uid={os.getuid()}"
