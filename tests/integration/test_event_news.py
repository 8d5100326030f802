"""Who waits for news of the event log is woken by what is committed, and by nothing else."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from storage.events import EventType
from storage.news import EventNews
from storage.sqlite import SqliteStore, open_store
from storage.store import SessionNotFound
from tests.integration.outbox_support import claim_next
from tests.integration.tenant_support import NOW, home_of, outbound
from tests.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.integration

TOLD = {"action": "collect"}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with open_store(tmp_path / "wafleet.db") as opened:
        yield opened


async def test_the_newest_event_is_that_of_all_workspaces(store: SqliteStore) -> None:
    assert await store.newest_event() is None
    home = await home_of(store)
    other = (await store.create_workspace("other", NOW)).id
    for number, workspace in enumerate((home, other, home)):
        await store.create_session(workspace, f"s{number}", NOW)
        rows = await store.all_events()
        assert await store.newest_event() == rows[-1].id


async def test_a_commit_wakes_all_who_wait(store: SqliteStore) -> None:
    session, _ = await store.create_session(await home_of(store), "a", NOW)
    seen = await store.event_news(0, 0.0)
    waiting = [asyncio.create_task(store.event_news(seen, PATIENCE)) for _ in range(5)]
    await asyncio.sleep(0)
    began = time.monotonic()
    await store.record_event(session.id, EventType.MEMORY, TOLD, NOW)
    assert set(await asyncio.gather(*waiting)) == {seen + 1}
    assert time.monotonic() - began < PATIENCE / 2
    # Who asks with an old number is told at once, however many commits there were since.
    await store.record_notice(EventType.STORAGE, TOLD, NOW)
    assert await store.event_news(seen, PATIENCE) == seen + 2


async def test_what_appends_nothing_is_no_news(store: SqliteStore) -> None:
    home = await home_of(store)
    session, _ = await store.create_session(home, "a", NOW)
    await store.accept_message(home, outbound(session.id, "A1"))
    seen = await store.event_news(0, 0.0)
    claimed = await claim_next(store, session.id, NOW)  # accepted → sending is told of nowhere
    assert claimed is not None
    await store.create_session(home, "a", NOW)
    with pytest.raises(SessionNotFound):
        await store.record_event("nobody", EventType.MEMORY, TOLD, NOW)
    assert await store.event_news(seen, 0.05) == seen


async def test_a_number_that_is_up_to_date_waits_as_long_as_told() -> None:
    news = EventNews()
    began = time.monotonic()
    assert await news.beyond(0, 0.05) == 0
    assert time.monotonic() - began >= 0.05
    news.tell()
    assert await news.beyond(0, PATIENCE) == 1
