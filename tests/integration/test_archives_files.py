"""The Archives port on real files and a real store: what is kept, refused, swept and forgotten."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import stat
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from storage.archives import ArchiveFailed
from storage.sqlite import open_store
from storage.store import SessionNotFound
from storage.tenants import DEFAULT
from tests.integration.archive_support import (
    OTHER_RING,
    RING,
    archive_files,
    make_profile,
    read_profile,
)
from tests.integration.browser_support import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from storage.archive_files import ArchiveFiles
    from storage.sqlite.store import SqliteStore
    from storage.vault import Keyring

pytestmark = pytest.mark.integration


@dataclass
class World:
    data: Path
    store: SqliteStore
    archives: ArchiveFiles
    workspace: str
    session: str

    async def another(self, name: str) -> str:
        row, _ = await self.store.create_session(self.workspace, name, 1)
        return row.id

    async def save(self, *texts: str, session: str | None = None) -> None:
        for text in texts:
            copy = make_profile(self.data / "copy", text)
            await self.archives.save(session or self.session, copy)
            assert not copy.exists()

    def file(self, generation: int, session: str | None = None) -> Path:
        folder = self.data / "archives" / self.workspace / (session or self.session)
        return folder / f"{generation}.wfa"

    def files(self) -> list[str]:
        found = self.data.glob("archives/*/*/*")
        return sorted(str(f.relative_to(self.data / "archives")) for f in found)

    async def generations(self, session: str | None = None) -> list[int]:
        return [each.generation for each in await self.archives.list(session or self.session)]

    @property
    def profile(self) -> Path:
        return self.data / "sessions" / self.session / "profile"


@asynccontextmanager
async def world(data: Path, keyring: Keyring = RING, keep: int = 3) -> AsyncIterator[World]:
    async with open_store(data / "db") as store:
        workspace = (await store.workspace_named(DEFAULT)).id
        row, _ = await store.create_session(workspace, "one", 1)
        archives = archive_files(data, store, keyring, keep)
        yield World(data, store, archives, workspace, row.id)


async def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    """Into a profile that was not there, and the copy is gone in any case."""
    async with world(tmp_path) as here:
        await here.save("login")
        restored = await here.archives.restore(here.session, here.profile)
        assert restored.archive is not None
        assert (restored.archive.generation, restored.refused) == (1, ())
        assert read_profile(here.profile) == "login"
        assert restored.archive.bytes == here.file(1).stat().st_size
        assert stat.S_IMODE(here.file(1).stat().st_mode) == 0o600
        for folder in (here.file(1).parent, here.file(1).parent.parent, tmp_path / "archives"):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert b"login" not in here.file(1).read_bytes()


async def test_a_gutted_profile_is_replaced(tmp_path: Path) -> None:
    """What is left of a profile without a login does not stand in the way."""
    async with world(tmp_path) as here:
        await here.save("login")
        (here.profile / "Default").mkdir(parents=True)
        (here.profile / "Default" / "Preferences").write_text("old")
        (here.profile.parent / ".profile.0123456789abcdef.partial").mkdir()
        await here.archives.restore(here.session, here.profile)
        assert read_profile(here.profile) == "login"
        assert not (here.profile / "Default" / "Preferences").exists()
        assert [p.name for p in here.profile.parent.iterdir()] == ["profile"]


async def test_without_an_archive_nothing_is_touched(tmp_path: Path) -> None:
    """None, and the profile as it was."""
    async with world(tmp_path) as here:
        here.profile.mkdir(parents=True)
        (here.profile / "Local State").write_text("x")
        assert (await here.archives.restore(here.session, here.profile)).archive is None
        assert (here.profile / "Local State").read_text() == "x"


async def test_the_last_generations_are_kept(tmp_path: Path) -> None:
    """Older files go with their pointers; numbers are never given again."""
    async with world(tmp_path, keep=2) as here:
        await here.save("a", "b", "c", "d")
        assert await here.generations() == [4, 3]
        folder = f"{here.workspace}/{here.session}"
        assert here.files() == [f"{folder}/3.wfa", f"{folder}/4.wfa"]


def truncate(file: Path, _: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def flip(file: Path, _: Path) -> None:
    raw = bytearray(file.read_bytes())
    raw[-20] ^= 1
    file.write_bytes(raw)


def empty(file: Path, _: Path) -> None:
    file.write_bytes(b"")


def lose(file: Path, _: Path) -> None:
    file.unlink()


def put_the_older_in_its_place(file: Path, older: Path) -> None:
    shutil.copy(older, file)


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (truncate, "archive_damaged"),
        (flip, "archive_damaged"),
        (empty, "archive_damaged"),
        (lose, "archive_unreadable"),
        (put_the_older_in_its_place, "archive_too_old"),
    ],
)
async def test_a_bad_newest_is_refused_and_the_previous_used(
    tmp_path: Path, damage: Callable[[Path, Path], None], code: str
) -> None:
    """Reported with its code; the profile is the previous generation's, wholly."""
    async with world(tmp_path) as here:
        await here.save("a", "b", "c")
        damage(here.file(3), here.file(2))
        restored = await here.archives.restore(here.session, here.profile)
        assert restored.archive is not None
        assert restored.archive.generation == 2
        assert [(each.generation, each.code) for each in restored.refused] == [(3, code)]
        assert read_profile(here.profile) == "b"


