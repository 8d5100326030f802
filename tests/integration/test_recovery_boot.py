"""A boot on a damaged or lost database: put aside, back to the last good snapshot, never empty."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from storage.events import EventType
from storage.sqlite import open_store
from storage.store import StoreDamaged, StoreError
from storage.vault.files import unlink_all
from supervisor.quarantine import database_files
from tests.fitting import fitting
from tests.integration import recovery_support as support
from tests.integration.backup_support import (
    execute,
    query,
    tree,
)
from tests.integration.recovery_support import (
    DAMAGES,
    LATER,
    Lived,
    boot,
    leave_a_log,
    live,
    take,
)
from tests.integration.tenant_support import home_of, outbound

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.integration


@pytest.fixture
async def lived(tmp_path: Path) -> Lived:
    return await live(tmp_path / "data")


def names(root: Path) -> set[str]:
    return {path.name for path in root.iterdir()}


def strays(root: Path) -> list[str]:
    return [name for name in names(root) if name.startswith(".") or "restored" in name]


def wa_ids(database: Path) -> set[str]:
    return {row[0] for row in query(database, "SELECT wa_id FROM messages")}


def damaged_folders(root: Path) -> list[Path]:
    return sorted((root / "damaged").glob("*"))


async def restores(lived: Lived) -> list[Any]:
    """Return the access log's entries about restores, newest first."""
    async with boot(lived.root) as (store, again):
        assert again is None
        assert await store.verify_access_log(lived.furnished.workspace) is None
        entries = await store.access_log(lived.furnished.workspace)
    return [entry for entry in entries if entry.action == "database.restore"]


# ---- nothing to do -------------------------------------------------------------------------------


async def test_a_healthy_boot_does_nothing_of_this(lived: Lived) -> None:
    before = tree(lived.root / "snapshots") | tree(lived.root / "archives")
    there = names(lived.root)
    with capture_logs() as logs:
        async with boot(lived.root) as (_, restored):
            assert restored is None
    assert logs == []
    assert tree(lived.root / "snapshots") | tree(lived.root / "archives") == before
    assert names(lived.root) == there
    assert LATER in wa_ids(lived.database)
    assert await restores(lived) == []


async def test_a_boot_after_a_kill_keeps_what_is_in_the_log(lived: Lived) -> None:
    leave_a_log(lived.database)
    async with boot(lived.root) as (store, restored):
        assert restored is None
        row = await store.session_named(lived.furnished.workspace, "in the log only")
        assert row.reason == "created"


@pytest.mark.parametrize("there", [False, True], ids=["no_directory", "sessions_without_a_login"])
async def test_a_really_new_directory_starts_empty(tmp_path: Path, there: bool) -> None:
    root = tmp_path / "data"
    if there:
        for name in ("sessions", "archives", "media", "snapshots", "damaged", "replaced"):
            (root / name).mkdir(parents=True)
        (root / "sessions" / "01ARZ3NDEKTSV4RRFFQ69G5FAV" / "profile").mkdir(parents=True)
        (root / "wafleet.db").touch(mode=0o600)
    async with boot(root) as (store, restored):
        assert restored is None
        assert await store.sessions(await home_of(store)) == []


# ---- damaged -------------------------------------------------------------------------------------


@pytest.mark.parametrize("log", [False, True], ids=["stopped", "killed"])
@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_database_is_put_aside_and_the_snapshot_takes_its_place(
    lived: Lived, damage: Callable[[Path], None], log: bool
) -> None:
    """With the log that a killed node left: kept with the file, and not played into the new one."""
    if log:
        left = leave_a_log(lived.database)
        if damage is support.overwrite_header:
            damage = support.overwrite_pages  # the log has the first page: it would heal it
    damage(lived.database)
    before = lived.database.read_bytes()
    if log:  # looking at it has changed nothing so far
        lived.database.with_name("wafleet.db-wal").write_bytes(left)
    with capture_logs() as logs:
        async with boot(lived.root) as (store, restored):
            assert restored is not None
            assert restored.cause == "damaged"
            assert 0 <= restored.seconds < 60
            home = lived.furnished.workspace
            [told] = [
                event.payload
                for event in fitting(await store.events(home, types=[EventType.STORAGE]))
                if event.session_id is None
            ]
            assert told == {
                "action": "database_restored",
                "cause": "damaged",
                "seconds": restored.seconds,
            }
            rows = await store.sessions(home)
            assert [row.name for row in rows if row.reason != "recovered"] == ["one", "two"]
    [folder] = damaged_folders(lived.root)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    assert (folder / "wafleet.db").read_bytes() == before
    if log:
        assert (folder / "wafleet.db-wal").read_bytes() == left
    events = [entry["event"] for entry in logs if entry["log_level"] == "error"]
    assert events == ["database_damaged", "database_quarantined", "database_restored"]
    assert not names(lived.root) & {"wafleet.db-wal", "wafleet.db-shm", "wafleet.db-journal"}
    assert not strays(lived.root)
    assert stat.S_IMODE(lived.database.stat().st_mode) == 0o600
    assert LATER not in wa_ids(lived.database)
    [entry] = await restores(lived)
    assert (entry.who, entry.result) == ("wafleet", "done")
    assert entry.detail["cause"] == "damaged"
    assert entry.detail["snapshot"] == lived.snapshot.path.name
    assert entry.detail["kept_in"] == f"damaged/{folder.name}"
    assert lived.snapshot.path.exists()


