"""`wafleet backup`: database, archives and media of one moment, made beside a running node.

One state of the database is pinned. The files that it points to are copied first, since the node
may drop them at any time; then, in small steps, the database itself. A file that is gone when its
turn comes, or is not what its pointer says, may just have been dropped or replaced: then the newest
state is pinned and such files alone are tried again, a few times. What is still wrong after that is
left out, and told.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from api.times import rfc3339
from storage.privacy import MediaPointer
from storage.sqlite import migrations
from storage.sqlite.backup import Pace, check_copy, pinned
from storage.vault import ArchiveContext, inspect_archive
from storage.vault.errors import VaultError
from supervisor.admin import copies
from supervisor.admin.contacts import private_file
from supervisor.admin.errors import BackupTargetTaken, OutputUnwritable
from supervisor.admin.fresh import fresh_directory, give_name
from supervisor.admin.manifest import (
    MANIFEST,
    BackupFile,
    Contents,
    LeftOut,
    below_files,
    is_kept_file,
    manifest_text,
)
from supervisor.admin.place import no_tick, now_ms
from supervisor.datadir import DATABASE
from supervisor.wiring import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from storage.archives_index import ArchiveRecord
    from storage.sqlite.backup import Snapshot
    from storage.vault import Keyring
    from supervisor.admin.copies import Meter
    from supervisor.admin.place import Place, Tick

    Pointer = ArchiveRecord | MediaPointer

ATTEMPTS: Final = 3
KIND: Final = "wafleet-backup"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupReport:
    """What was made; what `contents.left_out` names is not in it, all the rest is good."""

    target: Path
    contents: Contents
    seconds: float


def make_backup(
    place: Place,
    keyring: Keyring,
    target: Path,
    *,
    pace: Pace = Pace(),  # noqa: B008 - frozen
    tick: Tick = no_tick,
) -> BackupReport:
    """Make a backup at `target`, which is there only once it is whole, checked and durable.

    Safe beside a running node, and on a stopped one. `tick` counts bytes. Blocks. Raises
    DatabaseMissing, BackupTargetTaken, OutputUnwritable, StoreErrors.
    """
    began = time.monotonic()
    place.require_database()
    migrations.require_usable(place.data.database, busy_timeout_ms=place.busy_timeout_ms)
    target = free_target(target)
    with _writing(target), fresh_directory(target, KIND) as partial:
        contents = _Maker(place, keyring, partial, pace, tick).make()
        with private_file(partial / MANIFEST) as file:
            file.write(manifest_text(contents, keyring))
        give_name(partial, target)
    return BackupReport(target=target, contents=contents, seconds=time.monotonic() - began)


def free_target(target: Path) -> Path:
    """Return the real path of a directory that can be made. Raises BackupTargetTaken."""
    target = Path(os.path.realpath(target))
    if target.is_mount():
        raise BackupTargetTaken(f"{target} is a mount point: name a new directory in it.")
    try:
        if any(target.iterdir()):
            raise BackupTargetTaken(f"{target} is not empty: name a new directory.")
    except NotADirectoryError:
        raise BackupTargetTaken(f"{target} is there and no directory: name a new one.") from None
    except FileNotFoundError:
        if not target.parent.is_dir():
            raise BackupTargetTaken(
                f"There is no directory {target.parent}: make it first, or name another place."
            ) from None
    except OSError as error:
        raise _unwritable(target, error) from error
    return target


class _Maker:
    """Fills the directory of one backup."""

    def __init__(
        self, place: Place, keyring: Keyring, partial: Path, pace: Pace, tick: Tick
    ) -> None:
        self._place = place
        self._root = place.data.root
        self._keyring = keyring
        self._partial = partial
        self._pace = pace
        self._tick = tick
        self._good: dict[str, BackupFile] = {}

    def make(self) -> Contents:
        source, database = self._place.data.database, self._partial / DATABASE
        for attempt in range(1, ATTEMPTS + 1):
            moment = now_ms()  # what comes after it may be missing, what was before is there
            with pinned(source, self._place.busy_timeout_ms) as snapshot:
                pointers: list[Pointer] = [*snapshot.archives(), *snapshot.media()]
                files = sum(pointer.bytes for pointer in pointers)
                meter = copies.Meter(files + 2 * snapshot.bytes, self._tick, self._pace.pause)
                left_out = self._copy_files(pointers, meter)
                if not left_out or attempt == ATTEMPTS:
                    self._copy_database(snapshot, database, meter, files)
                    break
        versions = check_copy(database, indexes=True, named=source)
        found = copies.digest(copies.plain(database), meter)
        return Contents(
            created_at=rfc3339(moment),
            wafleet=VERSION,
            migrations=tuple(versions),
            files=(_listed(DATABASE, found), *self._good.values()),
            left_out=tuple(left_out),
        )

    def _copy_files(self, pointers: Sequence[Pointer], meter: Meter) -> Sequence[LeftOut]:
        """Copy what an earlier attempt did not; return what can't be had."""
        for path in self._good.keys() - {pointer.path for pointer in pointers}:
            self._drop(path)
        nested = below_files(pointer.path for pointer in pointers)
        left_out = []
        for pointer in pointers:
            there = self._good.get(pointer.path)
            if there is not None and there.sha256 == pointer.sha256:
                meter.add(there.bytes)
                continue
            self._drop(pointer.path)
            if not is_kept_file(pointer.path) or pointer.path in nested:
                left_out.append(LeftOut(path=pointer.path, reason="path_refused"))
                continue
            outcome = self._copied(pointer, meter)
            if isinstance(outcome, BackupFile):
                self._good[pointer.path] = outcome
            else:
                left_out.append(outcome)
                self._drop(pointer.path)
        return left_out

    def _copied(self, pointer: Pointer, meter: Meter) -> BackupFile | LeftOut:
        """Copy one file, unless it must be left out."""
        source = copies.plain(self._root / pointer.path)
        try:
            found = copies.copy(source, self._partial, pointer.path, meter)
        except copies.Unreadable as error:
            return LeftOut(path=pointer.path, reason=error.code)
        if found.sha256 != pointer.sha256:
            return LeftOut(path=pointer.path, reason="hash_differs")
        useless = self._unopened(pointer)
        if useless is not None:
            return LeftOut(path=pointer.path, reason=useless)
        return _listed(pointer.path, found)

    def _unopened(self, pointer: Pointer) -> str | None:
        """Return why an archive is useless although it is whole, if it is."""
        if isinstance(pointer, MediaPointer):
            return None
        expected = ArchiveContext(pointer.workspace_id, pointer.session_id, pointer.generation)
        try:
            found = inspect_archive(self._partial / pointer.path, self._keyring)
        except VaultError as error:
            return error.code
        return None if found == expected else "archive_foreign"

    def _copy_database(self, snapshot: Snapshot, target: Path, meter: Meter, before: int) -> None:
        snapshot.copy_to(target, self._pace, lambda done, _: meter.at(before + done))

    def _drop(self, path: str) -> None:
        self._good.pop(path, None)
        if is_kept_file(path) and os.path.lexists(self._partial / path):
            (self._partial / path).unlink()


def _listed(path: str, found: copies.Digest) -> BackupFile:
    return BackupFile(path=path, bytes=found.bytes, sha256=found.sha256)


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unwritable(target, error) from error


def _unwritable(target: Path, error: OSError) -> OutputUnwritable:
    return OutputUnwritable(
        f"The backup {target} can't be written ({error.strerror}): check the space and the rights "
        "there, or name another directory."
    )
