"""Transactions that were asked for at the same time: one commit, and none harms another."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.sqlite import SqliteStore, open_store
from storage.store import StoreBusy, StoreError, StoreUnusable
from tests.integration.tenant_support import home_of
from tests.long_write import a_long_write
from tests.other_writer import other_writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from storage.sqlite.transactions import Query, Row, Transaction

pytestmark = pytest.mark.integration
NOW = 1_800_000_000_000
BUSY_MS = 300
TOGETHER = 32


@asynccontextmanager
async def numbers(directory: Path) -> AsyncIterator[SqliteStore]:
    """Open a store with a table of ours, which takes each number once and none above 99."""
    async with open_store(directory / "wafleet.db", busy_timeout_ms=BUSY_MS) as store:
        await store._connections.write(
            lambda tx: tx.change("CREATE TABLE numbers (n INTEGER PRIMARY KEY CHECK (n < 100))")
        )
        yield store


async def add(store: SqliteStore, *wanted: int) -> int:
    """Add them in one transaction; -1 makes it fail by itself."""

    async def body(tx: Transaction) -> int:
        for number in wanted:
            if number == -1:
                raise ZeroDivisionError
            await tx.change("INSERT INTO numbers VALUES (?)", (number,))
        return sum(wanted)

    return await store._connections.write(body)


async def kept(store: SqliteStore) -> set[int]:
    return {n for (n,) in await store._connections.read("SELECT n FROM numbers")}


def open_files() -> set[str]:
    """Return what this process has open, by path."""
    descriptors = Path("/proc/self/fd").iterdir()
    return {str(each.readlink()) for each in descriptors if each.is_symlink()}


def traced(store: SqliteStore) -> list[str]:
    """Collect the writer's statements from now on; not through its thread, which may be at work."""
    statements: list[str] = []
    store._connections._writer._conn.set_trace_callback(statements.append)
    return statements


@given(st.lists(st.lists(st.integers(-1, 105), max_size=4), max_size=12))
def test_each_is_kept_whole_or_not_at_all(wanted: Sequence[Sequence[int]]) -> None:
    """By the same rule as one after the other, whatever fails beside it."""

    async def run() -> None:
        with tempfile.TemporaryDirectory() as directory:
            async with numbers(Path(directory)) as store:
                async with a_long_write(store):
                    calls = [asyncio.create_task(add(store, *some)) for some in wanted]
                    await asyncio.sleep(0)
                answers = await asyncio.gather(*calls, return_exceptions=True)
                expected: set[int] = set()
                for some, answer in zip(wanted, answers, strict=True):
                    good = len(set(some)) == len(some) and all(0 <= n < 100 for n in some)
                    if good and not expected & set(some):
                        expected |= set(some)
                        assert answer == sum(some)
                    else:
                        assert isinstance(answer, StoreError | ZeroDivisionError)
                assert await kept(store) == expected

    asyncio.run(run())


async def test_nothing_is_written_outside_the_directory(tmp_path: Path) -> None:
    """What takes back one of several is a file of SQLite's own, once it is of some size."""
    async with numbers(tmp_path) as store:
        opened: set[str] = set()

        async def body(tx: Transaction) -> None:
            await tx.change("UPDATE numbers SET n = n - 100")
            await tx.change("UPDATE large SET text = hex(randomblob(2000))")
            opened.update(open_files())

        await add(store, 99)
        rows = "SELECT '' AS text FROM sqlite_schema AS a, sqlite_schema AS b LIMIT 100"
        await store._connections.write(lambda tx: tx.change(f"CREATE TABLE large AS {rows}"))
        async with a_long_write(store):
            calls = [asyncio.create_task(store._connections.write(body)) for _ in range(2)]
            await asyncio.sleep(0)
        await asyncio.gather(*calls)
        assert await kept(store) == {-101}
        assert str(tmp_path / "wafleet.db") in opened
        assert not [path for path in opened if "etilqs" in path], "SQLite's temporary files"


