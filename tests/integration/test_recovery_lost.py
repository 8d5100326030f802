"""Boots that find the database lost, no space, or the leavings of a restore."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from storage.store import StoreDamaged, StoreError
from supervisor.admin import schema
from supervisor.errors import DatabaseLost, DataDirUnusable
from tests.integration import recovery_support as support
from tests.integration.archive_support import make_profile
from tests.integration.backup_support import (
    back_up,
    bring_back,
    place_of,
    put_keys,
)
from tests.integration.recovery_support import (
    LATER,
    LOSSES,
    Lived,
    boot,
    leave_a_log,
    live,
    snapshots_of,
)
from tests.integration.tiny_disk import tiny_disk

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
from tests.integration.test_recovery_boot import damaged_folders, names, restores, wa_ids

pytestmark = pytest.mark.integration


@pytest.fixture
async def lived(tmp_path: Path) -> Lived:
    return await live(tmp_path / "data")


@pytest.mark.parametrize("loss", LOSSES)
async def test_a_lost_database_comes_back_from_the_snapshot(
    lived: Lived, loss: Callable[[Path], None]
) -> None:
    """With a log that was left lying there: put aside, not played into anything."""
    left = leave_a_log(lived.database)
    loss(lived.database)
    log = lived.database.with_name("wafleet.db-wal")
    if loss is not support.replace_by_an_empty_one:
        log.write_bytes(left)
    with capture_logs() as logs:
        async with boot(lived.root) as (store, restored):
            assert restored is not None
            assert restored.cause == "missing"
            rows = await store.sessions(lived.furnished.workspace)
            assert [row.name for row in rows if row.reason != "recovered"] == ["one", "two"]
    events = [entry["event"] for entry in logs if entry["log_level"] == "error"]
    assert events == ["database_missing", "database_quarantined", "database_restored"]
    if loss is not support.replace_by_an_empty_one:
        [folder] = damaged_folders(lived.root)
        assert (folder / "wafleet.db-wal").read_bytes() == left
    [entry] = await restores(lived)
    assert entry.detail["cause"] == "missing"


async def test_a_database_lost_without_a_trace_leaves_no_quarantine(lived: Lived) -> None:
    support.remove(lived.database)
    async with boot(lived.root) as (_, restored):
        assert restored is not None
    assert restored.cause == "missing"
    assert not (lived.root / "damaged").exists()


def only_logins(root: Path) -> None:
    make_profile(root / "sessions" / "01ARZ3NDEKTSV4RRFFQ69G5FAV" / "profile")


def only_archives(root: Path) -> None:
    folder = root / "archives" / "01ARZ3NDEKTSV4RRFFQ69G5FAV" / "01ARZ3NDEKTSV4RRFFQ69G5FAW"
    folder.mkdir(parents=True)
    (folder / "1.wfa").touch()


def only_media(root: Path) -> None:
    folder = root / "media" / "01ARZ3NDEKTSV4RRFFQ69G5FAV"
    folder.mkdir(parents=True)
    (folder / "01ARZ3NDEKTSV4RRFFQ69G5FAW.wfm").touch()


def only_replaced(root: Path) -> None:
    (root / "replaced" / "then").mkdir(parents=True)
    (root / "replaced" / "then" / "wafleet.db").touch()


def only_damaged(root: Path) -> None:
    (root / "damaged" / "then").mkdir(parents=True)
    (root / "damaged" / "then" / "wafleet.db").touch()


def only_bad_snapshots(root: Path) -> None:
    (root / "snapshots").mkdir(parents=True)
    (root / "snapshots" / "2030_01_02T030405Z.db").write_text("bad")


@pytest.mark.parametrize("empty", [False, True], ids=["no_file", "empty_file"])
@pytest.mark.parametrize(
    ("trace", "name"),
    [
        (only_logins, "sessions/"),
        (only_archives, "archives/"),
        (only_media, "media/"),
        (only_replaced, "replaced/"),
        (only_damaged, "damaged/"),
        (only_bad_snapshots, "snapshots/"),
    ],
)
async def test_traces_of_a_lost_database_keep_a_boot_from_beginning_anew(
    tmp_path: Path, trace: Callable[[Path], None], name: str, empty: bool
) -> None:
    """Refused with a sentence, also by `migrate up`; with the traces moved away it begins anew."""
    root = tmp_path / "data"
    trace(root)
    if empty:
        (root / "wafleet.db").touch()
    with pytest.raises(DatabaseLost, match=r"move these directories away") as caught:
        async with boot(root):
            pass
    assert name in str(caught.value)
    with pytest.raises(DatabaseLost):
        schema.up(place_of(root))
    assert (root / "wafleet.db").exists() is empty
    (root / name).rename(tmp_path / "away")
    async with boot(root) as (store, restored):
        assert restored is None
        await store.ping()


async def test_migrate_up_does_not_make_a_database_beside_snapshots(lived: Lived) -> None:
    support.remove(lived.database)
    with pytest.raises(DatabaseLost, match="start wafleet"):
        schema.up(lived.furnished.place)
    assert not lived.database.exists()


async def test_a_full_disk_keeps_the_damaged_database_until_there_is_space(tmp_path: Path) -> None:
    with tiny_disk(tmp_path / "disk", "size=6m") as disk:
        lived = await live(disk / "data")
        support.overwrite_pages(lived.database)
        before = lived.database.read_bytes()
        ballast = disk / "ballast"
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        ballast.write_bytes(bytes(free - 100_000))
        with pytest.raises((DataDirUnusable, StoreError)) as caught:
            async with boot(lived.root):
                pass
        assert not isinstance(caught.value, StoreDamaged)
        assert "pace" in str(caught.value)
        assert lived.database.read_bytes() == before
        assert not (lived.root / "damaged").exists()
        assert not [
            name for name in names(lived.root) if name.startswith(".") or "restored" in name
        ]
        ballast.unlink()
        async with boot(lived.root) as (_, restored):
            assert restored is not None


async def test_two_damages_in_a_row_have_a_quarantine_each(lived: Lived) -> None:
    for count in (1, 2):
        support.overwrite_header(lived.database)
        async with boot(lived.root) as (_, restored):
            assert restored is not None
        assert len(damaged_folders(lived.root)) == count
    assert [entry.detail["cause"] for entry in await restores(lived)] == ["damaged"]


async def test_a_restore_takes_the_snapshots_of_what_it_replaces_away(
    lived: Lived, tmp_path: Path
) -> None:
    """They are of another life: a later damage must not bring that back."""
    back_up(lived.furnished.place, tmp_path / "backup")
    settled = lived.root / "wafleet.db.2030_01_02T030405Z.restored"
    settled.write_bytes(lived.snapshot.path.read_bytes())
    report = await bring_back(tmp_path / "backup", lived.root, replace=True)
    assert report.replaced is not None
    assert (report.replaced / "snapshots" / lived.snapshot.path.name).is_file()
    assert (report.replaced / settled.name).is_file()
    assert not (lived.root / "snapshots").exists()
    assert not settled.exists()
    async with boot(lived.root) as (_, restored):
        assert restored is None
    assert LATER in wa_ids(lived.database)


async def test_a_backup_holds_no_snapshots(lived: Lived, tmp_path: Path) -> None:
    back_up(lived.furnished.place, tmp_path / "backup")
    assert not (tmp_path / "backup" / "snapshots").exists()
    put_keys(tmp_path / "new")
    await bring_back(tmp_path / "backup", tmp_path / "new")
    assert not (tmp_path / "new" / "snapshots").exists()
    assert snapshots_of(tmp_path / "new").found() == []
