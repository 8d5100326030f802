"""Retention in a running node: it takes what is too old by itself, and sweeps what a crash left."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from storage.sqlite import open_store
from storage.tenants import Retention
from storage.vault import load_keyring
from tests.integration.media_support import media_files, received
from tests.integration.tenant_support import home_of
from tests.waiting import eventually, eventually_async

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from supervisor.processes import SimulatorPlace
    from tests.acceptance.conftest import Node

pytestmark = pytest.mark.acceptance


async def furnished(data: Path) -> tuple[Path, Path]:
    """Store two old messages with a file each; of one the pointer is lost, as after a crash."""
    keyring = load_keyring(data / "keys" / "kek")
    async with open_store(data / "wafleet.db") as store:
        home = await home_of(store)
        media = media_files(data, store, keyring)
        long_ago = 1_600_000_000_000
        pointers = [
            await media.save(await received(store, home, wa_id, now_ms=long_ago), [b"photo"])
            for wa_id in ("M1", "M2")
        ]
        await store.drop_media(home, pointers[1].id)
        await store.set_retention(home, Retention(messages_ms=86_400_000), long_ago)
    return data / pointers[0].path, data / pointers[1].path


async def test_a_node_keeps_to_the_times_to_live(
    make_node: Callable[..., Node], place: SimulatorPlace
) -> None:
    node = make_node(place, WAFLEET_RETENTION_INTERVAL="1")
    node.start()
    node.program.stop()
    pointed, lost = await furnished(node.data)
    node.start()
    assert not lost.exists(), "swept before it was up"
    async with node.api() as api:

        async def removed() -> bool:
            metrics = await api.text("/metrics")
            return all(
                f'wafleet_retention_removed_total{{kind="{kind}"}} {count}.0' in metrics
                for kind, count in (("messages", 2), ("media", 1), ("events", 0))
            )

        await eventually_async(removed)
        eventually(lambda: '"retention_ended"' in node.log)
        assert not pointed.exists()
        assert '"media_swept"' in node.log
        assert (await api.get("/v1/sessions/media/messages"))["messages"] == []
    assert await asyncio.to_thread(node.program.stop) == 0
    assert '"retention_failed"' not in node.log
