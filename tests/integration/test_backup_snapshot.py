"""One state of the database is copied while others write: nothing is torn, no step taken twice."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from storage.sqlite.backup import Pace, check_copy, doubt_accepted, pinned
from storage.sqlite.files import APPLICATION_ID
from storage.store import StoreUnusable
from supervisor.parts import forgotten_since
from tests.integration.backup_support import (
    Furnished,
    back_up,
    execute,
    furnish,
    query,
    verified,
)
from tests.integration.tenant_support import NOW
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration

PAIRS_BEFORE = 400

WRITE_FOREVER = """
import asyncio, sys
from pathlib import Path
from storage.sqlite import open_store
from tests.integration.tenant_support import home_of, outbound

async def main():
    async with open_store(Path(sys.argv[1])) as store:
        number = 0
        while True:
            await store.accept_message(await home_of(store), outbound(sys.argv[2], f"N{number:06}"))
            number += 1

asyncio.run(main())
"""


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Give a database of two tables, in which every transaction writes a row of each."""
    path = tmp_path / "pairs.db"
    execute(
        path,
        "PRAGMA journal_mode = WAL",
        "CREATE TABLE a (id INTEGER PRIMARY KEY, x)",
        "CREATE TABLE b (id INTEGER PRIMARY KEY, x)",
    )
    write_pairs(path, PAIRS_BEFORE)
    return path


def write_pairs(path: Path, count: int) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        for _ in range(count):
            other.execute("BEGIN IMMEDIATE")
            for table in ("a", "b"):
                other.execute(f"INSERT INTO {table} (x) VALUES (randomblob(300))")  # noqa: S608
            other.execute("COMMIT")


def counts(path: Path) -> tuple[int, int]:
    [(a, b)] = query(path, "SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b)")
    return a, b


def test_a_write_between_any_two_steps_changes_nothing_and_restarts_nothing(
    pairs: Path, tmp_path: Path
) -> None:
    """The state is that of the pin: exactly as many steps as the pages need, each further."""
    copy, told = tmp_path / "copy.db", list[tuple[int, int]]()
    with pinned(pairs) as snapshot:
        write_pairs(pairs, 5)  # after the pin, before the first step

        def tick(done: int, total: int) -> None:
            told.append((done, total))
            write_pairs(pairs, 1)

        snapshot.copy_to(copy, Pace(pages=2, pause=0), tick)
        size = snapshot.bytes
    assert counts(copy) == (PAIRS_BEFORE, PAIRS_BEFORE)
    pages = size // 4096
    assert len(told) == -(-pages // 2) > 30
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert told[-1] == (size, size)
    with closing(sqlite3.connect(pairs)) as after:
        written = PAIRS_BEFORE + 5 + len(told)
        assert after.execute("SELECT count(*) FROM a").fetchone() == (written,)
    assert copy.stat().st_size == size
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("copy")] == ["copy.db"]


def test_without_the_pin_the_same_writes_do_restart_it(pairs: Path, tmp_path: Path) -> None:
    """What the pin is for: SQLite's own online backup begins again after every foreign write."""
    told = []
    with (
        closing(sqlite3.connect(pairs)) as source,
        closing(sqlite3.connect(tmp_path / "copy.db")) as copy,
    ):

        def tick(_status: int, remaining: int, total: int) -> None:
            told.append(total - remaining)
            if len(told) < 100:
                write_pairs(pairs, 1)

        source.backup(copy, pages=2, progress=tick)
    assert len(told) > len(set(told)), "some steps were taken twice"


def test_there_is_a_pause_between_any_two_steps(pairs: Path, tmp_path: Path) -> None:
    """What a step wrote is on the disk by then: a commit of somebody else finds it idle."""
    at = list[float]()

    def tick(*_: int) -> None:
        at.append(time.monotonic())

    with pinned(pairs) as snapshot:
        snapshot.copy_to(tmp_path / "copy.db", Pace(pages=8, pause=0.03), tick)
    gaps = [after - before for before, after in pairwise(at)]
    assert len(gaps) > 5
    assert min(gaps) >= 0.03


