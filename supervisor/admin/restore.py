"""`wafleet restore`: a verified backup put in the place of a stopped node's data.

Everything is made ready in a directory beside: copied, compared, the database brought to the newest
version as a node would do it. Only then what is there is put away, and what is ready renamed, the
database last. So at any moment either a whole database is there or none, and a restore that was
interrupted can be run again: what it had put in place by then is put away like the rest.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from storage.sqlite import open_store
from storage.sqlite.backup import doubt_accepted
from storage.tenants import DEFAULT
from storage.vault.files import sync_directory, sync_file
from supervisor.admin import copies
from supervisor.admin.errors import RestoreTargetTaken
from supervisor.admin.fresh import fresh_directory, sync_tree
from supervisor.admin.place import no_tick
from supervisor.admin.tenancy import note
from supervisor.admin.verification import readable, require_same
from supervisor.datadir import ARCHIVES, DATABASE, MEDIA
from supervisor.errors import DataDirUnusable
from supervisor.keyring import write_check
from supervisor.parts import forgotten_since
from supervisor.quarantine import database_files, settled_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from storage.vault import Keyring
    from supervisor.admin.manifest import Contents
    from supervisor.admin.place import Place, Tick
    from supervisor.admin.verification import VerifiedBackup
    from supervisor.datadir import DataDir

KIND: Final = "wafleet-restore"


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreReport:
    """What was done: how many messages wait to be sent, and where the replaced data is."""

    contents: Contents
    waiting: int
    replaced: Path | None
    seconds: float


def require_free(data: DataDir, *, replace: bool) -> None:
    """Raise RestoreTargetTaken if there is a database that is not to be replaced."""
    if not replace and os.path.lexists(data.database):
        raise RestoreTargetTaken(
            f"The data directory {data.root} has a database already: set WAFLEET_DATA_DIR to "
            f"another one, or give --replace, which moves what is there to {data.replaced}."
        )


async def put_back(
    place: Place,
    keyring: Keyring,
    backup: VerifiedBackup,
    *,
    replace: bool = False,
    tick: Tick = no_tick,
) -> RestoreReport:
    """Make the data directory what the backup holds. The caller holds it (`place.stopped`).

    `tick` counts bytes. Blocks its loop. Raises RestoreTargetTaken, BackupBad (the backup changed
    meanwhile), DataDirUnusable, StoreErrors.
    """
    began, data = time.monotonic(), place.data
    require_free(data, replace=replace)
    with _writing(data), fresh_directory(data.root / "data", KIND) as ready:
        _copy(backup, ready, copies.Meter(backup.contents.bytes, tick))
        waiting = await _prepare_database(place, ready / DATABASE, backup.contents)
        sync_tree(ready)
        replaced = _put_away(data)
        for folder in (ARCHIVES, MEDIA):
            if (ready / folder).is_dir():
                (ready / folder).rename(data.root / folder)
        write_check(data, keyring)
        sync_directory(data.root)
        (ready / DATABASE).rename(data.database)
        sync_directory(data.root)
    seconds = time.monotonic() - began
    return RestoreReport(
        contents=backup.contents, waiting=waiting, replaced=replaced, seconds=seconds
    )


def _copy(backup: VerifiedBackup, ready: Path, meter: copies.Meter) -> None:
    for file in backup.contents.files:
        source = copies.inside(backup.directory, file.path)
        with readable(file):
            require_same(file, copies.copy(source, ready, file.path, meter))


async def _prepare_database(place: Place, path: Path, contents: Contents) -> int:
    """Bring the database to where a node can go on with it; return how many messages wait."""
    async with open_store(path, busy_timeout_ms=place.busy_timeout_ms) as store:
        home = await store.workspace_named(DEFAULT)
        await note(store, home.id, "backup.restore", manifest=contents.digest())
    made_ms = round(datetime.fromisoformat(contents.created_at).timestamp() * 1000)
    waiting = doubt_accepted(path, forgotten_since(made_ms), place.busy_timeout_ms)
    sync_file(path)
    return waiting


def _put_away(data: DataDir) -> Path | None:
    """Move all that is replaced to a directory of its own, and return that, if there is anything.

    A database and its log belong together: both get their second name before the database loses its
    first, and the log keeps its own until the database is gone.
    """
    # One that a boot has settled on and not put in its place yet must not replace ours later.
    files = [*settled_files(data), *reversed(database_files(data.database))]
    # Snapshots of what is replaced are none of what replaces it.
    folders = [
        path for path in (data.snapshots, data.archives, data.media) if os.path.lexists(path)
    ]
    if not files and not folders:
        return None
    away = data.replaced / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%S.%fZ}"
    for folder in (data.replaced, away):
        folder.mkdir(mode=0o700, exist_ok=folder == data.replaced)
        sync_directory(folder.parent)
    for path in files:
        os.link(path, away / path.name)
    sync_directory(away)
    for path in files:
        path.unlink()
        sync_directory(data.root)
    for path in folders:
        path.rename(away / path.name)
    sync_directory(away)
    sync_directory(data.root)
    return away


@contextmanager
def _writing(data: DataDir) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataDirUnusable(
            f"The backup can't be put into {data.root} ({error.strerror}): check the space and the "
            f"rights there, then run it again. What it has put away by then is in {data.replaced}."
        ) from error
