"""Uploads on real files and a real database: kept, found, sent, gone when their time is over."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from storage.media import MediaNotKept, MediaUnreadable
from storage.media_index import MediaNotFound
from storage.messages import MessageState, NewOutbound
from storage.space import Space, SpaceLevel
from storage.sqlite import open_store
from storage.tenants import DEFAULT, Retention, WorkspaceNotFound
from storage.upload_files import UploadFiles
from storage.uploads import KEEP_MS, Upload, UploadFacts
from tests.integration.archive_support import RING
from tests.integration.media_support import media_files
from tests.integration.tenant_support import NOW

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from storage.sqlite.store import SqliteStore

pytestmark = pytest.mark.integration

DATA = bytes(range(256)) * 5000
FACTS = UploadFacts(mimetype="image/png", size=len(DATA), problem=None)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with open_store(tmp_path / "wafleet.db") as opened:
        yield opened


def files(data: Path, store: SqliteStore, **changes: object) -> UploadFiles:
    parts = {"data": data, "index": store, "keyring": RING, "now_ms": lambda: NOW}
    return UploadFiles(**{**parts, **changes})  # type: ignore[arg-type]


async def workspace(store: SqliteStore) -> str:
    return (await store.workspace_named(DEFAULT)).id


async def saved(uploads: UploadFiles, workspace_id: str, data: bytes = DATA) -> Upload:
    return await uploads.save_upload(workspace_id, [data], lambda: FACTS, filename="a.png")


async def content(uploads: UploadFiles, workspace_id: str, upload_id: str) -> bytes:
    async with uploads.open_upload(workspace_id, upload_id) as pieces:
        return b"".join([piece async for piece in pieces])


def on_disk(data: Path) -> list[Path]:
    return sorted(path for path in (data / "media").rglob("*") if path.is_file())


async def test_what_is_handed_in_is_kept_sealed_and_read_again(
    tmp_path: Path, store: SqliteStore
) -> None:
    uploads, own = files(tmp_path, store), await workspace(store)
    upload = await saved(uploads, own)
    assert upload == await uploads.upload(own, upload.id)
    assert (upload.mimetype, upload.filename, upload.size) == ("image/png", "a.png", len(DATA))
    [file] = on_disk(tmp_path)
    assert DATA[:512] not in file.read_bytes()
    assert file.stat().st_mode & 0o777 == 0o600
    assert await content(uploads, own, upload.id) == DATA


async def test_another_workspace_has_nothing_of_it(tmp_path: Path, store: SqliteStore) -> None:
    uploads, own = files(tmp_path, store), await workspace(store)
    upload = await saved(uploads, own)
    other = await store.create_workspace("other", NOW)
    with pytest.raises(MediaNotFound):
        await uploads.upload(other.id, upload.id)
    with pytest.raises(MediaNotFound):
        await content(uploads, other.id, upload.id)
    with pytest.raises(WorkspaceNotFound):
        await saved(uploads, "01J9ZS8XQ2N4B6D8F0H2K4M6P8")
    assert len(on_disk(tmp_path)) == 1  # nothing is left of the one that was refused


async def test_two_files_that_changed_places_do_not_open(
    tmp_path: Path, store: SqliteStore
) -> None:
    uploads, own = files(tmp_path, store), await workspace(store)
    first, second = await saved(uploads, own), await saved(uploads, own, DATA[::-1])
    one, two = on_disk(tmp_path)
    between = one.with_suffix(".x")
    one.rename(between)
    two.rename(one)
    between.rename(two)
    for upload in (first, second):
        with pytest.raises(MediaUnreadable):
            await content(uploads, own, upload.id)


async def test_a_source_that_fails_leaves_nothing(tmp_path: Path, store: SqliteStore) -> None:
    uploads, own = files(tmp_path, store), await workspace(store)

    def broken() -> Iterator[bytes]:
        yield DATA
        raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        await uploads.save_upload(own, broken(), lambda: FACTS, filename=None)
    assert on_disk(tmp_path) == []


async def test_a_full_disk_refuses_before_anything_is_read(
    tmp_path: Path, store: SqliteStore
) -> None:
    space = Space()
    space.set(SpaceLevel.LOW)
    uploads = files(tmp_path, store, space=space)
    with pytest.raises(MediaNotKept):
        await saved(uploads, await workspace(store))


async def test_the_boot_sweeps_what_no_upload_leads_to_and_nothing_else(
    tmp_path: Path, store: SqliteStore
) -> None:
    uploads, own = files(tmp_path, store), await workspace(store)
    upload = await saved(uploads, own)
    [file] = on_disk(tmp_path)
    file.with_name("01J9ZS8XQ2N4B6D8F0H2K4M6P8.wfm").write_bytes(b"rubbish")
    assert await media_files(tmp_path, store).sweep() == 1
    assert await content(uploads, own, upload.id) == DATA


async def accepted(store: SqliteStore, own: str, upload: Upload, wa_id: str = "M1") -> str:
    session, _ = await store.create_session(own, "sender", NOW)
    new = NewOutbound(
        session_id=session.id,
        chat="15550100199@c.us",
        wa_id=wa_id,
        kind="image",
        body="look",
        content={"media": upload.id, "mimetype": "image/png"},
        now_ms=NOW,
    )
    return (await store.accept_message(own, new)).id


async def purged(tmp_path: Path, store: SqliteStore, now_ms: int) -> int:
    """A round of retention, as the keeper does it; return how many files went."""
    taken = await store.purge_expired(now_ms)
    assert not await media_files(tmp_path, store).discard(taken.media)
    return len(taken.media)


async def test_its_time_is_over_when_nothing_waits_for_it(
    tmp_path: Path, store: SqliteStore
) -> None:
    uploads, own = files(tmp_path, store), await workspace(store)
    upload = await saved(uploads, own)
    assert await purged(tmp_path, store, NOW + KEEP_MS - 1) == 0
    message = await accepted(store, own, upload)
    late = NOW + 10 * KEEP_MS
    assert await purged(tmp_path, store, late) == 0  # it is still to be sent
    await store.record_failed(message, "send_refused", "no", late)
    assert await purged(tmp_path, store, late) == 1
    assert on_disk(tmp_path) == []
    with pytest.raises(MediaNotFound):
        await uploads.upload(own, upload.id)


async def test_a_workspace_that_keeps_media_for_less_keeps_uploads_for_less(
    tmp_path: Path, store: SqliteStore
) -> None:
    uploads, own = files(tmp_path, store), await workspace(store)
    await store.set_retention(own, Retention(media_ms=60_000), NOW)
    upload = await saved(uploads, own)
    message = await accepted(store, own, upload)
    assert await purged(tmp_path, store, NOW + 60_001) == 0
    await store.record_failed(message, "send_refused", "no", NOW)
    assert await purged(tmp_path, store, NOW + 59_999) == 0
    assert await purged(tmp_path, store, NOW + 60_001) == 1


async def test_erasing_a_contact_leaves_no_way_to_the_file(
    tmp_path: Path, store: SqliteStore
) -> None:
    uploads, own = files(tmp_path, store), await workspace(store)
    message = await accepted(store, own, await saved(uploads, own))
    contact = await store.contact_with_jid(own, "15550100199@c.us")
    await store.erase_contact(own, contact.id, NOW)
    session = await store.session_named(own, "sender")
    row = await store.message(own, session.id, message)
    assert (row.content, row.state) == ({}, MessageState.FAILED)
    assert await purged(tmp_path, store, NOW + KEEP_MS + 1) == 1


async def test_slow_sources_do_not_hold_up_others(tmp_path: Path, store: SqliteStore) -> None:
    """Each has a thread of its own: ten that wait leave the loop's own threads free."""
    uploads, own = files(tmp_path, store), await workspace(store)
    loop = asyncio.get_running_loop()
    go = asyncio.Event()

    def waiting() -> Iterator[bytes]:
        asyncio.run_coroutine_threadsafe(go.wait(), loop).result(30)
        yield DATA

    slow = [
        asyncio.create_task(uploads.save_upload(own, waiting(), lambda: FACTS, filename=None))
        for _ in range(10)
    ]
    async with asyncio.timeout(20):
        assert (await saved(uploads, own)).size == len(DATA)
    go.set()
    assert len({upload.id for upload in await asyncio.gather(*slow)}) == 10
