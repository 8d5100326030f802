"""What a backup holds and what not, files that go or spoil meanwhile, and a kill in the middle."""

from __future__ import annotations

import json
import shutil
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from storage.store import StoreUnusable
from supervisor.admin import schema
from supervisor.admin.errors import BackupTargetTaken, DatabaseMissing, OutputUnwritable
from supervisor.errors import KekUnusable
from supervisor.keyring import given_keyring, node_keyring
from tests.integration.archive_support import RING
from tests.integration.backup_support import (
    KEK,
    MEDIA,
    OTHER_KEK,
    Furnished,
    back_up,
    execute,
    fresh_copy,
    furnish,
    place_of,
    put_keys,
    query,
    settings_of,
    tree,
    verified,
)
from tests.integration.old_databases import OLD_VERSIONS, make_old_database

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration


@pytest.fixture
async def furnished(tmp_path: Path) -> Furnished:
    return await furnish(tmp_path / "data")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "backups").mkdir()
    return tmp_path / "backups" / "first"


# ---- contents ----


def test_a_backup_holds_what_the_database_points_to_and_nothing_else(
    furnished: Furnished, target: Path
) -> None:
    """Real copies, private; no key, no API key, no profile, no lock."""
    rubbish = furnished.archive(0, 99)
    rubbish.write_bytes(b"no pointer leads here")
    before = tree(furnished.root)
    report = back_up(furnished.place, target)
    assert tree(furnished.root) == before
    there = tree(target)
    kept = {
        str(furnished.archive(s, g).relative_to(furnished.root)) for s in (0, 1) for g in (1, 2)
    }
    assert there.keys() == {"manifest.json", "wafleet.db", "media/picture", *kept}
    for path in ("media/picture", *kept):
        assert there[path] == before[path]
    assert there["media/picture"] == MEDIA
    modes = {stat.S_IMODE(path.stat().st_mode) for path in target.rglob("*") if path.is_file()}
    folders = [target, *(path for path in target.rglob("*") if path.is_dir())]
    assert modes == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}
    for secret in (KEK.split(":")[1], "do-not-copy-me"):
        assert not any(secret.encode() in content for content in there.values())
    assert list(target.parent.iterdir()) == [target]
    assert report.contents.left_out == ()
    assert report.contents.bytes == sum(len(c) for p, c in there.items() if p != "manifest.json")
    verified(target)


def test_the_manifest_says_what_is_in_it(furnished: Furnished, target: Path) -> None:
    report = back_up(furnished.place, target)
    manifest = json.loads((target / "manifest.json").read_text())
    assert sorted(manifest) == sorted(
        ["created_at", "files", "format", "left_out", "migrations", "seal", "wafleet"]
    )
    assert (manifest["format"], manifest["left_out"]) == (1, [])
    assert manifest["migrations"][:2] == list(OLD_VERSIONS)
    assert manifest["created_at"] == report.contents.created_at
    assert manifest["seal"].startswith("wv1.k1.")
    [picture] = [file for file in manifest["files"] if file["path"] == "media/picture"]
    assert picture["bytes"] == len(MEDIA)


def test_progress_counts_bytes_to_the_end(furnished: Furnished, target: Path) -> None:
    told = list[tuple[int, int | None]]()
    report = back_up(furnished.place, target, tick=lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1][0] == told[-1][1]
    assert report.seconds > 0


def test_a_log_that_was_not_yet_moved_into_the_file_is_in_the_backup(
    furnished: Furnished, target: Path
) -> None:
    """As a killed node leaves it: the newest commits are in the log alone."""
    database = furnished.place.data.database
    with closing(sqlite3.connect(database, isolation_level=None)) as node:
        node.execute("PRAGMA wal_autocheckpoint = 0")
        node.execute("UPDATE messages SET body = 'only in the log' WHERE wa_id = 'WAITING1'")
        back_up(furnished.place, target)
    body = "SELECT body FROM messages WHERE wa_id = 'WAITING1'"
    assert query(target / "wafleet.db", body) == [("only in the log",)]


def test_a_database_of_an_older_version_can_be_backed_up(tmp_path: Path, target: Path) -> None:
    """Before an update: neither it nor the copy is migrated."""
    place = place_of(tmp_path / "old")
    place.data.root.mkdir()
    make_old_database(place.data.database)
    report = back_up(place, target)
    assert report.contents.migrations == OLD_VERSIONS
    assert [s.id for s in schema.status(place) if s.applied] == list(OLD_VERSIONS)
    verified(target)


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("INSERT INTO _yoyo_migration (migration_hash, migration_id) VALUES ('x', '9_x')", "newer"),
        ("DROP TABLE media", "missing_table"),
        ("PRAGMA application_id = 9", "another program"),
    ],
)
def test_a_database_that_no_node_would_start_on_is_no_backup(
    furnished: Furnished, target: Path, statement: str, what: str
) -> None:
    execute(furnished.place.data.database, statement)
    with pytest.raises(StoreUnusable, match=what):
        back_up(furnished.place, target)
    assert list(target.parent.iterdir()) == []


