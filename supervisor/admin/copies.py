"""Files read, hashed and copied in one go.

Everything blocks. What can't be read comes out as Unreadable, what can't be written as OSError: the
first is a matter of one file, the second of all.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from storage.vault.files import open_regular, write_all
from supervisor.admin.place import no_tick

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from supervisor.admin.place import Tick

    Opener = Callable[[], int]

_PIECE: Final = 1024 * 1024
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Unreadable(Exception):  # noqa: N818 - a fact about one file
    """A file is not there, is none, or the system refuses to read it; the code is stable."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(why)
        self.code = code


@dataclass(frozen=True, slots=True)
class Digest:
    """What was read: how many bytes, and their SHA-256 as hex."""

    bytes: int
    sha256: str


class Meter:
    """Tells how far the work is, and leaves the disk to others for a pause after every step."""

    def __init__(self, total: int, tick: Tick = no_tick, pause: float = 0.0) -> None:
        """`total` is in bytes, `pause` in seconds; a step is a mebibyte."""
        self._done = 0
        self._total = total
        self._tick = tick
        self._pause = pause
        self._since = 0

    def add(self, count: int) -> None:
        """Count bytes, and pause when they make a step."""
        self.at(self._done + count)
        self._since += count
        if self._pause and self._since >= _PIECE:
            self._since = 0
            time.sleep(self._pause)

    def at(self, done: int) -> None:
        """Take the word of somebody who counts, and pauses, by himself."""
        self._done = done
        self._tick(done, self._total)


def plain(path: Path) -> Opener:
    """Open a plain file; a link in its place is refused."""
    return lambda: open_regular(path)[0]


def inside(root: Path, path: str) -> Opener:
    """Open a plain file below `root` without following a single link on the way."""

    def opener() -> int:
        *folders, name = path.split("/")
        fd = os.open(root, _FOLDER)
        for folder in folders:
            fd = _step(fd, folder, _FOLDER | os.O_NOFOLLOW)
        fd = _step(fd, name, _FILE)
        if stat.S_ISREG(os.fstat(fd).st_mode):
            return fd
        os.close(fd)
        raise Unreadable("unreadable", "it is not a plain file")

    return opener


def digest(opener: Opener, meter: Meter) -> Digest:
    """Read a file to its end. Raises Unreadable."""
    hashed = _Hashed()
    with _opened(opener) as source:
        for piece in _pieces(source):
            hashed.add(piece)
            meter.add(len(piece))
    return hashed.digest()


def copy(opener: Opener, root: Path, path: str, meter: Meter) -> Digest:
    """Copy to a new file (mode 0600) below `root`, whose folders (0700) are made; sync the file.

    The folders are not synced. After an error there may be a part of the file. Raises Unreadable,
    OSError.
    """
    target, hashed = root / path, _Hashed()
    with _opened(opener) as source:
        _make_folders(root, target.parent)
        fd = os.open(target, _CREATE, 0o600)
        try:
            for piece in _pieces(source):
                hashed.add(piece)
                write_all(fd, piece)
                meter.add(len(piece))
            os.fsync(fd)
        finally:
            os.close(fd)
    return hashed.digest()


class _Hashed:
    def __init__(self) -> None:
        self._bytes = 0
        self._hash = hashlib.sha256()

    def add(self, piece: bytes) -> None:
        self._bytes += len(piece)
        self._hash.update(piece)

    def digest(self) -> Digest:
        return Digest(self._bytes, self._hash.hexdigest())


def _step(folder: int, name: str, flags: int) -> int:
    """Open what is in a folder, and close the folder."""
    try:
        return os.open(name, flags, dir_fd=folder)
    finally:
        os.close(folder)


@contextmanager
def _opened(opener: Opener) -> Iterator[int]:
    with _reading():
        fd = opener()
    try:
        yield fd
    finally:
        os.close(fd)


def _pieces(source: int) -> Iterator[bytes]:
    while True:
        with _reading():
            piece = os.read(source, _PIECE)
        if not piece:
            return
        yield piece


def _make_folders(root: Path, folder: Path) -> None:
    if folder != root and not folder.is_dir():
        _make_folders(root, folder.parent)
        folder.mkdir(mode=0o700)


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise Unreadable("missing", "it is not there") from error
    except OSError as error:
        raise Unreadable("unreadable", error.strerror or "it can't be read") from error