def test_the_log_is_free_again_afterwards(pairs: Path, tmp_path: Path) -> None:
    """A pin that stayed would let the log grow for ever."""
    with pinned(pairs) as snapshot:
        snapshot.copy_to(tmp_path / "copy.db", Pace(pause=0), lambda *_: None)
        write_pairs(pairs, 1)
        assert _checkpoint(pairs)[0] == 1, "the newest pages can't all go into the file yet"
    assert _checkpoint(pairs) == (0, 0, 0)


def _checkpoint(path: Path) -> tuple[int, int, int]:
    with closing(sqlite3.connect(path, timeout=0)) as plain:
        busy, log, done = plain.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return busy, log, done


def test_an_interrupted_copy_leaves_the_source_as_it_is(pairs: Path, tmp_path: Path) -> None:
    class EnoughError(Exception):
        pass

    def tick(*_: int) -> None:
        raise EnoughError

    with pytest.raises(EnoughError), pinned(pairs) as snapshot:
        snapshot.copy_to(tmp_path / "copy.db", Pace(pages=1, pause=0), tick)
    write_pairs(pairs, 1)
    assert _checkpoint(pairs) == (0, 0, 0)


@contextmanager
def node_that_writes(furnished: Furnished) -> Iterator[None]:
    """Another process accepts messages, one transaction each, as fast as it can."""
    worker = subprocess.Popen(
        [
            *(sys.executable, "-c", WRITE_FOREVER),
            *(str(furnished.place.data.database), furnished.sessions[1]),
        ]
    )
    try:
        yield
    finally:
        worker.kill()
        worker.wait(timeout=30)


async def test_a_backup_beside_a_process_that_writes_holds_all_or_nothing_of_a_commit(
    tmp_path: Path,
) -> None:
    """Hundreds of commits during the copy: each message is there with its event, or neither is."""
    furnished = await furnish(tmp_path / "data")
    database = furnished.place.data.database
    execute(
        database,
        "CREATE TABLE ballast (x)",
        *["INSERT INTO ballast VALUES (randomblob(4000))"] * 250,
    )
    seen = list[int]()

    def accepted() -> int:
        with closing(sqlite3.connect(database)) as plain:
            [(count,)] = plain.execute("SELECT count(*) FROM messages WHERE wa_id GLOB 'N*'")
            return int(count)

    def tick(done: int, total: int | None) -> None:
        assert total is not None
        if done < total * 0.5:  # the copy; its check and its hash come after it
            before = accepted()
            seen.append(eventually(lambda: accepted() if accepted() > before else 0))

    with node_that_writes(furnished):
        eventually(accepted)
        report = back_up(
            furnished.place, tmp_path / "backup", pace=Pace(pages=1, pause=0), tick=tick
        )
        at_the_end = accepted()
    assert report.contents.left_out == ()
    assert len(seen) > 200
    assert seen[-1] - seen[0] > 200, "that many commits while it was being copied"
    copy = tmp_path / "backup" / "wafleet.db"
    [(messages,)] = query(copy, "SELECT count(*) FROM messages WHERE wa_id GLOB 'N*'")
    [(events,)] = query(
        copy,
        "SELECT count(*) FROM events WHERE type = 'message.accepted' AND whatsapp_session_id ="
        " (SELECT id FROM whatsapp_sessions WHERE session_id = 'two')",
    )
    assert messages == events
    assert 0 < messages <= seen[0] < at_the_end, "the state of the beginning"
    newest = query(copy, "SELECT wa_id FROM messages WHERE wa_id GLOB 'N*' ORDER BY id DESC")[0][0]
    assert newest == f"N{messages - 1:06}", "without a gap"
    assert query(copy, "PRAGMA integrity_check") == [("ok",)]
    assert query(copy, "PRAGMA foreign_key_check") == []
    verified(tmp_path / "backup")


# ---- what the check of a copy sees ----