def test_a_damaged_database_is_told_by_its_own_name(furnished: Furnished, target: Path) -> None:
    """Pages that SQLite copies without looking at them: the check of the copy does."""
    database = furnished.place.data.database
    [(root,)] = query(database, "SELECT rootpage FROM sqlite_schema WHERE name = 'messages'")
    with database.open("r+b") as file:
        file.seek((root - 1) * 4096 + 8)
        file.write(b"\xff" * 8)
    with pytest.raises(StoreUnusable, match=f"{database} is damaged"):
        back_up(furnished.place, target)
    assert list(target.parent.iterdir()) == []


# ---- where to ----


def test_an_empty_directory_may_be_there_and_a_link_to_one(
    furnished: Furnished, target: Path
) -> None:
    target.mkdir(mode=0o755)
    link = target.with_name("link")
    link.symlink_to(target)
    back_up(furnished.place, link)
    verified(target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o700


def test_a_taken_place_stays_as_it_is(furnished: Furnished, target: Path) -> None:
    target.mkdir()
    (target / "something").write_text("precious")
    for place, what in (
        (target, "not empty"),
        (target / "something", "no directory"),
        (target / "a" / "b", "no directory .*a:"),
        (furnished.root, "not empty"),
        (target.parent.parent / "gone" / "x", "make it first"),
    ):
        with pytest.raises(BackupTargetTaken, match=what):
            back_up(furnished.place, place)
    assert tree(target.parent) == {"first/something": b"precious"}


def test_without_a_database_there_is_nothing_to_back_up(tmp_path: Path, target: Path) -> None:
    with pytest.raises(DatabaseMissing):
        back_up(place_of(tmp_path / "nothing"), target)
    assert not (tmp_path / "nothing").exists()
    assert list(target.parent.iterdir()) == []


def test_a_file_system_without_room_leaves_nothing(furnished: Furnished, target: Path) -> None:
    """A limit on the size of files stands for the full disk: the media file does not fit."""
    script = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from tests.integration.backup_support import back_up, place_of\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))\n"
        "try:\n"
        "    back_up(place_of(Path(sys.argv[1])), Path(sys.argv[2]))\n"
        "except Exception as error:\n"
        "    print(type(error).__name__)\n"
    )
    told = []
    with closing(sqlite3.connect(furnished.place.data.database)) as node:
        node.execute("SELECT 1 FROM media").fetchall()  # the log's own files are there then
        for limit in (5000, 100_000):  # first a file, then the database
            done = subprocess.run(
                [sys.executable, "-c", script, str(furnished.root), str(target), str(limit)],
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
            )
            told.append(done.stdout.strip())
            assert list(target.parent.iterdir()) == []
    assert told[0] == OutputUnwritable.__name__
    assert told[1] in {"StoreFull", "StoreUnusable"}


def test_a_place_that_was_filled_meanwhile_is_not_overwritten(
    furnished: Furnished, target: Path
) -> None:
    def tick(_done: int, _total: int | None) -> None:
        target.mkdir(exist_ok=True)
        (target / "something").touch()

    with pytest.raises(OutputUnwritable, match="not empty"):
        back_up(furnished.place, target, tick=tick)
    assert tree(target.parent) == {"first/something": b""}


def test_a_backup_does_not_change_when_its_source_does(furnished: Furnished, target: Path) -> None:
    """Real copies: no link leads back."""
    back_up(furnished.place, target)
    copy = fresh_copy(target, target.with_name("copy"))
    with (furnished.root / "media" / "picture").open("r+b") as file:
        file.write(b"changed in place")
    shutil.rmtree(furnished.root / "archives")
    execute(furnished.place.data.database, "DELETE FROM media")
    assert tree(target) == tree(copy)
    verified(target)


# ---- the keys ----


def test_the_keys_of_a_node_are_found_and_nothing_is_made(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    place = place_of(root)
    for find in (node_keyring, given_keyring):
        with pytest.raises(KekUnusable, match=f"no key file {root}/keys/kek") as caught:
            find(settings_of(root), place.data)
        assert caught.value.exit_code == 7
    assert list(root.iterdir()) == []
    put_keys(root)
    before = tree(root)
    for find in (node_keyring, given_keyring):
        assert find(settings_of(root), place.data).kids == ("k1",)
        secret = settings_of(root, kek=SecretStr(OTHER_KEK.replace("k1", "k9")))
        assert find(secret, place.data).kids == ("k9",)
    assert tree(root) == before


def test_other_keys_than_the_nodes_seal_no_backup(tmp_path: Path) -> None:
    root = tmp_path / "data"
    put_keys(root)
    (root / "keys" / "check").write_text(RING.seal_check())
    place = place_of(root)
    put_keys(root, OTHER_KEK)
    with pytest.raises(KekUnusable, match="key_wrong"):
        node_keyring(settings_of(root), place.data)
    # before a restore the check is that of other data: it proves nothing about the backup
    assert given_keyring(settings_of(root), place.data).kids == ("k1",)
