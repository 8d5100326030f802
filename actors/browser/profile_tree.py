"""Measuring a session's directory, and deleting what of it is waste. Blocks.

The tree may be hostile, or change under our feet: a browser writes to it, somebody swaps a folder
for a link. So nothing is ever addressed by a path: every folder is opened as what it was listed as,
relative to the open folder that it is in, and never through a link. No other file system is
entered, no file is opened, and what is gone in the next moment is as good as deleted.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from actors.browser.profile_facts import ProfileSize, Removed
from storage.vault.profile_paths import is_waste

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROFILE: Final = "profile"
SCRATCH: Final = "tmp"
DEEPEST: Final = 40
"""Chromium's own folders are some ten deep; deeper ones are left, each costs a descriptor here."""
BLOCK: Final = 512
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def measure(session_dir: Path) -> ProfileSize:
    """Return the size of a session's profile and scratch space; also while its browser runs.

    One that is not there takes nothing. Raises OSError for a directory that can't be used.
    """
    sizes = _Sizes()
    with _opened(str(session_dir), None) as root:
        if root is not None:
            device = os.fstat(root).st_dev
            with _opened(PROFILE, root) as profile:
                _measure(sizes, profile, "", device, 0, counted_as="")
            with _opened(SCRATCH, root) as scratch:
                _measure(sizes, scratch, "", device, 0, counted_as="scratch")
    return ProfileSize(**sizes.bytes, files=sizes.files)


def clean(session_dir: Path) -> Removed:
    """Delete the waste of a session; no browser may run on it, and its lock is the caller's.

    A link in the place of waste is somebody's intent: it stays. Raises OSError for a directory that
    can't be used; what can't be deleted is counted.
    """
    remover = _Remover()
    with _opened(str(session_dir), None) as root:
        if root is not None:
            remover.device = os.fstat(root).st_dev
            with _opened(PROFILE, root) as profile:
                _clean(remover, profile, "", 0)
            with _opened(SCRATCH, root) as scratch:
                if scratch is not None:
                    remover.empty(scratch, 0)
    return remover.removed()


def remove(session_dir: Path) -> Removed:
    """Delete a session's whole directory; by its parent, so that a link in its place stays."""
    remover = _Remover()
    with _opened(str(session_dir.parent), None) as parent:
        if parent is not None:
            remover.device = os.fstat(parent).st_dev
            remover.tree(session_dir.name, parent, 0)
    return remover.removed()


# ---- behind it -----------------------------------------------------------------------------------


@contextmanager
def _opened(name: str, folder: int | None) -> Iterator[int | None]:
    """Open a folder that must not be a link; None if it is not there (any more)."""
    try:
        fd = os.open(name, _FOLDER, dir_fd=folder)
    except FileNotFoundError:
        yield None
        return
    try:
        yield fd
    finally:
        os.close(fd)


def _entries(folder: int) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the names in an open folder with what each is; those that vanish are left out."""
    with os.scandir(folder) as found:
        names = [entry.name for entry in found]
    for name in names:
        try:
            yield name, os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            continue


class _Sizes:
    """What a measurement has found so far."""

    def __init__(self) -> None:
        self.bytes = {"kept": 0, "waste": 0, "scratch": 0}
        self.files = 0

    def add(self, kind: str, found: os.stat_result) -> None:
        self.bytes[kind] += found.st_blocks * BLOCK
        self.files += 1


def _measure(
    sizes: _Sizes, folder: int | None, prefix: str, device: int, depth: int, *, counted_as: str
) -> None:
    """Add what an open folder holds: all of it as `counted_as`, or each by its path."""
    if folder is None or depth > DEEPEST:
        return
    for name, found in _entries(folder):
        path = f"{prefix}{name}"
        kind = counted_as or ("waste" if is_waste(path) else "")
        if stat.S_ISREG(found.st_mode):
            sizes.add(kind or "kept", found)
        elif stat.S_ISDIR(found.st_mode) and found.st_dev == device:
            sizes.bytes[kind or "kept"] += found.st_blocks * BLOCK
            try:
                with _opened(name, folder) as below:
                    _measure(sizes, below, f"{path}/", device, depth + 1, counted_as=kind)
            except OSError:  # swapped for something else, or not ours to read: it has no size
                continue


def _clean(remover: _Remover, folder: int | None, prefix: str, depth: int) -> None:
    if folder is None or depth > DEEPEST:
        return
    for name, found in _entries(folder):
        path = f"{prefix}{name}"
        directory = stat.S_ISDIR(found.st_mode)
        if is_waste(path):
            if directory or stat.S_ISREG(found.st_mode):
                remover.entry(name, found, folder, 0)
        elif directory and found.st_dev == remover.device:
            try:
                with _opened(name, folder) as below:
                    _clean(remover, below, f"{path}/", depth + 1)
            except OSError:  # as above: what can't be entered is not cleaned
                remover.left += 1


class _Remover:
    """Deletes below open folders, and counts."""

    def __init__(self) -> None:
        self.device = 0
        self.files = 0
        self.bytes = 0
        self.left = 0

    def removed(self) -> Removed:
        return Removed(files=self.files, bytes=self.bytes, left=self.left)

    def entry(self, name: str, found: os.stat_result, folder: int, depth: int) -> None:
        """Delete one entry of an open folder."""
        try:
            if stat.S_ISDIR(found.st_mode):
                self.tree(name, folder, depth)
            else:
                os.unlink(name, dir_fd=folder)
                self.files += 1
                self.bytes += found.st_blocks * BLOCK if stat.S_ISREG(found.st_mode) else 0
        except FileNotFoundError:
            return
        except OSError:  # swapped for a folder, busy, or not ours: somebody has to look
            self.left += 1

    def tree(self, name: str, folder: int, depth: int) -> None:
        """Delete a folder and all below it. Raises OSError; what is below was counted."""
        with _opened(name, folder) as below:
            if below is None:
                return
            here = os.fstat(below)
            if here.st_dev != self.device or depth > DEEPEST:
                self.left += 1
                return
            self.empty(below, depth + 1)
        os.rmdir(name, dir_fd=folder)
        self.bytes += here.st_blocks * BLOCK

    def empty(self, folder: int, depth: int) -> None:
        """Delete everything in an open folder."""
        for name, found in _entries(folder):
            self.entry(name, found, folder, depth)