async def test_what_waits_shares_a_commit(tmp_path: Path) -> None:
    async with numbers(tmp_path) as store:
        async with a_long_write(store):
            calls = [asyncio.create_task(add(store, n)) for n in range(TOGETHER + 1)]
            await asyncio.sleep(0)
            statements = traced(store)
        await asyncio.gather(*calls)
        assert statements.count("COMMIT") == 3, "the long one, so many together, and the last"
        assert await kept(store) == set(range(TOGETHER + 1))


async def test_a_commit_that_fails_is_nobody_s(tmp_path: Path) -> None:
    """What only COMMIT finds out takes back all of it, and each of them learns it."""
    async with numbers(tmp_path) as store:
        await store._connections.write(
            lambda tx: tx.change(
                "CREATE TABLE of (n REFERENCES numbers DEFERRABLE INITIALLY DEFERRED)"
            )
        )
        async with a_long_write(store):
            calls: list[asyncio.Task[Any]] = [
                asyncio.create_task(add(store, 1)),
                asyncio.create_task(
                    store._connections.write(lambda tx: tx.change("INSERT INTO of VALUES (7)"))
                ),
                asyncio.create_task(add(store, -1)),
            ]
            await asyncio.sleep(0)
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(answer) for answer in answers] == [StoreError, StoreError, ZeroDivisionError]
        assert await kept(store) == set()
        assert await add(store, 2) == 2


async def test_who_came_late_waits_on_behind_a_foreign_lock(tmp_path: Path) -> None:
    """One call's time is over; that of another, which came just before, is not."""
    async with numbers(tmp_path) as store:
        async with other_writer(tmp_path / "wafleet.db"):
            first = asyncio.create_task(add(store, 1))
            await asyncio.sleep(0)  # it is asked for, and its thread waits for the lock
            late = asyncio.create_task(add(store, 2))
            with pytest.raises(StoreBusy):
                await first
            last = asyncio.create_task(add(store, 3))
            await asyncio.wait([late])
            assert isinstance(late.exception(), StoreBusy)
            assert not last.done()
        assert await last == 3
        assert await kept(store) == {3}


async def test_a_body_may_not_wait_for_anything_else(tmp_path: Path) -> None:
    """It would stop the thread of all; and it must not be committed half way."""
    async with numbers(tmp_path) as store:

        async def body(tx: Transaction) -> None:
            await tx.change("INSERT INTO numbers VALUES (1)")
            await asyncio.sleep(0)

        with pytest.raises(RuntimeError, match="awaited something else"):
            await store._connections.write(body)
        assert await kept(store) == set()
        assert await add(store, 1) == 1


async def test_queries_that_belong_together_see_one_state(tmp_path: Path) -> None:
    async with numbers(tmp_path) as store:
        loop = asyncio.get_running_loop()

        async def body(query: Query) -> tuple[Sequence[Row], Sequence[Row]]:
            before = await query("SELECT n FROM numbers")
            asyncio.run_coroutine_threadsafe(add(store, 5), loop).result(60)
            return before, await query("SELECT n FROM numbers")

        assert await store._connections.look(body) == ([], [])
        assert await store._connections.read("SELECT n FROM numbers") == [(5,)]


async def test_what_waits_at_the_end_is_refused(tmp_path: Path) -> None:
    async with numbers(tmp_path) as store:
        async with a_long_write(store):
            waiting = asyncio.create_task(add(store, 1))
            await asyncio.sleep(0)
            ending = asyncio.create_task(store._connections.shut())
            await asyncio.sleep(0)
        await ending
        with pytest.raises(StoreUnusable, match="shutting down"):
            await waiting
        with pytest.raises(StoreUnusable, match="shutting down"):
            await add(store, 2)
    async with open_store(tmp_path / "wafleet.db") as store:
        assert await kept(store) == set()
        assert await home_of(store)
