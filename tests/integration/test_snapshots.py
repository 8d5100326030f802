"""Snapshots of a database in use: whole, private, few; nothing is left of one that fails."""

from __future__ import annotations

import asyncio
import math
import os
import sqlite3
import stat
import threading
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from actors.telemetry_safekeeping import SafekeepingTelemetry
from config.redaction import scrub
from storage.snapshots import SnapshotHalted
from storage.sqlite import open_store
from storage.sqlite.backup import Pace, check_copy
from storage.sqlite.snapshots import SnapshotFiles, stamp, stamp_ms
from storage.store import StoreDamaged, StoreFull
from supervisor.keeper import keeping
from supervisor.safekeeping import Safekeeper
from tests.integration import recovery_support as support
from tests.integration.backup_support import execute, query
from tests.integration.tenant_support import NOW, home_of, outbound
from tests.integration.tiny_disk import tiny_disk
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


pytestmark = pytest.mark.integration

HOUR_MS = 3_600_000
MESSAGES = 50


def never() -> bool:
    return False


def files_of(root: Path, **more: object) -> SnapshotFiles:
    settings: dict[str, object] = {"keep": 3, "reserve": 0, "busy_timeout_ms": 200, **more}
    return SnapshotFiles(
        database=root / "wafleet.db",
        directory=root / "snapshots",
        **settings,  # type: ignore[arg-type]
    )


async def filled(root: Path, messages: int = MESSAGES) -> Path:
    """Make a database with so many messages."""
    async with open_store(root / "wafleet.db") as store:
        home = await home_of(store)
        session, _ = await store.create_session(home, "sales", NOW)
        for number in range(messages):
            await store.accept_message(home, outbound(session.id, f"A{number}"))
    return root


@pytest.fixture
async def root(tmp_path: Path) -> Path:
    return await filled(tmp_path)


def left(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "snapshots").iterdir())


# ---- one snapshot --------------------------------------------------------------------------------


def test_a_snapshot_is_a_whole_private_database_named_by_its_time(root: Path) -> None:
    made = files_of(root).take(1_893_553_445_678, never)
    assert made.path == root / "snapshots" / "2030_01_02T030405Z.db"
    assert made.taken_ms == 1_893_553_445_000
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.path.parent.stat().st_mode) == 0o700
    assert left(root) == [made.path.name]
    check_copy(made.path, indexes=True)
    assert query(made.path, "SELECT count(*) FROM messages") == [(MESSAGES,)]
    assert files_of(root).found() == [made]


def test_its_name_is_not_masked_in_logs() -> None:
    path = f"/srv/wafleet/data/snapshots/{stamp(NOW)}.db"
    assert scrub(path) == path


@pytest.mark.parametrize(
    "name",
    ["2030_01_02T030405Z", "1970_01_01T000000Z", "2030_13_02T030405Z", "2030_1_2T030405Z", "x"],
)
def test_stamps_read_back_what_they_say(name: str) -> None:
    ms = stamp_ms(name)
    assert (ms is not None) is (name in {"2030_01_02T030405Z", "1970_01_01T000000Z"})
    if ms is not None:
        assert stamp(ms) == stamp(ms + 999) == name


async def test_it_is_of_one_moment_beside_a_writer(root: Path) -> None:
    """The writer is not held up, and what it writes meanwhile is not in it."""
    async with open_store(root / "wafleet.db") as store:
        home = await home_of(store)
        [session] = await store.sessions(home)
        going = threading.Event()
        slow = files_of(root, pace=Pace(pages=4, pause=0.005))
        work = asyncio.ensure_future(
            asyncio.to_thread(slow.take, NOW, lambda: going.set() or False)  # type: ignore[func-returns-value]
        )
        await eventually_async(lambda: asyncio.sleep(0, going.is_set()))
        written = 0
        while not work.done():
            await store.accept_message(home, outbound(session.id, f"LATER{written}"))
            written += 1
        made = await work
        assert written > 3
    [(inside,)] = query(made.path, "SELECT count(*) FROM messages")
    assert MESSAGES <= inside < MESSAGES + written
    check_copy(made.path, indexes=True)


