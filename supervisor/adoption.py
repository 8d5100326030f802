"""Takes in what is on the disk and not in a database that went back to an earlier day.

Sessions that were made since have a directory with a login, or archives, and no row. Archives that
were made since have a generation to which nothing points. Both are taken in; files that prove
nothing go to the quarantine, where the sweeps of the boot do not reach them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from actors.browser.logins import may_hold_login
from storage import archive_files, media_files
from storage.archives_index import NewArchive
from storage.events import EventType
from storage.tenants import DEFAULT, WorkspaceNotFound
from storage.vault import ArchiveContext, inspect_archive
from storage.vault.errors import VaultError
from supervisor.admin import copies
from supervisor.datadir import ULID

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from storage.sqlite.store import SqliteStore
    from storage.vault import Keyring
    from supervisor.datadir import DataDir
    from supervisor.quarantine import Quarantine

log = structlog.get_logger(__name__)

NAME: Final = "recovered-"
_PAGE: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """What was taken in, and how many files were put aside."""

    sessions: int = 0
    archives: int = 0
    put_aside: int = 0


NOTHING: Final = Adopted()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """An archive by what its path says; `good` once that was proven."""

    path: Path
    workspace_id: str
    generation: int
    good: bool = False


class Adoption:
    """Used once, on the loop of the store, before anything else uses the data directory."""

    def __init__(
        self,
        *,
        data: DataDir,
        store: SqliteStore,
        keyring: Keyring,
        quarantine: Quarantine,
        now_ms: int,
    ) -> None:
        self._data = data
        self._store = store
        self._keyring = keyring
        self._quarantine = quarantine
        self._now_ms = now_ms
        self._sessions = 0
        self._archives = 0
        self._put_aside = 0

    async def run(self) -> Adopted:
        """Take in all that proves what it is. Raises StoreErrors, OSError."""
        for session_id in await asyncio.to_thread(self._session_ids):
            await self._session(session_id)
        await self._media()
        return Adopted(sessions=self._sessions, archives=self._archives, put_aside=self._put_aside)

    # ---- sessions and their archives -------------------------------------------------------------

    async def _session(self, session_id: str) -> None:
        known = await self._store.known_session(session_id)
        if known is not None and known.deleted:
            return  # it was deleted before: what is left of it is for the sweeps
        pointed = await self._store.archives(session_id)
        newest = max((record.generation for record in pointed), default=0)
        found = await asyncio.to_thread(self._proven, session_id, newest)
        workspace_id = await self._home(found) if known is None else known.workspace_id
        good = [one for one in found if one.good and one.workspace_id == workspace_id]
        if known is None and (good or await self._holds_login(session_id)):
            await self._adopt(session_id, workspace_id)
            known_now = True
        else:
            known_now = known is not None
        for one in good if known_now else ():
            await self._store.adopt_archive(await asyncio.to_thread(self._new, session_id, one))
        if good and known_now:
            await self._tell_archives(session_id, good)
        await self._aside([one.path for one in found if one not in good])

    async def _home(self, found: Sequence[_Found]) -> str:
        """Return the workspace that a session without a row belongs to."""
        named = sorted(found, key=lambda one: (one.good, one.generation), reverse=True)
        for one in named:
            try:
                return (await self._store.workspace(one.workspace_id)).id
            except WorkspaceNotFound:
                continue
        return (await self._store.workspace_named(DEFAULT)).id

    async def _adopt(self, session_id: str, workspace_id: str) -> None:
        name = f"{NAME}{session_id.lower()}"
        await self._store.adopt_session(workspace_id, session_id, name, self._now_ms)
        self._sessions += 1
        log.warning("session_adopted", session_id=session_id)

    async def _tell_archives(self, session_id: str, good: Sequence[_Found]) -> None:
        self._archives += len(good)
        newest = good[-1].generation
        payload = {"action": "archives_adopted", "cause": "recovered", "count": len(good)}
        await self._store.record_event(session_id, EventType.STORAGE, payload, self._now_ms)
        log.warning("archives_adopted", session_id=session_id, count=len(good), generation=newest)

    async def _holds_login(self, session_id: str) -> bool:
        profile = self._data.paths(session_id).profile
        return await asyncio.to_thread(may_hold_login, profile)

    # ---- files: these block ----------------------------------------------------------------------

    def _session_ids(self) -> Sequence[str]:
        folders = [*self._data.sessions.glob("*"), *self._data.archives.glob("*/*")]
        return sorted({folder.name for folder in folders if _is_folder(folder)})

    def _proven(self, session_id: str, newest: int) -> Sequence[_Found]:
        """Return a session's archives beyond what is pointed to, in order of generation."""
        found = []
        for folder in self._data.archives.glob(f"*/{session_id}"):
            if not _is_folder(folder) or not _is_folder(folder.parent):
                continue
            for path in folder.glob(f"*{archive_files.SUFFIX}"):
                number = path.stem
                if number.isascii() and number.isdigit() and int(number) > newest:
                    found.append(self._judged(path, int(number)))
        return sorted(found, key=lambda one: one.generation)

    def _judged(self, path: Path, generation: int) -> _Found:
        workspace_id, session_id = path.parts[-3:-1]
        expected = ArchiveContext(workspace_id, session_id, generation)
        try:
            good = inspect_archive(path, self._keyring) == expected
        except VaultError as error:
            log.error("archive_refused", path=str(path), code=error.code)  # noqa: TRY400 - told
            good = False
        return _Found(path=path, workspace_id=workspace_id, generation=generation, good=good)

    def _new(self, session_id: str, one: _Found) -> NewArchive:
        facts = copies.digest(copies.plain(one.path), copies.Meter(0))
        return NewArchive(
            session_id=session_id,
            generation=one.generation,
            path=str(one.path.relative_to(self._data.root)),
            sha256=facts.sha256,
            bytes=facts.bytes,
            now_ms=int(one.path.stat().st_mtime * 1000),
        )

    async def _aside(self, paths: Sequence[Path]) -> None:
        for path in paths:
            await asyncio.to_thread(self._quarantine.move, path)
        self._put_aside += len(paths)

    # ---- media -----------------------------------------------------------------------------------

    async def _media(self) -> None:
        """Put aside the files of messages that the database has not heard of."""
        pattern = f"*/*{media_files.SUFFIX}"
        files = await asyncio.to_thread(lambda: sorted(self._data.media.glob(pattern)))
        for at in range(0, len(files), _PAGE):
            page = {str(path.relative_to(self._data.root)): path for path in files[at : at + _PAGE]}
            pointed = await self._store.pointed_media(page.keys())
            await self._aside([path for name, path in page.items() if name not in pointed])


def _is_folder(path: Path) -> bool:
    return bool(ULID.match(path.name)) and path.is_dir() and not path.is_symlink()
