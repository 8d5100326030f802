"""Who may do what to a session's directory while no browser runs on it, one at a time.

A launch, the janitor and the end of a session all work in there. Within this process they take
turns (`holding`), so that a launch waits for a cleaning instead of finding its profile in use;
against others, and against a browser that outlived its stop, the profile's own lock and a look at
/proc decide. The janitor leaves a session alone that is on the live board: a session is put there
before it is launched, and holds its place until its browser is gone.
"""

from __future__ import annotations

import asyncio
import os
import re
import stat
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

from actors.browser import profile_tree
from actors.browser.driver import ProfileInUse
from actors.browser.profile import ProfileLock, is_running
from actors.browser.profile_facts import Directory, Tidied
from actors.browser.profile_tree import PROFILE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from actors.browser.profile_facts import ProfileSize, Removed

ULID: Final = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")


class ProfileCare:
    """Used on the main loop; works in threads. Every method raises OSError.

    `sessions` is the directory of all sessions, `limit` bytes that each may take, `is_live` tells
    whether a session has an actor or is about to get one.
    """

    def __init__(self, sessions: Path, limit: int, is_live: Callable[[str], bool]) -> None:
        self._sessions = sessions
        self.limit = limit
        self._is_live = is_live
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def holding(self, session_id: str) -> AsyncIterator[None]:
        """Nobody else of this process works in the session's directory while the block runs."""
        async with self._turns.setdefault(session_id, asyncio.Lock()):
            yield

    async def measure(self) -> Mapping[str, ProfileSize]:
        """Return the size of every session's directory; of one that can't be read, nothing."""
        sizes = {}
        for each in await self.directories():  # one by one: others need the threads, too
            size = await asyncio.to_thread(_measured, self._sessions / each.session_id)
            if size is not None:
                sizes[each.session_id] = size
        return sizes

    async def tidy(self, session_id: str) -> Tidied | None:
        """Clean a profile that is above the limit; None for one that is not.

        For the launch, while it is `holding` the session: nothing runs on it then.
        """
        directory = self._sessions / session_id
        size = await asyncio.to_thread(profile_tree.measure, directory)
        if size.total <= self.limit:
            return None
        return await asyncio.to_thread(_cleaned, directory)

    async def clean(self, session_id: str) -> Tidied | None:
        """Clean the profile of a session that does not run; None if it does, or is in use."""
        async with self.holding(session_id):
            if self._is_live(session_id):
                return None
            return await asyncio.to_thread(_cleaned, self._sessions / session_id)

    async def directories(self) -> tuple[Directory, ...]:
        """Return every directory that looks like a session's: what is called otherwise is not."""
        return await asyncio.to_thread(_directories, self._sessions)

    async def remove(self, session_id: str) -> Removed | None:
        """Remove the directory of a session that is no more; None if it lives or is in use."""
        async with self.holding(session_id):
            if self._is_live(session_id):
                return None
            return await asyncio.to_thread(_removed, self._sessions / session_id)


# ---- in a thread ---------------------------------------------------------------------------------


def _measured(directory: Path) -> ProfileSize | None:
    try:
        return profile_tree.measure(directory)
    except OSError:  # a link in its place, or not ours to read; the next look may find it mended
        return None


def _owned(directory: Path) -> ProfileLock | None:
    """Take the profile's lock, unless somebody has it or a browser runs there all the same."""
    try:
        lock = ProfileLock.acquire(directory)
    except (ProfileInUse, FileNotFoundError):  # or it never had a directory
        return None
    if is_running(directory / PROFILE):
        lock.release()
        return None
    return lock


def _cleaned(directory: Path) -> Tidied | None:
    began = time.monotonic()
    lock = _owned(directory)
    if lock is None:
        return None
    try:
        before = profile_tree.measure(directory)
        removed = profile_tree.clean(directory)
        after = profile_tree.measure(directory)
    finally:
        lock.release()
    return Tidied(before=before, after=after, removed=removed, seconds=time.monotonic() - began)


def _removed(directory: Path) -> Removed | None:
    lock = _owned(directory)
    if lock is None:
        return None
    try:
        return profile_tree.remove(directory)
    finally:
        lock.release()


def _directories(sessions: Path) -> tuple[Directory, ...]:
    found = []
    for name in sorted(os.listdir(sessions)):  # noqa: PTH208 - names are all that is needed
        if ULID.fullmatch(name):
            here = _directory(sessions / name)
            if here is not None:
                found.append(here)
    return tuple(found)


def _directory(path: Path) -> Directory | None:
    """A link, a file, or what belongs to another user is not a session's directory."""
    try:
        times = [path.lstat()]
        if not stat.S_ISDIR(times[0].st_mode) or times[0].st_uid != os.geteuid():
            return None
        with os.scandir(path) as entries:
            times.extend(entry.stat(follow_symlinks=False) for entry in entries)
    except OSError:  # it is just being removed
        return None
    return Directory(session_id=path.name, touched=max(each.st_mtime for each in times))
