"""How much memory there is to go round: the tightest of cgroup (v2, v1) and machine. Blocks.

A limit counts with what is used under it: of several the one with the least room decides. Page
cache that the kernel gives back at once is not counted as used.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

KIB: Final = 1024
CGROUPS: Final = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes; `used` may exceed `limit` for a moment."""

    used: int
    limit: int

    @property
    def room(self) -> int:
        return self.limit - self.used


@dataclass(frozen=True, slots=True)
class _Names:
    """What the files of one version of cgroups are called."""

    limit: str
    used: str
    cache: str


_V2: Final = _Names("memory.max", "memory.current", "inactive_file")
_V1: Final = _Names("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def memory(proc: Path = Path("/proc"), cgroups: Path = CGROUPS) -> Memory:
    """Return what limits this process and its children. Raises OSError where nothing can be read.

    `proc` and `cgroups` are where those file systems are.
    """
    machine = _machine(proc)
    found = [machine]
    for directory, names in _groups(proc, cgroups):
        group = _group(directory, names)
        if group is not None and group.limit < machine.limit:  # else it is no limit
            found.append(group)
    return min(found, key=lambda each: each.room)


def _machine(proc: Path) -> Memory:
    lines = (proc / "meminfo").read_text().splitlines()
    values = {
        name: int(rest.split()[0]) * KIB for name, _, rest in (x.partition(":") for x in lines)
    }
    total = values["MemTotal"]
    return Memory(used=total - values.get("MemAvailable", values["MemFree"]), limit=total)


def _groups(proc: Path, cgroups: Path) -> Iterator[tuple[Path, _Names]]:
    """Yield every group that this process is in, up to the root of what can be seen of it.

    In a container the path in /proc may be the host's: then only the root is there.
    """
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            yield from ((place, _V2) for place in _upwards(cgroups, path))
        elif "memory" in controllers.split(","):
            yield from ((place, _V1) for place in _upwards(cgroups / "memory", path))


def _upwards(root: Path, path: str) -> Iterator[Path]:
    parts = [part for part in path.split("/") if part not in {"", ".."}]
    for length in range(len(parts), -1, -1):
        yield root.joinpath(*parts[:length])


def _group(directory: Path, names: _Names) -> Memory | None:
    """Return a group's limit and use; None if it is not there, or has none."""
    try:
        limit = (directory / names.limit).read_text().strip()
        used = int((directory / names.used).read_text())
        lines = (directory / "memory.stat").read_text().splitlines()
    except (OSError, ValueError):
        return None
    if not limit.isdigit():  # max
        return None
    stat = dict(line.split(" ", 1) for line in lines if " " in line)
    return Memory(used=max(0, used - int(stat.get(names.cache, 0))), limit=int(limit))
