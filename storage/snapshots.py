"""The Snapshots port: copies of the database of earlier moments, for the day when it is damaged.

They lie beside it, so that a boot can take one without anybody's help; what a lost disk needs is a
backup elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


class SnapshotHalted(Exception):  # noqa: N818 - says what happened
    """The caller did not want it any more; nothing is left of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotFile:
    """A finished snapshot. `taken_ms` comes from its name: each is later than those before it."""

    path: Path
    taken_ms: int


class Snapshots(Protocol):
    """Everything blocks: for a thread."""

    def found(self) -> Sequence[SnapshotFile]:
        """Return what is there, newest first; whether one is good is another question.

        Raises OSError.
        """

    def take(self, now_ms: int, halted: Callable[[], bool]) -> SnapshotFile:
        """Copy the newest committed state, prove the copy, and drop what is more than enough.

        Beside whoever uses the database. What fails leaves the others as they are, and nothing of
        itself. `halted` is asked now and then; once it says yes, SnapshotHalted is raised soon.
        Raises StoreBusy, StoreFull, StoreDamaged (the database is: the copy is not kept),
        StoreUnusable, OSError.
        """
