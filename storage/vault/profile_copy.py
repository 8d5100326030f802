"""Copying a profile as fast as the file system allows. Blocks.

This runs while the session's browser is frozen, so nothing is compressed or synced here: that is
the archive's work, afterwards, from the copy. Where the file system can share blocks (Btrfs, XFS)
nothing is copied at all; elsewhere the kernel copies without a detour through this process.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from storage.vault.errors import ProfileChanged, ProfileUnusable
from storage.vault.files import open_regular, write_all
from storage.vault.profile_paths import is_kept

if TYPE_CHECKING:
    from collections.abc import Iterator

_FICLONE: Final = 0x40049409
_PIECE: Final = 1024 * 1024
_UNSHARED: Final = frozenset(
    {errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EPERM}
)
"""A file system answers these when it can't share or copy; reading and writing still works."""
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


@dataclass(frozen=True, slots=True)
class CopyFacts:
    """What was copied: files, and bytes in them."""

    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A kept folder or plain file: its path relative to the profile, with slashes."""

    path: str
    is_directory: bool


def kept_entries(profile: Path) -> Iterator[Entry]:
    """Yield what an archive of `profile` holds, each folder before what is in it, by name.

    Links, sockets and pipes are left out: nothing that Chromium needs is one. Raises OSError.
    """
    yield from _below(profile, "")


def copy_profile(source: Path, target: Path) -> CopyFacts:
    """Copy what is kept of a stopped or frozen profile to `target`, which must not exist yet.

    Folders get mode 0700, files 0600. Raises ProfileUnusable, ProfileChanged; then nothing is left
    of `target`.
    """
    with using(target):
        target.mkdir(mode=0o700)
    try:
        with using(source):
            return _copy_all(source, target)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)  # the first error is the one to tell
        raise


@contextmanager
def using(path: Path) -> Iterator[None]:
    """Let failures of the system out of the block as ProfileUnusable."""
    try:
        yield
    except FileExistsError as error:
        raise ProfileUnusable(
            f"The directory {path.name} is there already and not empty; move it away."
        ) from error
    except OSError as error:
        name = Path(os.fsdecode(error.filename)).name if error.filename else path.name
        raise ProfileUnusable(
            f"The profile {path.name} can't be used ({error.strerror}: {name}); check the space "
            "and the rights of its directory, then try again."
        ) from error


def open_listed(path: str) -> tuple[int, os.stat_result]:
    """Open a file that `kept_entries` listed; return its descriptor and status.

    Raises ProfileChanged when it is gone by now, OSError.
    """
    try:
        return open_regular(path)
    except FileNotFoundError:
        raise changed(path) from None


def changed(path: str) -> ProfileChanged:
    """Make the error that says that somebody writes to the profile."""
    return ProfileChanged(
        f"The profile's file {Path(path).name} changed while it was copied; freeze or stop its "
        "browser first."
    )


def _below(profile: Path, folder: str) -> Iterator[Entry]:
    with os.scandir(f"{profile}/{folder}") as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        path = f"{folder}{entry.name}"
        if not is_kept(path):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield Entry(path, is_directory=True)
            yield from _below(profile, f"{path}/")
        elif entry.is_file(follow_symlinks=False):
            yield Entry(path, is_directory=False)


def _copy_all(source: Path, target: Path) -> CopyFacts:
    copier, files, size = _Copier(), 0, 0
    for entry in kept_entries(source):
        if entry.is_directory:
            os.mkdir(f"{target}/{entry.path}", 0o700)  # noqa: PTH102 - fast: the browser waits
        else:
            files += 1
            size += copier.copy(f"{source}/{entry.path}", f"{target}/{entry.path}")
    return CopyFacts(files, size)


class _Copier:
    """Copies files one by one, and remembers what the file system can't do."""

    def __init__(self) -> None:
        self._can_share = True
        self._can_copy = True

    def copy(self, source: str, target: str) -> int:
        """Return the size. Raises ProfileChanged, OSError."""
        reader, before = open_listed(source)
        try:
            writer = os.open(target, _CREATE, 0o600)
            try:
                self._fill(reader, writer, before.st_size)
            finally:
                os.close(writer)
            after = os.fstat(reader)
        finally:
            os.close(reader)
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise changed(source)
        return before.st_size

    def _fill(self, reader: int, writer: int, size: int) -> None:
        if size == 0 or self._share(reader, writer):
            return
        done = self._copy_in_kernel(reader, writer, size)
        while done < size:
            piece = os.read(reader, min(_PIECE, size - done))
            if not piece:
                return  # it shrank; the caller compares sizes
            write_all(writer, piece)
            done += len(piece)

    def _share(self, reader: int, writer: int) -> bool:
        if self._can_share:
            try:
                fcntl.ioctl(writer, _FICLONE, reader)
            except OSError as error:
                if error.errno not in _UNSHARED:
                    raise
                self._can_share = False
        return self._can_share

    def _copy_in_kernel(self, reader: int, writer: int, size: int) -> int:
        done = 0
        while self._can_copy and done < size:
            try:
                count = os.copy_file_range(reader, writer, size - done)
            except OSError as error:
                if error.errno not in _UNSHARED:
                    raise
                count = 0
            # Some file systems answer 0 where they can't: reading and writing tells the truth.
            self._can_copy = count > 0
            done += count
        return done