async def test_a_copy_that_is_not_ours_damaged_or_newer_is_refused(tmp_path: Path) -> None:
    furnished = await furnish(tmp_path / "data")
    copy = tmp_path / "copy.db"
    with pinned(furnished.place.data.database) as snapshot:
        snapshot.copy_to(copy, Pace(), lambda *_: None)
    good = copy.read_bytes()
    versions = check_copy(copy, indexes=True)
    assert versions[0] == "0001_whatsapp_sessions"
    assert copy.read_bytes() == good

    for statement, what in (
        ("PRAGMA application_id = 7", "another program"),
        (
            "INSERT INTO _yoyo_migration (migration_hash, migration_id) VALUES ('x', '9999_x')",
            "newer",
        ),
        ("DELETE FROM _yoyo_migration WHERE migration_id LIKE '0002%'", "by halves"),
        ("DROP INDEX messages_age", "missing_index"),
        ("DROP TABLE media", "missing_table"),
    ):
        copy.write_bytes(good)
        execute(copy, statement)
        with pytest.raises(StoreUnusable, match=what):
            check_copy(copy, indexes=False)

    copy.write_bytes(good)
    roots = dict(query(copy, "SELECT name, rootpage FROM sqlite_schema"))
    swap = "UPDATE sqlite_schema SET rootpage = {} WHERE name = '{}'"
    execute(
        copy,
        "PRAGMA writable_schema = ON",
        swap.format(roots["messages_age"], "messages_chat"),
        swap.format(roots["messages_chat"], "messages_age"),
    )
    check_copy(copy, indexes=False)
    with pytest.raises(StoreUnusable, match="damaged"):
        check_copy(copy, indexes=True)

    copy.write_bytes(good[: len(good) // 2])
    with pytest.raises(StoreUnusable):
        check_copy(copy, indexes=False)
    copy.write_bytes(b"")
    with pytest.raises(StoreUnusable, match="empty"):
        check_copy(copy, indexes=False)


async def test_a_journal_that_somebody_put_beside_a_copy_is_not_played_into_it(
    tmp_path: Path,
) -> None:
    """A hot journal of another state would change a file whose hash was just found good."""
    furnished = await furnish(tmp_path / "data")
    copy = tmp_path / "copy.db"
    with pinned(furnished.place.data.database) as snapshot:
        snapshot.copy_to(copy, Pace(), lambda *_: None)
    good = copy.read_bytes()
    with closing(sqlite3.connect(copy, isolation_level=None)) as plain:
        plain.execute("PRAGMA cache_size = 1")
        plain.execute("BEGIN IMMEDIATE")
        plain.execute("UPDATE messages SET body = hex(randomblob(5000))")
        journal = (tmp_path / "copy.db-journal").read_bytes()
        plain.execute("ROLLBACK")
    assert len(journal) > 512
    copy.write_bytes(good)
    (tmp_path / "copy.db-journal").write_bytes(journal)
    check_copy(copy, indexes=True)
    assert copy.read_bytes() == good
    assert (tmp_path / "copy.db-journal").read_bytes() == journal


async def test_doubt_leaves_every_other_message_alone(tmp_path: Path) -> None:
    furnished = await furnish(tmp_path / "data")
    database = furnished.place.data.database
    execute(database, "UPDATE messages SET attempts = 4 WHERE wa_id = 'WAITING2'")
    before = dict(query(database, "SELECT wa_id, attempts FROM messages"))
    assert doubt_accepted(database, forgotten_since(NOW)) == 2
    after = dict(query(database, "SELECT wa_id, attempts FROM messages"))
    assert before == {"SENT": 1, "SENDING": 1, "WAITING1": 0, "WAITING2": 4, "IN": 0}
    assert after == {**before, "WAITING1": 1}
    assert query(database, "PRAGMA journal_mode") == [("delete",)]
    assert not database.with_name("wafleet.db-wal").exists()
    assert query(database, "PRAGMA application_id") == [(APPLICATION_ID,)]
    assert stat.S_IMODE(database.stat().st_mode) == 0o600
