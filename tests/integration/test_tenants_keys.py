"""API keys and archive pointers as they are stored."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from storage.archives_index import ArchiveOutOfOrder, NewArchive
from storage.keys import TOUCH_INTERVAL_MS, KeyIdTaken, KeyNotFound
from storage.sqlite import SqliteStore, open_store
from storage.store import SessionNotFound, StoreError
from tests.integration.tenant_support import NOW, home_of, new_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.integration


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with open_store(tmp_path / "wafleet.db") as opened:
        yield opened


async def test_a_key_is_found_by_its_public_part(store: SqliteStore) -> None:
    home = await home_of(store)
    new = replace(new_key("k1"), scopes=frozenset({"b", "a"}), expires_ms=NOW + 10)
    made = await store.create_key(home, new, NOW)
    assert (made.workspace_id, made.key_id, made.hash) == (home, "k1", "ab" * 32)
    assert (made.scopes, made.expires_ms) == (frozenset({"a", "b"}), NOW + 10)
    assert (made.last_used_ms, made.revoked_ms, made.created_ms) == (None, None, NOW)
    assert await store.key_with_id("k1") == made
    assert made.usable(NOW + 9)
    assert not made.usable(NOW + 10)
    assert made.hash not in repr(made), "hashes stay out of logs"
    with pytest.raises(KeyIdTaken):
        await store.create_key(home, new, NOW)
    other = await store.create_workspace("acme", NOW)
    with pytest.raises(KeyIdTaken):
        await store.create_key(other.id, new, NOW)
    for missing in ("k2", "", "%", made.id):
        with pytest.raises(KeyNotFound):
            await store.key_with_id(missing)


async def test_revoking_is_for_ever(store: SqliteStore) -> None:
    home = await home_of(store)
    keys = [await store.create_key(home, new_key(f"k{n}"), NOW) for n in range(3)]
    revoked = await store.revoke_key(home, keys[1].id, NOW + 1)
    assert revoked.revoked_ms == NOW + 1
    assert not revoked.usable(NOW)
    assert await store.revoke_key(home, keys[1].id, NOW + 2) == revoked
    assert await store.key_with_id("k1") == revoked
    assert await store.keys(home) == [keys[0], revoked, keys[2]]
    assert await store.keys(home, after=keys[0].id, limit=1) == [revoked]


async def test_uses_are_noted_once_a_minute(store: SqliteStore) -> None:
    home = await home_of(store)
    await store.create_key(home, new_key("k1"), NOW)
    await store.touch_key("k1", NOW)
    for later, noted in (
        (TOUCH_INTERVAL_MS - 1, NOW),
        (TOUCH_INTERVAL_MS, NOW + TOUCH_INTERVAL_MS),
        (TOUCH_INTERVAL_MS - 1, NOW + TOUCH_INTERVAL_MS),
    ):
        await store.touch_key("k1", NOW + later)
        assert (await store.key_with_id("k1")).last_used_ms == noted
    await store.touch_key("nobody", NOW)


def archive(session_id: str, generation: int, path: str | None = None) -> NewArchive:
    return NewArchive(
        session_id=session_id,
        generation=generation,
        path=path or f"{session_id}/{generation}",
        sha256="ef" * 32,
        bytes=5_000_000,
        now_ms=NOW + generation,
    )


async def test_generations_only_grow(store: SqliteStore) -> None:
    home = await home_of(store)
    row, _ = await store.create_session(home, "a", NOW)
    assert [await store.next_generation(row.id) for _ in range(4)] == [1, 2, 3, 4]
    first = await store.add_archive(archive(row.id, 1))
    assert (first.workspace_id, first.session_id, first.bytes) == (home, row.id, 5_000_000)
    third = await store.add_archive(archive(row.id, 3))
    for late in (0, 1, 2, 3, 5):
        with pytest.raises(ArchiveOutOfOrder):
            await store.add_archive(archive(row.id, late, f"late {late}"))
    assert await store.archives(row.id) == [third, first]
    assert await store.drop_archives(row.id, 0) == [third, first]
    assert await store.next_generation(row.id) == 5, "also when none is left"


async def test_the_oldest_go_first(store: SqliteStore) -> None:
    home = await home_of(store)
    rows = [(await store.create_session(home, name, NOW))[0] for name in ("a", "b")]
    made = {
        row.id: [
            await store.add_archive(archive(row.id, await store.next_generation(row.id)))
            for _ in range(5)
        ]
        for row in rows
    }
    one = made[rows[0].id]
    assert await store.drop_archives(rows[0].id, 2) == [one[2], one[1], one[0]]
    assert await store.archives(rows[0].id) == [one[4], one[3]]
    assert await store.drop_archives(rows[0].id, 2) == []
    assert len(await store.archives(rows[1].id)) == 5
    await store.delete_session(rows[1].id, NOW)
    with pytest.raises(SessionNotFound):
        await store.next_generation(rows[1].id)
    with pytest.raises(SessionNotFound):
        await store.add_archive(archive(rows[1].id, 6))
    assert len(await store.drop_archives(rows[1].id, 0)) == 5, "its files can still be found"
    assert await store.archives("nobody") == []
    with pytest.raises(StoreError):
        await store.add_archive(
            archive(rows[0].id, await store.next_generation(rows[0].id), one[4].path)
        )
