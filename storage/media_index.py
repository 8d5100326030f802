"""The MediaIndex port: pointers to the files that came with messages.

`Privacy.record_media` adds a pointer; messages, erasures and retention take theirs with them. The
order that survives a crash: write the file, then add the pointer; and drop the pointer first, then
remove the file. A file to which no pointer leads is rubbish.

    StoreError
    └── MediaNotFound          no such file in that workspace, or its message is gone
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from storage.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Collection

    from storage.privacy import MediaPointer


class MediaNotFound(StoreError):  # noqa: N818 - the port speaks in domain words
    code = "media_not_found"


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaRecord:
    """A pointer with the public ids of what its file is bound to."""

    pointer: MediaPointer
    workspace_id: str
    message_id: str


class MediaIndex(Protocol):
    async def message_workspace(self, message_id: str) -> str:
        """Return the workspace of a message that may get a file.

        Raises MessageNotFound, for an erased message too.
        """

    async def media(self, workspace_id: str, media_id: str) -> MediaRecord:
        """Return it. Raises MediaNotFound."""

    async def drop_media(self, workspace_id: str, media_id: str) -> MediaPointer:
        """Forget it and return the pointer: its file is to be removed. Raises MediaNotFound."""

    async def pointed_media(self, paths: Collection[str]) -> frozenset[str]:
        """Return those of the paths, some hundreds at most, to which a pointer leads."""
