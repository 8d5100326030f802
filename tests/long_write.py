"""A transaction of the store that stays open for as long as a test needs it."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from storage.sqlite import SqliteStore
    from storage.sqlite.transactions import Transaction

LIMIT: Final = 60.0


@asynccontextmanager
async def a_long_write(store: SqliteStore, *statements: str) -> AsyncIterator[None]:
    """Run these statements, and commit them at the end of the block; other writes queue up."""
    begun, over = threading.Event(), threading.Event()

    async def body(tx: Transaction) -> None:
        for statement in statements:
            await tx.change(statement)
        begun.set()
        over.wait(LIMIT)

    writing = asyncio.create_task(store._connections.write(body))
    try:
        assert await asyncio.to_thread(begun.wait, LIMIT)
        yield
    finally:
        over.set()
        await writing
