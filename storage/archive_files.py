"""The Archives port on files: DATA/archives/WORKSPACE/SESSION/GENERATION.wfa and the store's index.

The order that survives a crash: take a generation, write the file, then point to it; and drop the
pointer, then remove the file. Whatever no pointer leads to is rubbish, which the boot sweeps.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

import structlog

from storage.archives import ArchiveFailed, ArchiveInfo, RefusedArchive, Restored
from storage.archives_index import NewArchive
from storage.space import LOW_CODE, Space
from storage.store import StoreError
from storage.vault import (
    ArchiveContext,
    open_archive,
    pack,
    sweep_partials,
    unpack,
    write_archive,
)
from storage.vault.errors import ProfileUnusable, VaultError
from storage.vault.files import partial_name, private_directory, sync_directory, unlink_all

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from storage.archives_index import ArchiveIndex, ArchiveRecord
    from storage.store import Store
    from storage.vault import ArchiveFacts, Keyring

log = structlog.get_logger(__name__)

FOLDER: Final = "archives"
SUFFIX: Final = ".wfa"
SAVES_AT_ONCE: Final = 2
ULID: Final = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What a boot found: files without a pointer (removed), and pointers without a file (kept)."""

    removed: int
    missing: int


class ArchiveFiles:
    """Implements Archives; used on the loop of the store, works in threads."""

    def __init__(
        self,
        *,
        data: Path,
        store: Store,
        index: ArchiveIndex,
        keyring: Keyring,
        keep: int,
        now_ms: Callable[[], int],
        space: Space | None = None,
    ) -> None:
        """`data` is the data directory, `keep` how many generations of a session stay (≥ 1).

        Without a `space` there is always room: for programs that run while no janitor does.
        """
        self._data = data
        self._root = data / FOLDER
        self._store = store
        self._index = index
        self._keyring = keyring
        self._keep = keep
        self._now_ms = now_ms
        self._space = space or Space()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        # Compressing takes a whole processor: more of them at once would only slow the loops down.
        self._slots = asyncio.Semaphore(SAVES_AT_ONCE)

    # ---- the port --------------------------------------------------------------------------------

    def refusal(self) -> ArchiveFailed | None:
        sentence = self._space.refusal()
        return None if sentence is None else ArchiveFailed(LOW_CODE, sentence)

    async def save(self, session_id: str, copied: Path) -> ArchiveInfo:
        try:
            if (refused := self.refusal()) is not None:
                raise refused
            async with self._lock(session_id), self._slots:
                return await self._save(session_id, copied)
        finally:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, copied, ignore_errors=True))

    async def restore(self, session_id: str, profile: Path) -> Restored:
        refused: list[RefusedArchive] = []
        async with self._lock(session_id):
            for record in await self._index.archives(session_id):
                try:
                    await asyncio.to_thread(self._unpack, record, profile)
                except ProfileUnusable as error:
                    raise ArchiveFailed(error.code, str(error)) from error
                except OSError as error:
                    raise _unusable(profile, error) from error
                except VaultError as error:
                    refused.append(_refused(record, error))
                else:
                    return Restored(archive=_info(record), refused=tuple(refused))
        return Restored(archive=None, refused=tuple(refused))

    async def forget(self, session_id: str) -> int:
        async with self._lock(session_id):
            records = await self._index.drop_archives(session_id, 0)
            await asyncio.to_thread(self._remove_folders, session_id)
        if records:
            log.info("archives_forgotten", session_id=session_id, count=len(records))
        return len(records)

    async def list(self, session_id: str) -> Sequence[ArchiveInfo]:
        return [_info(record) for record in await self._index.archives(session_id)]

    # ---- the boot --------------------------------------------------------------------------------

    async def sweep(self) -> Swept:
        """Remove what a dead process left half-done. Before anything is saved."""
        removed = missing = 0
        for folder in await asyncio.to_thread(self._folders):
            pointed = {self._file(record) for record in await self._index.archives(folder.name)}
            removed += await asyncio.to_thread(_sweep, folder, pointed)
            missing += sum(1 for file in pointed if file.parent == folder and not file.is_file())
        if removed or missing:
            log.warning("archives_swept", removed=removed, missing=missing)
        return Swept(removed=removed, missing=missing)

    # ---- behind it -------------------------------------------------------------------------------

    def _lock(self, session_id: str) -> asyncio.Lock:
        return self._locks.setdefault(session_id, asyncio.Lock())

    async def _save(self, session_id: str, copied: Path) -> ArchiveInfo:
        row = await self._store.any_session(session_id)
        generation = await self._index.next_generation(session_id)
        context = ArchiveContext(row.workspace_id, session_id, generation)
        path = self._root / row.workspace_id / session_id / f"{generation}{SUFFIX}"
        try:
            facts = await asyncio.to_thread(self._write, copied, path, context)
        except VaultError as error:
            raise ArchiveFailed(error.code, str(error)) from error
        except OSError as error:
            raise _unusable(path, error) from error
        new = NewArchive(
            session_id=session_id,
            generation=generation,
            path=str(path.relative_to(self._data)),
            sha256=facts.sha256,
            bytes=facts.bytes_stored,
            now_ms=self._now_ms(),
        )
        try:
            record = await self._index.add_archive(new)
        except StoreError:  # after anything else the pointer may stand; the boot's sweep tells
            await asyncio.to_thread(unlink_all, [path])
            raise
        old = await self._index.drop_archives(session_id, self._keep)
        await asyncio.to_thread(unlink_all, [self._file(each) for each in old])
        return _info(record)

    def _write(self, copied: Path, path: Path, context: ArchiveContext) -> ArchiveFacts:
        private_directory(self._root, context.workspace, context.session)
        return write_archive(pack(copied), path, self._keyring, context)

    def _unpack(self, record: ArchiveRecord, profile: Path) -> None:
        """Unpack beside the profile, and put it in its place once all of it was verified."""
        context = ArchiveContext(record.workspace_id, record.session_id, record.generation)
        with open_archive(self._file(record), self._keyring, context) as stream:
            profile.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            sweep_partials(profile.parent)
            fresh = partial_name(profile)
            try:
                unpack(stream, fresh)
                if profile.exists():
                    shutil.rmtree(profile)
                fresh.rename(profile)
            finally:
                shutil.rmtree(fresh, ignore_errors=True)  # usually gone by now
        sync_directory(profile.parent)

    def _file(self, record: ArchiveRecord) -> Path:
        return self._data / record.path

    def _folders(self) -> tuple[Path, ...]:
        """Every session's directory below archives/."""
        found = (f for f in self._root.glob("*/*") if ULID.fullmatch(f.name))
        return tuple(f for f in found if f.is_dir() and not f.is_symlink())

    def _remove_folders(self, session_id: str) -> None:
        for folder in self._folders():
            if folder.name == session_id:
                shutil.rmtree(folder)
                sync_directory(folder.parent)


def _sweep(folder: Path, pointed: set[Path]) -> int:
    removed = sweep_partials(folder)
    rubbish = [f for f in folder.glob(f"*{SUFFIX}") if f not in pointed]
    unlink_all(rubbish)
    if not any(folder.iterdir()):
        folder.rmdir()
    return removed + len(rubbish)


def _info(record: ArchiveRecord) -> ArchiveInfo:
    return ArchiveInfo(
        session_id=record.session_id,
        generation=record.generation,
        bytes=record.bytes,
        sha256=record.sha256,
        created_ms=record.created_ms,
    )


def _refused(record: ArchiveRecord, error: VaultError) -> RefusedArchive:
    return RefusedArchive(generation=record.generation, code=error.code, message=str(error))


def _unusable(path: Path, error: OSError) -> ArchiveFailed:
    return ArchiveFailed(
        "directory_unusable",
        f"{path.name} or its directory can't be used ({error.strerror}): check the space and the "
        "rights, then try again.",
    )
