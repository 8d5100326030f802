"""A backup put back: into a new directory, over an old one, and after interruptions."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from storage.acceptance import MessageStateWrong
from storage.messages import MessageState
from storage.sqlite import open_store
from storage.vault import rotate_keyring
from supervisor.admin import chains, schema
from supervisor.admin.errors import BackupBad, RestoreTargetTaken
from supervisor.admin.restore import put_back
from supervisor.admin.verification import open_backup, verify_backup
from supervisor.errors import DataDirInUse, DataDirUnusable
from supervisor.keyring import open_keyring
from tests.integration.archive_support import OTHER_RING, RING, archive_files, read_profile
from tests.integration.backup_support import (
    GENERATIONS,
    Furnished,
    back_up,
    bring_back,
    execute,
    fresh_copy,
    furnish,
    place_of,
    put_keys,
    query,
    settings_of,
    tree,
)
from tests.integration.old_databases import OLD_VERSIONS, make_old_database
from tests.integration.outbox_support import claim_next
from tests.integration.tenant_support import NOW, home_of

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration


@pytest.fixture
async def furnished(tmp_path: Path) -> Furnished:
    return await furnish(tmp_path / "data")


@pytest.fixture
def backup(furnished: Furnished, tmp_path: Path) -> Path:
    back_up(furnished.place, tmp_path / "backup")
    return tmp_path / "backup"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Give a new data directory, in which there are only the keys."""
    put_keys(tmp_path / "new")
    return tmp_path / "new"


# ---- into a new directory ----


