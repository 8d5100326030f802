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
from pydantic import SecretStr
from structlog.testing import capture_logs

from storage.sqlite import open_store
from storage.sqlite.inspection import inspecting
from storage.vault import rotate_keyring
from supervisor.admin import doctor_files, schema
from supervisor.admin.doctor_files import FileCheck
from supervisor.admin.place import Place, now_ms
from supervisor.datadir import DataDir
from tests.integration.archive_support import archive_files, make_profile
from tests.integration.doctor_support import CHECKS, OTHER_KEK, Patient, patient
from tests.integration.tiny_disk import tiny_disk

if TYPE_CHECKING:
    from collections.abc import Callable
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
    for check in ("audit", "access_tokens", "archives", "media"):
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


def test_the_wrong_key(sick: Patient) -> None:
    kid = (sick.place.data.keys / "kek").read_text().splitlines()[-1].split(":")[0]
    wrong = SecretStr(OTHER_KEK.replace("k1", kid))
    found = sick.examined(deep=True, kek=wrong)
    assert found.bad == {"keys", "access_tokens", "archives", "media"}
    assert "[key_wrong]" in found.of("keys")[0][1]
    assert "does not open (key_wrong)" in found.of("archives")[0][1]
    assert wrong.get_secret_value().split(":")[1] not in str(found)
    assert sick.examined(kek=wrong).bad == {"keys", "access_tokens"}, "files are only opened deep"


def test_a_lost_key(sick: Patient) -> None:
    (sick.place.data.keys / "kek").unlink()
    found = sick.examined(deep=True)
    assert found.bad == {"keys", "access_tokens"}
    assert "put the file back" in found.of("keys")[0][1]
    verdicts = [verdict for verdict, _ in found.of("archives")]
    assert verdicts == ["ok", "warning"]
    assert not (sick.place.data.keys / "kek").exists()


def test_a_key_that_others_can_read(sick: Patient) -> None:
    (sick.place.data.keys / "kek").chmod(0o644)
    found = sick.examined()
    assert found.bad == {"data_directory", "keys", "access_tokens"}
    assert "mode 0644" in found.of("keys")[0][1]


def test_more_than_one_key_is_told(sick: Patient) -> None:
    rotate_keyring(sick.place.data.keys / "kek")
    verdict, text = sick.examined().of("keys")[0]
    assert (verdict, "1 older on the ring" in text) == ("ok", True)


def test_a_missing_check_value_is_told(sick: Patient) -> None:
    (sick.place.data.keys / "check").unlink()
    assert sick.examined().verdict("keys") == "warning"


def truncate(file: Path, _: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def lose(file: Path, _: Path) -> None:
    file.unlink()


def flip(file: Path, _: Path) -> None:
    raw = bytearray(file.read_bytes())
    raw[-20] ^= 1
    file.write_bytes(raw)


def pipe(file: Path, _: Path) -> None:
    file.unlink()
    os.mkfifo(file, 0o600)


@pytest.mark.parametrize("kind", ["archives", "media"])
@pytest.mark.parametrize(
    ("damage", "shallow", "words"),
    [
        (truncate, True, "bytes instead of"),
        (lose, True, "it is missing"),
        (pipe, True, "it can't be read (not a plain file)"),
        (flip, False, "it does not open (archive_damaged)"),
    ],
)
def test_a_damaged_file(
    sick: Patient, kind: str, damage: Callable[[Path, Path], None], shallow: bool, words: str
) -> None:
    """Named, with what to do; where only its content tells, when it is read."""
    files = sick.archives if kind == "archives" else sick.media
    damage(files[0], files[1])
    assert sick.examined().bad == ({kind} if shallow else set())
    found = sick.examined(deep=True)
    assert found.bad == {kind}
    [(_, text)] = found.of(kind)
    assert str(files[0].relative_to(sick.root)) in text
    assert words in text
    assert text.endswith("put it back from a backup.")


def test_pointers_that_changed_places(sick: Patient) -> None:
    """Size and hash are right and the key is too, but the files do not belong where they are."""
    facts = "path, sha256, bytes"
    for table in ("whatsapp_session_archives", "media"):
        sick.sql(
            f"CREATE TABLE other AS SELECT id, {facts} FROM {table}",  # noqa: S608
            f"UPDATE {table} SET path = 'on its way ' || id",  # noqa: S608
            f"UPDATE {table} SET ({facts}) ="  # noqa: S608
            f" (SELECT {facts} FROM other WHERE other.id <> {table}.id)",
            "DROP TABLE other",
        )
    assert sick.examined().bad == set()
    found = sick.examined(deep=True)
    assert found.bad == {"archives", "media"}
    assert "(archive_foreign)" in found.of("media")[0][1]
    codes = {text.split("(")[1].split(")")[0] for _, text in found.of("archives")}
    assert codes == {"archive_ahead", "archive_too_old"}


def test_a_hash_that_was_not_noted(sick: Patient) -> None:
    """As after a rotation that was cut short between the file and its pointer."""
    sick.sql(f"UPDATE media SET sha256 = '{'0' * 64}'")  # noqa: S608
    found = sick.examined(deep=True)
    assert found.bad == {"media"}
    assert "--rewrap-only" in found.of("media")[0][1]


def test_a_pointer_that_leads_elsewhere(sick: Patient) -> None:
    sick.sql("UPDATE media SET path = '../outside/' || id")
    found = sick.examined()
    assert "leads out of the data directory" in found.of("media")[0][1]


def test_media_whose_message_is_gone_are_read_too(sick: Patient) -> None:
    """They wait for the next round of retention."""
    sick.sql("UPDATE media SET message_id = NULL")
    assert sick.examined(deep=True).verdict("media") == "ok"
    flip(sick.media[0], sick.media[0])
    assert sick.examined(deep=True).bad == {"media"}


def test_many_bad_files_are_counted(sick: Patient) -> None:
    sick.sql(
        "INSERT INTO media (uuid, workspace_id, path, sha256, bytes, created_at)"
        " WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200)"
        " SELECT 'u' || i, 1, 'media/none/' || i, hex(zeroblob(32)), 1, 1 FROM n"
    )
    texts = [text for _, text in sick.examined().of("media")]
    assert len(texts) == 6
    assert texts[-1] == "And 1195 more of 1202."


def test_what_was_dropped_meanwhile_is_not_missed(sick: Patient) -> None:
    """A running node drops an archive between the look at its pointer and that at its file."""
    data = sick.place.data

    async def save_more() -> None:
        async with open_store(data.database) as store:
            row = (await store.all_sessions())[-1]
            archives = archive_files(data.root, store, keep=1)
            await archives.save(row.id, make_profile(data.root / "copy"))

    with inspecting(data.database, 500) as look:
        stale = list(look.archives())
        assert all(look.still_there(pointer) for pointer in stale)
        asyncio.run(save_more())
        assert not any(look.still_there(pointer) for pointer in stale)
        check = FileCheck(data.root, None, deep=False)
        tally = doctor_files.Tally("archives", "archives")
        context = doctor_files._archive_context
        findings = list(doctor_files._files(tally, iter(stale), look, check, context))
    assert [finding.verdict for finding in findings] == ["ok"]


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
