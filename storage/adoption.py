"""The Adoptions port: rows for what is on the disk already.

For a boot that put the database back to an earlier day: what was made since is on the disk only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from storage.archives_index import ArchiveRecord, NewArchive


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownSession:
    """Whose a session is, or was before it was deleted."""

    workspace_id: str
    deleted: bool


class Adoptions(Protocol):
    async def known_session(self, session_id: str) -> KnownSession | None:
        """Return what is known of a session, deleted ones too; None if it was never heard of."""

    async def adopt_session(
        self, workspace_id: str, session_id: str, name: str, now_ms: int
    ) -> None:
        """Take in a session of which only its directory or its archives are left.

        It is disconnected, for the reason `recovered`, and not to run until somebody says so. No
        plan limits it: it was there before. Raises WorkspaceNotFound.
        """

    async def adopt_archive(self, new: NewArchive) -> ArchiveRecord:
        """Point to a file of a generation that is beyond what is pointed to, and count up to it.

        Raises SessionNotFound; ArchiveOutOfOrder if a newer one is pointed to.
        """
