"""Events of the whole node: every workspace with sessions reads them; no session owns them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from storage.events import FACTS, EventType
from storage.sqlite import open_store
from storage.tenants import DEFAULT
from tests.integration.tenant_support import NOW

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration


async def test_a_notice_reaches_every_workspace_that_has_sessions(tmp_path: Path) -> None:
    async with open_store(tmp_path / "db") as store:
        home = (await store.workspace_named(DEFAULT)).id
        notice = {"action": "disk_low", "free": 1}
        await store.record_notice(EventType.STORAGE, notice, NOW)  # nobody to tell
        assert await store.events(home) == []
        for name in ("a", "b"):
            await store.create_session(home, name, NOW)
        await store.record_notice(EventType.STORAGE, notice, NOW)
        (event,) = await store.events(home, types=["storage"])
        assert event.session_id is None
        assert event.workspace_id == home
        assert event.payload == notice
        assert [e.id for e in await store.all_events(types=["storage"])] == [event.id]


async def test_a_session_that_is_no_more_makes_nobody_listen(tmp_path: Path) -> None:
    async with open_store(tmp_path / "db") as store:
        home = (await store.workspace_named(DEFAULT)).id
        row, _ = await store.create_session(home, "a", NOW)
        await store.delete_session(row.id, NOW)
        await store.record_notice(EventType.STORAGE, {"action": "disk_low"}, NOW)
        assert await store.events(home, types=["storage"]) == []


async def test_what_belongs_to_a_change_is_no_notice(tmp_path: Path) -> None:
    async with open_store(tmp_path / "db") as store:
        for event in set(EventType) - FACTS:
            with pytest.raises(ValueError, match="in its own transaction"):
                await store.record_notice(event, {}, NOW)