async def test_a_restored_directory_is_one_that_a_node_goes_on_with(
    furnished: Furnished, backup: Path, root: Path
) -> None:
    """Archives open under their sessions, media is there, the keys are proved, all is private."""
    report = await bring_back(backup, root)
    assert report.replaced is None
    assert report.waiting == 2
    place = place_of(root)
    with place.stopped():
        keyring = open_keyring(settings_of(root), place.data)
        async with open_store(place.data.database) as store:
            archives = archive_files(root, store, keyring)
            assert (await archives.sweep()).missing == 0
            for session, name in zip(furnished.sessions, ("one", "two"), strict=True):
                profile = place.data.paths(session).profile
                restored = await archives.restore(session, profile)
                assert restored.archive is not None
                assert restored.archive.generation == GENERATIONS
                assert read_profile(profile) == f"{name} {GENERATIONS}"
    assert (root / "media" / "picture").read_bytes() == (
        furnished.root / "media" / "picture"
    ).read_bytes()
    for path in (*(root / "archives").rglob("*"), *(root / "media").rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    assert stat.S_IMODE((root / "wafleet.db").stat().st_mode) == 0o600
    names = {path.split("/")[0] for path in tree(root)}
    assert names == {"archives", "keys", "media", "sessions", "wafleet.db", "wafleet.lock"}


async def test_what_waited_to_be_sent_is_looked_up_first(backup: Path, root: Path) -> None:
    """It may have been sent since: claimed again, it is not the first attempt."""
    await bring_back(backup, root)
    async with open_store(root / "wafleet.db") as store:
        home = await home_of(store)
        session = await store.session_named(home, "one")
        rows = {row.wa_id: row for row in await store.messages(home, session.id)}
        states = {wa_id: (row.state, row.attempts) for wa_id, row in rows.items()}
        assert states == {
            "SENT": (MessageState.SENT, 1),
            "SENDING": (MessageState.SENDING, 1),
            "WAITING1": (MessageState.ACCEPTED, 1),
            "WAITING2": (MessageState.ACCEPTED, 1),
            "IN": (MessageState.RECEIVED, 0),
        }
        await store.record_sent(rows["SENDING"].id, 1, NOW)  # it holds back the others of its chat
        claimed = await claim_next(store, session.id, NOW)
        assert claimed is not None
        assert (claimed.wa_id, claimed.attempts) == ("WAITING1", 2)
        with pytest.raises(MessageStateWrong):
            await store.cancel_message(home, session.id, rows["WAITING2"].id, NOW)


async def test_the_access_log_tells_of_the_restore_and_is_whole(
    furnished: Furnished, backup: Path, root: Path
) -> None:
    await bring_back(backup, root)
    async with place_of(root).store() as store:
        log = await store.access_log(furnished.workspace)
        assert log[0].action == "backup.restore"
        assert log[0].who.startswith("cli:uid=")
        assert log[0].detail["manifest"] == open_backup(backup, RING).contents.digest()
        assert all(report.bad is None for report in await chains.verify_chains(store, {}))


async def test_an_older_database_is_brought_to_the_newest_version(
    tmp_path: Path, root: Path
) -> None:
    """As a start of a node would do it."""
    old = place_of(tmp_path / "old")
    old.data.root.mkdir()
    make_old_database(old.data.database)
    report = back_up(old, tmp_path / "backup")
    assert report.contents.migrations == OLD_VERSIONS
    await bring_back(tmp_path / "backup", root)
    assert schema.verify(place_of(root)) == ()
    accepted = "SELECT DISTINCT min(attempts, 1) FROM messages WHERE state = 'accepted'"
    assert query(root / "wafleet.db", accepted) == [(1,)]


async def test_a_backup_of_before_a_rotation_is_restored_with_the_rotated_keys(
    backup: Path, root: Path
) -> None:
    rotated = rotate_keyring(root / "keys" / "kek")
    assert rotated.kids[0] == "k1"
    await bring_back(backup, root, rotated)
    place = place_of(root)
    with place.stopped():
        assert open_keyring(settings_of(root), place.data).kids == rotated.kids


async def test_the_check_is_renewed_whatever_it_was(backup: Path, root: Path) -> None:
    """A node would refuse the keys of the backup for the sake of data that is gone."""
    (root / "keys" / "check").write_text(OTHER_RING.seal_check())
    await bring_back(backup, root)
    RING.verify((root / "keys" / "check").read_text().strip())


# ---- where there is something ----


async def test_a_database_is_not_overwritten(furnished: Furnished, backup: Path) -> None:
    before = tree(furnished.root)
    with pytest.raises(RestoreTargetTaken, match="--replace"):
        await bring_back(backup, furnished.root)
    assert tree(furnished.root) == before


async def test_a_running_node_is_left_alone(furnished: Furnished, backup: Path) -> None:
    before = tree(furnished.root)
    with (
        place_of(furnished.root).stopped(),
        pytest.raises(DataDirInUse),
    ):
        await bring_back(backup, furnished.root, replace=True)
    assert tree(furnished.root) == before


async def test_replacing_loses_nothing(furnished: Furnished, backup: Path) -> None:
    """Database with its log, archives and media move; profiles, keys and API key stay."""
    root, database = furnished.root, furnished.place.data.database
    newer = furnished.archive(0, 7)
    newer.write_bytes(b"a later archive")
    left_by_a_kill = root.parent / "killed"
    with closing(sqlite3.connect(database, isolation_level=None)) as node:
        node.execute("PRAGMA wal_autocheckpoint = 0")
        node.execute("UPDATE messages SET body = 'only in the log' WHERE wa_id = 'IN'")
        shutil.copytree(root, left_by_a_kill)
    killed = place_of(left_by_a_kill)
    assert (left_by_a_kill / "wafleet.db-wal").stat().st_size > 0
    before = tree(left_by_a_kill)
    report = await bring_back(backup, left_by_a_kill, replace=True)
    assert report.replaced is not None
    assert report.replaced.parent == left_by_a_kill / "replaced"
    assert stat.S_IMODE(report.replaced.stat().st_mode) == 0o700
    moved = {p: c for p, c in before.items() if p.split("/")[0] in {"archives", "media"}}
    moved |= {p: c for p, c in before.items() if p.startswith("wafleet.db")}
    assert tree(report.replaced) == moved
    assert {"wafleet.db", "wafleet.db-wal"} <= moved.keys()
    after = tree(left_by_a_kill)
    for path, content in before.items():
        if path.startswith(("sessions/", "api.key", "keys/kek")):
            assert after[path] == content
    assert not (left_by_a_kill / newer.relative_to(root)).exists()
    body = "SELECT body FROM messages WHERE wa_id = 'IN'"
    assert query(killed.data.database, body) == [("in IN",)]
    with closing(sqlite3.connect(report.replaced / "wafleet.db")) as old:
        assert old.execute(body).fetchall() == [("only in the log",)]


async def test_replacing_twice_keeps_both(backup: Path, root: Path) -> None:
    await bring_back(backup, root)
    for number in range(2):
        execute(root / "wafleet.db", f"UPDATE messages SET body = 'life {number}'")  # noqa: S608
        await bring_back(backup, root, replace=True)
    lives = sorted((root / "replaced").iterdir())
    body = "SELECT DISTINCT body FROM messages"
    assert [query(life / "wafleet.db", body) for life in lives] == [[("life 0",)], [("life 1",)]]


async def test_archives_without_a_database_are_put_away_too(backup: Path, root: Path) -> None:
    """Nobody points to them: the next boot would sweep what may be the only newer logins."""
    lost = root / "archives" / "w" / "s" / "9.wfa"
    lost.parent.mkdir(parents=True)
    lost.write_bytes(b"newer")
    (root / "wafleet.db-wal").write_bytes(b"of a database that is gone")
    report = await bring_back(backup, root)
    assert report.replaced is not None
    assert tree(report.replaced) == {
        "archives/w/s/9.wfa": b"newer",
        "wafleet.db-wal": b"of a database that is gone",
    }


# ---- troubles ----


async def test_a_backup_that_changed_after_it_was_verified_is_not_put_in_place(
    furnished: Furnished, backup: Path
) -> None:
    place, before = furnished.place, tree(furnished.root)
    good = verify_backup(open_backup(backup, RING), RING)
    with (backup / "media" / "picture").open("r+b") as file:
        file.write(b"A")
    with place.stopped(), pytest.raises(BackupBad, match="media/picture"):
        await put_back(place, RING, good, replace=True)
    (backup / "media" / "picture").unlink()
    with place.stopped(), pytest.raises(BackupBad, match="media/picture"):
        await put_back(place, RING, good, replace=True)
    assert tree(furnished.root) == before


async def test_what_can_not_be_written_is_told(backup: Path, root: Path) -> None:
    """Something is where the put-away data should go; nothing of the old data moves."""
    await bring_back(backup, root)
    (root / "replaced").write_text("a file")
    before = tree(root)
    with pytest.raises(DataDirUnusable, match="run it again"):
        await bring_back(backup, root, replace=True)
    assert tree(root) == before


KILLED_AT_EVERY_STEP = """
import asyncio, os, shutil, signal, sys
from pathlib import Path
from tests.integration.backup_support import bring_back

backup, template, work = map(Path, sys.argv[1:4])
STEPS = {"os.rename", "os.link", "os.remove", "os.mkdir"}

def die_at(number, root):
    seen = 0

    def hook(event, args):
        nonlocal seen
        if event in STEPS and any(str(root) in str(arg) for arg in args[:2]):
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)

number = 0
while True:
    number += 1
    root = work / str(number)
    shutil.copytree(template, root)
    child = os.fork()
    if child == 0:
        die_at(number, root)
        asyncio.run(bring_back(backup, root, replace=True))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status):
        sys.exit(os.WEXITSTATUS(status))
"""


async def test_a_restore_killed_before_any_of_its_steps_can_be_run_again(
    furnished: Furnished, backup: Path, tmp_path: Path
) -> None:
    """Real kills, before every file name it makes, moves or removes: no database but a whole one.

    And the old data is all there, too: in its place, or put away.
    """
    work, template = tmp_path / "work", tmp_path / "template"
    work.mkdir()
    with closing(sqlite3.connect(furnished.place.data.database, isolation_level=None)) as node:
        node.execute("PRAGMA wal_autocheckpoint = 0")
        node.execute("UPDATE messages SET body = 'old' WHERE wa_id = 'IN'")
        fresh_copy(furnished.root, template)
    old = tree(template)
    arguments = ["-c", KILLED_AT_EVERY_STEP, str(backup), str(template), str(work)]
    await asyncio.to_thread(subprocess.run, [sys.executable, *arguments], timeout=120, check=True)
    roots = [work / str(number) for number in range(1, len(list(work.iterdir())) + 1)]
    assert len(roots) > 20
    seen = set()
    for root in roots[:-1]:
        seen.add(database_of(root))
        assert old_database_is_there(root, old)
        for path, content in old.items():
            if path.startswith(("archives/", "media/")):
                assert content in {tree(root).get(path), *put_away(root, path)}, (root, path)
        await bring_back(backup, root, replace=(root / "wafleet.db").exists())
        assert database_of(root) == "new"
        assert old_database_is_there(root, old)
        # killed before its lock was there, it had not written a byte either
        assert not [p for p in tree(root) if ".partial/" in p and not p.endswith("/.lock.new")]
        RING.verify((root / "keys" / "check").read_text().strip())
        assert tree(root)["media/picture"] == old["media/picture"]
    assert seen == {"old", "none"}
    assert database_of(roots[-1]) == "new", "the one that nobody killed"


def database_of(root: Path) -> str:
    """Tell which database a node would start on."""
    if not (root / "wafleet.db").exists():
        return "none"
    with closing(sqlite3.connect(root / "wafleet.db")) as plain:
        assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        [(body,)] = plain.execute("SELECT body FROM messages WHERE wa_id = 'IN'")
    return {"old": "old", "in IN": "new"}[body]


def old_database_is_there(root: Path, old: dict[str, bytes]) -> bool:
    """Whether database and log of before stand side by side somewhere."""
    names = [name for name in old if name in {"wafleet.db", "wafleet.db-wal"}]
    assert len(names) == 2
    folders = [root, *(root / "replaced").glob("*")]
    # looking at the database in its place may have moved the log into it
    return any(
        all((f / name).exists() and (f / name).read_bytes() == old[name] for name in names)
        for f in folders
    ) or any(_body(f) == "old" for f in folders if (f / "wafleet.db").exists())


def _body(folder: Path) -> str:
    with closing(sqlite3.connect(folder / "wafleet.db")) as plain:
        [(body,)] = plain.execute("SELECT body FROM messages WHERE wa_id = 'IN'")
    return str(body)


def put_away(root: Path, path: str) -> list[bytes]:
    return [f.read_bytes() for f in (root / "replaced").glob(f"*/{path}")]
