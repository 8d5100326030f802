"""The Snapshots port on files: DIR/2030_01_02T030405Z.db, each a whole database of mode 0600.

One is made under another name and gets its own only once it is on the disk and proven sound, with
every index compared to its table. The newest few stay.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

from storage.snapshots import SnapshotFile, SnapshotHalted
from storage.sqlite.backup import Pace, check_copy, pinned
from storage.sqlite.migrations import DEFAULT_BUSY_TIMEOUT_MS
from storage.store import StoreFull
from storage.vault.files import (
    partial_name,
    private_directory,
    sweep_partials,
    sync_directory,
    unlink_all,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

SUFFIX: Final = ".db"
RESERVE: Final = 64 * 1024 * 1024
"""Stays free beside a snapshot, for the database itself: it is what the space is needed for."""
_STAMP: Final = "%Y_%m_%dT%H%M%SZ"


class SnapshotFiles:
    """Implements Snapshots. `directory` is made with the first one; `keep` is at least 1."""

    def __init__(
        self,
        *,
        database: Path,
        directory: Path,
        keep: int,
        busy_timeout_ms: int = DEFAULT_BUSY_TIMEOUT_MS,
        pace: Pace = Pace(),  # noqa: B008 - frozen
        reserve: int = RESERVE,
    ) -> None:
        self._database = database
        self._directory = directory
        self._keep = keep
        self._busy_timeout_ms = busy_timeout_ms
        self._pace = pace
        self._reserve = reserve

    def found(self) -> Sequence[SnapshotFile]:
        found = []
        for path in sorted(self._directory.glob(f"*{SUFFIX}"), reverse=True):
            taken_ms = stamp_ms(path.stem)
            if taken_ms is not None and path.is_file() and not path.is_symlink():
                found.append(SnapshotFile(path=path, taken_ms=taken_ms))
        return found

    def take(self, now_ms: int, halted: Callable[[], bool]) -> SnapshotFile:
        private_directory(self._directory)
        sweep_partials(self._directory)
        made = self._next(now_ms)
        copy = partial_name(made.path)
        try:
            self._copy(copy, halted)
            # not interruptible: a second or so for each gigabyte
            check_copy(copy, indexes=True, named=self._database)
            _go_on(halted)
            copy.rename(made.path)
        finally:
            copy.unlink(missing_ok=True)  # usually renamed
        sync_directory(self._directory)
        unlink_all(old.path for old in self.found()[self._keep :])
        return made

    def _next(self, now_ms: int) -> SnapshotFile:
        """Name the next one: later than the newest, also when the clock was set back."""
        taken_ms = max([now_ms, *(newest.taken_ms + 1000 for newest in self.found()[:1])])
        taken_ms -= taken_ms % 1000
        return SnapshotFile(path=self._directory / f"{stamp(taken_ms)}{SUFFIX}", taken_ms=taken_ms)

    def _copy(self, target: Path, halted: Callable[[], bool]) -> None:
        with pinned(self._database, self._busy_timeout_ms) as state:
            free = shutil.disk_usage(self._directory).free
            if free < state.bytes + self._reserve:
                raise StoreFull(
                    f"A snapshot of the database {self._database} needs "
                    f"{state.bytes + self._reserve} bytes, {free} are free; free space on its disk."
                )
            state.copy_to(target, self._pace, partial(_go_on, halted))


def stamp(ms: int) -> str:
    """Return a moment as part of a file's name, in UTC and whole seconds.

    Without the usual signs between the digits, after which a log would take it for a phone number.
    """
    return datetime.fromtimestamp(ms // 1000, UTC).strftime(_STAMP)


def stamp_ms(text: str) -> int | None:
    """Return the moment of a stamp, in milliseconds; None for what is no stamp."""
    try:
        moment = datetime.strptime(text, _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None
    return int(moment.timestamp()) * 1000 if moment.strftime(_STAMP) == text else None


def _go_on(halted: Callable[[], bool], *_: int) -> None:
    if halted():
        raise SnapshotHalted
