"""The cap on look-ups of numbers: exact, kept over restarts, and what the API says of it."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from actors.browser.reading import CheckContact
from actors.check_cap import KIND, CheckCap
from actors.limiter_plan import Instant, Limit
from actors.live import LiveSession
from actors.page_messages import ReadPage
from storage.sqlite import open_store
from storage.store import SessionNotFound
from tests.integration.tenant_support import NOW, home_of
from tests.integration.test_api_server import UNKNOWN_ID, Api, running_api

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from storage.sqlite.store import SqliteStore

pytestmark = pytest.mark.integration

HOUR = 3_600_000
CHECK = "/v1/sessions/a/contacts/check?number=15550100002"


@dataclass
class Place:
    """A store with two sessions, and a clock."""

    store: SqliteStore
    one: str
    other: str
    ms: int = 10 * HOUR
    boot: str = "boot"

    def cap(self, most: int = 3) -> CheckCap:
        """As a start of wafleet makes it."""
        return CheckCap(
            grants=self.store, limit=Limit(most=most, period_ms=HOUR), instant=self.instant
        )

    def instant(self) -> Instant:
        return Instant(boot_id=self.boot, boot_ms=self.ms, wall_ms=NOW)

    async def kept(self) -> list[str]:
        return [grant.session_id for grant in await self.store.grants(KIND)]


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with open_store(tmp_path / "wafleet.db") as store:
        home = await home_of(store)
        one, _ = await store.create_session(home, "a", NOW)
        other, _ = await store.create_session(home, "b", NOW)
        yield Place(store, one.id, other.id)


async def test_so_many_in_any_hour_and_session(place: Place) -> None:
    cap = place.cap()
    for _ in range(3):
        assert await cap.take(place.one) == 0
        place.ms += 1000
    assert await cap.take(place.one) == HOUR - 3000
    assert await cap.take(place.other) == 0
    place.ms += HOUR - 3001
    assert await cap.take(place.one) == 1
    place.ms += 1
    assert await cap.take(place.one) == 0
    assert await cap.take(place.one) == 1000, "the window slides"
    kept = await place.kept()
    assert kept.count(place.one) == 3, "what counts no more is dropped"
    place.ms += 2 * HOUR
    assert await place.cap().take(place.other) == 0
    assert await place.kept() == [place.other]


async def test_neither_a_restart_nor_a_reboot_lets_more_through(place: Place) -> None:
    for _ in range(3):
        assert await place.cap().take(place.one) == 0
    place.ms += HOUR // 2
    assert await place.cap().take(place.one) == HOUR // 2
    place.boot, place.ms = "another", 5000
    assert await place.cap().take(place.one) == HOUR, "nobody knows how long ago that was"
    place.ms += HOUR // 2
    assert await place.cap().take(place.one) == HOUR // 2
    place.ms += HOUR // 2
    assert await place.cap().take(place.one) == 0


async def test_many_at_once_get_no_more(place: Place) -> None:
    cap = place.cap()
    waits = await asyncio.gather(*(cap.take(place.one) for _ in range(20)))
    assert waits.count(0) == 3
    assert len(await place.kept()) == 3


async def test_a_check_whose_write_was_cut_off_counts(place: Place, tmp_path: Path) -> None:
    """It was not asked, but nobody knows whether it is on the disk."""
    cap = place.cap()
    assert await cap.take(place.one) == 0
    with closing(sqlite3.connect(tmp_path / "wafleet.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        cut_off = asyncio.create_task(cap.take(place.one))
        await asyncio.wait({cut_off}, timeout=0.1)
        cut_off.cancel()
        other.execute("ROLLBACK")
    assert [await cap.take(place.one) for _ in range(2)] == [0, HOUR]


async def test_what_is_not_on_the_disk_is_not_allowed(place: Place) -> None:
    cap = place.cap()
    with pytest.raises(SessionNotFound):
        await cap.take(UNKNOWN_ID)
    assert [await cap.take(place.one) for _ in range(4)] == [0, 0, 0, HOUR]


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


def asked(api: Api) -> int:
    """How many times a page was asked after a number."""
    reads = [one.query for one in api.fleet.messages if isinstance(one, ReadPage)]
    return sum(isinstance(query, CheckContact) for query in reads)


async def test_the_api_says_when_it_may_go_on(api: Api) -> None:
    session_id = await api.new_session("a")
    for _ in range(5):
        refused = await api.get(CHECK)
        assert (refused.status, refused.code) == (409, "not_connected")
    live = LiveSession(
        session_id=session_id,
        incarnation=1,
        phase="connected",
        status="connected",
        reason="ready",
        since_ms=NOW,
    )
    api.live.put(live)
    for _ in range(3):
        assert (await api.get(CHECK)).status == 200, "what was not asked was not counted"
    refused = await api.get(CHECK)
    assert (refused.status, refused.code) == (429, "contact_checks_limited")
    assert refused.json["limit"] == 3
    assert "ask again in" in refused.json["detail"]
    assert 3500 < int(refused.headers["Retry-After"]) <= 3600
    assert refused.json["next_at"].endswith("Z")
    assert asked(api) == 3
