"""What a transaction may do, and how several are committed together in the writer's thread.

The body of a transaction awaits nothing but its own statements, and these never suspend: they run
at once, since the whole body runs in the thread of the connection that writes. One step of that
thread, instead of one for each statement, is what keeps the lock short while the loop is busy.

Bodies that were asked for at the same time share one commit, each behind a savepoint of its own:
one that fails takes back its own changes only. What a caller is told is on the disk.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, Protocol, TypeVar

if TYPE_CHECKING:
    import asyncio
    import sqlite3
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from storage.sqlite.connection import Connections

Parameters = tuple[object, ...] | dict[str, object]
Row = tuple[Any, ...]

_P = ParamSpec("_P")
_R = TypeVar("_R")
_SAVE: Final = "SAVEPOINT body"
_TAKE_BACK: Final = "ROLLBACK TO body"
_KEEP: Final = "RELEASE body"


class Query(Protocol):
    """Runs one statement and returns its rows."""

    def __call__(self, sql: str, parameters: Parameters = (), /) -> Awaitable[Sequence[Row]]: ...


class Transaction:
    """The statements of one open write transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.has_news = False
        """Whether it appends events: those who follow the log are woken once it is committed."""

    async def all(self, sql: str, parameters: Parameters = ()) -> Sequence[Row]:
        """Run one statement and return its rows (also those of RETURNING)."""
        return self._connection.execute(sql, parameters).fetchall()

    async def one(self, sql: str, parameters: Parameters = ()) -> Row | None:
        """Run one statement and return its first row."""
        rows = self._connection.execute(sql, parameters).fetchall()
        return rows[0] if rows else None

    async def change(self, sql: str, parameters: Parameters = ()) -> int:
        """Run one statement without rows and return how many rows it changed."""
        return self._connection.execute(sql, parameters).rowcount

    async def many(self, sql: str, parameters: Sequence[Parameters]) -> None:
        """Run one statement for each of the parameters."""
        self._connection.executemany(sql, parameters)


class _Table(Protocol):
    _connections: Connections


_T = TypeVar("_T", bound=_Table)


def transaction(
    method: Callable[Concatenate[_T, Transaction, _P], Coroutine[Any, Any, _R]],
) -> Callable[Concatenate[_T, _P], Coroutine[Any, Any, _R]]:
    """Make a method of a table run in one transaction, which it gets as its first argument."""

    @functools.wraps(method)
    async def run(self: _T, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        return await self._connections.write(lambda tx: method(self, tx, *args, **kwargs))

    return run


@dataclass(slots=True, eq=False)
class Work:
    """A body that somebody waits for since `asked` (s, monotonic); and what became of it.

    Without company it may wait until `by`.
    """

    body: Callable[[Transaction], Coroutine[Any, Any, Any]]
    answer: asyncio.Future[Any]
    asked: float
    by: float
    value: Any = None
    error: BaseException | None = None
    has_news: bool = False


class NotBegun(Exception):  # noqa: N818 - says what did not happen; its cause says why
    """No transaction was begun: `__cause__` is SQLite's error, nothing was run."""


def perform(connection: sqlite3.Connection, works: Sequence[Work], busy_ms: int | None) -> None:
    """Run all in one transaction and commit it; the failure of one stands in its own `error`.

    `busy_ms`: wait that long for another program's lock, instead of the connection's own time.
    Raises NotBegun, or what took back all of it: then none of them has changed anything.
    """
    _begin(connection, busy_ms)
    try:
        for work in works:
            if work.answer.done():  # cancelled while the lock was waited for
                continue
            if len(works) == 1:
                _run(connection, work)
            else:
                _attempt(connection, work)
        connection.commit()
    except BaseException:
        connection.rollback()  # no-op where SQLite has done so itself
        raise


def inspect(connection: sqlite3.Connection, body: Callable[[Query], Coroutine[Any, Any, _R]]) -> _R:
    """Run queries that belong together on one and the same state."""

    async def query(sql: str, parameters: Parameters = (), /) -> Sequence[Row]:
        return connection.execute(sql, parameters).fetchall()

    connection.execute("BEGIN")
    try:
        return _drive(body(query))
    finally:
        connection.rollback()


def _begin(connection: sqlite3.Connection, busy_ms: int | None) -> None:
    usual = None
    try:
        if busy_ms is not None:
            usual = connection.execute("PRAGMA busy_timeout").fetchone()[0]
            connection.execute(f"PRAGMA busy_timeout = {busy_ms}")
        connection.execute("BEGIN IMMEDIATE")
    except Exception as error:
        raise NotBegun from error
    finally:
        if usual is not None:
            connection.execute(f"PRAGMA busy_timeout = {usual}")


def _attempt(connection: sqlite3.Connection, work: Work) -> None:
    connection.execute(_SAVE)
    try:
        _run(connection, work)
    except BaseException as error:
        if not connection.in_transaction:  # SQLite took back all, as it does on a full disk
            raise
        connection.execute(_TAKE_BACK)
        work.error = error  # its caller's
    connection.execute(_KEEP)


def _run(connection: sqlite3.Connection, work: Work) -> None:
    tx = Transaction(connection)
    work.value = _drive(work.body(tx))
    work.has_news = tx.has_news


def _drive(body: Coroutine[Any, Any, _R]) -> _R:
    """Run a coroutine that never suspends."""
    try:
        body.send(None)
    except StopIteration as ended:
        value: _R = ended.value
        return value
    body.close()
    raise RuntimeError("a transaction awaited something else than its own statements")
