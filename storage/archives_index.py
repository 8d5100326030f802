"""The ArchiveIndex port: pointers to the files that hold sessions' encrypted login data.

The order that survives a crash: take a generation, write the file, add the pointer; and drop the
pointer first, then remove the file. A file to which no pointer leads is rubbish.

    StoreError
    └── ArchiveOutOfOrder      the generation was not taken, or a newer one stands; begin again
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from storage.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence


class ArchiveOutOfOrder(StoreError):  # noqa: N818
    code = "archive_out_of_order"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewArchive:
    """A finished file. `path` is relative to the data directory; `sha256` 64 hex digits."""

    session_id: str
    generation: int
    path: str
    sha256: str
    bytes: int
    now_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveRecord:
    id: str
    workspace_id: str
    session_id: str
    generation: int
    path: str
    sha256: str
    bytes: int
    created_ms: int


class ArchiveIndex(Protocol):
    """For session actors: by session id alone."""

    async def next_generation(self, session_id: str) -> int:
        """Take the session's next generation, never given before. Raises SessionNotFound.

        One that is not used leaves a gap, which is fine.
        """

    async def add_archive(self, new: NewArchive) -> ArchiveRecord:
        """Point to a new file. Raises SessionNotFound, ArchiveOutOfOrder."""

    async def archives(self, session_id: str) -> Sequence[ArchiveRecord]:
        """Return a session's archives, newest generation first; also of a deleted session."""

    async def drop_archives(self, session_id: str, keep: int) -> Sequence[ArchiveRecord]:
        """Forget all but the newest `keep`, and return those: their files are to be removed."""
