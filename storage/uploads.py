"""The Uploads port: files that a workspace has handed in, to be sent with messages. Pure.

An upload is kept like a message's file: encrypted, whole or not at all. It may be sent any number
of times. It stays for KEEP_MS, or for its workspace's time to live of media if that is shorter, and
longer while a message that is still to be sent names it (in its content's `media`); then retention
takes it.

    MediaError                 as in storage.media: MediaNotKept, MediaUnreadable
    StoreError
    ├── MediaNotFound          no such upload in that workspace, or its time was over
    └── WorkspaceNotFound
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from contextlib import AbstractAsyncContextManager
    from typing import BinaryIO

    from storage.privacy import MediaPointer

KEEP_MS: Final = 7 * 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """`size` is in bytes, as it was handed in; `mimetype` is what the bytes say they are.

    `problem` says, as a sentence, why WhatsApp would not show it as what it is; it can then be sent
    as a document only.
    """

    id: str
    workspace_id: str
    mimetype: str
    filename: str | None
    size: int
    problem: str | None
    created_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadFacts:
    """What was learnt of the bytes while they came; see Upload."""

    mimetype: str
    size: int
    problem: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUpload:
    """A file on the disk, and what is known of it; `path`, `sha256`, `bytes` as in NewMedia."""

    workspace_id: str
    path: str
    sha256: str
    bytes: int
    facts: UploadFacts
    filename: str | None
    now_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadRecord:
    """An upload and the pointer to its file."""

    upload: Upload
    pointer: MediaPointer


class UploadIndex(Protocol):
    """The pointers, in the store."""

    async def record_upload(self, new: NewUpload) -> Upload:
        """Point to a file that is on the disk. Raises WorkspaceNotFound."""

    async def upload_record(self, workspace_id: str, upload_id: str) -> UploadRecord:
        """Return it. Raises MediaNotFound."""


class Uploads(Protocol):
    """The files; memory stays flat, whatever their size."""

    async def save_upload(
        self,
        workspace_id: str,
        content: BinaryIO | Iterable[bytes],
        facts: Callable[[], UploadFacts],
        *,
        filename: str | None,
    ) -> Upload:
        """Keep a file; when this returns, it and its pointer are on the disk.

        `content` is read to its end in a thread; its errors come out as they are. `facts` is asked
        after that. Raises MediaNotKept, WorkspaceNotFound.
        """

    async def upload(self, workspace_id: str, upload_id: str) -> Upload:
        """Return it. Raises MediaNotFound."""

    def open_upload(
        self, workspace_id: str, upload_id: str
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Give the content piece by piece while the block runs; see MediaStore.open."""
