"""The store's connections: one that writes, what waits for it together, and a few that read."""

from __future__ import annotations

import asyncio
import math
import sqlite3
import time
from collections import deque
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import aiosqlite

from storage.news import EventNews
from storage.sqlite.errors import translate, translated, unusable
from storage.sqlite.files import connect_reader, connect_writer
from storage.sqlite.transactions import NotBegun, Work, inspect, perform

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
    from pathlib import Path

    from storage.sqlite.transactions import Parameters, Query, Row, Transaction
    from storage.store import StoreUnusable

READERS: Final = 2
_CHUNK: Final = 64
_TOGETHER: Final = 32
"""How many share a commit at most, so that nobody waits for too many others."""

_R = TypeVar("_R")


class Connection(aiosqlite.Connection):
    """A connection with its own thread, which also runs whole functions there."""

    def run(self, work: Callable[[sqlite3.Connection], _R]) -> asyncio.Future[_R]:
        """Run it in the thread, after what was asked for before."""
        future: asyncio.Future[_R] = asyncio.get_running_loop().create_future()
        self._tx.put_nowait((future, partial(work, self._conn)))
        return future


class Connections:
    """What a store needs to reach its file; made by `open_connections`."""

    def __init__(
        self,
        path: Path,
        busy_timeout_ms: int,
        writer: Connection,
        readers: Sequence[Connection],
        patience: float = 0.0,
    ) -> None:
        self.path = path
        self.news = EventNews()
        self._busy_timeout_ms = busy_timeout_ms
        self._writer = writer
        self._patience = patience
        self._waiting: deque[Work] = deque()
        self._under_way: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._locked_until = 0.0
        self._readers: asyncio.Queue[Connection] = asyncio.Queue()
        for reader in readers:
            self._readers.put_nowait(reader)
        self._closed = False

    async def shut(self) -> None:
        """Refuse everything from now on; return when the open transaction has ended."""
        self._closed = True
        self._begin()
        while self._under_way is not None:
            await asyncio.wait([self._under_way])

    async def write(
        self, body: Callable[[Transaction], Coroutine[Any, Any, _R]], *, patient: bool = False
    ) -> _R:
        """Run the body in a transaction: committed on the disk, or as if it had never begun.

        It runs in the writer's thread and awaits nothing but the statements of its transaction.
        A `patient` one waits a moment for others to share a commit with, if nothing else waits.
        Whoever is cancelled meanwhile does not learn which of the two it was.
        """
        self._require_open()
        loop, now = asyncio.get_running_loop(), time.monotonic()
        by = now + self._patience if patient else now
        work = Work(body=body, answer=loop.create_future(), asked=now, by=by)
        self._waiting.append(work)
        if by <= now:
            self._begin()
        elif self._under_way is None and self._timer is None:
            self._timer = loop.call_later(by - now, self._begin)
        with translated(self.path):
            value: _R = await work.answer
        return value

    async def read(self, sql: str, parameters: Parameters = ()) -> Sequence[Row]:
        """Run one query on the newest committed state, without waiting for the writer."""
        reader = await self._readers.get()
        try:
            self._require_open()
            with translated(self.path):
                return await reader.run(partial(_fetch, sql=sql, parameters=parameters))
        finally:
            self._readers.put_nowait(reader)

    async def look(self, body: Callable[[Query], Coroutine[Any, Any, _R]]) -> _R:
        """Run queries that belong together on one and the same newest committed state.

        The body runs in the reader's thread and awaits nothing but its queries.
        """
        reader = await self._readers.get()
        try:
            self._require_open()
            with translated(self.path):
                return await reader.run(partial(inspect, body=body))
        finally:
            self._readers.put_nowait(reader)

    async def look_in_turn(self, body: Callable[[Query], Coroutine[Any, Any, _R]]) -> _R:
        """Do the same behind what is being written, for who will write next anyway.

        That connection still knows the pages that it has changed, which others read anew.
        """
        self._require_open()
        with translated(self.path):
            return await self._writer.run(partial(inspect, body=body))

    async def empty_log(self) -> None:
        """Move all of the write-ahead log into the file and cut it to nothing.

        Best effort: while another program reads, SQLite leaves the log for a later time.
        """
        self._require_open()
        with translated(self.path):
            await _finish(self._writer.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)"))

    def _begin(self) -> None:
        """Commit what waits, as much as there is, unless that is under way."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._under_way is None and (works := self._take()):
            left = self._time_left(works[0])
            self._under_way = self._writer.run(partial(perform, works=works, busy_ms=left))
            self._under_way.add_done_callback(partial(self._ended, works))

    def _ended(self, works: Sequence[Work], done: asyncio.Future[None]) -> None:
        """Answer, and go on until only the patient are left."""
        self._under_way = None
        failure = asyncio.CancelledError() if done.cancelled() else done.exception()
        if isinstance(failure, NotBegun):
            failure = failure.__cause__
            works = self._put_back(works, failure)
        self._answer(works, failure)
        wait = self._longest_wait()
        if wait <= 0:
            self._begin()
        elif wait < math.inf:
            self._timer = asyncio.get_running_loop().call_later(wait, self._begin)

    def _longest_wait(self) -> float:
        """Return for how many seconds nothing need be committed; for ever if nothing waits."""
        if self._closed and self._waiting:
            return 0.0
        return min((work.by for work in self._waiting), default=math.inf) - time.monotonic()

    def _take(self) -> list[Work]:
        """Take the next ones off the queue, but for those whose caller has gone."""
        taken: list[Work] = []
        while self._waiting and len(taken) < _TOGETHER:
            work = self._waiting.popleft()
            if work.answer.done():
                continue
            if self._closed:
                work.answer.set_exception(self._closed_error())
                continue
            taken.append(work)
        return taken

    def _time_left(self, first: Work) -> int | None:
        """Wait no longer than the busy time-out, counted from when it was asked for.

        Without that, calls that queue up behind a foreign lock would each wait the full time.
        """
        if self._locked_until <= first.asked:
            return None
        waited = int((time.monotonic() - first.asked) * 1000)
        return max(0, self._busy_timeout_ms - waited)

    def _put_back(self, works: Sequence[Work], why: BaseException | None) -> Sequence[Work]:
        """Return those that have waited their time; the others go on waiting behind a lock."""
        if not isinstance(why, sqlite3.OperationalError):
            return works
        now = self._locked_until = time.monotonic()
        late = now - self._busy_timeout_ms / 1000
        over = [work for work in works if work is works[0] or work.asked <= late]
        self._waiting.extendleft(work for work in reversed(works) if work not in over)
        return over

    def _answer(self, works: Sequence[Work], failure: BaseException | None) -> None:
        for work in works:
            error = work.error or failure
            if work.answer.done():
                continue  # its caller was cancelled
            if error is None:
                work.answer.set_result(work.value)
            else:
                work.answer.set_exception(error)
        if any(
            work.has_news for work in works
        ):  # also after a failure: news that is none is harmless
            self.news.tell()

    def _require_open(self) -> None:
        if self._closed:
            raise self._closed_error()

    def _closed_error(self) -> StoreUnusable:
        return unusable(self.path, "was closed by this program; it is shutting down")


@asynccontextmanager
async def open_connections(
    path: Path, busy_timeout_ms: int, patience: float = 0.0
) -> AsyncIterator[Connections]:
    """Open a prepared file; at the end finish what is under way, close, and end the threads.

    `patience` is for how many seconds a patient transaction waits for company.
    """
    async with AsyncExitStack() as stack:
        writer = await _open(partial(connect_writer, path, busy_timeout_ms), path)
        stack.push_async_callback(_close, writer, path)
        readers = []
        for _ in range(READERS):
            reader = await _open(partial(connect_reader, path, busy_timeout_ms), path)
            stack.push_async_callback(_close, reader, path)
            readers.append(reader)
        connections = Connections(path, busy_timeout_ms, writer, readers, patience)
        stack.push_async_callback(connections.shut)
        yield connections


async def _open(connector: Callable[[], sqlite3.Connection], path: Path) -> Connection:
    connection = Connection(connector, _CHUNK)
    with translated(path):
        await connection
    return connection


async def _close(connection: Connection, path: Path) -> None:
    try:
        await _finish(connection.close())
    except aiosqlite.Error as error:
        raise translate(error, path) from error


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


def _fetch(connection: sqlite3.Connection, sql: str, parameters: Parameters) -> Sequence[Row]:
    return connection.execute(sql, parameters).fetchall()
