"""Another program at the database: what it writes or locks while the store under test is open."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@asynccontextmanager
async def other_writer(
    database: Path, begin: str = "BEGIN IMMEDIATE"
) -> AsyncIterator[sqlite3.Connection]:
    """Give a connection that holds the write lock; what it wrote is committed at the end.

    The lock is waited for in a thread: a transaction of the store may be open, and only the loop
    of the test, which a wait of its own would block, can end it.
    """
    connection = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
    with closing(connection):
        await asyncio.to_thread(connection.execute, begin)
        yield connection
        await asyncio.to_thread(connection.execute, "COMMIT")
