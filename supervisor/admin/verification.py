"""Whether a backup is all there, as it was written, and of use with the keys at hand."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from storage.sqlite.backup import check_copy
from storage.store import StoreError
from storage.vault import inspect_archive
from storage.vault.errors import KeyMissing, KeyWrong, VaultError
from supervisor.admin import copies
from supervisor.admin.errors import BackupBad
from supervisor.admin.manifest import read_manifest
from supervisor.admin.place import no_tick
from supervisor.datadir import ARCHIVES, DATABASE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from storage.vault import Keyring
    from supervisor.admin.manifest import BackupFile, Contents
    from supervisor.admin.place import Tick


@dataclass(frozen=True, slots=True)
class OpenedBackup:
    """A backup whose manifest is proven; of its files nothing is known yet."""

    directory: Path
    contents: Contents


@dataclass(frozen=True, slots=True)
class VerifiedBackup(OpenedBackup):
    """A backup of which everything was read and found good; made by `verify_backup`."""


def open_backup(directory: Path, keyring: Keyring) -> OpenedBackup:
    """Read and prove the manifest. Raises BackupBad, KeyMissing, KeyWrong."""
    return OpenedBackup(directory, read_manifest(directory, keyring))


def verify_backup(backup: OpenedBackup, keyring: Keyring, tick: Tick = no_tick) -> VerifiedBackup:
    """Read everything that the manifest lists; nothing is written. `tick` counts bytes. Blocks.

    Raises BackupBad, KeyMissing, KeyWrong.
    """
    meter = copies.Meter(backup.contents.bytes, tick)
    for file in backup.contents.files:
        with readable(file):
            require_same(file, copies.digest(copies.inside(backup.directory, file.path), meter))
    for file in backup.contents.below(ARCHIVES):
        _open_archive(backup.directory, file, keyring)
    try:
        check_copy(backup.directory / DATABASE, indexes=False)
    except StoreError as error:
        raise BackupBad(f"The backup's database can't be used: {error}") from error
    return VerifiedBackup(backup.directory, backup.contents)


@contextmanager
def readable(file: BackupFile) -> Iterator[None]:
    """Let Unreadable out of the block as BackupBad."""
    try:
        yield
    except copies.Unreadable as error:
        raise BackupBad(
            f"{file.path} in the backup can't be read ({error}): use another backup."
        ) from error


def require_same(file: BackupFile, found: copies.Digest) -> None:
    """Raise BackupBad unless what was read is what the manifest lists."""
    if (found.bytes, found.sha256) != (file.bytes, file.sha256):
        what = (
            "other bytes" if found.bytes == file.bytes else f"{found.bytes} of {file.bytes} bytes"
        )
        raise BackupBad(
            f"{file.path} in the backup is not as it was written ({what}): use another backup."
        )


def _open_archive(directory: Path, file: BackupFile, keyring: Keyring) -> None:
    """An archive may need an older key than the manifest does."""
    try:
        inspect_archive(directory / file.path, keyring)
    except (KeyMissing, KeyWrong):
        raise
    except VaultError as error:
        raise BackupBad(f"{file.path} in the backup can't be used: {error}") from error
