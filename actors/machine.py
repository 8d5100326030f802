"""What the machine has left for one more browser, as /proc and the control groups tell it."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from actors.browser.machine import memory
from actors.pressure import Readings


class Machine:
    """Reads on demand; some files each time, a millisecond in all. `root` is / but in tests."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    def look(self) -> Readings:
        """Return what there is now; blocking. What can't be read is None."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        available, total = self._memory()
        try:
            used = open_descriptors()
        except OSError:  # there is not even one left to look with
            used = soft
        return Readings(
            memory_available=available,
            memory_total=total,
            descriptors_used=used,
            descriptors_limit=None if soft == resource.RLIM_INFINITY else soft,
            cpu_pressure=self._pressure("cpu"),
            memory_pressure=self._pressure("memory"),
            load=self._load(),
        )

    def _memory(self) -> tuple[int | None, int | None]:
        try:
            found = memory(self._root / "proc", self._root / "sys/fs/cgroup")
        except OSError:
            return None, None
        return max(0, found.room), found.limit

    def _pressure(self, of: str) -> float | None:
        for line in (self._read(f"proc/pressure/{of}") or "").splitlines():
            kind, *numbers = line.split()
            if kind == "some":
                found = dict(each.split("=", 1) for each in numbers)
                return float(found["avg10"])
        return None

    def _load(self) -> float | None:
        text = self._read("proc/loadavg")
        return None if text is None else float(text.split()[0]) / (os.cpu_count() or 1)

    def _read(self, path: str) -> str | None:
        try:
            return (self._root / path).read_text("ascii")
        except OSError:  # not there, not ours, or the kernel has it switched off
            return None


def open_descriptors() -> int:
    """Return how many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd")) - 1  # noqa: PTH208 - and one for the listing itself
