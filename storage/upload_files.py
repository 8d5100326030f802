"""The Uploads port on files: kept beside the files of messages, see storage.media_files.

An upload's file is bound to its workspace and to being an upload: it opens neither as another's nor
as a message's.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, Final

from ulid import ULID

from storage.media import MediaNotKept
from storage.media_files import FOLDER, SUFFIX, media_context, media_pieces, write_media
from storage.space import LOW_CODE, Space
from storage.store import StoreError
from storage.uploads import NewUpload
from storage.vault import open_archive
from storage.vault.errors import VaultError
from storage.vault.files import unlink_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from pathlib import Path

    from storage.uploads import Upload, UploadFacts, UploadIndex, UploadRecord
    from storage.vault import ArchiveFacts, Keyring

OWNER: Final = "upload"
"""Stands where a message's id stands in what a file is bound to; no message has this id."""


class UploadFiles:
    """Implements Uploads; used on the loop of the store, works in threads."""

    def __init__(
        self,
        *,
        data: Path,
        index: UploadIndex,
        keyring: Keyring,
        now_ms: Callable[[], int],
        space: Space | None = None,
    ) -> None:
        """`data` is the data directory. Without a `space` there is always room."""
        self._data = data
        self._index = index
        self._keyring = keyring
        self._now_ms = now_ms
        self._space = space or Space()

    async def save_upload(
        self,
        workspace_id: str,
        content: BinaryIO | Iterable[bytes],
        facts: Callable[[], UploadFacts],
        *,
        filename: str | None,
    ) -> Upload:
        if (refused := self._space.refusal()) is not None:
            raise MediaNotKept(LOW_CODE, refused)
        path = self._data / FOLDER / workspace_id / f"{ULID()}{SUFFIX}"
        context = media_context(workspace_id, OWNER, path)
        try:
            written = await _in_own_thread(
                partial(write_media, content, path, self._keyring, context)
            )
        except VaultError as error:
            raise MediaNotKept(error.code, str(error)) from error
        try:
            new = NewUpload(
                workspace_id=workspace_id,
                path=str(path.relative_to(self._data)),
                sha256=written.sha256,
                bytes=written.bytes_stored,
                facts=facts(),
                filename=filename,
                now_ms=self._now_ms(),
            )
            return await self._index.record_upload(new)
        except StoreError:
            # Only then: a cancelled call may have committed, and a pointer without a file would
            # be worse than a file without a pointer.
            await asyncio.to_thread(unlink_all, [path])
            raise

    async def upload(self, workspace_id: str, upload_id: str) -> Upload:
        return (await self._index.upload_record(workspace_id, upload_id)).upload

    @asynccontextmanager
    async def open_upload(
        self, workspace_id: str, upload_id: str
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        record = await self._index.upload_record(workspace_id, upload_id)
        async with media_pieces(partial(self._open, record), upload_id) as pieces:
            yield pieces

    def _open(self, record: UploadRecord) -> BinaryIO:
        path = self._data / record.pointer.path
        context = media_context(record.upload.workspace_id, OWNER, path)
        return open_archive(path, self._keyring, context)


async def _in_own_thread(work: Callable[[], ArchiveFacts]) -> ArchiveFacts:
    """Run it in a thread of its own: a slow sender must not hold one that others wait for."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="upload")
    try:
        return await asyncio.get_running_loop().run_in_executor(pool, work)
    finally:
        pool.shutdown(wait=False)
