"""What the doctor asks the machine: limits, memory, clock, Chromium. Reads only."""

from __future__ import annotations

import ctypes
import os
import resource
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

from actors.browser.chromium import find_executable, read_version
from actors.browser.driver import DriverError
from actors.browser.page_source import read_scripts
from supervisor.admin.doctor_judge import (
    Finding,
    Verdict,
    judge_descriptors,
    judge_memory,
    judge_sandbox,
    judge_synchronised,
)
from supervisor.wiring import BUNDLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from config.settings import Settings

_CGROUP: Final = Path("/sys/fs/cgroup")
_TIME_ERROR: Final = 5
_PROBE_DEADLINE: Final = 20.0
_NAMESPACE_PROBE: Final = (
    "import ctypes, sys; sys.exit(ctypes.CDLL(None).unshare(0x10000000) != 0)"  # CLONE_NEWUSER
)
_OBSTACLES: Final = (
    ("/proc/sys/user/max_user_namespaces", "0", "user.max_user_namespaces is 0"),
    (
        "/proc/sys/kernel/unprivileged_userns_clone",
        "0",
        "kernel.unprivileged_userns_clone is 0",
    ),
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "kernel.apparmor_restrict_unprivileged_userns is 1",
    ),
)


class _Timex(ctypes.Structure):
    """The kernel's struct timex, as libc passes it."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long),
        ("precision", ctypes.c_long),
        ("tolerance", ctypes.c_long),
        ("time", ctypes.c_long * 2),
        ("tick", ctypes.c_long),
        ("ppsfreq", ctypes.c_long),
        ("jitter", ctypes.c_long),
        ("shift", ctypes.c_int),
        ("stabil", ctypes.c_long),
        ("jitcnt", ctypes.c_long),
        ("calcnt", ctypes.c_long),
        ("errcnt", ctypes.c_long),
        ("stbcnt", ctypes.c_long),
        ("tai", ctypes.c_int),
        ("reserved", ctypes.c_int * 11),
    )


def descriptors(node_pid: int | None) -> Iterator[Finding]:
    """Look at the limits of the node that runs, or of what is started from here."""
    if node_pid is not None:
        try:
            soft, hard = psutil.Process(node_pid).rlimit(psutil.RLIMIT_NOFILE)
        except psutil.Error:
            pass  # it ended just now, or is another user's
        else:
            yield judge_descriptors(_many(soft), _many(hard), f"The running node (pid {node_pid})")
            return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield judge_descriptors(_many(soft), _many(hard), "What is started from here")


def _many(limit: int) -> int:
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit


def memory() -> Iterator[Finding]:
    """Look at how much can be taken, on this machine and in this container."""
    available = psutil.virtual_memory().available
    yield judge_memory(min(available, cgroup_room(_CGROUP) or available))


def cgroup_room(cgroup: Path) -> int | None:
    """Return how much the container's limit leaves; None if it has none that shows (cgroup v2)."""
    try:
        limit = int((cgroup / "memory.max").read_text("ascii"))
        used = int((cgroup / "memory.current").read_text("ascii"))
    except (OSError, ValueError):  # there is none, or it is `max`
        return None
    return max(0, limit - used)


def clock_sync() -> Iterator[Finding]:
    """Ask the kernel whether something keeps its clock."""
    yield judge_synchronised(kernel_synchronised())


def kernel_synchronised() -> bool | None:
    """Return what adjtimex says without changing anything; None where it can't be asked."""
    adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None)
    state = -1 if adjtimex is None else adjtimex(ctypes.byref(_Timex()))
    return None if state < 0 else state != _TIME_ERROR


def chromium(settings: Settings) -> Iterator[Finding]:
    """Look for Chromium and run it for its version."""
    executable = find_executable(settings.chromium_path)
    version = read_version(executable)
    yield Finding("chromium", Verdict.OK, f"{executable} is Chromium {version}.")


def page_script(settings: Settings) -> Iterator[Finding]:
    """Look for the wa-js bundle and our adapter."""
    bundle = settings.wajs_bundle or BUNDLE
    read_scripts(bundle)
    yield Finding("wa_js", Verdict.OK, f"The bundle {bundle} is there.")


def sandbox(settings: Settings) -> Iterator[Finding]:
    """Look for what hinders Chromium's sandbox; one with a setuid helper needs none of it."""
    root, switched_off = os.geteuid() == 0, bool(settings.chromium_no_sandbox)
    obstacles = () if root or switched_off or _has_helper(settings) else sandbox_obstacles()
    yield judge_sandbox(root=root, switched_off=switched_off, obstacles=obstacles)


def _has_helper(settings: Settings) -> bool:
    try:
        folder = find_executable(settings.chromium_path).parent
    except DriverError:
        return False  # told by the check of Chromium itself
    helper = folder / "chrome-sandbox"
    return helper.is_file() and bool(helper.stat().st_mode & stat.S_ISUID)


def sandbox_obstacles() -> Sequence[str]:
    """Name what keeps this user's programs from making user namespaces."""
    found = [what for path, value, what in _OBSTACLES if _says(Path(path), value)]
    try:
        probe = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _NAMESPACE_PROBE],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_DEADLINE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return (*found, "making a user namespace did not end")
    if probe.returncode != 0 and not found:
        found.append("making a user namespace is refused, as containers do")
    return found


def _says(path: Path, value: str) -> bool:
    try:
        return path.read_text("ascii").strip() == value
    except OSError:
        return False  # this kernel does not have it
