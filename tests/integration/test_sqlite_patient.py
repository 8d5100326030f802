"""Writes that nobody waits for go to the disk with the next one that somebody does wait for."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from storage.sqlite import SqliteStore, open_store
from storage.store import StoreUnusable
from tests.integration.test_sqlite_together import traced
from tests.long_write import a_long_write

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from storage.sqlite.transactions import Transaction

pytestmark = pytest.mark.integration
LONG = 3600.0
"""Longer than any test: who is not taken along waits in vain."""


@asynccontextmanager
async def marks(directory: Path, patience: float) -> AsyncIterator[SqliteStore]:
    """Open a store with a table of ours."""
    async with open_store(directory / "wafleet.db", patience=patience) as store:
        await store._connections.write(lambda tx: tx.change("CREATE TABLE marks (name)"))
        yield store


def mark(store: SqliteStore, name: str, *, patient: bool) -> asyncio.Task[int]:
    async def body(tx: Transaction) -> int:
        return await tx.change("INSERT INTO marks VALUES (?)", (name,))

    return asyncio.create_task(store._connections.write(body, patient=patient))


async def made(store: SqliteStore) -> list[str]:
    rows = await store._connections.read("SELECT name FROM marks ORDER BY rowid")
    return [name for (name,) in rows]


async def test_the_patient_go_with_the_next_one_in_the_order_of_asking(tmp_path: Path) -> None:
    async with marks(tmp_path, LONG) as store:
        patient = [mark(store, name, patient=True) for name in "ab"]
        await asyncio.sleep(0)
        assert await made(store) == []
        assert not any(task.done() for task in patient)
        statements = traced(store)
        await mark(store, "c", patient=False)
        await asyncio.gather(*patient)
        assert statements.count("COMMIT") == 1
        assert await made(store) == ["a", "b", "c"]


async def test_who_has_no_company_waits_no_longer_than_the_patience(tmp_path: Path) -> None:
    async with marks(tmp_path, 0.05) as store:
        began = asyncio.get_running_loop().time()
        await mark(store, "a", patient=True)
        assert asyncio.get_running_loop().time() - began >= 0.05
        assert await made(store) == ["a"]


async def test_who_comes_during_a_commit_waits_for_the_next_one(tmp_path: Path) -> None:
    async with marks(tmp_path, LONG) as store:
        async with a_long_write(store):
            patient = mark(store, "a", patient=True)
            await asyncio.sleep(0)
        assert await made(store) == []
        await mark(store, "b", patient=False)
        await patient
        assert await made(store) == ["a", "b"]


async def test_the_patience_of_those_left_over_runs_out_too(tmp_path: Path) -> None:
    async with marks(tmp_path, 0.05) as store:
        async with a_long_write(store):
            patient = mark(store, "a", patient=True)
            await asyncio.sleep(0)
        await patient
        assert await made(store) == ["a"]


async def test_the_patient_are_refused_at_the_end_and_keep_nobody_waiting(tmp_path: Path) -> None:
    async with marks(tmp_path, LONG) as store:
        patient = mark(store, "a", patient=True)
        await asyncio.sleep(0)
    with pytest.raises(StoreUnusable, match="shutting down"):
        await patient
