"""The Media port: files that came with messages, kept encrypted, whole or not at all.

    MediaError                 code, `reason`, sentence
    ├── MediaNotKept           media_not_kept: it could not be written (also: disk_low); nothing of
    │                          it is left
    └── MediaUnreadable        media_unreadable: the file is missing, damaged, moved here from
                               another message, or its key is not on the ring

`reason` is a stable code such as archive_damaged or key_missing. StoreErrors come out as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, ClassVar, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence
    from contextlib import AbstractAsyncContextManager

    from storage.privacy import MediaPointer


class MediaError(Exception):
    """Base of what can go wrong with a file; the text says what to do."""

    code: ClassVar[str] = "media_failed"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class MediaNotKept(MediaError):  # noqa: N818 - the port speaks in domain words
    code = "media_not_kept"


class MediaUnreadable(MediaError):  # noqa: N818
    code = "media_unreadable"


class MediaStore(Protocol):
    """Memory stays flat, whatever the size of a file."""

    async def save(self, message_id: str, content: BinaryIO | Iterable[bytes]) -> MediaPointer:
        """Keep what came with a message; when this returns, file and pointer are on the disk.

        `content` is read to its end in a thread; its errors come out as they are. Raises
        MessageNotFound (also when the message was erased meanwhile), MediaNotKept.
        """

    def open(
        self, workspace_id: str, media_id: str
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Give the content piece by piece while the block runs.

        It is whole only if the iteration ends without an error. Raises, at once or in the middle:
        MediaNotFound, MediaUnreadable.
        """

    async def remove(self, workspace_id: str, media_id: str) -> bool:
        """Forget a file for good. Raises MediaNotFound.

        False: nothing leads to it any more, but it could not be removed; a later start tries again.
        """

    async def discard(self, dropped: Sequence[MediaPointer]) -> Sequence[MediaPointer]:
        """Remove the files of pointers that were dropped; return those that could not be removed.

        One that is not there is fine. A path that leads elsewhere than to media is refused.
        """