async def test_another_sessions_archive_is_foreign(tmp_path: Path) -> None:
    """Even of the same generation: it would log a stranger in."""
    async with world(tmp_path) as here:
        other = await here.another("two")
        await here.save("mine")
        await here.save("theirs", session=other)
        shutil.copy(here.file(1, other), here.file(1))
        restored = await here.archives.restore(here.session, here.profile)
        assert restored.archive is None
        assert [each.code for each in restored.refused] == ["archive_foreign"]
        assert not here.profile.exists()


async def test_the_wrong_key_opens_nothing(tmp_path: Path) -> None:
    """Every generation is refused, and none is lost."""
    async with world(tmp_path) as here:
        await here.save("a", "b")
        wrong = archive_files(tmp_path, here.store, OTHER_RING)
        restored = await wrong.restore(here.session, here.profile)
        assert restored.archive is None
        assert [each.code for each in restored.refused] == ["key_wrong", "key_wrong"]
        assert (await here.archives.restore(here.session, here.profile)).archive is not None


async def test_a_profile_that_cannot_be_written_is_no_fault_of_the_archive(tmp_path: Path) -> None:
    """An error, not a refusal: the session must not go on to a QR code."""
    async with world(tmp_path) as here:
        await here.save("a")
        here.profile.parent.parent.mkdir()
        here.profile.parent.write_text("a file where the directory belongs")
        with pytest.raises(ArchiveFailed):
            await here.archives.restore(here.session, here.profile)


async def test_a_failed_save_leaves_what_was_there(tmp_path: Path) -> None:
    """No pointer, no file, no copy; the number is used up."""
    async with world(tmp_path) as here:
        await here.save("a")
        with pytest.raises(ArchiveFailed) as caught:
            await here.archives.save(here.session, tmp_path / "missing")
        assert caught.value.reason == "profile_unusable"
        assert await here.generations() == [1]
        assert len(here.files()) == 1
        await here.save("b")
        assert await here.generations() == [3, 1]


async def test_a_deleted_session_is_not_archived(tmp_path: Path) -> None:
    """The copy of its login does not stay either."""
    async with world(tmp_path) as here:
        await here.store.delete_session(here.session, 2)
        copy = make_profile(tmp_path / "copy")
        with pytest.raises(SessionNotFound):
            await here.archives.save(here.session, copy)
        assert not copy.exists()
        assert here.files() == []


async def test_a_session_deleted_while_it_is_archived_leaves_no_file(tmp_path: Path) -> None:
    """The pointer is refused, so the file goes."""
    async with world(tmp_path) as here:
        saving = asyncio.create_task(here.save(secrets.token_hex(8_000_000)))
        await until(lambda: list(here.file(1).parent.glob(".*.partial")))
        await here.store.delete_session(here.session, 2)
        with pytest.raises(SessionNotFound):
            await saving
        assert not here.file(1).exists()


async def test_forgetting_waits_for_a_save_and_leaves_nothing(tmp_path: Path) -> None:
    """Also of a deleted session, and again without effect; others keep theirs."""
    async with world(tmp_path) as here:
        other = await here.another("two")
        await here.save("theirs", session=other)
        await here.save("a")
        saving = asyncio.create_task(here.save(secrets.token_hex(8_000_000)))
        await until(lambda: list(here.file(1).parent.glob(".*.partial")))
        await here.archives.forget(here.session)
        await saving
        assert await here.generations() == []
        assert here.files() == [f"{here.workspace}/{other}/1.wfa"]
        await here.store.delete_session(other, 2)
        assert await here.archives.forget(other) == 1
        assert await here.archives.forget(other) == 0
        assert here.files() == []


async def test_the_sweep_removes_what_nothing_points_to(tmp_path: Path) -> None:
    """Half-written and unpointed files, empty folders; pointed ones stay, missing ones are told."""
    async with world(tmp_path) as here:
        await here.save("a", "b")
        folder = here.file(1).parent
        (folder / ".3.wfa.0123456789abcdef.partial").write_bytes(b"half")
        shutil.copy(here.file(2), folder / "3.wfa")
        stranger = folder.parent / ("0" * 26)
        stranger.mkdir()
        shutil.copy(here.file(2), stranger / "1.wfa")
        here.file(1).unlink()
        swept = await here.archives.sweep()
        assert (swept.removed, swept.missing) == (3, 1)
        assert here.files() == [f"{here.workspace}/{here.session}/2.wfa"]
        assert not stranger.exists()


async def test_saves_of_one_session_queue_up(tmp_path: Path) -> None:
    """Ten at once are ten generations, none out of order."""
    async with world(tmp_path) as here:
        copies = [make_profile(tmp_path / f"copy{n}", str(n)) for n in range(10)]
        infos = await asyncio.gather(*(here.archives.save(here.session, c) for c in copies))
        assert sorted(info.generation for info in infos) == list(range(1, 11))
        assert await here.generations() == [10, 9, 8]
        assert len(here.files()) == 3
