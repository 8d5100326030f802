"""The Media port on files: DATA/media/WORKSPACE/ULID.wfm and the store's index.

The order that survives a crash: write the file, then point to it; and drop the pointer, then
remove the file. Whatever no pointer leads to is rubbish, which the boot sweeps. The ULID is the
file's own; the file is bound to it, to the workspace and to the message, so that two files that
changed places do not open.

The boot, retention, the rotation of keys and the erasure of contacts use this, the sessions' actors
save what contacts send (actors.fetching), and the API opens it.
"""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import structlog
from ulid import ULID

from storage.media import MediaNotKept, MediaUnreadable
from storage.privacy import NewMedia
from storage.space import LOW_CODE, Space
from storage.store import StoreError
from storage.vault import ArchiveContext, open_archive, sweep_partials, write_archive
from storage.vault.errors import VaultError
from storage.vault.files import private_directory, unlink_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from storage.media_index import MediaIndex, MediaRecord
    from storage.privacy import MediaPointer, Privacy
    from storage.vault import ArchiveFacts, Keyring

log = structlog.get_logger(__name__)

FOLDER: Final = "media"
SUFFIX: Final = ".wfm"
SAVES_AT_ONCE: Final = 2
_FILE: Final = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}\.wfm")
_WORKSPACE: Final = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")
_ZSTD_LEVEL: Final = 1
"""Photos, films and voice notes are compressed already: a higher level costs time for nothing."""
_PIECE: Final = 256 * 1024
_PAGE: Final = 500


class MediaFiles:
    """Implements MediaStore; used on the loop of the store, works in threads."""

    def __init__(
        self,
        *,
        data: Path,
        index: MediaIndex,
        privacy: Privacy,
        keyring: Keyring,
        now_ms: Callable[[], int],
        space: Space | None = None,
    ) -> None:
        """`data` is the data directory. Without a `space` there is always room."""
        self._data = data
        self._root = data / FOLDER
        self._index = index
        self._privacy = privacy
        self._keyring = keyring
        self._now_ms = now_ms
        self._space = space or Space()
        # Each takes a processor and some megabytes; more at once would slow the loops down.
        self._slots = asyncio.Semaphore(SAVES_AT_ONCE)

    # ---- the port --------------------------------------------------------------------------------

    async def save(self, message_id: str, content: BinaryIO | Iterable[bytes]) -> MediaPointer:
        if (refused := self._space.refusal()) is not None:
            raise MediaNotKept(LOW_CODE, refused)
        workspace_id = await self._index.message_workspace(message_id)
        path = self._root / workspace_id / f"{ULID()}{SUFFIX}"
        async with self._slots:
            try:
                context = media_context(workspace_id, message_id, path)
                facts = await asyncio.to_thread(write_media, content, path, self._keyring, context)
            except VaultError as error:
                raise MediaNotKept(error.code, str(error)) from error
            new = NewMedia(
                message_id=message_id,
                path=str(path.relative_to(self._data)),
                sha256=facts.sha256,
                bytes=facts.bytes_stored,
                now_ms=self._now_ms(),
            )
            try:
                return await self._privacy.record_media(new)
            except StoreError:
                # Only then: a cancelled call may have committed, and a pointer without a file would
                # be worse than a file without a pointer.
                await asyncio.to_thread(unlink_all, [path])
                raise

    @asynccontextmanager
    async def open(self, workspace_id: str, media_id: str) -> AsyncIterator[AsyncIterator[bytes]]:
        record = await self._index.media(workspace_id, media_id)
        async with media_pieces(partial(self._open, record), media_id) as pieces:
            yield pieces

    async def remove(self, workspace_id: str, media_id: str) -> bool:
        pointer = await self._index.drop_media(workspace_id, media_id)
        return not await self.discard([pointer])

    async def discard(self, dropped: Sequence[MediaPointer]) -> Sequence[MediaPointer]:
        return await asyncio.to_thread(remove_media_files, self._data, dropped)

    # ---- the boot --------------------------------------------------------------------------------

    async def sweep(self) -> int:
        """Remove what no pointer leads to; return how many. Before anything is saved.

        A directory that can't be read is told and left: no reason not to start.
        """
        removed = 0
        for folder in await asyncio.to_thread(self._folders):
            try:
                removed += await self._sweep(folder)
            except OSError as error:
                log.warning("media_not_swept", directory=str(folder), error=type(error).__name__)
        if removed:
            log.warning("media_swept", removed=removed)
        return removed

    # ---- behind it -------------------------------------------------------------------------------

    def _open(self, record: MediaRecord) -> BinaryIO:
        path = self._data / record.pointer.path
        context = media_context(record.workspace_id, record.message_id, path)
        return open_archive(path, self._keyring, context)

    async def _sweep(self, folder: Path) -> int:
        removed = await asyncio.to_thread(sweep_partials, folder)
        names = await asyncio.to_thread(_names, folder)
        for at in range(0, len(names), _PAGE):
            page = {str((folder / n).relative_to(self._data)): n for n in names[at : at + _PAGE]}
            pointed = await self._index.pointed_media(page.keys())
            rubbish = [folder / name for path, name in page.items() if path not in pointed]
            await asyncio.to_thread(unlink_all, rubbish)
            removed += len(rubbish)
        return removed

    def _folders(self) -> Sequence[Path]:
        """Every workspace's directory below media/."""
        found = [f for f in self._root.glob("*") if _WORKSPACE.fullmatch(f.name)]
        return [f for f in found if f.is_dir() and not f.is_symlink()]


