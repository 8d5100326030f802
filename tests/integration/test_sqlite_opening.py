"""Opening and closing: what is refused and how, who may read the file, and what is left behind."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from storage.messages import NewOutbound
from storage.sqlite import open_store
from storage.sqlite.files import APPLICATION_ID
from storage.store import StoreFull, StoreUnusable
from tests.integration.tenant_support import home_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from storage.sqlite.transactions import Transaction

pytestmark = pytest.mark.integration

NOW = 1_800_000_000_000


async def fill(path: Path, messages: int = 200) -> None:
    async with open_store(path) as store:
        home = await home_of(store)
        session, _ = await store.create_session(home, "sales", NOW)
        for number in range(messages):
            await store.accept_message(
                home,
                NewOutbound(
                    session_id=session.id,
                    chat="1@c.us",
                    wa_id=f"A{number}",
                    body="x" * 500,
                    now_ms=NOW,
                ),
            )


def modes_in(directory: Path) -> dict[str, int]:
    return {file.name: stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()}


async def test_a_new_file_is_private_and_complete(tmp_path: Path) -> None:
    path = tmp_path / "wafleet.db"
    async with open_store(path) as store:
        home = await home_of(store)
        await store.create_session(home, "sales", NOW)
        modes = modes_in(tmp_path)
        assert set(modes) == {"wafleet.db", "wafleet.db-wal", "wafleet.db-shm"}
        assert set(modes.values()) == {0o600}
    assert modes_in(tmp_path) == {"wafleet.db": 0o600}, "the log is folded in"
    with closing(sqlite3.connect(path)) as plain:
        assert plain.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert plain.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_a_file_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "wafleet.db"
    await fill(path, 1)
    path.chmod(0o664)
    async with open_store(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_every_commit_waits_for_the_disk(tmp_path: Path) -> None:
    async with open_store(tmp_path / "wafleet.db") as store:
        settings = [
            (await store._connections.write(lambda tx, name=name: tx.all(f"PRAGMA {name}")))[0][0]  # type: ignore[misc]
            for name in ("synchronous", "foreign_keys")
        ]
        assert settings == [2, 1]  # FULL, ON
        with pytest.raises(StoreUnusable):  # a reader can't write
            await store._connections.read("DELETE FROM messages")


@pytest.mark.parametrize("name", ["with space.db", "50%.db", "a?b#c.db", "[x]*.db", "ü 💬.db"])
async def test_any_file_name_works(tmp_path: Path, name: str) -> None:
    directory = tmp_path / f"dir {name}"
    directory.mkdir()
    await fill(directory / name, 1)
    assert modes_in(directory) == {name: 0o600}
    async with open_store(directory / name) as store:
        home = await home_of(store)
        assert len(await store.sessions(home)) == 1


def a_directory(path: Path) -> None:
    path.mkdir()


def in_no_directory(path: Path) -> None:
    path.parent.rmdir()


def below_a_file(path: Path) -> None:
    path.parent.rmdir()
    path.parent.write_text("a file")


def garbage(path: Path) -> None:
    path.write_bytes(b"this is not a database " * 1000)


def garbage_after_a_valid_magic(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 40)


def of_another_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE notes (text)")


def marked_by_another_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA application_id = 1234")


def a_dangling_link(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere")


@pytest.mark.parametrize(
    "spoil",
    [
        a_directory,
        in_no_directory,
        below_a_file,
        garbage,
        garbage_after_a_valid_magic,
        of_another_program,
        marked_by_another_program,
        a_dangling_link,
    ],
)
async def test_what_is_not_our_database_is_refused(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    path = tmp_path / "home" / "wafleet.db"
    path.parent.mkdir()
    spoil(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(StoreUnusable) as caught:
        async with open_store(path):
            pytest.fail("it was opened")
    assert str(path) in str(caught.value)
    assert caught.value.code == "storage_unusable"
    if before is not None:
        assert path.read_bytes() == before, "a file that is not ours is not touched"


async def test_a_damaged_page_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wafleet.db"
    await fill(path)
    page = 4096
    with path.open("r+b") as file:
        for number in range(10, 20):
            file.seek(number * page)
            file.write(b"\xa5" * page)
    with pytest.raises(StoreUnusable, match="damaged"):
        async with open_store(path):
            pytest.fail("it was opened")


async def test_damage_that_only_a_check_sees_is_refused(tmp_path: Path) -> None:
    """A row that an index has lost is found before it leads to a wrong answer."""
    path = tmp_path / "wafleet.db"
    await fill(path, 5)
    with closing(sqlite3.connect(path)) as plain:
        [(root,)] = plain.execute("SELECT rootpage FROM sqlite_master WHERE name = 'messages'")
        [(size,)] = plain.execute("PRAGMA page_size")
    with path.open("r+b") as file:
        file.seek((root - 1) * size + size // 2)
        file.write(b"\xff" * 300)  # inside the cells: the page's own header stays valid
    with pytest.raises(StoreUnusable, match="damaged"):
        async with open_store(path):
            pytest.fail("it was opened")


async def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wafleet.db"
    await fill(path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with pytest.raises(StoreUnusable, match="damaged"):
        async with open_store(path):
            pytest.fail("it was opened")


async def test_a_full_disk_says_so_and_nothing_is_half_done(tmp_path: Path) -> None:
    """SQLite's own limit of pages stands for the disk: it fails at the same places."""
    async with open_store(tmp_path / "wafleet.db") as store:
        home = await home_of(store)
        session, _ = await store.create_session(home, "sales", NOW)

        async def limit(tx: Transaction) -> None:
            pages = (await tx.all("PRAGMA page_count"))[0][0]
            await tx.all(f"PRAGMA max_page_count = {pages + 2}")

        await store._connections.write(limit)
        accepted = []

        async def accept(number: int) -> None:
            new = NewOutbound(
                session_id=session.id,
                chat="1@c.us",
                wa_id=f"A{number}",
                body="x" * 3000,
                now_ms=NOW,
            )
            accepted.append((await store.accept_message(home, new)).id)

        async def fill_up() -> None:
            for number in range(100):
                await accept(number)

        with pytest.raises(StoreFull, match="Free space"):
            await fill_up()
        assert {row.id for row in await store.messages(home, session.id)} == set(accepted)
        await store._connections.write(lambda tx: tx.all("PRAGMA max_page_count = 1000000"))
        await accept(100)
        assert {row.id for row in await store.messages(home, session.id)} == set(accepted)


async def test_a_closed_store_refuses(tmp_path: Path) -> None:
    async with open_store(tmp_path / "wafleet.db") as store:
        home = await home_of(store)
        await store.ping()
    for call in (store.ping(), store.sessions(home), store.create_session(home, "x", NOW)):
        with pytest.raises(StoreUnusable, match="closed"):
            await call


async def test_closing_lets_what_is_under_way_finish(tmp_path: Path) -> None:
    path = tmp_path / "wafleet.db"
    async with open_store(path) as store:
        home = await home_of(store)
        calls = [asyncio.create_task(store.create_session(home, f"s{n}", NOW)) for n in range(20)]
        await asyncio.sleep(0)  # let them all queue up
    answers = await asyncio.gather(*calls, return_exceptions=True)
    made = {answer[0].id for answer in answers if isinstance(answer, tuple)}
    assert all(isinstance(answer, tuple | StoreUnusable) for answer in answers)
    async with open_store(path) as store:
        home = await home_of(store)
        assert {row.id for row in await store.sessions(home)} == made
