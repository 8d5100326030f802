"""Messages expire by themselves, whether their session runs or not."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from storage.messages import MessageState
from storage.sqlite import SqliteStore, open_store
from supervisor.expiry import BATCH, Expirer
from supervisor.keeper import keeping
from tests.integration.tenant_support import NOW, home_of, outbound
from tests.other_writer import other_writer
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.integration


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with open_store(tmp_path / "wafleet.db", busy_timeout_ms=50) as opened:
        yield opened


async def fill(store: SqliteStore, count: int) -> None:
    home = await home_of(store)
    session, _ = await store.create_session(home, "sales", NOW)
    for number in range(count):
        new = outbound(session.id, f"A{number}")
        await store.accept_message(home, replace(new, expires_ms=NOW + 1))


async def states(store: SqliteStore) -> dict[str, int]:
    counts = await store.message_counts()
    return {state.value: count for (_, state), count in counts.items()}


async def test_a_round_takes_all_that_is_over(store: SqliteStore) -> None:
    await fill(store, BATCH + 1)
    assert await Expirer(store=store, now_ms=lambda: NOW).round() == 0
    assert await Expirer(store=store, now_ms=lambda: NOW + 1).round() == BATCH + 1
    assert await states(store) == {MessageState.EXPIRED: BATCH + 1}


async def test_a_database_that_is_locked_is_tried_again(store: SqliteStore, tmp_path: Path) -> None:
    await fill(store, 1)
    expirer = Expirer(store=store, now_ms=lambda: NOW + 1, interval=0.05)
    async with other_writer(tmp_path / "wafleet.db", "BEGIN IMMEDIATE"):
        assert await expirer.round() == 0
        assert await states(store) == {MessageState.ACCEPTED: 1}
    async with keeping(expirer):

        async def expired() -> bool:
            return await states(store) == {MessageState.EXPIRED: 1}

        await eventually_async(expired)
    assert not [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
