"""What /proc shows of a stage's browsers, read here anew and not by wafleet's own code."""

from __future__ import annotations

import os
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

PROC: Final = Path("/proc")
INTERVAL: Final = 0.03
"""Seconds between two looks of a guard; a second browser that Chromium's own start takes to come up
is there for several of them."""
_PROFILE: Final = "--user-data-dir="


@dataclass(frozen=True, slots=True)
class Sight:
    """One live process; `started` tells it from a later one with its pid."""

    pid: int
    started: int
    leader: int
    state: str


@dataclass(frozen=True, slots=True)
class Browser:
    """A browser's main process and the session whose profile it is on."""

    pid: int
    started: int
    session: str


def sight(pid: int) -> Sight | None:
    """Return what there is of that pid."""
    try:
        text = (PROC / str(pid) / "stat").read_text("utf-8", "replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return Sight(pid, int(fields[19]), int(fields[3]), fields[0])


def everything() -> list[Sight]:
    """Return every process there is; those that only wait to be reaped too."""
    pids = [int(name) for name in os.listdir(PROC) if name.isdigit()]  # noqa: PTH208 - names only
    return [seen for pid in pids if (seen := sight(pid)) is not None]


def browsers(data: Path) -> list[Browser]:
    """Return the browsers that live on profiles below a data directory.

    A browser leads a session of its own. A helper just forked still shows its parent's arguments.
    """
    inside = f"{_PROFILE}{data / 'sessions'}{os.sep}"
    found = []
    for seen in everything():
        if seen.leader != seen.pid or seen.state in "ZX":
            continue
        try:
            raw = (PROC / str(seen.pid) / "cmdline").read_bytes()
        except OSError:
            continue
        command = raw.decode("utf-8", "replace").replace("\0", " ")
        _, found_it, rest = command.partition(inside)
        if found_it and " --type=" not in command:
            found.append(Browser(seen.pid, seen.started, rest.partition(os.sep)[0]))
    return found


def members(leader: int) -> list[int]:
    """Return the live processes of a session by its leader's pid."""
    return [s.pid for s in everything() if s.leader == leader and s.state not in "ZX"]


def zombies(parent: int) -> int:
    """Count a process's dead children."""
    found = 0
    for name in os.listdir(PROC):  # noqa: PTH208 - names only
        try:
            fields = (PROC / name / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        except OSError:
            continue
        found += fields[0] == "Z" and int(fields[1]) == parent
    return found


def descriptors(pid: int) -> int:
    """Count a process's descriptors, without what comes and goes in good order.

    What clients hold open is not its leak; and SQLite keeps one descriptor of a database that some
    other connection still locks, for the next who opens it (each connection has its log open, too).
    """
    found = 0
    for entry in (PROC / str(pid) / "fd").iterdir():
        try:
            aim = str(entry.readlink())
        except OSError:
            continue
        found += not aim.startswith("socket:") and not aim.endswith(".db")
    return found


def threads(pid: int) -> int:
    """Count a process's threads."""
    return len(os.listdir(PROC / str(pid) / "task"))  # noqa: PTH208 - names only


def resident(pid: int) -> int:
    """Return a process's resident memory in bytes."""
    pages = int((PROC / str(pid) / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@dataclass
class Guard:
    """Looks all the time: which browsers ever lived on which profile, and how many at once."""

    data: Path
    most: Counter[str] = field(default_factory=Counter)
    seen: dict[int, Browser] = field(default_factory=dict)
    looks: int = 0
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread = field(init=False)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._watch, name="guard")
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(INTERVAL):
            now = browsers(self.data)
            for session, count in Counter(each.session for each in now).items():
                self.most[session] = max(self.most[session], count)
            self.seen.update((each.pid, each) for each in now)
            self.looks += 1

    @property
    def twins(self) -> int:
        """The most browsers that were seen at once on one profile."""
        return max(self.most.values(), default=0)

    def of(self, session: str) -> list[Browser]:
        """Return the browsers seen on a session's profile, in the order in which they came."""
        return [each for each in list(self.seen.values()) if each.session == session]

    def left(self, session: str | None = None) -> list[int]:
        """Return what still lives of the browsers seen (of one session), helpers included."""
        leaders = {
            each.pid
            for each in list(self.seen.values())
            if session is None or each.session == session
        }
        return [s.pid for s in everything() if s.leader in leaders and s.state not in "ZX"]
