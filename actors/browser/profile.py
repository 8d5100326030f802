"""One owner per profile: directories, its lock, stale Singleton files, a dead owner's orphans."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from actors.browser import procfs
from actors.browser.driver import LaunchFailed, ProfileInUse
from actors.browser.scratch import Scratch, sweep_links

if TYPE_CHECKING:
    from collections.abc import Iterable

    from actors.browser.driver import SessionPaths

log = structlog.get_logger(__name__)

OWNER_LOCK: Final = "owner.lock"
SINGLETONS: Final = ("SingletonLock", "SingletonCookie", "SingletonSocket")
USER_DATA_DIR: Final = "--user-data-dir="
PIPE: Final = " --remote-debugging-pipe "
GONE_DEADLINE: Final = 2.0
GONE_INTERVAL: Final = 0.01


class ProfileLock:
    """Holds a session's directory against every other owner, on this machine, until released.

    The kernel lets go of it when this process dies, however it dies.
    """

    def __init__(self, fd: int) -> None:
        self._fd: int | None = fd
        self._scratch: Scratch | None = None

    def scratch(self, tmp: Path) -> Path:
        """Return what to call `tmp` as TMPDIR, until released. Raises OSError."""
        self._scratch = Scratch(tmp)
        return self._scratch.path

    @classmethod
    def acquire(cls, session_dir: Path) -> ProfileLock:
        """Take the lock without waiting. Raises ProfileInUse, OSError."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(session_dir / OWNER_LOCK, flags, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise ProfileInUse(
                f"the profile of session {session_dir.name} is in use by another browser "
                "or another wafleet: stop that one first"
            ) from None
        except OSError:
            os.close(fd)
            raise
        return cls(fd)

    def release(self) -> None:
        """Let the next owner in. Idempotent."""
        if self._scratch is not None:
            self._scratch.close()
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


def take(paths: SessionPaths) -> ProfileLock:
    """Make the directories, own them, and clear away what a dead owner left.

    Blocks for some ten milliseconds. Raises ProfileInUse, LaunchFailed.
    """
    session_dir = paths.profile.parent
    try:
        for directory in (session_dir, paths.profile, paths.tmp):
            _make_private(directory)
        lock = ProfileLock.acquire(session_dir)
    except OSError as error:
        raise LaunchFailed(
            f"the directory of session {session_dir.name} can't be used: {error.strerror}"
        ) from error
    try:
        _kill_orphans(paths.profile)
        _refuse_foreign(paths.profile)
        _remove_stale_singletons(paths.profile)
        _empty(paths.tmp)
    except BaseException as error:
        lock.release()
        if isinstance(error, OSError):
            raise LaunchFailed(
                f"the directory of session {session_dir.name} can't be cleaned: {error.strerror}"
            ) from error
        raise
    return lock


def is_running(profile: Path) -> bool:
    """Tell whether any browser of ours runs on this profile, whoever started it."""
    return any(_is_on(_browser_command(p.pid), profile) for p in _mine())


def sweep_orphans(root: Path) -> list[int]:
    """Kill every browser of ours that runs on a profile below `root`; return the pids killed.

    For the boot, before anything is launched: what runs then was left by a dead supervisor.
    """
    inside = f"{USER_DATA_DIR}{os.path.abspath(root)}{os.sep}"  # noqa: PTH100 - not the links' aim
    killed = _kill_sessions(p for p in _mine() if inside in _browser_command(p.pid))
    if killed:
        log.warning("orphan_browsers_killed", pids=killed)
    sweep_links(root)
    return killed


def _make_private(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)


def _empty(directory: Path) -> None:
    for entry in os.scandir(directory):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            Path(entry.path).unlink()


def _kill_orphans(profile: Path) -> None:
    """Kill what runs on this profile: the lock is ours, so no living owner answers for it."""
    killed = _kill_sessions(p for p in _mine() if _is_on(_browser_command(p.pid), profile))
    if killed:
        log.warning("orphan_browser_killed", session_id=profile.parent.name, pids=killed)


def _refuse_foreign(profile: Path) -> None:
    """Leave a profile alone that a browser of somebody else's runs on. Raises ProfileInUse.

    Chromium's own lock would tell of it, too, but the headless shell makes none and minds none: two
    of them on one profile would ruin its login.
    """
    for process in procfs.processes():
        if not process.dead and _is_on(procfs.command_line(process.pid) or "", profile):
            raise ProfileInUse(
                f"process {process.pid} runs on the profile of session {profile.parent.name}: "
                "end it first"
            )


def _remove_stale_singletons(profile: Path) -> None:
    """Remove Chromium's own lock if its holder is provably not a live process on this profile.

    A lock left by another host (a container made anew) would keep Chromium out for ever. Raises
    ProfileInUse.
    """
    holder = profile / SINGLETONS[0]
    try:
        target = os.readlink(holder)  # noqa: PTH115 - the text of the link, it leads nowhere
    except OSError:  # no lock, or not a link: Chromium itself deals with both
        return
    host, _, pid = target.rpartition("-")
    if host == socket.gethostname() and pid.isdigit() and _may_be_on(int(pid), profile):
        raise ProfileInUse(
            f"process {pid} holds the profile of session {profile.parent.name}: end it first"
        )
    for name in SINGLETONS:
        (profile / name).unlink(missing_ok=True)
    log.warning("stale_profile_lock_removed", session_id=profile.parent.name)


def _may_be_on(pid: int, profile: Path) -> bool:
    """Whether that process lives and is (or can't be proved not to be) on this profile."""
    process = procfs.find(pid)
    if process is None or process.dead:
        return False
    command = procfs.command_line(pid)
    if command is None:
        return procfs.find(pid) is not None
    return _is_on(command, profile)


def _is_on(command: str, profile: Path) -> bool:
    argument = f" {USER_DATA_DIR}{profile.absolute()} "
    return argument in f"{command} "


def _browser_command(pid: int) -> str:
    """The command line of a browser that was started as ours are, else an empty one."""
    command = procfs.command_line(pid) or ""
    return command if PIPE in command else ""


def _mine() -> list[procfs.Process]:
    uid = os.getuid()
    return [p for p in procfs.processes() if not p.dead and procfs.owner(p.pid) == uid]


def _kill_sessions(browsers: Iterable[procfs.Process]) -> list[int]:
    """SIGKILL these browsers with all of their sessions; wait until they are gone.

    A session that is also ours, or whose leader is no browser of the list, is left alone: then only
    the browser itself is killed.
    """
    found = list(browsers)
    pids = {process.pid for process in found}
    victims = {process.pid: process for process in found}
    for process in found:
        if process.session in pids:
            leader = next(p for p in found if p.pid == process.session)
            victims.update((p.pid, p) for p in procfs.session_members(leader))
    victims.pop(os.getpid(), None)
    until = time.monotonic() + GONE_DEADLINE
    alive = list(victims.values())
    while alive and time.monotonic() < until:
        for process in alive:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(process.pid, signal.SIGKILL)
        time.sleep(GONE_INTERVAL)
        alive = [process for process in alive if procfs.still_lives(process)]
    return sorted(victims)
