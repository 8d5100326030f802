"""The Store port on one SQLite file."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from storage.sqlite import migrations
from storage.sqlite.connection import open_connections
from storage.sqlite.files import prepare_file
from storage.sqlite.ids import MonotonicIds
from storage.sqlite.messages import MessageTable
from storage.sqlite.sessions import SessionTable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from storage.sqlite.connection import Connections
    from storage.store import Store


class SqliteStore(SessionTable, MessageTable):
    """Implements storage.store.Store; made by `open_store`, used on the loop that opened it."""

    def __init__(self, connections: Connections, ids: MonotonicIds) -> None:
        self._connections = connections
        self._ids = ids

    async def ping(self) -> None:
        await self._connections.read("SELECT 1 FROM whatsapp_sessions LIMIT 1")


@asynccontextmanager
async def open_store(
    path: Path, *, busy_timeout_ms: int = migrations.DEFAULT_BUSY_TIMEOUT_MS
) -> AsyncIterator[SqliteStore]:
    """Open the database file, made (mode 0600) and brought to the newest version if needed.

    Its directory must exist. `busy_timeout_ms` bounds how long any write waits for a lock that
    another program holds. At the end of the block everything committed is on the disk, and no
    thread or descriptor is left. Raises StoreBusy, StoreFull, StoreUnusable.
    """
    await _prepare(path, busy_timeout_ms)
    async with open_connections(path, busy_timeout_ms) as connections:
        newest = await connections.read(
            "SELECT max(uuid) FROM (SELECT max(uuid) AS uuid FROM whatsapp_sessions"
            " UNION ALL SELECT max(uuid) FROM messages)"
        )
        yield SqliteStore(connections, MonotonicIds(newest[0][0]))


async def _prepare(path: Path, busy_timeout_ms: int) -> None:
    # A thread of its own, not the loop's default executor, whose threads would stay.
    executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="wafleet-store-open")
    try:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(executor, _prepare_blocking, path, busy_timeout_ms)
    finally:
        executor.shutdown(wait=False)


def _prepare_blocking(path: Path, busy_timeout_ms: int) -> None:
    prepare_file(path, busy_timeout_ms)
    migrations.apply(path, busy_timeout_ms=busy_timeout_ms)


if TYPE_CHECKING:

    def _implements_the_port(store: SqliteStore) -> Store:
        return store
