"""Files that are either whole or not there: private partial files, durable renames, the sweep."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_PARTIAL: Final = re.compile(r"\..+\.[0-9a-f]{16}\.partial")


def partial_name(target: Path) -> Path:
    """Return a fresh name beside `target`, which is never taken for anything finished."""
    return target.with_name(f".{target.name}.{os.urandom(8).hex()}.partial")


def sync_directory(directory: Path) -> None:
    """Make what was created, renamed or removed in a directory survive a power cut."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_file(path: Path) -> None:
    """Make what was written to a file survive a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def open_regular(path: str | Path, *, follow_links: bool = False) -> tuple[int, os.stat_result]:
    """Open a plain file for reading; return its descriptor and status.

    It never waits: a pipe in the file's place is refused like everything else. Raises OSError.
    """
    links = 0 if follow_links else os.O_NOFOLLOW
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | links)
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a plain file", str(path))
    return fd, found


def write_all(fd: int, data: bytes) -> None:
    """Write everything, however little the system takes at once. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def private_directory(root: Path, *names: str) -> Path:
    """Make `root` and the directories below it, each mode 0700 and durable; return the last.

    What is there already stays as it is. Raises OSError.
    """
    folder = root
    for name in ("", *names):
        folder = folder / name
        if not folder.is_dir():
            folder.mkdir(mode=0o700, exist_ok=True)
            sync_directory(folder.parent)
    return folder


def unlink_all(files: Iterable[Path]) -> None:
    """Remove files; one that is not there is as wished. Raises OSError."""
    for file in files:
        file.unlink(missing_ok=True)


@contextmanager
def partial_file(target: Path) -> Iterator[Path]:
    """Make an empty file beside `target` that only its owner can read; remove it afterwards.

    The block renames it when it is whole; then there is nothing left to remove.
    """
    path = partial_name(target)
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    try:
        yield path
    finally:
        with suppress(FileNotFoundError):  # the usual case: it was renamed
            path.unlink()


def sweep_partials(directory: Path) -> int:
    """Remove the partial files and directories that a killed process left; return how many.

    For the boot, before anything writes there. Raises OSError.
    """
    found = [Path(e.path) for e in os.scandir(directory) if _PARTIAL.fullmatch(e.name)]
    for path in found:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    return len(found)
