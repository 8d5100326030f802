"""The Media port on real files and a real store: kept whole and encrypted, or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import stat
import tracemalloc
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from storage.media import MediaNotKept, MediaUnreadable
from storage.media_index import MediaNotFound
from storage.privacy import MediaPointer, NewMedia
from storage.sqlite import open_store
from storage.store import MessageNotFound, StoreBusy
from tests.integration.archive_support import OTHER_RING, RING
from tests.integration.browser_support import until
from tests.integration.media_support import media_files, read_all, received
from tests.integration.tenant_support import NOW, PERSON, home_of
from tests.other_writer import other_writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from storage.media_files import MediaFiles
    from storage.sqlite.store import SqliteStore
    from storage.vault import Keyring

pytestmark = pytest.mark.integration

PHOTO = b"canary photo " * 20_000
UNKNOWN = "01J9ZS8XQ2N4B6D8F0H2K4M6P8"


@dataclass
class World:
    data: Path
    store: SqliteStore
    media: MediaFiles
    home: str

    def file(self, pointer: MediaPointer) -> Path:
        return self.data / pointer.path

    def files(self) -> list[Path]:
        return sorted(self.data.glob("media/*/*"))


@asynccontextmanager
async def world(data: Path, keyring: Keyring = RING) -> AsyncIterator[World]:
    async with open_store(data / "db", busy_timeout_ms=200) as store:
        yield World(data, store, media_files(data, store, keyring), await home_of(store))


async def test_what_is_saved_comes_back_and_is_sealed_on_the_disk(tmp_path: Path) -> None:
    """From a stream and from pieces; private, with a pointer that tells its size and hash."""
    async with world(tmp_path) as here:
        message = await received(here.store, here.home)
        source = tmp_path / "photo"
        source.write_bytes(PHOTO)
        with source.open("rb") as stream:
            pointer = await here.media.save(message, stream)
        more = await here.media.save(message, [b"a", b"", b"b"])
        file = here.file(pointer)
        assert file.parent == tmp_path / "media" / here.home
        assert file.suffix == ".wfm"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        for folder in (file.parent, file.parent.parent):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert b"canary" not in file.read_bytes()
        assert pointer.bytes == file.stat().st_size
        assert pointer.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
        assert await read_all(here.media, here.home, pointer.id) == PHOTO
        assert await read_all(here.media, here.home, more.id) == b"ab"
        contact = await here.store.contact_with_jid(here.home, PERSON)
        exported = await here.store.export_contact(here.home, contact.id)
        assert list(exported.media) == [pointer, more], "an export names the files"


async def test_memory_stays_flat(tmp_path: Path) -> None:
    """A file of fifty megabytes that can't be compressed takes a few to keep and to read."""
    piece, count = 256 * 1024, 200
    async with world(tmp_path) as here:
        message = await received(here.store, here.home)
        tracemalloc.start()
        try:
            pointer = await here.media.save(message, (os.urandom(piece) for _ in range(count)))
            size = 0
            async with here.media.open(here.home, pointer.id) as pieces:
                async for each in pieces:
                    size += len(each)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert size == count * piece
        assert peak < 16 * 1024 * 1024


async def test_other_workspaces_see_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        pointer = await here.media.save(await received(here.store, here.home), [PHOTO])
        other = (await here.store.create_workspace("acme", NOW)).id
        for workspace, media_id in ((other, pointer.id), (here.home, UNKNOWN)):
            with pytest.raises(MediaNotFound):
                await read_all(here.media, workspace, media_id)
            with pytest.raises(MediaNotFound):
                await here.media.remove(workspace, media_id)
        assert await read_all(here.media, here.home, pointer.id) == PHOTO


def truncate(file: Path, _: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def flip(file: Path, _: Path) -> None:
    raw = bytearray(file.read_bytes())
    raw[-20] ^= 1
    file.write_bytes(raw)


def lose(file: Path, _: Path) -> None:
    file.unlink()


def swap(file: Path, other: Path) -> None:
    shutil.copy(other, file)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (truncate, "archive_damaged"),
        (flip, "archive_damaged"),
        (lose, "archive_unreadable"),
        (swap, "archive_foreign"),
    ],
)
@pytest.mark.parametrize("same_message", [True, False])
async def test_what_is_not_the_message_s_whole_file_is_refused(
    tmp_path: Path, damage: Callable[[Path, Path], None], reason: str, same_message: bool
) -> None:
    """Also another file of the same message; and the sentence says what to do."""
    async with world(tmp_path) as here:
        message = await received(here.store, here.home)
        pointer = await here.media.save(message, [PHOTO])
        other = message if same_message else await received(here.store, here.home, "M2")
        second = await here.media.save(other, [b"other"])
        damage(here.file(pointer), here.file(second))
        with pytest.raises(MediaUnreadable, match="backup") as caught:
            await read_all(here.media, here.home, pointer.id)
        assert caught.value.reason == reason
        assert await read_all(here.media, here.home, second.id) == b"other"


