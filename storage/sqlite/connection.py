"""The store's connections: one that writes, one transaction at a time, and a few that only read."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import aiosqlite

from storage.news import EventNews
from storage.sqlite.errors import translate, translated, unusable
from storage.sqlite.files import connect_reader, connect_writer

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from pathlib import Path

READERS: Final = 2
_CHUNK: Final = 64

Parameters = tuple[object, ...] | dict[str, object]
Row = tuple[Any, ...]


class Transaction:
    """The statements of one open write transaction."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection
        self.has_news = False
        """Whether it appends events: those who follow the log are woken once it is committed."""

    async def all(self, sql: str, parameters: Parameters = ()) -> Sequence[Row]:
        """Run one statement and return its rows (also those of RETURNING)."""
        return await _fetch(self._connection, sql, parameters)

    async def one(self, sql: str, parameters: Parameters = ()) -> Row | None:
        """Run one statement and return its first row."""
        rows = await _fetch(self._connection, sql, parameters)
        return rows[0] if rows else None

    async def change(self, sql: str, parameters: Parameters = ()) -> int:
        """Run one statement without rows and return how many rows it changed."""
        async with self._connection.execute(sql, parameters) as cursor:
            return cursor.rowcount

    async def many(self, sql: str, parameters: Sequence[Parameters]) -> None:
        """Run one statement for each of the parameters."""
        async with self._connection.executemany(sql, parameters):
            pass


class Connections:
    """What a store needs to reach its file; made by `open_connections`."""

    def __init__(
        self,
        path: Path,
        busy_timeout_ms: int,
        writer: aiosqlite.Connection,
        readers: Sequence[aiosqlite.Connection],
    ) -> None:
        self.path = path
        self.news = EventNews()
        self._busy_timeout_ms = busy_timeout_ms
        self._writer = writer
        self._turn = asyncio.Lock()  # first come, first served
        self._locked_until = 0.0
        self._readers: asyncio.Queue[aiosqlite.Connection] = asyncio.Queue()
        for reader in readers:
            self._readers.put_nowait(reader)
        self._closed = False

    async def shut(self) -> None:
        """Refuse everything from now on; return when the open transaction has ended."""
        self._closed = True
        async with self._turn:
            pass

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Transaction]:
        """Run the block in one transaction: committed on the disk, or as if it had never begun."""
        asked = time.monotonic()
        async with self._turn:
            self._require_open()
            tx = Transaction(self._writer)
            with translated(self.path):
                try:
                    await self._begin(asked)
                    yield tx
                    await self._writer.commit()
                except BaseException:
                    # Also when the caller was cancelled: the thread may still be at work on its
                    # statement, and the roll-back queues behind it. No-op if nothing is open.
                    await _finish(self._writer.rollback())
                    raise
                finally:
                    if tx.has_news:  # also after a failure: a cancelled commit may have been one
                        self.news.tell()

    async def read(self, sql: str, parameters: Parameters = ()) -> Sequence[Row]:
        """Run one query on the newest committed state, without waiting for the writer."""
        reader = await self._readers.get()
        try:
            self._require_open()
            with translated(self.path):
                return await _fetch(reader, sql, parameters)
        finally:
            self._readers.put_nowait(reader)

    async def empty_log(self) -> None:
        """Move all of the write-ahead log into the file and cut it to nothing.

        Best effort: while another program reads, SQLite leaves the log for a later time.
        """
        async with self._turn:
            self._require_open()
            with translated(self.path):
                await _finish(self._writer.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)"))

    async def _begin(self, asked: float) -> None:
        """Take the write lock; wait no longer than the busy time-out, counted from `asked`.

        Without that, calls that queue up behind a foreign lock would each wait the full time.
        """
        waited_before = self._locked_until > asked
        if waited_before:
            left = max(0, self._busy_timeout_ms - int((time.monotonic() - asked) * 1000))
            await self._writer.execute_fetchall(f"PRAGMA busy_timeout = {left}")
        try:
            await self._writer.execute_fetchall("BEGIN IMMEDIATE")
        except aiosqlite.OperationalError:
            self._locked_until = time.monotonic()
            raise
        finally:
            if waited_before:
                await _finish(
                    self._writer.execute_fetchall(f"PRAGMA busy_timeout = {self._busy_timeout_ms}")
                )

    def _require_open(self) -> None:
        if self._closed:
            raise unusable(self.path, "was closed by this program; it is shutting down")


@asynccontextmanager
async def open_connections(path: Path, busy_timeout_ms: int) -> AsyncIterator[Connections]:
    """Open a prepared file; at the end finish what is under way, close, and end the threads."""
    async with AsyncExitStack() as stack:
        writer = await _open(partial(connect_writer, path, busy_timeout_ms), path)
        stack.push_async_callback(_close, writer, path)
        readers = []
        for _ in range(READERS):
            reader = await _open(partial(connect_reader, path, busy_timeout_ms), path)
            stack.push_async_callback(_close, reader, path)
            readers.append(reader)
        connections = Connections(path, busy_timeout_ms, writer, readers)
        stack.push_async_callback(connections.shut)
        yield connections


async def _open(connector: Callable[[], sqlite3.Connection], path: Path) -> aiosqlite.Connection:
    with translated(path):
        return await aiosqlite.Connection(connector, _CHUNK)


async def _close(connection: aiosqlite.Connection, path: Path) -> None:
    try:
        await _finish(connection.close())
    except aiosqlite.Error as error:
        raise translate(error, path) from error


async def _fetch(
    connection: aiosqlite.Connection, sql: str, parameters: Parameters
) -> Sequence[Row]:
    return list(await connection.execute_fetchall(sql, parameters))  # type: ignore[arg-type]


async def _finish(work: Awaitable[object]) -> None:
    """Await to the end even if this task is cancelled meanwhile; then the cancellation goes on."""
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cancelled = True
    if cancelled and not task.cancelled() and task.exception() is None:
        raise asyncio.CancelledError
    task.result()