# ---- several -------------------------------------------------------------------------------------


def test_only_the_newest_stay(root: Path) -> None:
    made = [files_of(root, keep=2).take(NOW + n * HOUR_MS, never) for n in range(4)]
    assert files_of(root).found() == [made[3], made[2]]
    assert left(root) == [made[2].path.name, made[3].path.name]


@pytest.mark.parametrize("back_ms", [0, 1, HOUR_MS, 24 * HOUR_MS])
def test_the_newest_is_the_last_one_made_whatever_the_clock_says(root: Path, back_ms: int) -> None:
    files = files_of(root, keep=2)
    files.take(NOW, never)
    execute(root / "wafleet.db", "DELETE FROM messages WHERE wa_id = 'A0'")
    later = files.take(NOW - back_ms, never)
    assert later.taken_ms == NOW + 1000
    assert files.found()[0] == later
    assert query(later.path, "SELECT count(*) FROM messages") == [(MESSAGES - 1,)]


def test_what_is_not_a_snapshot_is_left_alone(root: Path) -> None:
    folder = root / "snapshots"
    folder.mkdir()
    others = ["2030_01_02T030405Z.db.old", "notes.db", "2030_99_02T030405Z.db", "readme"]
    for name in others:
        (folder / name).write_text("mine")
    (folder / "2031_01_02T030405Z.db").mkdir()
    (folder / "2032_01_02T030405Z.db").symlink_to(root / "wafleet.db")
    made = files_of(root, keep=1).take(NOW, never)
    assert files_of(root).found() == [made]
    assert {path.name for path in folder.iterdir()} >= set(others)


def test_a_directory_that_is_not_there_has_none(tmp_path: Path) -> None:
    assert files_of(tmp_path).found() == []


# ---- failures ------------------------------------------------------------------------------------


def test_what_a_killed_one_left_goes_with_the_next(root: Path) -> None:
    files_of(root).take(NOW, never)
    stale = root / "snapshots" / ".2030_01_02T030405Z.db.0123456789abcdef.partial"
    stale.write_text("half")
    files_of(root).take(NOW, never)
    assert not stale.exists()


def test_one_that_is_not_wanted_any_more_leaves_nothing(root: Path) -> None:
    asked = iter([False, False, True])
    with pytest.raises(SnapshotHalted):
        files_of(root, pace=Pace(pages=4, pause=0)).take(NOW, lambda: next(asked))
    assert left(root) == []


@pytest.mark.parametrize("damage", support.DAMAGES)
def test_a_damaged_database_gives_none_and_the_good_ones_stay(
    root: Path, damage: Callable[[Path], None]
) -> None:
    good = files_of(root, keep=1).take(NOW, never)
    damage(root / "wafleet.db")
    with pytest.raises(StoreDamaged) as caught:
        files_of(root, keep=1).take(NOW + HOUR_MS, never)
    assert str(root / "wafleet.db") in str(caught.value)
    assert left(root) == [good.path.name]


