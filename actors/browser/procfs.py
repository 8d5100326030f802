"""What /proc says about processes: the only proof that a browser is gone."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PROC = Path("/proc")
_LINE = 4096
"""No file that is read as a whole line is as long as that."""


@dataclass(frozen=True, slots=True)
class Process:
    """One live process; `started` (clock ticks since boot) tells it from a later one of its pid."""

    pid: int
    parent: int
    group: int
    session: int
    state: str
    started: int

    @property
    def dead(self) -> bool:
        """Whether it only waits to be reaped."""
        return self.state in "ZX"


def parse_stat(text: str) -> Process:
    """Read one /proc/<pid>/stat line."""
    head, _, tail = text.rpartition(")")  # the name may hold spaces and parentheses
    fields = tail.split()
    return Process(
        pid=int(head.split(" ", 1)[0]),
        state=fields[0],
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        started=int(fields[19]),
    )


def get(pid: int) -> Process:
    """Return the process of that pid. Raises OSError."""
    return parse_stat(read_line(pid, "stat"))


def read_line(pid: int, name: str) -> str:
    """Return a file of one line about a process. Raises OSError.

    Of hundreds of processes, again and again: a Path and a text file would cost several times that.
    """
    descriptor = os.open(f"{PROC}/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _LINE).decode("utf-8", "replace")
    finally:
        os.close(descriptor)


def find(pid: int) -> Process | None:
    """Return the process of that pid, None if there is none."""
    try:
        return get(pid)
    except OSError:
        return None


def processes() -> Iterator[Process]:
    """Every process that can be seen; those that end meanwhile are left out."""
    for name in os.listdir(PROC):  # noqa: PTH208 - hundreds of Path objects for nothing
        if name.isdigit():
            process = find(int(name))
            if process is not None:
                yield process


def session_members(leader: Process) -> list[Process]:
    """Return the live processes of the session that `leader` started, itself included.

    None of them, if the pid of the leader has meanwhile gone to another process: the kernel gives a
    pid away only when neither a group nor a session bears it any more.
    """
    now = find(leader.pid)
    if now is not None and now.started != leader.started:
        return []
    return [each for each in processes() if each.session == leader.pid and not each.dead]


def still_lives(process: Process) -> bool:
    """Whether that very process runs, and not another one of its pid."""
    now = find(process.pid)
    return now is not None and now.started == process.started and not now.dead


def stands_still(pid: int) -> bool:
    """Whether every thread of the process is stopped by a signal; True if it is gone."""
    try:
        tasks = os.listdir(PROC / str(pid) / "task")  # noqa: PTH208 - a frozen browser waits for it
    except OSError:
        return True
    return all(_thread_state(pid, task) in "TZX" for task in tasks)


def _thread_state(pid: int, task: str) -> str:
    try:
        text = (PROC / str(pid) / "task" / task / "stat").read_text("utf-8", "replace")
    except OSError:  # it ended meanwhile
        return "X"
    return parse_stat(text).state


def command_line(pid: int) -> str | None:
    """Return its command line with blanks between the arguments, None if gone or not readable.

    Chromium writes its arguments anew, as one text: they can't be told apart any more.
    """
    try:
        raw = (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return None
    return raw.decode("utf-8", "surrogateescape").replace("\0", " ").rstrip(" ")


def owner(pid: int) -> int | None:
    """Return the uid that it runs under, None if it is gone."""
    try:
        return (PROC / str(pid)).stat().st_uid
    except OSError:
        return None
