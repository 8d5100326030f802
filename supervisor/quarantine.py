"""Where a boot puts what it must not use and must not lose: DATA/damaged/TIME/.

Everything blocks. Raises OSError.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from storage.sqlite.snapshots import stamp
from storage.vault.files import private_directory, sync_directory

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from supervisor.datadir import DataDir

BESIDE: Final = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database, and would play into whatever file has its name."""


READY: Final = ".restored"
"""Ends the name of what a boot has settled on to take the database's place."""


def settled_files(data: DataDir) -> Sequence[Path]:
    """Return what a boot has settled on and, being killed, not put in place; usually nothing."""
    return sorted(data.root.glob(f"{data.database.name}.*{READY}"))


def database_files(database: Path) -> Sequence[Path]:
    """Return the database and what belongs to it, as far as it is there; its own file last."""
    beside = [database.with_name(f"{database.name}{suffix}") for suffix in BESIDE]
    return [path for path in (*beside, database) if os.path.lexists(path)]


class Quarantine:
    """One directory, made when the first thing is put there.

    A boot that was killed may have made it: then that one is used again.
    """

    def __init__(self, data: DataDir, now_ms: int) -> None:
        self._data = data
        self._now_ms = now_ms
        self._folder: Path | None = None

    @property
    def folder(self) -> Path | None:
        """Return where things are, once there are any."""
        return self._folder

    def link_database(self) -> Path | None:
        """Give the database and its log a second name here; return where, if there is anything.

        They keep their own names, so that nothing has happened yet if this is all that happens.
        """
        files = database_files(self._data.database)
        if not files:
            return None
        self._folder = self._begun_before(files) or self._made()
        for path in files:
            target = self._folder / path.name
            if os.path.lexists(target):
                if target.samefile(path):
                    continue
                target.unlink()
            os.link(path, target)
        sync_directory(self._folder)
        return self._folder

    def move(self, path: Path) -> None:
        """Move a file here, to the same place as below the data directory."""
        folder = self._folder = self._folder or self._made()
        target = folder / path.relative_to(self._data.root)
        private_directory(folder, *target.parent.relative_to(folder).parts)
        path.rename(target)
        sync_directory(target.parent)
        sync_directory(path.parent)

    def _begun_before(self, files: Sequence[Path]) -> Path | None:
        """Return the directory of a boot that was killed: one of them is in it, or nothing yet."""
        for folder in self._data.damaged.glob("*/"):
            there = {path.name: path for path in folder.iterdir()}
            if not there or any(p.name in there and there[p.name].samefile(p) for p in files):
                return folder
        return None

    def _made(self) -> Path:
        private_directory(self._data.damaged)
        at = self._now_ms
        while True:
            folder = self._data.damaged / stamp(at)
            try:
                folder.mkdir(mode=0o700)
            except FileExistsError:
                at += 1000
            else:
                sync_directory(folder.parent)
                return folder