def test_a_full_disk_gives_none_and_is_given_back(tmp_path: Path) -> None:
    """Also when somebody else takes the space while it is being made."""
    with tiny_disk(tmp_path / "disk", "size=6m") as disk:
        asyncio.run(filled(disk))
        good = files_of(disk, keep=1).take(NOW, never)
        size = (disk / "wafleet.db").stat().st_size
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(free - size // 2))
        for reserve in (0, -(10**9)):  # asked for before it begins; and found out when it happens
            with pytest.raises((StoreFull, OSError)):
                files_of(disk, keep=1, reserve=reserve).take(NOW + HOUR_MS, never)
            assert left(disk) == [good.path.name]
        ballast.unlink()
        assert files_of(disk, keep=1).take(NOW + HOUR_MS, never).path.exists()


def test_the_last_space_is_left_to_the_database(root: Path) -> None:
    free = os.statvfs(root).f_bavail * os.statvfs(root).f_frsize
    with pytest.raises(StoreFull, match="free space"):
        files_of(root, reserve=free).take(NOW, never)
    assert left(root) == []


# ---- the safekeeper ------------------------------------------------------------------------------


@dataclass
class Stage:
    """A safekeeper that works, and what it tells."""

    keeper: Safekeeper
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def count(self, result: str) -> float:
        found = self.registry.get_sample_value("wafleet_snapshots_total", {"result": result})
        return found or 0.0

    @property
    def age(self) -> float:
        found = self.registry.get_sample_value("wafleet_snapshot_age_seconds")
        assert found is not None
        return found


def stage(files: SnapshotFiles, interval: float, now_ms: int | None = None) -> Stage:
    registry = CollectorRegistry()
    keeper = Safekeeper(
        snapshots=files,
        telemetry=SafekeepingTelemetry(registry),
        interval=interval,
        now_ms=lambda: time.time_ns() // 1_000_000 if now_ms is None else now_ms,
        monotonic=time.monotonic,
        uniform=lambda low, _: low,
    )
    return Stage(keeper, registry)


async def until(look: Callable[[], object]) -> None:
    await eventually_async(lambda: asyncio.sleep(0, look()))


async def test_the_safekeeper_takes_one_at_once_and_then_time_after_time(root: Path) -> None:
    files = files_of(root, keep=2)
    on = stage(files, 0.1)
    assert on.age == math.inf
    async with keeping(on.keeper):
        await until(lambda: on.count("taken") >= 3)
        assert 0 <= on.age < 30
    assert len(files.found()) == 2


@pytest.mark.parametrize(
    ("age_ms", "due_in"), [(HOUR_MS - 1000, 1.0), (HOUR_MS + 1, 0.0), (-HOUR_MS, 0.0)]
)
async def test_the_first_one_waits_until_it_is_due(root: Path, age_ms: int, due_in: float) -> None:
    """One of an earlier life counts; one of the future does not: nobody knows how old it is."""
    files = files_of(root)
    files.take(NOW - age_ms, never)
    on = stage(files, HOUR_MS / 1000, NOW)
    began = time.monotonic()
    async with keeping(on.keeper):
        await until(lambda: len(files.found()) == 2)
    waited = time.monotonic() - began
    assert due_in <= waited < due_in + 20


@contextmanager
def broken(files: SnapshotFiles, root: Path, how: str) -> Iterator[None]:
    """Keep snapshots from being taken as long as the block runs."""
    folder, database = root / "snapshots", root / "wafleet.db"
    content = database.read_bytes()
    match how:
        case "full":
            files._reserve = 10**15
            yield
            files._reserve = 0
        case "damaged":
            support.overwrite_pages(database)
            yield
            database.write_bytes(content)
        case "busy":
            execute(database, "PRAGMA journal_mode = DELETE")  # with a log nobody would wait
            with closing(sqlite3.connect(database, isolation_level=None)) as other:
                other.execute("BEGIN EXCLUSIVE")
                yield
                other.execute("ROLLBACK")
        case "failed":
            folder.write_text("a file where the directory should be")
            yield
            folder.unlink()


@pytest.mark.parametrize("how", ["full", "damaged", "busy", "failed"])
async def test_a_failure_is_told_and_the_next_round_tries_again(root: Path, how: str) -> None:
    files = files_of(root)
    on = stage(files, 0.05)
    with capture_logs() as logs, ExitStack() as trouble:
        trouble.enter_context(broken(files, root, how))
        async with keeping(on.keeper):
            await until(lambda: on.count(how) >= 2)
            assert on.count("taken") == 0
            assert on.age == math.inf
            trouble.close()
            await until(lambda: on.count("taken") >= 1)
    events = [entry["event"] for entry in logs]
    assert events[0] == ("database_damaged" if how == "damaged" else "snapshot_failed")
    assert events[-1] == "snapshot_taken"


async def test_the_end_breaks_off_what_is_under_way(root: Path) -> None:
    """No thread goes on with files that others let go of; nothing of it is left."""
    folder = root / "snapshots"
    on = stage(files_of(root, pace=Pace(pages=1, pause=0.01)), 0.01)
    async with keeping(on.keeper):
        await until(lambda: list(folder.glob(".*.partial")))
    assert left(root) == []
    assert on.count("taken") == 0
