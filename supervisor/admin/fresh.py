"""A directory that is whole or not there: made under another name, synced, then renamed.

A killed process leaves its half under that other name, which is never taken for anything. The next
one of the same kind removes it: a lock in it tells the dead from those at work. Everything blocks;
raises OSError.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from storage.vault.files import partial_name, sync_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOCK: Final = ".lock"


@contextmanager
def fresh_directory(target: Path, kind: str) -> Iterator[Path]:
    """Make a private directory beside `target`; it is gone afterwards unless the block renamed it.

    What dead processes of the same kind left there is removed first: nothing else, and nothing that
    somebody is still at work on.
    """
    remove_dead(target.parent, kind)
    partial = partial_name(target.with_name(f"{target.name}.{kind}"))
    partial.mkdir(mode=0o700)
    try:
        with _locked(partial):
            yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)  # usually renamed; else the first error counts


def give_name(partial: Path, target: Path) -> None:
    """Put a finished fresh directory at `target`, where nothing or an empty directory may be."""
    sync_tree(partial)
    (partial / _LOCK).unlink()
    partial.rename(target)
    sync_directory(target)
    sync_directory(target.parent)


def sync_tree(root: Path) -> None:
    """Make the names in a directory and in all below it survive a power cut."""
    for folder, _, _ in os.walk(root):
        sync_directory(Path(folder))


@contextmanager
def _locked(partial: Path) -> Iterator[None]:
    unseen = partial / f"{_LOCK}.new"
    fd = os.open(unseen, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        with suppress(OSError):  # a file system without locks: there nobody removes anything
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unseen.rename(partial / _LOCK)  # not before it is held
        yield
    finally:
        os.close(fd)


def remove_dead(parent: Path, kind: str) -> None:
    """Remove the fresh directories of dead processes of this kind."""
    ours = re.compile(rf"\..+\.{re.escape(kind)}\.[0-9a-f]{{16}}\.partial")
    with os.scandir(parent) as found:
        left = [e for e in found if ours.fullmatch(e.name) and e.is_dir(follow_symlinks=False)]
    for entry in left:
        try:
            fd = os.open(Path(entry.path, _LOCK), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            continue  # without our lock, or of another user: nobody can tell whether it is dead
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue  # at work
        else:
            shutil.rmtree(entry.path)
        finally:
            os.close(fd)
