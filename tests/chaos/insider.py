"""A real node with somebody inside: its steps counted, its clock put wrong, its census taken.

`python -m tests.chaos.insider run --json` is `wafleet run --json`. What it is to do comes in the
environment; at SIGUSR2 it begins to count anew, and writes its census.

    CHAOS_STEPS     a file of 8 bytes: how many steps were taken, for others to read at any time
    CHAOS_KILL_AT   SIGKILL itself at this step, counted from the start; 0 is never
    CHAOS_KILL_THEN the same, counted from SIGUSR2 on
    CHAOS_CENSUS    a file for the census
    CHAOS_CLOCK     a file of 8 bytes: by how many seconds its wall clock is wrong, at any time

A step is a message that an actor is about to handle, or a call that is about to go onto a loop:
between two steps an actor only computes.
"""

from __future__ import annotations

import asyncio
import gc
import json
import mmap
import os
import signal
import struct
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from actors.base import BaseActor
from actors.bridge import Bridge, LoopThread
from supervisor.cli import main as wafleet

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

COUNT: Final = struct.Struct("Q")
WRONG: Final = struct.Struct("q")


class Steps:
    """Counts the steps of all actors; the count can be read from outside."""

    def __init__(self, file: Path, kill_at: int, kill_then: int) -> None:
        file.write_bytes(COUNT.pack(0))
        with file.open("r+b") as shared:
            self._count = mmap.mmap(shared.fileno(), COUNT.size)
        self._lock = threading.Lock()
        self._kill_at = kill_at
        self._kill_then = kill_then

    def begin_anew(self) -> None:
        """Count from 1 again, and die at the other step."""
        self._kill_at = self._kill_then
        COUNT.pack_into(self._count, 0, 0)

    def take(self) -> None:
        """Take a step: perhaps the last one."""
        with self._lock:
            taken = COUNT.unpack_from(self._count)[0] + 1
            COUNT.pack_into(self._count, 0, taken)
            if taken == self._kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    def watch(self, owner: Any, name: str) -> None:
        """Have each call of a method be a step."""
        method: Callable[..., Any] = getattr(owner, name)

        def stepping(*args: Any) -> Any:
            self.take()
            return method(*args)

        setattr(owner, name, stepping)


class Census:
    """Who lives in the process: asyncio tasks of both loops by what they run, threads by name."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._loops: list[asyncio.AbstractEventLoop] = []
        run, ours = LoopThread._run, self._loops

        def noted(thread: LoopThread) -> None:
            ours.append(thread.loop)
            run(thread)

        setattr(LoopThread, "_run", noted)  # noqa: B010 - mypy knows better than to allow it

    def take(self) -> None:
        """Write it; runs in a signal handler of the main thread, on the main loop."""
        gc.collect()
        loops = [asyncio.get_running_loop(), *self._loops]
        found = {
            "tasks": sorted(
                getattr(task.get_coro(), "__qualname__", "?")
                for loop in loops
                for task in asyncio.all_tasks(loop)
            ),
            "threads": sorted(thread.name for thread in threading.enumerate()),
        }
        draft = self._file.with_suffix(".new")
        draft.write_text(json.dumps(found))
        draft.replace(self._file)


def put_clock_wrong(file: Path) -> None:
    """Have the wall clock be what the file makes of it; the monotonic one stays as it is.

    Debian's libfaketime can't be used for that: its 0.9.10 makes every sleep of Python fail.
    """
    with file.open("r+b") as shared:
        wrong = mmap.mmap(shared.fileno(), WRONG.size)
    wall, wall_ns = time.time, time.time_ns
    time.time = lambda: wall() + WRONG.unpack_from(wrong)[0]
    time.time_ns = lambda: wall_ns() + WRONG.unpack_from(wrong)[0] * 1_000_000_000


def main() -> None:
    """Move in, then be wafleet."""
    env = os.environ
    steps = Steps(
        Path(env["CHAOS_STEPS"]),
        int(env.get("CHAOS_KILL_AT", "0")),
        int(env.get("CHAOS_KILL_THEN", "0")),
    )
    steps.watch(BaseActor, "on_receive")
    steps.watch(Bridge, "_submit")
    if "CHAOS_CLOCK" in env:
        put_clock_wrong(Path(env["CHAOS_CLOCK"]))
    census = Census(Path(env["CHAOS_CENSUS"])) if "CHAOS_CENSUS" in env else None

    def told(_number: int, _frame: FrameType | None) -> None:
        steps.begin_anew()
        if census is not None:
            census.take()

    signal.signal(signal.SIGUSR2, told)
    wafleet()


if __name__ == "__main__":
    main()
