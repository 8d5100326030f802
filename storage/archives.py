"""The Archives port: encrypted copies of sessions' logins, and the newest good one back.

An archive is one generation of one session. Generations only grow and are counted by the store,
never by the files. A generation that is there is whole: it was read back before it was counted.

    ArchiveFailed              archive_failed: `reason` is a stable code, the text says what to do

StoreErrors come out as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class ArchiveFailed(Exception):  # noqa: N818 - the port speaks in domain words
    """An archive was not written, or a profile not restored; what was there before still is."""

    code: ClassVar[str] = "archive_failed"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveInfo:
    """One generation; `bytes` is the size of its file."""

    session_id: str
    generation: int
    bytes: int
    sha256: str
    created_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedArchive:
    """A generation that could not be used: `code` says why (archive_damaged, key_missing, …)."""

    generation: int
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """`archive` is what the profile now holds, None if there was nothing good.

    `refused` are the newer generations that were tried before it, newest first.
    """

    archive: ArchiveInfo | None
    refused: tuple[RefusedArchive, ...] = ()


class Archives(Protocol):
    """For session actors and the supervisor, by session id; calls for one session queue up."""

    def refusal(self) -> ArchiveFailed | None:
        """Return why `save` would refuse now (the disk is low), so that nothing is copied for it.

        Safe from any thread.
        """

    async def save(self, session_id: str, copied: Path) -> ArchiveInfo:
        """Archive a copy of a profile as the next generation; drop the oldest beyond the limit.

        `copied` is a private directory that nobody writes to; it is gone afterwards, whatever
        happens. Raises SessionNotFound, ArchiveFailed.
        """

    async def restore(self, session_id: str, profile: Path) -> Restored:
        """Make `profile` what the newest good archive holds; what it held is gone.

        Without a good archive it is left as it is. The caller answers for it that `profile` holds
        no login and that no browser runs on it. Raises ArchiveFailed when the profile can't be
        written: that is no reason to go on without a login.
        """

    async def forget(self, session_id: str) -> int:
        """Remove all archives of a session, which may be deleted; return how many. Idempotent.

        For the end of a login: logout (also by the phone) and deletion.
        """

    async def list(self, session_id: str) -> Sequence[ArchiveInfo]:
        """Return what there is, newest first; also of a deleted session."""
