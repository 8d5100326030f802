"""Copying the profile of a running browser: everything of it is stopped, copied, and let go.

A copy of a running profile loses the login: Chromium writes its databases in several steps. So each
process of the browser's session is stopped by a signal that none can refuse, and it is proved
(twice, with every thread) that nothing of it runs before the first byte is read, and again after
the last. Whatever happens, the browser is let go: when the copy ends, fails, is cancelled, takes
too long, or the browser is to be stopped.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from actors.browser import procfs
from actors.browser.driver import CopyFailed, CopyReport
from storage.vault.errors import VaultError
from storage.vault.profile_copy import copy_profile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from actors.browser.process import ChromiumProcess
    from storage.vault.profile_copy import CopyFacts

PROOF_DEADLINE: Final = 2.0
"""Seconds in which all processes must stand still; one in the middle of a read may take a while."""
PROOF_INTERVAL: Final = 0.001
SETTLE_DEADLINE: Final = 5.0
"""Seconds that a copy may go on after it was given up, before it is left to itself."""

Members = frozenset[tuple[int, int]]
"""Pids with their start times."""


class Freezer:
    """One browser's; used from its loop."""

    def __init__(self, process: ChromiumProcess, profile: Path) -> None:
        self._process = process
        self._profile = profile
        self._pause: Pause | None = None
        self._copying: asyncio.Future[CopyReport] | None = None
        self._past_pauses = 0.0
        self._closed = False

    def active_time(self) -> float:
        """Seconds of a monotonic clock that stands still while the browser does."""
        running = 0.0 if self._pause is None else self._pause.seconds
        return time.monotonic() - self._past_pauses - running

    async def copy(self, target: Path, deadline: float) -> CopyReport:
        """Freeze, copy to `target` (replaced), let go after `deadline` seconds at the latest.

        Raises CopyFailed.
        """
        if self._closed:
            raise CopyFailed("the browser is being stopped: start its session again first")
        if self._copying is not None:
            raise CopyFailed("the profile is being copied already: wait until that is done")
        pause = self._pause = Pause(self._process)
        copying = asyncio.ensure_future(asyncio.to_thread(_copy, pause, self._profile, target))
        self._copying = copying
        copying.add_done_callback(self._ended)
        try:
            done, _ = await asyncio.wait({copying}, timeout=deadline)
            if not done:
                pause.release()
                done, _ = await asyncio.wait({copying}, timeout=SETTLE_DEADLINE)
        finally:
            pause.release()  # a thread can't be cancelled; it finds out, and removes what it made
        if not done:
            raise CopyFailed(f"the copy took more than {deadline:g} s: look at the disk")
        return copying.result()

    def close(self) -> None:
        """Let the browser go, now and for good."""
        self._closed = True
        if self._pause is not None:
            self._pause.release()

    async def settled(self) -> None:
        """Wait, within bounds, until a copy that was given up writes nothing any more."""
        if self._copying is not None:
            await asyncio.wait({self._copying}, timeout=SETTLE_DEADLINE)

    def _ended(self, copying: asyncio.Future[CopyReport]) -> None:
        if self._pause is not None:
            self._past_pauses += self._pause.seconds
        self._pause = self._copying = None
        if not copying.cancelled():
            copying.exception()  # seen: who asked may have been cancelled


class Pause:
    """One standstill of one browser. All of it blocks; `release` is safe from any thread."""

    def __init__(self, process: ChromiumProcess) -> None:
        self._process = process
        self._lock = threading.Lock()
        self._released = False
        self._began: float | None = None
        self._ended: float | None = None

    @property
    def seconds(self) -> float:
        """How long the browser has stood still."""
        if self._began is None:
            return 0.0
        return (self._ended or time.monotonic()) - self._began

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nothing of the browser runs while the block does. Raises CopyFailed, also at the end."""
        try:
            members = self._stop_all()
            yield
            if self._released or not members or _standing(self._members()) != members:
                raise CopyFailed("the browser moved while its profile was copied: try again")
        finally:
            self.release()

    def release(self) -> None:
        """Let everything go on. Idempotent."""
        with self._lock:
            if self._released:
                return
            self._released = True
            if self._began is None:
                return
            self._process.signal_group(signal.SIGCONT)
            self._signal_others(self._members(), signal.SIGCONT)
            self._ended = time.monotonic()

    def _stop_all(self) -> Members:
        """Stop all processes and return them, once two looks in a row saw them all stand still.

        One look is not enough: a process may have started another one behind its back.
        """
        until = time.monotonic() + PROOF_DEADLINE
        before: Members | None = None
        while True:
            with self._lock:
                if self._released:
                    raise CopyFailed("the copy was given up: try again")
                self._began = self._began or time.monotonic()
                self._process.signal_group(signal.SIGSTOP)
                members = self._members()
                self._signal_others(members, signal.SIGSTOP)
            now = _standing(members)
            if now is not None and now == before:
                return now
            before = now
            if time.monotonic() > until:
                raise CopyFailed("the browser could not be stopped for the copy: try again")
            time.sleep(PROOF_INTERVAL)

    def _signal_others(self, members: list[procfs.Process], number: signal.Signals) -> None:
        """Reach those who have left the leader's group, but not its session."""
        for member in members:
            if member.group != self._process.pid and procfs.still_lives(member):
                with suppress(ProcessLookupError):  # it ended meanwhile
                    os.kill(member.pid, number)

    def _members(self) -> list[procfs.Process]:
        return procfs.session_members(self._process.leader)


def _standing(members: list[procfs.Process]) -> Members | None:
    """Return who they are if none of them runs, else None."""
    if all(procfs.stands_still(member.pid) for member in members):
        return frozenset((member.pid, member.started) for member in members)
    return None


def _copy(pause: Pause, profile: Path, target: Path) -> CopyReport:
    """Blocks. Raises CopyFailed; then nothing is left of `target`."""
    facts: CopyFacts | None = None
    try:
        shutil.rmtree(target, ignore_errors=True)  # if it stays, making it anew says why
        with pause.held():
            facts = copy_profile(profile, target)
    except VaultError as error:
        raise CopyFailed(str(error)) from error
    except BaseException:
        if facts is not None:
            shutil.rmtree(target, ignore_errors=True)  # the first error is the one to tell
        raise
    return CopyReport(pause_seconds=pause.seconds, files=facts.files, bytes=facts.bytes)
