"""One Chromium process group: started, watched, stopped and proved gone.

The process leads its own session. It talks CDP on descriptors 3 and 4, so that no port is open and
it ends by itself when we die.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from actors.browser import procfs
from actors.browser.driver import LaunchFailed, StopReport
from actors.browser.stderr import StderrTail

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

log = structlog.get_logger(__name__)

CDP_IN: Final = 3
CDP_OUT: Final = 4
OOM_SCORE_ADJ: Final = 300
RENDERER: Final = " --type=renderer "
PROOF_DEADLINE: Final = 5.0
PROOF_INTERVAL: Final = 0.02
HIGH_FD: Final = 10
"""Descriptors for the child are first moved above this, out of the way of 3 and 4."""


class ChromiumProcess:
    """A started Chromium. All but `kill` runs on the loop that started it.

    `exited` is called once, from the loop, as soon as the main process has ended.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        leader: procfs.Process,
        pidfd: int,
        stderr: StderrTail,
        exited: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._leader = leader
        self._pidfd = pidfd
        self._stderr = stderr
        self._exited = exited
        self._reaping = threading.Lock()
        self._reaped = False
        self._seen: dict[int, procfs.Process] = {leader.pid: leader}
        self.ended = asyncio.Event()
        self.returncode: int | None = None
        # A pidfd becomes readable when the process ends: no thread per child, as asyncio's own
        # child watcher starts one outside the main thread.
        loop.add_reader(pidfd, self._reap)

    @property
    def pid(self) -> int:
        return self._leader.pid

    @property
    def leader(self) -> procfs.Process:
        """The main process, as it was when it was started."""
        return self._leader

    def complaints(self) -> str:
        """The last lines of standard error, scrubbed."""
        return self._stderr.text()

    def kill(self) -> None:
        """SIGKILL the whole group. Safe from any thread, at any time, more than once."""
        with self._reaping:  # until it is reaped, nobody else can have its pid
            if not self._reaped:
                _kill_group(self.pid)

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to the whole group, unless it has ended. Safe from any thread."""
        with self._reaping:  # as above
            if not self._reaped:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.pid, number)

    def kill_renderers(self) -> int:
        """SIGKILL the processes that run the pages, and only these; return how many there were."""
        renderers = [
            member
            for member in procfs.session_members(self._leader)
            if RENDERER in f"{procfs.command_line(member.pid)} "
        ]
        for renderer in renderers:
            if procfs.still_lives(renderer):
                _kill(renderer.pid)
        return len(renderers)

    async def wait(self, seconds: float) -> bool:
        """Wait for the main process to end; return whether it has."""
        if not self.ended.is_set():
            try:
                async with asyncio.timeout(max(seconds, 0)):
                    await self.ended.wait()
            except TimeoutError:
                return False
        return True

    async def stop(self, close: Callable[[], None], deadline: float) -> StopReport:
        """Ask it to close, kill it after `deadline` seconds, and prove that nothing is left."""
        begun = time.monotonic()
        self._look_around()
        forced = False
        if not self.ended.is_set():
            close()
            forced = not await self.wait(deadline)
        survivors = await self._prove_gone()
        report = StopReport(
            forced=forced,
            returncode=self.returncode,
            seconds=time.monotonic() - begun,
            survivors=survivors,
        )
        if survivors:
            log.error("browser_processes_survived", pid=self.pid, survivors=survivors)
        return report

    async def _prove_gone(self) -> tuple[int, ...]:
        """Kill until no process of the session is alive; return those that live on regardless."""
        until = time.monotonic() + PROOF_DEADLINE
        while True:
            self.kill()
            alive = self._look_around()
            if not alive and self.ended.is_set():
                return ()
            for process in alive:
                _kill(process.pid)
            if time.monotonic() >= until:
                return tuple(process.pid for process in alive) or (self.pid,)
            await asyncio.sleep(PROOF_INTERVAL)

    def _look_around(self) -> list[procfs.Process]:
        """Return what lives of all processes ever seen in the session, those that left it too."""
        for process in procfs.session_members(self._leader):
            self._seen[process.pid] = process
        return [process for process in self._seen.values() if procfs.still_lives(process)]

    def _reap(self) -> None:
        with self._reaping:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # somebody else reaped it: its code is lost, its end is sure
                pid, status = self.pid, None
            if pid == 0:
                return
            self._reaped = True
        self.returncode = None if status is None else os.waitstatus_to_exitcode(status)
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._stderr.close()
        self.ended.set()
        self._exited()


def start(
    loop: asyncio.AbstractEventLoop,
    argv: list[str],
    env: Mapping[str, str],
    exited: Callable[[], None],
) -> tuple[ChromiumProcess, int, int]:
    """Start Chromium; return it with our ends of its pipe: (process, read fd, write fd).

    Raises LaunchFailed. No Python runs in the child: posix_spawn is safe beside other threads.
    """
    try:
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as childs:
            commands_out, commands_in = _pipe(childs, ours)
            answers_in, answers_out = reversed(_pipe(ours, childs))
            stderr_in, stderr_out = reversed(_pipe(ours, childs))
            pid = _spawn(
                argv, env, [_above(fd, childs) for fd in (commands_out, answers_in, stderr_in)]
            )
            process = _adopt(loop, pid, stderr_out, exited)
            ours.pop_all()
    except OSError as error:
        raise LaunchFailed(f"could not start {argv[0]}: {error.strerror}") from error
    return process, answers_out, commands_in


def _pipe(reader: contextlib.ExitStack, writer: contextlib.ExitStack) -> tuple[int, int]:
    """Make a pipe whose two ends are closed with the stack of whoever uses them."""
    read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
    reader.callback(os.close, read_fd)
    writer.callback(os.close, write_fd)
    return read_fd, write_fd


def _adopt(
    loop: asyncio.AbstractEventLoop, pid: int, stderr: int, exited: Callable[[], None]
) -> ChromiumProcess:
    try:
        leader = procfs.get(pid)
        pidfd = os.pidfd_open(pid)
    except OSError:
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    _raise_oom_score(pid)
    return ChromiumProcess(loop, leader, pidfd, StderrTail(loop, stderr), exited)


def _spawn(argv: list[str], env: Mapping[str, str], child: Sequence[int]) -> int:
    commands, answers, stderr = child
    return os.posix_spawn(
        argv[0],
        argv,
        env,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_DUP2, stderr, 2),
            (os.POSIX_SPAWN_DUP2, commands, CDP_IN),
            (os.POSIX_SPAWN_DUP2, answers, CDP_OUT),
            *((os.POSIX_SPAWN_CLOSE, fd) for fd in _inheritable() if fd > CDP_OUT),
        ],
        setsid=True,
        scheduler=(os.SCHED_OTHER, os.sched_param(0)),  # our own is not for browsers
        setsigmask=(),
        setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),  # Python ignores them, and exec hands that on
    )


def _above(fd: int, stack: contextlib.ExitStack) -> int:
    """Duplicate `fd` to a number that the child's 3 and 4 can't collide with."""
    high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, HIGH_FD)
    stack.callback(os.close, high)
    return high


def _inheritable() -> list[int]:
    """Return what exec would hand on: Python's own descriptors are not, but inherited ones are."""
    found = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names are all that is needed
        with contextlib.suppress(OSError):  # the descriptor of the listing itself
            if os.get_inheritable(int(name)):
                found.append(int(name))
    return found


def _raise_oom_score(pid: int) -> None:
    """Let the kernel prefer a browser to its supervisor when memory runs out."""
    try:
        Path(f"/proc/{pid}/oom_score_adj").write_text(str(OOM_SCORE_ADJ))
    except OSError as error:  # it has ended already, or we may not: neither stops a launch
        log.warning("oom_score_not_raised", pid=pid, error=error.strerror)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # gone already: as wished
        os.killpg(pid, signal.SIGKILL)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