async def test_messages_that_waited_in_the_snapshot_are_looked_up_before_they_are_sent(
    lived: Lived,
) -> None:
    support.truncate(lived.database)
    async with boot(lived.root):
        pass
    waiting = query(lived.database, "SELECT attempts FROM messages WHERE state = 'accepted'")
    assert waiting == [(1,), (1,)]


async def test_a_damaged_snapshot_is_told_and_left_and_the_one_before_is_used(
    lived: Lived,
) -> None:
    """Bad in three ways: noise, half of it, of another program."""
    async with open_store(lived.database) as store:
        await store.accept_message(
            lived.furnished.workspace, outbound(lived.furnished.sessions[0], "IN-SECOND")
        )
    second = take(lived.root)
    bad = [take(lived.root, keep=9).path for _ in range(3)]
    support.overwrite_one_page(bad[0])
    support.truncate(bad[1])
    bad[2].write_bytes(b"")
    support.overwrite_header(lived.database)
    contents = [path.read_bytes() for path in bad]
    with capture_logs() as logs:
        async with boot(lived.root) as (_, restored):
            assert restored is not None
    refused = [entry["path"] for entry in logs if entry["event"] == "snapshot_refused"]
    assert refused == [str(path) for path in reversed(bad)]
    assert [path.read_bytes() for path in bad] == contents
    assert "IN-SECOND" in wa_ids(lived.database)
    [entry] = await restores(lived)
    assert entry.detail["snapshot"] == second.path.name


async def test_an_index_that_misses_rows_is_found_in_a_snapshot(lived: Lived) -> None:
    """The quick check does not see it; the one of a snapshot does."""
    newest = take(lived.root)
    content = newest.path.read_bytes()
    [(page, size)] = query(
        newest.path,
        "SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM sqlite_schema"
        " WHERE name = 'whatsapp_sessions_session'",
    )
    at = content.index(b"later", (page - 1) * size)
    assert at < page * size
    newest.path.write_bytes(content[:at] + b"loter" + content[at + 5 :])
    assert query(newest.path, "PRAGMA quick_check") == [("ok",)]
    support.truncate(lived.database)
    async with boot(lived.root):
        pass
    [entry] = await restores(lived)
    assert entry.detail["snapshot"] == lived.snapshot.path.name


@pytest.mark.parametrize("snapshots", ["none", "damaged"])
@pytest.mark.parametrize("damage", DAMAGES)
async def test_without_a_good_snapshot_nothing_starts_and_nothing_is_touched(
    lived: Lived, damage: Callable[[Path], None], snapshots: str
) -> None:
    if snapshots == "none":
        lived.snapshot.path.unlink()
    else:
        support.truncate(lived.snapshot.path)
    left = leave_a_log(lived.database)
    if damage is support.overwrite_header:
        lived.database.with_name("wafleet.db-wal").unlink()
        left = b""
    damage(lived.database)
    if left:
        lived.database.with_name("wafleet.db-wal").write_bytes(left)
    before = {k: v for k, v in tree(lived.root).items() if not k.endswith(("-shm", ".lock"))}
    with pytest.raises(StoreDamaged, match=r"restore DIR --replace") as caught:
        async with boot(lived.root):
            pass
    assert caught.value.code == "storage_unusable"
    assert str(lived.database) in str(caught.value)
    after = {k: v for k, v in tree(lived.root).items() if not k.endswith(("-shm", ".lock"))}
    assert after == before
    assert not (lived.root / "damaged").exists()


async def test_garbage_in_a_new_directory_is_refused_and_left(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    (root / "wafleet.db").write_bytes(b"somebody's file" * 1000)
    with pytest.raises(StoreDamaged, match="data_dir elsewhere"):
        async with boot(root):
            pass
    assert (root / "wafleet.db").read_bytes() == b"somebody's file" * 1000


async def test_what_is_not_damage_is_refused_as_before(lived: Lived) -> None:
    """A database of another program, or of a newer wafleet, is no reason to go back."""
    for statement in (
        "PRAGMA application_id = 1234",
        "INSERT INTO _yoyo_migration (migration_hash, migration_id) VALUES ('x', '9999_newer')",
    ):
        content = lived.database.read_bytes()
        execute(lived.database, statement)
        with pytest.raises(StoreError) as caught:
            async with boot(lived.root):
                pass
        assert not isinstance(caught.value, StoreDamaged)
        assert not (lived.root / "damaged").exists()
        unlink_all(database_files(lived.database))
        lived.database.write_bytes(content)


# ---- lost ----------------------------------------------------------------------------------------


# ---- trouble while restoring ---------------------------------------------------------------------
