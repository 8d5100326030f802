"""Processes with all that descends from them: found, ended, and proved gone."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Final

import psutil

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

GRACE: Final = 10.0
"""Seconds in which what is left of a stopped program must end by itself."""
INTERVAL: Final = 0.02


def family(pid: int) -> list[psutil.Process]:
    """Return the descendants of a process; none if it has ended."""
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def browsers(pid: int) -> list[psutil.Process]:
    """Return the browser processes (not their helpers) that descend from a process."""
    found = []
    for process in family(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            argv = process.cmdline()
            if "--remote-debugging-pipe" in argv and not _is_helper(argv):
                found.append(process)
    return found


def mentioning(directory: Path) -> list[psutil.Process]:
    """Return every process but this one that has the directory in its command line."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if process.pid != os.getpid()
        and any(str(directory) in part for part in process.info["cmdline"] or ())
    ]


def outlived(processes: Sequence[psutil.Process], grace: float = GRACE) -> list[str]:
    """Wait for the processes to end, kill those that do not, and name these."""
    deadline = time.monotonic() + grace
    while (left := [p for p in processes if lives(p)]) and time.monotonic() < deadline:
        time.sleep(INTERVAL)
    names = []
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            names.append(f"process {process.pid} ({process.name()})")
            process.kill()
    return names


def lives(process: psutil.Process) -> bool:
    """Return whether it runs; a zombie, which only its parent can take away, does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _is_helper(argv: Sequence[str]) -> bool:
    return any(part.startswith("--type=") for part in argv)
