"""A boot that finds the database damaged or gone: put aside, and back to the last good snapshot.

Never silently empty: where there was a database, either one is put back or nothing starts.

What is to take the database's place is made ready in a directory of its own: the snapshot copied
and proven, brought to the newest version, what is only on the disk taken in, told in the access
log. Then the damaged files get a second name in damaged/TIME/, and what is ready the name
wafleet.db.TIME.restored. From then on it is settled: the log of the damaged database goes, which
must never be played into another file, and what is ready replaces the database. A boot that is
killed before begins anew with the damaged database; one that is killed after is finished by the
next.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from actors.browser.logins import may_hold_login
from storage import archive_files, media_files
from storage.audit import NewAccess
from storage.events import EventType
from storage.sqlite import open_store
from storage.sqlite.backup import check_copy, doubt_accepted
from storage.sqlite.errors import translated
from storage.sqlite.files import connect_guest
from storage.sqlite.snapshots import SUFFIX, stamp, stamp_ms
from storage.store import StoreDamaged, StoreError, StoreUnusable
from storage.tenants import DEFAULT
from storage.vault.files import sync_directory, sync_file
from supervisor.admin import copies
from supervisor.adoption import NOTHING, Adopted, Adoption
from supervisor.datadir import DATABASE
from supervisor.errors import DatabaseLost, DataDirUnusable
from supervisor.parts import forgotten_since
from supervisor.quarantine import READY, Quarantine, database_files, settled_files

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from pathlib import Path

    from storage.snapshots import SnapshotFile, Snapshots
    from storage.sqlite.store import SqliteStore
    from storage.vault import Keyring
    from supervisor.datadir import DataDir

log = structlog.get_logger(__name__)

COMPANY: Final = 0.05
"""Seconds that a write which nobody waits for may wait for others, to share their commit."""
WORKSHOP: Final = ".recovery"
"""Where a boot makes ready; whoever owns the data directory may remove it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a boot did: `cause` is damaged or missing, `seconds` the age of the snapshot.

    `adopted` tells nothing of what a boot did that was killed and had to be finished.
    """

    cause: str
    seconds: float
    adopted: Adopted


@asynccontextmanager
async def safe_store(
    *,
    data: DataDir,
    keyring: Keyring,
    snapshots: Snapshots,
    busy_timeout_ms: int,
    now_ms: Callable[[], int],
) -> AsyncIterator[tuple[SqliteStore, Restored | None]]:
    """Open the store, made if there never was one; restored first where it is damaged or gone.

    The data directory must be owned. Raises StoreErrors; DatabaseLost and StoreDamaged if there is
    nothing to restore, and then nothing was moved; DataDirUnusable.
    """
    recovery = Recovery(data, keyring, snapshots, busy_timeout_ms, now_ms())
    restored = await recovery.finish()
    if restored is None:
        restored = await recovery.replace_missing()
    async with AsyncExitStack() as stack:
        opening = open_store(data.database, busy_timeout_ms=busy_timeout_ms, patience=COMPANY)
        try:
            store = await stack.enter_async_context(opening)
        except StoreDamaged as damage:
            restored = await recovery.replace_damaged(damage)
            opening = open_store(data.database, busy_timeout_ms=busy_timeout_ms, patience=COMPANY)
            store = await stack.enter_async_context(opening)
        yield store, restored


class Recovery:
    """Used once, at a boot, before anything of the data directory is in use."""

    def __init__(
        self,
        data: DataDir,
        keyring: Keyring,
        snapshots: Snapshots,
        busy_timeout_ms: int,
        now_ms: int,
    ) -> None:
        self._data = data
        self._keyring = keyring
        self._snapshots = snapshots
        self._busy_timeout_ms = busy_timeout_ms
        self._now_ms = now_ms

    async def finish(self) -> Restored | None:
        """Do what is left of a restore that was settled, if one was. Raises DataDirUnusable."""
        with _usable(self._data):
            return await asyncio.to_thread(self._finish)

    async def replace_missing(self) -> Restored | None:
        """Restore if there is no database, or an empty one, where there was one.

        Raises DatabaseLost, StoreErrors, DataDirUnusable.
        """
        with _usable(self._data):
            left = await asyncio.to_thread(lost, self._data, self._busy_timeout_ms)
        if not left:
            return None
        log.error("database_missing", path=str(self._data.database))
        return await self._put_back("missing", _nothing_to_restore(self._data, left))

    async def replace_damaged(self, damage: StoreDamaged) -> Restored:
        """Restore. Raises StoreDamaged, with what to do, if there is no good snapshot."""
        log.error("database_damaged", path=str(self._data.database), detail=damage.finding)
        advice = (
            "nothing was moved, since no good snapshot of it is there: put the last backup in its "
            "place with wafleet restore DIR --replace, which keeps this file in "
            f"{self._data.replaced}; or point data_dir elsewhere if it never was wafleet's"
        )
        return await self._put_back("damaged", StoreDamaged(damage.finding, advice))

    async def _put_back(self, cause: str, refusal: Exception) -> Restored:
        with _usable(self._data):
            with _workshop(self._data) as folder:
                ready = folder / DATABASE
                snapshot = await self._choose(ready)
                if snapshot is None:
                    raise refusal
                adopted = await self._prepare(cause, snapshot, ready)
                settled = self._data.root / f"{DATABASE}.{stamp(snapshot.taken_ms)}{READY}"
                ready.rename(settled)
                sync_directory(self._data.root)
            restored = await asyncio.to_thread(self._finish, cause, adopted)
        if restored is None:
            raise RuntimeError("what was settled a moment ago is gone")
        return restored

    # ---- making it ready -------------------------------------------------------------------------

    async def _choose(self, ready: Path) -> SnapshotFile | None:
        """Copy the newest snapshot that is good; those that are not are told, and left."""
        for snapshot in await asyncio.to_thread(self._snapshots.found):
            try:
                await asyncio.to_thread(self._copy, snapshot, ready)
                async with open_store(ready, busy_timeout_ms=self._busy_timeout_ms):
                    return snapshot
            except (StoreUnusable, copies.Unreadable) as error:
                log.error(  # noqa: TRY400 - told, and the next one is tried
                    "snapshot_refused", path=str(snapshot.path), code=error.code, detail=str(error)
                )
                for path in database_files(ready):
                    path.unlink()
        return None

    def _copy(self, snapshot: SnapshotFile, ready: Path) -> None:
        copies.copy(copies.plain(snapshot.path), ready.parent, ready.name, copies.Meter(0))
        check_copy(ready, indexes=True, named=snapshot.path)

    async def _prepare(self, cause: str, snapshot: SnapshotFile, ready: Path) -> Adopted:
        """Make what is ready the database that goes on from here."""
        quarantine = Quarantine(self._data, self._now_ms)
        if await asyncio.to_thread(quarantine.link_database):
            log.error("database_quarantined", path=str(quarantine.folder))
        async with open_store(ready, busy_timeout_ms=self._busy_timeout_ms) as store:
            adopted = await Adoption(
                data=self._data,
                store=store,
                keyring=self._keyring,
                quarantine=quarantine,
                now_ms=self._now_ms,
            ).run()
            home = await store.workspace_named(DEFAULT)
            kept_in = quarantine.folder
            detail = {
                "cause": cause,
                "snapshot": snapshot.path.name,
                "sessions": adopted.sessions,
                "archives": adopted.archives,
                "put_aside": adopted.put_aside,
                "kept_in": kept_in and str(kept_in.relative_to(self._data.root)),
            }
            new = NewAccess(
                action="database.restore",
                result="done",
                now_ms=self._now_ms,
                who="wafleet",
                detail=detail,
            )
            await store.append_access(home.id, new)
            notice = {
                "action": "database_restored",
                "cause": cause,
                "seconds": self._age(snapshot.taken_ms),
            }
            await store.record_notice(EventType.STORAGE, notice, self._now_ms)
        forgotten = forgotten_since(snapshot.taken_ms)
        await asyncio.to_thread(doubt_accepted, ready, forgotten, self._busy_timeout_ms)
        await asyncio.to_thread(sync_file, ready)
        return adopted

    # ---- putting it in place ---------------------------------------------------------------------

    def _finish(self, cause: str | None = None, adopted: Adopted = NOTHING) -> Restored | None:
        """Let what was settled take the database's place; without the log of the one before."""
        shutil.rmtree(self._data.root / WORKSHOP, ignore_errors=True)  # usually not there
        restored = None
        for ready in settled_files(self._data):
            cause = cause or ("damaged" if os.path.lexists(self._data.database) else "missing")
            for path in database_files(self._data.database):
                if path != self._data.database:
                    path.unlink()
            sync_directory(self._data.root)
            ready.replace(self._data.database)
            sync_directory(self._data.root)
            name = ready.name.removeprefix(f"{DATABASE}.").removesuffix(READY)
            taken_ms = stamp_ms(name) or self._now_ms
            restored = Restored(
                cause=cause,
                seconds=self._age(taken_ms),
                adopted=adopted,
            )
            log.error("database_restored", cause=cause, seconds=restored.seconds)
        return restored

    def _age(self, taken_ms: int) -> float:
        return max(0, self._now_ms - taken_ms) / 1000


