"""What the doctor asks the machine: real limits, a real clock, a real container's numbers."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from supervisor.admin import doctor_host
from supervisor.admin.doctor_judge import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration

TIME_ERROR = 5
APPARMOR = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")


@contextmanager
def idle() -> Iterator[subprocess.Popen[bytes]]:
    """Run a program that waits for its standard input to end."""
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
    ) as program:
        yield program


def test_the_limits_of_the_running_node_count() -> None:
    """Not those of the shell that the doctor was started from."""
    with idle() as program:
        psutil.Process(program.pid).rlimit(psutil.RLIMIT_NOFILE, (1000, 1000))
        [found] = doctor_host.descriptors(program.pid)
    assert found.verdict is Verdict.BAD
    assert found.text.startswith(f"The running node (pid {program.pid}) may open 1000 files")
    [after] = doctor_host.descriptors(program.pid)  # it has ended meanwhile
    assert after.text.startswith("What is started from here")
    [none] = doctor_host.descriptors(None)
    assert none == after


@pytest.mark.parametrize(
    ("limit", "used", "room"),
    [
        ("1000\n", "400\n", 600),
        ("1000\n", "1400\n", 0),
        ("max\n", "400\n", None),
        (None, None, None),
    ],
)
def test_a_container_s_limit(
    tmp_path: Path, limit: str | None, used: str | None, room: int | None
) -> None:
    for name, text in (("memory.max", limit), ("memory.current", used)):
        if text is not None:
            (tmp_path / name).write_text(text)
    assert doctor_host.cgroup_room(tmp_path) == room


def test_memory_is_that_of_this_machine() -> None:
    [found] = doctor_host.memory()
    assert found.check == "memory"
    assert "of memory can be taken" in found.text


def test_the_kernel_says_the_same_by_another_call() -> None:
    libc = ctypes.CDLL(None)
    room = (ctypes.c_long * 16)()
    state = libc.ntp_gettime(ctypes.byref(room))  # glibc's own, with another structure
    assert doctor_host.kernel_synchronised() is (None if state < 0 else state != TIME_ERROR)


def test_obstacles_are_those_that_another_program_meets() -> None:
    unshare = shutil.which("unshare")
    if unshare is None or (APPARMOR.exists() and APPARMOR.read_text().strip() == "1"):
        pytest.skip("needs unshare, and a kernel without AppArmor's own rule, to compare with")
    done = subprocess.run([unshare, "--user", "true"], capture_output=True, check=False)
    assert (not doctor_host.sandbox_obstacles()) is (done.returncode == 0)