async def test_the_wrong_key_opens_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        pointer = await here.media.save(await received(here.store, here.home), [PHOTO])
        wrong = media_files(tmp_path, here.store, OTHER_RING)
        with pytest.raises(MediaUnreadable) as caught:
            await read_all(wrong, here.home, pointer.id)
        assert caught.value.reason == "key_wrong"


async def test_a_message_that_is_not_there_gets_no_file(tmp_path: Path) -> None:
    """Nor one that was erased: nothing is even written."""
    async with world(tmp_path) as here:
        message = await received(here.store, here.home)
        contact = await here.store.contact_with_jid(here.home, PERSON)
        await here.store.erase_contact(here.home, contact.id, NOW)
        for missing in (UNKNOWN, message):
            with pytest.raises(MessageNotFound):
                await here.media.save(missing, [PHOTO])
        assert not (tmp_path / "media").exists()


async def test_a_message_erased_while_its_file_is_written_leaves_none(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        message = await received(here.store, here.home)
        contact = await here.store.contact_with_jid(here.home, PERSON)
        loop = asyncio.get_running_loop()

        def pieces() -> Iterator[bytes]:
            yield PHOTO
            erasing = here.store.erase_contact(here.home, contact.id, NOW)
            asyncio.run_coroutine_threadsafe(erasing, loop).result(30)
            yield PHOTO

        with pytest.raises(MessageNotFound):
            await here.media.save(message, pieces())
        assert here.files() == []


async def test_a_pointer_that_can_t_be_written_takes_its_file_along(tmp_path: Path) -> None:
    """The database is locked for too long: StoreBusy, and no file."""
    async with world(tmp_path) as here:
        message = await received(here.store, here.home)
        async with other_writer(here.store._connections.path):
            with pytest.raises(StoreBusy):
                await here.media.save(message, [PHOTO])
        assert here.files() == []
        await here.media.save(message, [PHOTO])
        assert len(here.files()) == 1


class Broken(Exception):  # noqa: N818
    """What reads the content may fail in its own ways."""


async def test_a_source_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """Its error comes out as it is."""

    def pieces() -> Iterator[bytes]:
        yield PHOTO
        raise Broken

    async with world(tmp_path) as here:
        with pytest.raises(Broken):
            await here.media.save(await received(here.store, here.home), pieces())
        assert here.files() == []


async def test_a_directory_that_is_none_says_so(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        (tmp_path / "media").write_text("a file where the directory belongs")
        with pytest.raises(MediaNotKept, match="rights") as caught:
            await here.media.save(await received(here.store, here.home), [PHOTO])
        assert caught.value.reason == "directory_unusable"


async def test_removing_takes_pointer_and_file(tmp_path: Path) -> None:
    """One whose file is gone already, too."""
    async with world(tmp_path) as here:
        message = await received(here.store, here.home)
        first, second = [await here.media.save(message, [PHOTO]) for _ in range(2)]
        here.file(second).unlink()
        for pointer in (first, second):
            assert await here.media.remove(here.home, pointer.id)
            with pytest.raises(MediaNotFound):
                await read_all(here.media, here.home, pointer.id)
        assert here.files() == []


async def test_reading_goes_on_while_the_file_is_removed(tmp_path: Path) -> None:
    """Who has opened it reads it to the end."""
    async with world(tmp_path) as here:
        pointer = await here.media.save(await received(here.store, here.home), [PHOTO])
        async with here.media.open(here.home, pointer.id) as pieces:
            assert await here.media.remove(here.home, pointer.id)
            assert b"".join([piece async for piece in pieces]) == PHOTO


async def test_only_files_of_media_are_removed(tmp_path: Path) -> None:
    """A pointer may say what it likes: neither the keys nor anything outside is touched."""
    (tmp_path / "data" / "keys").mkdir(parents=True)
    for name in ("keys/kek", "wafleet.db", "../outside"):
        (tmp_path / "data" / name).write_text("not media")
    folder = tmp_path / "data" / "media" / "w"
    folder.mkdir(parents=True)
    (folder / "link").symlink_to(tmp_path / "outside")
    (folder / "away").symlink_to(tmp_path)
    (folder / "folder").mkdir()
    (folder / "1.wfm").write_text("media")
    paths = {
        "keys/kek": False,
        "wafleet.db": False,
        "../outside": False,
        str(tmp_path / "outside"): False,
        "media/w/../../keys/kek": False,
        "media/w/away/outside": False,
        "media/..": False,
        "media": False,
        "": False,
        "media/w/nul\0": False,
        "media/w/folder": False,
        "media/w/link": True,  # the link itself
        "media/w/1.wfm": True,
        "media/w/gone.wfm": True,
    }
    pointers = [MediaPointer(id=p, path=p, sha256="0" * 64, bytes=1) for p in paths]
    async with open_store(tmp_path / "db") as store:
        left = await media_files(tmp_path / "data", store).discard(pointers)
    assert {p: p not in {one.path for one in left} for p in paths} == paths
    assert sorted(f.name for f in folder.iterdir()) == ["away", "folder"]
    assert (tmp_path / "outside").exists()
    assert (tmp_path / "data" / "keys" / "kek").exists()
    assert (tmp_path / "data" / "wafleet.db").exists()


async def test_the_sweep_removes_what_nothing_points_to(tmp_path: Path) -> None:
    """After a crash between file and pointer, either way; strangers' files stay."""
    async with world(tmp_path) as here:
        message = await received(here.store, here.home)
        kept = [await here.media.save(message, [b"kept"]) for _ in range(3)]
        folder = here.file(kept[0]).parent
        (folder / f".{UNKNOWN}.wfm.0123456789abcdef.partial").write_bytes(b"half")
        for n in range(600):  # more than a page
            (folder / f"{UNKNOWN[:-3]}{n:03d}.wfm").touch()
        (folder / "notes.txt").touch()
        lost = folder.parent / UNKNOWN
        lost.mkdir()
        shutil.copy(here.file(kept[0]), lost / here.file(kept[0]).name)
        assert await here.media.sweep() == 602
        there = {str(f.relative_to(tmp_path)) for f in here.files()}
        assert there == {one.path for one in kept} | {f"media/{here.home}/notes.txt"}
        assert await here.media.sweep() == 0
        assert await read_all(here.media, here.home, kept[0].id) == b"kept"


async def test_a_cancelled_save_leaves_at_most_rubbish(tmp_path: Path) -> None:
    """No pointer, and the next sweep takes what the thread still wrote."""
    async with world(tmp_path) as here:
        message = await received(here.store, here.home)
        begun, go_on = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def pieces() -> Iterator[bytes]:
            loop.call_soon_threadsafe(begun.set)
            asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(30)
            yield PHOTO

        saving = asyncio.create_task(here.media.save(message, pieces()))
        await begun.wait()
        saving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await saving
        go_on.set()
        await until(lambda: [f for f in here.files() if f.suffix == ".wfm"])
        assert await here.media.sweep() == 1
        assert await here.store._connections.read("SELECT count(*) FROM media") == [(0,)]


async def test_the_index_points_to_what_was_recorded(tmp_path: Path) -> None:
    """A path once; dropped ones are free again; nothing of an orphan is handed out."""
    async with world(tmp_path) as here:
        message = await received(here.store, here.home)
        new = NewMedia(message_id=message, path="media/a", sha256="0" * 64, bytes=1, now_ms=NOW)
        pointer = await here.store.record_media(new)
        assert await here.store.message_workspace(message) == here.home
        record = await here.store.media(here.home, pointer.id)
        assert (record.pointer, record.message_id) == (pointer, message)
        assert await here.store.pointed_media({"media/a", "media/b"}) == {"media/a"}
        assert await here.store.pointed_media(()) == frozenset()
        assert await here.store.drop_media(here.home, pointer.id) == pointer
        again = await here.store.record_media(new)
        await here.store._connections.write(lambda tx: tx.change("DELETE FROM messages"))
        with pytest.raises(MediaNotFound):
            await here.store.media(here.home, again.id)