def lost(data: DataDir, busy_timeout_ms: int) -> Sequence[str]:
    """Return what says that there was a database, where there is none or an empty one.

    Nothing says so in a directory that is really new. Blocks. Raises OSError.
    """
    if _holds_tables(data.database, busy_timeout_ms):
        return ()
    logins = (may_hold_login(profile) for profile in data.sessions.glob("*/profile"))
    said = {
        data.snapshots: any(True for _ in data.snapshots.glob(f"*{SUFFIX}")),
        data.sessions: any(logins),
        data.archives: any(True for _ in data.archives.glob(f"*/*/*{archive_files.SUFFIX}")),
        data.media: any(True for _ in data.media.glob(f"*/*{media_files.SUFFIX}")),
        data.damaged: any(True for _ in data.damaged.glob(f"*/{DATABASE}")),
        data.replaced: any(True for _ in data.replaced.glob(f"*/{DATABASE}")),
    }
    return [f"{folder.name}/" for folder, there in said.items() if there]


def require_not_lost(data: DataDir, busy_timeout_ms: int) -> None:
    """For what would make a new database: refuse where a start would restore the old one.

    Blocks. Raises DatabaseLost, DataDirUnusable.
    """
    with _usable(data):
        refused = settled_files(data) or lost(data, busy_timeout_ms)
    if refused:
        raise DatabaseLost(
            f"There was a database in {data.root}: start wafleet, which puts its newest snapshot "
            "in its place, or says what else can be done."
        )


def _holds_tables(database: Path, busy_timeout_ms: int) -> bool:
    if not database.is_file():
        return os.path.lexists(database)  # whatever it is, opening it tells
    if database.stat().st_size == 0:
        return False  # not to be opened: SQLite would remove the log beside it
    try:
        with translated(database), closing(connect_guest(database, busy_timeout_ms)) as looking:
            [(tables,)] = looking.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    except StoreError:
        return True  # the same: opening it tells
    return bool(tables)


def _nothing_to_restore(data: DataDir, left: Sequence[str]) -> DatabaseLost:
    return DatabaseLost(
        f"There is no database in {data.root}, but there was one (see {', '.join(left)}), and no "
        "good snapshot of it is there: put the last backup back with wafleet restore DIR. To begin "
        "anew, move these directories away."
    )


@contextmanager
def _workshop(data: DataDir) -> Iterator[Path]:
    folder = data.root / WORKSHOP
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # the next boot does it, if this one can't


@contextmanager
def _usable(data: DataDir) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataDirUnusable(
            f"The database in {data.root} can't be restored ({error.strerror}): check the space "
            "and the rights there, then start wafleet again; nothing is lost by then."
        ) from error
