"""Which limit binds first: made-up /proc and cgroup trees of every kind."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from actors.browser import footprint, procfs
from actors.browser.machine import Memory, memory

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.unit

GB = 1024**3
NO_LIMIT_V1 = str(2**63 - 4096)


def proc(root: Path, *groups: str) -> Path:
    """A machine of 16 GB, 4 of them used, with this /proc/self/cgroup."""
    (root / "self").mkdir(parents=True)
    (root / "meminfo").write_text(
        f"MemTotal:       {16 * 1024**2} kB\nMemFree:         1024 kB\n"
        f"MemAvailable:   {12 * 1024**2} kB\nHugePages_Total:       0\n"
    )
    (root / "self/cgroup").write_text("".join(f"{line}\n" for line in groups))
    return root


def group(path: Path, limit: str, used: int, cache: int = 0, version: int = 2) -> None:
    names = ("memory.max", "memory.current", "inactive_file")
    if version == 1:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    path.mkdir(parents=True, exist_ok=True)
    (path / names[0]).write_text(f"{limit}\n")
    (path / names[1]).write_text(f"{used}\n")
    (path / "memory.stat").write_text(f"anon 1\n{names[2]} {cache}\nfile 2\n")


MACHINE = Memory(used=4 * GB, limit=16 * GB)


def test_without_cgroups_the_machine_counts(tmp_path: Path) -> None:
    assert memory(proc(tmp_path / "proc"), tmp_path / "none") == MACHINE
    (tmp_path / "proc/self/cgroup").unlink()
    assert memory(tmp_path / "proc", tmp_path / "none") == MACHINE


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("limit", "used", "cache", "found"),
    [
        (str(2 * GB), 1 * GB, 0, Memory(used=1 * GB, limit=2 * GB)),
        # what the kernel gives back at once is not used
        (str(2 * GB), 2 * GB, 1 * GB, Memory(used=1 * GB, limit=2 * GB)),
        # no limit, or one that is none
        ("max", 1 * GB, 0, MACHINE),
        (NO_LIMIT_V1, 1 * GB, 0, MACHINE),
        (str(64 * GB), 1 * GB, 0, MACHINE),
    ],
)
def test_a_group_with_a_limit(
    tmp_path: Path, version: int, limit: str, used: int, cache: int, found: Memory
) -> None:
    line = "0::/wafleet" if version == 2 else "4:cpu,memory:/wafleet"
    root = tmp_path / "cgroup" / ("" if version == 2 else "memory")
    group(root / "wafleet", limit, used, cache, version)
    assert memory(proc(tmp_path / "proc", line), tmp_path / "cgroup") == found


def test_of_several_the_one_with_the_least_room_decides(tmp_path: Path) -> None:
    """A group further up may be the tighter one, as what it holds is more."""
    root = tmp_path / "cgroup"
    group(root / "a/b", str(4 * GB), 1 * GB)
    group(root / "a", str(8 * GB), 7 * GB)
    group(root, "max", 9 * GB)
    found = memory(proc(tmp_path / "proc", "0::/a/b"), root)
    assert found == Memory(used=7 * GB, limit=8 * GB)


def test_in_a_container_the_path_may_be_the_hosts(tmp_path: Path) -> None:
    """Then only the root of what can be seen is there, and it holds the limit."""
    root = tmp_path / "cgroup"
    group(root / "memory", str(2 * GB), 1 * GB, version=1)
    found = memory(proc(tmp_path / "proc", "4:memory:/docker/0123/../x", "1:cpu:/y"), root)
    assert found == Memory(used=1 * GB, limit=2 * GB)


def test_a_machine_that_is_fuller_than_the_group_binds(tmp_path: Path) -> None:
    root = tmp_path / "cgroup"
    group(root, str(15 * GB), 1 * GB)
    assert memory(proc(tmp_path / "proc", "0::/"), root) == MACHINE


@pytest.mark.parametrize("name", ["memory.max", "memory.current", "memory.stat"])
def test_a_group_that_can_t_be_read_is_none(tmp_path: Path, name: str) -> None:
    root = tmp_path / "cgroup"
    group(root, str(2 * GB), 1 * GB)
    (root / name).unlink()
    assert memory(proc(tmp_path / "proc", "0::/"), root) == MACHINE


def test_the_real_one_makes_sense() -> None:
    found = memory()
    assert 0 < found.used < found.limit


def test_without_a_share_what_a_process_has_alone_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel may refuse smaps_rollup of a sandboxed process; statm anybody may read."""
    monkeypatch.setattr(procfs, "PROC", tmp_path)
    for pid, files in (
        (1, {"smaps_rollup": "x [rollup]\nRss: 9 kB\nPss: 7 kB\n", "statm": "9 8 7 0 0 0 0\n"}),
        (2, {"statm": "100 30 10 0 0 0 0\n"}),
        (3, {"smaps_rollup": "x [rollup]\n", "statm": "100 30 10 0 0 0 0\n"}),
        (4, {"statm": ""}),
    ):
        (tmp_path / str(pid)).mkdir()
        for name, text in files.items():
            (tmp_path / str(pid) / name).write_text(text)
    page = os.sysconf("SC_PAGE_SIZE")
    found = [footprint.proportional(pid) for pid in range(1, 6)]
    assert found == [7 * 1024, 20 * page, 20 * page, 0, 0]
