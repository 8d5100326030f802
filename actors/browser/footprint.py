"""What browsers take of the machine: memory and descriptors, by session. Blocks.

One look reads the list of processes once, whatever the number of browsers, and then a few files of
each process of theirs. What ends meanwhile is not counted. Measured: 1.2 ms of a processor for each
process of a browser whose share is read, 0.05 ms for any other.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from actors.browser import procfs
from actors.usage import Footprint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

KIB: Final = 1024
LOOKS: Final = 24
MUCH: Final = 32 * KIB * KIB
"""Bytes by which what a process has alone, or with others, may change before its share is read."""
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass
class _Known:
    pss: int
    private: int
    shared: int
    left: int

    def is_near(self, private: int, shared: int) -> bool:
        return abs(private - self.private) <= MUCH and abs(shared - self.shared) <= MUCH


class Shares:
    """The processes' shares of memory, from look to look; one look at a time.

    To tell a share, the kernel walks all pages of a process: for 50 browsers that took 5 % of a
    processor at a look every 15 s. So it is asked in one of LOOKS looks, each time of other
    processes, and whenever much has changed; in between what a process has for itself alone, which
    costs nothing, says by how much its share grew.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], _Known] = {}
        self._seen: dict[tuple[int, int], _Known] = {}

    def of(self, process: procfs.Process) -> int:
        """Return a process's share in bytes, 0 if it is gone."""
        key, (private, shared) = (process.pid, process.started), _resident(process.pid)
        known = self._known.get(key)
        if private == 0:  # it is gone
            return 0
        if known is None:
            known = _Known(proportional(process.pid), private, shared, process.pid % LOOKS)
        elif known.left == 0 or not known.is_near(private, shared):
            known = _Known(proportional(process.pid), private, shared, LOOKS - 1)
        else:
            known.left -= 1
        self._seen[key] = known
        return max(0, known.pss + private - known.private)

    def looked(self) -> None:
        """Forget those that were not asked for since the last time."""
        self._known, self._seen = self._seen, {}


def footprints(leaders: Iterable[int], shares: Shares) -> Mapping[int, Footprint]:
    """Return what the browsers whose main processes have these pids take now, by that pid.

    A pid that leads no session (any more) is left out.
    """
    wanted = set(leaders)
    members: dict[int, list[procfs.Process]] = {}
    for process in procfs.processes():
        if process.session in wanted and not process.dead:
            members.setdefault(process.session, []).append(process)
    found = {pid: _footprint(pid, each, shares) for pid, each in members.items()}
    shares.looked()
    return {pid: each for pid, each in found.items() if each is not None}


def _footprint(pid: int, members: list[procfs.Process], shares: Shares) -> Footprint | None:
    leader = next((process for process in members if process.pid == pid), None)
    if leader is None:  # it has just ended; what is left of it follows
        return None
    return Footprint(
        pss=sum(shares.of(process) for process in members),
        processes=len(members),
        descriptors=sum(_descriptors(process.pid) for process in members),
        age=max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - leader.started / _TICKS),
    )


def proportional(pid: int) -> int:
    """Return a process's share of memory in bytes, 0 if it is gone.

    Where the kernel does not tell the share (it may refuse it for a sandboxed process), what the
    process has for itself alone, which is a little less.
    """
    try:
        for line in (procfs.PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * KIB
    except OSError:
        return _resident(pid)[0]
    return _resident(pid)[0]


def _resident(pid: int) -> tuple[int, int]:
    """Return what a process has in memory for itself alone, and with others; (0, 0): it is gone."""
    try:
        _, resident, shared, *_ = procfs.read_line(pid, "statm").split()
    except (OSError, ValueError):  # before or while it was read
        return 0, 0
    return (int(resident) - int(shared)) * _PAGE, int(shared) * _PAGE


def _descriptors(pid: int) -> int:
    try:
        return len(os.listdir(f"{procfs.PROC}/{pid}/fd"))  # noqa: PTH208 - only counted
    except OSError:
        return 0
