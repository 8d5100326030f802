"""The doctor on real files: a healthy patient, one fault after the other, and hands off."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import stat
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from storage.sqlite import open_store
from supervisor.admin import schema
from supervisor.admin.place import Place, now_ms
from supervisor.datadir import DataDir
from tests.integration.doctor_support import CHECKS, Patient, patient
from tests.integration.tiny_disk import tiny_disk

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

AUDIT = "whatsapp_session_access_logs"


@pytest.fixture
def sick(tmp_path: Path) -> Patient:
    """Give a healthy one, to be made sick."""
    return patient(tmp_path / "data")


# ---- healthy ----


@pytest.mark.parametrize("deep", [False, True])
def test_a_healthy_one_is_found_healthy(sick: Patient, deep: bool) -> None:
    found = sick.examined(deep=deep)
    assert [f.check for f in found.findings] == CHECKS
    assert found.bad == set()
    good = set(CHECKS) - {"descriptors", "memory", "sandbox", "clock_sync", "free_space"}
    assert {check for check in good if found.verdict(check) != "ok"} == set()
    how = "has its hash and opens to its end" if deep else "is there with its size"
    [(_, archives)], [(_, media)] = found.of("archives"), found.of("media")
    assert archives.startswith("2 archives")
    assert media.startswith("2 media files")
    assert how in archives
    assert how in media
    assert "1 access tokens" in found.of("access_tokens")[0][1]
    assert "canary" not in str(found)


def test_before_the_first_start_nothing_is_bad_and_nothing_is_made(tmp_path: Path) -> None:
    place = DataDir(tmp_path / "none")
    found = Patient(Place(place, 500), [], []).examined(deep=True)
    assert found.bad == set()
    assert found.checks == set(CHECKS) - {"schema"}
    assert "first start makes" in found.of("data_directory")[0][1]
    assert "first start" in found.of("database")[0][1]
    assert not (tmp_path / "none").exists()


def snapshot(directory: Path) -> dict[str, tuple[int, int, bytes]]:
    return {
        str(path.relative_to(directory)): (
            path.stat().st_mode,
            path.stat().st_mtime_ns,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in directory.rglob("*")
    }


def test_a_look_changes_nothing(sick: Patient) -> None:
    """Not even a mode that should be another one, or a check value that is missing."""
    sick.place.data.database.chmod(0o644)
    (sick.place.data.keys / "check").unlink()
    before = snapshot(sick.root)
    sick.examined(deep=True)
    assert snapshot(sick.root) == before


def test_what_a_killed_node_left_is_read_and_left(sick: Patient) -> None:
    """The log is not folded in: a look must not tidy up. What only it holds is seen."""
    data, ahead = sick.place.data, now_ms() + 3 * 86_400_000

    async def killed() -> None:
        async with open_store(data.database) as store:
            home = (await store.workspace_named("acme")).id
            await store.create_session(home, "two", ahead)
            for suffix in ("", "-wal", "-shm"):
                name = f"{data.database.name}{suffix}"
                shutil.copy(data.root / name, data.root.parent / name)

    asyncio.run(killed())
    for suffix in ("", "-wal", "-shm"):
        name = f"{data.database.name}{suffix}"
        shutil.move(data.root.parent / name, data.root / name)
    before = {name: found for name, found in snapshot(sick.root).items() if "-shm" not in name}
    assert before["wafleet.db-wal"][2]
    found = sick.examined()
    assert found.bad == {"clock_time"}
    after = {name: found for name, found in snapshot(sick.root).items() if "-shm" not in name}
    assert after == before
    with closing(sqlite3.connect(data.database)) as plain:
        names = plain.execute("SELECT session_id FROM whatsapp_sessions").fetchall()
    assert ("two",) in names


# ---- the data directory ----


@pytest.mark.parametrize(
    ("name", "mode", "verdict"),
    [
        ("sessions", 0o755, "bad"),
        ("keys", 0o711, "bad"),
        ("wafleet.db", 0o640, "bad"),
        ("media", 0o755, "warning"),
        ("archives", 0o750, "warning"),
        (".", 0o755, "warning"),
    ],
)
def test_what_others_can_read_is_told(sick: Patient, name: str, mode: int, verdict: str) -> None:
    path = sick.root / name
    path.chmod(mode)
    [(found, text)] = sick.examined().of("data_directory")
    assert found == verdict
    assert f"{path} (mode {mode:04o}): chmod" in text


def test_a_data_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no directory")
    place = DataDir(tmp_path / "data")
    found = Patient(Place(place, 500), [], []).examined()
    assert found.verdict("data_directory") == "bad"
    assert found.checks == set(CHECKS) - {"schema"}


def test_the_one_who_holds_it_is_named(sick: Patient) -> None:
    """By the lock, not by what the file says: that stays when its writer is gone."""
    assert (sick.root / "wafleet.lock").read_text() == f"{os.getpid()}\n"
    assert sick.place.data.holder() is None
    with sick.place.stopped():
        assert sick.place.data.holder() == os.getpid()
        assert f"pid {os.getpid()}" in sick.examined().of("node")[0][1]
    assert "No wafleet" in sick.examined().of("node")[0][1]


def test_a_small_disk_is_bad(tmp_path: Path) -> None:
    """Too little space, too few files, on a real file system."""
    with tiny_disk(tmp_path / "disk", "size=16m,nr_inodes=200") as disk:
        found = patient(disk / "data").examined()
        assert found.bad == {"free_space", "free_inodes"}
        assert "MiB free" in found.of("free_space")[0][1]


# ---- the database ----


def corrupt(sick: Patient) -> None:
    """Overwrite the page at which the access log begins."""
    with closing(sqlite3.connect(sick.place.data.database)) as plain:
        [size] = plain.execute("PRAGMA page_size").fetchone()
        query = "SELECT rootpage FROM sqlite_schema WHERE name = ?"
        [page] = plain.execute(query, (AUDIT,)).fetchone()
    with sick.place.data.database.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)


def test_a_corrupted_page_is_found_and_the_rest_is_still_looked_at(sick: Patient) -> None:
    corrupt(sick)
    found = sick.examined(deep=True)
    assert found.bad == {"database", "audit", "clock_time"}
    assert "last backup" in found.of("database")[0][1]
    assert "[storage_unusable]" in found.of("audit")[0][1]
    assert found.checks == set(CHECKS)


def test_an_index_that_lost_a_row(sick: Patient) -> None:
    """Only reading all of the file tells: each page by itself is as it should be."""
    change = "UPDATE sqlite_schema SET sql = sql {} WHERE name = 'messages_age'"
    trust = "PRAGMA writable_schema = ON"
    sick.sql(trust, change.format("|| ' WHERE 0'"))
    sick.sql("UPDATE messages SET created_at = created_at - 1")
    restored = "UPDATE sqlite_schema SET sql = replace(sql, ' WHERE 0', '')"
    sick.sql(trust, f"{restored} WHERE name = 'messages_age'")
    found = sick.examined()
    assert found.bad == {"database"}
    assert "index messages_age" in found.of("database")[0][1]


def test_a_database_that_is_none(sick: Patient) -> None:
    sick.place.data.database.write_bytes(b"this is not a database " * 1000)
    found = sick.examined()
    assert found.bad == {"database"}
    assert "[storage_unusable]" in found.of("database")[0][1]
    assert found.of("archives")[0][0] == "warning"


def test_another_program_s_database(sick: Patient) -> None:
    sick.sql("PRAGMA application_id = 1234")
    found = sick.examined()
    assert found.bad == {"schema"}
    assert "belongs to another program" in found.of("schema")[0][1]


def test_rows_that_point_nowhere(sick: Patient) -> None:
    sick.sql("DELETE FROM messages", "DELETE FROM chats")
    found = sick.examined()
    assert found.bad == {"database"}
    assert "of media point to rows of messages that are gone" in found.of("database")[0][1]


def test_a_lost_database_beside_its_data(sick: Patient) -> None:
    sick.place.data.database.unlink()
    found = sick.examined()
    assert found.bad == {"database"}
    assert "archives and media hold data" in found.of("database")[0][1]


@pytest.mark.parametrize(
    ("statement", "verdict", "words"),
    [
        ("DROP INDEX messages_age", "bad", "missing_index: messages.messages_age"),
        ("DROP TRIGGER events_are_facts", "bad", "missing_trigger"),
        ("CREATE TABLE notes (text)", "warning", "extra_table: notes"),
        ("INSERT INTO _yoyo_migration VALUES ('h', '9999_new', '2030')", "bad", "update wafleet"),
    ],
)
def test_a_schema_that_is_not_as_expected(
    sick: Patient, statement: str, verdict: str, words: str
) -> None:
    sick.sql(statement)
    [(found, text)] = sick.examined().of("schema")
    assert found == verdict
    assert words in text


def test_an_older_schema_is_left_to_the_next_start(sick: Patient) -> None:
    """Not bad, and its rows are not read as if they were new ones."""
    schema.down(sick.place, 1)
    found = sick.examined()
    assert found.bad == set()
    [(verdict, text)] = found.of("schema")
    assert (verdict, "migrate up" in text) == ("warning", True)
    for check in ("audit", "access_tokens", "webhook_secrets", "archives", "media"):
        assert found.verdict(check) == "warning"


def test_a_changed_access_log(sick: Patient) -> None:
    """Although whoever did it put the triggers back."""
    with closing(sqlite3.connect(sick.place.data.database)) as plain:
        query = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ?"
        triggers = plain.execute(query, (AUDIT,)).fetchall()
    sick.sql(
        *(f"DROP TRIGGER {name}" for name, _ in triggers),
        f"UPDATE {AUDIT} SET who = 'nobody' WHERE number = 3",  # noqa: S608
        *(sql for _, sql in triggers),
    )
    found = sick.examined()
    assert found.bad == {"audit"}
    [(_, text)] = found.of("audit")
    assert "workspace default was changed at" in text


def test_a_row_of_the_future(sick: Patient) -> None:
    ahead = now_ms() + 60_000
    sick.sql(f"UPDATE contacts SET updated_at = {ahead}")  # noqa: S608
    found = sick.examined()
    assert found.bad == {"clock_time"}
    assert "behind the newest entry" in found.of("clock_time")[0][1]


# ---- keys and what they seal ----


# ---- the host ----


@pytest.mark.parametrize("name", ["true", "echo", "none"])
def test_what_is_no_chromium(sick: Patient, name: str) -> None:
    found = sick.examined(chromium_path=sick.root.parent / name if name == "none" else which(name))
    assert found.bad == {"chromium"}
    assert "[chromium_missing]" in found.of("chromium")[0][1]


def which(name: str) -> str:
    found = shutil.which(name)
    assert found is not None
    return found


def test_what_is_no_wa_js(sick: Patient, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.js"
    bundle.write_text("something else")
    found = sick.examined(wajs_bundle=bundle)
    assert found.bad == {"wa_js"}
    assert "make setup" in found.of("wa_js")[0][1]


# ---- checks that fail ----


def test_a_check_that_fails_is_bad_and_the_others_go_on(sick: Patient) -> None:
    """A path that no file can have is nothing that a check expects."""
    sick.sql("UPDATE media SET path = 'media/' || id || char(0)")
    with capture_logs() as logs:
        found = sick.examined()
    assert found.bad == {"media"}
    assert "failed (ValueError)" in found.of("media")[0][1]
    assert found.checks == set(CHECKS)
    assert [(one["event"], one["what"]) for one in logs] == [("doctor_check_failed", "media")]


def test_a_locked_database_is_told(sick: Patient) -> None:
    """Somebody holds all of it: not even a look is possible."""
    with closing(sqlite3.connect(sick.place.data.database)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("PRAGMA journal_mode = DELETE")
        other.execute("BEGIN EXCLUSIVE")
        found = sick.examined(busy_timeout=0.05)
        other.rollback()
    assert found.bad == {"database"}
    assert "[storage_busy]" in found.of("database")[0][1]


def test_modes_of_what_is_made_are_right(sick: Patient) -> None:
    """What the doctor wants is what the programs make."""
    for path in sick.root.rglob("*"):
        wanted = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path