def media_context(workspace_id: str, message_id: str, path: Path) -> ArchiveContext:
    """Return what a message's file is bound to."""
    return ArchiveContext(workspace_id, f"{message_id}/{path.stem}", 0)


def write_media(
    content: BinaryIO | Iterable[bytes], path: Path, keyring: Keyring, context: ArchiveContext
) -> ArchiveFacts:
    """Write a file of media to DATA/media/WORKSPACE/…; the workspace's directory is made if needed.

    Blocks. Raises MediaNotKept, VaultErrors, and what `content` raises.
    """
    try:
        private_directory(path.parent.parent, context.workspace)
    except OSError as error:
        raise MediaNotKept(
            "directory_unusable",
            f"The directory of media can't be used ({error.strerror}): check the space and the "
            "rights, then try again.",
        ) from error
    return write_archive(content, path, keyring, context, level=_ZSTD_LEVEL)


@asynccontextmanager
async def media_pieces(
    opener: Callable[[], BinaryIO], media_id: str
) -> AsyncIterator[AsyncIterator[bytes]]:
    """Open a file in a thread and give its content while the block runs. Raises MediaUnreadable."""
    opening = asyncio.ensure_future(asyncio.to_thread(opener))
    try:
        stream = await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close_late)
        raise
    except VaultError as error:
        raise _unreadable(media_id, error) from error
    try:
        yield _read(stream, media_id)
    finally:
        await asyncio.to_thread(stream.close)


def remove_media_files(data: Path, dropped: Sequence[MediaPointer]) -> Sequence[MediaPointer]:
    """Do what MediaStore.discard does; `data` is the data directory. Blocks."""
    root = (data / FOLDER).resolve()
    return [pointer for pointer in dropped if not _removed(root, data, pointer)]


def _removed(root: Path, data: Path, pointer: MediaPointer) -> bool:
    try:
        # The folder, not the file: of a link in the file's place the link goes, not what it names.
        folder = (data / pointer.path).parent.resolve()
        name = Path(pointer.path).name
        if not folder.is_relative_to(root) or name in {"", os.pardir}:
            log.error("media_path_refused", path=pointer.path)
            return False
        (folder / name).unlink(missing_ok=True)
    except (OSError, ValueError) as error:  # ValueError: a path that no file can have
        log.warning("media_file_left", path=pointer.path, error=type(error).__name__)
        return False
    return True


def _names(folder: Path) -> Sequence[str]:
    """Name the files of a workspace; those of others, whatever they are, are not ours to judge."""
    return [e.name for e in os.scandir(folder) if _FILE.fullmatch(e.name)]


async def _read(stream: BinaryIO, media_id: str) -> AsyncIterator[bytes]:
    try:
        while piece := await asyncio.to_thread(stream.read, _PIECE):
            yield piece
    except VaultError as error:
        raise _unreadable(media_id, error) from error


def _close_late(opening: asyncio.Future[BinaryIO]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


def _unreadable(media_id: str, error: VaultError) -> MediaUnreadable:
    return MediaUnreadable(
        error.code,
        f"The file of media {media_id} can't be read ({error.code}): put it, or the key that "
        "sealed it, back from a backup.",
    )
