"""What the machine has left: read here, in a real control group, and from laid-out trees."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from actors.machine import Machine, open_descriptors
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration

MB = 1024 * 1024
LOOK = """
import dataclasses, json, sys
from actors.machine import Machine
print(json.dumps(dataclasses.asdict(Machine().look())))
"""


def test_this_machine_tells_what_it_has() -> None:
    readings = Machine().look()
    memory = psutil.virtual_memory()
    assert readings.memory_available is not None
    assert 0 < readings.memory_available <= memory.total
    assert readings.memory_total is not None
    assert readings.memory_total <= memory.total
    assert readings.descriptors_limit == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert readings.descriptors_used == open_descriptors()
    assert readings.load is not None
    assert (readings.cpu_pressure is None) == (not Path("/proc/pressure/cpu").exists())


def test_every_open_descriptor_counts() -> None:
    before = open_descriptors()
    reader, writer = os.pipe()
    try:
        assert open_descriptors() == before + 2
    finally:
        os.close(reader)
        os.close(writer)


def test_a_process_without_any_descriptor_left_says_so() -> None:
    """Looking takes one as well: what can't be counted is all of them."""
    starve = (
        "import os, resource\n"
        "from actors.machine import Machine\n"
        "machine = Machine()\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
        "held = []\n"
        "try:\n"
        "    while True: held.append(os.dup(0))\n"
        "except OSError: pass\n"
        "found = machine.look()\n"
        "print(found.descriptors_used, found.descriptors_limit)\n"
    )
    told = subprocess.check_output([sys.executable, "-c", starve], text=True)
    assert told.split() == ["64", "64"]


@contextmanager
def memory_group(limit: int) -> Iterator[Path]:
    """Make a control group below our own; skip the test where this user may not."""
    ours = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    paths = {names: path for _, names, path in ours}
    if "memory" in paths:
        parent, file = Path("/sys/fs/cgroup/memory") / paths["memory"][1:], "memory.limit_in_bytes"
    else:
        parent, file = Path("/sys/fs/cgroup") / paths.get("", "/")[1:], "memory.max"
    group = parent / f"wafleet-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here ({error.strerror})")
    try:
        try:
            (group / file).write_text(str(limit))
        except OSError as error:
            pytest.skip(f"no memory limit can be set here ({error.strerror})")
        yield group
    finally:
        eventually(lambda: (group / "cgroup.procs").read_text() == "")
        group.rmdir()


def test_the_limit_of_a_real_control_group_counts() -> None:
    """The machine has more; the kernel kills at the group's limit."""
    with memory_group(256 * MB) as group:
        enter = f"open({str(group / 'cgroup.procs')!r}, 'w').write('0')\n"
        hold = "held = b'x' * (64 * 1024 * 1024)\n"
        free, less = (
            json.loads(subprocess.check_output([sys.executable, "-c", enter + more + LOOK]))
            for more in ("", hold)
        )
    assert free["memory_total"] == 256 * MB
    assert 100 * MB < free["memory_available"] < 256 * MB
    assert less["memory_available"] <= free["memory_available"] - 60 * MB


def tree(root: Path, files: dict[str, str]) -> Machine:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return Machine(root)


def test_the_memory_is_what_the_tightest_limit_leaves(tmp_path: Path) -> None:
    """And a machine that tells nothing has None to tell."""
    meminfo = "MemTotal:       2000000 kB\nMemFree: 1 kB\nMemAvailable:   1000000 kB\n"
    limited = {
        "proc/meminfo": meminfo,
        "proc/self/cgroup": "0::/wafleet\n",
        "sys/fs/cgroup/wafleet/memory.max": "900\n",
        "sys/fs/cgroup/wafleet/memory.current": "600\n",
        "sys/fs/cgroup/wafleet/memory.stat": "inactive_file 100\n",
    }
    over = {**limited, "sys/fs/cgroup/wafleet/memory.current": "1100\n"}
    for number, (files, expected) in enumerate(
        [
            ({}, (None, None)),
            ({"proc/meminfo": meminfo}, (1_024_000_000, 2_048_000_000)),
            (limited, (400, 900)),
            (over, (0, 900)),
        ]
    ):
        readings = tree(tmp_path / str(number), files).look()
        assert (readings.memory_available, readings.memory_total) == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, (None, None, None)),
        (
            {
                "proc/pressure/cpu": "some avg10=12.50 avg60=1.00 avg300=0.00 total=5\n"
                "full avg10=99.00 avg60=0.00 avg300=0.00 total=0\n",
                "proc/pressure/memory": "some avg10=0.75 avg60=9.00 avg300=0.00 total=5\n",
            },
            (12.5, 0.75, None),
        ),
        ({"proc/loadavg": "6.00 1.00 0.50 1/234 5678\n"}, (None, None, "load")),
    ],
)
def test_pressure_and_load(
    tmp_path: Path, files: dict[str, str], expected: tuple[Any, ...]
) -> None:
    readings = tree(tmp_path, files).look()
    load = 6.0 / (os.cpu_count() or 1) if expected[2] else None
    assert (readings.cpu_pressure, readings.memory_pressure, readings.load) == (
        *expected[:2],
        load,
    )
