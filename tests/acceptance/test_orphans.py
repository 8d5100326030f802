"""Whoever starts a node and is killed leaves nothing running: no simulator, node or browser."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.acceptance
EVERYTHING = {"simulator", "supervisor run", "--type=renderer"}


def names(processes: list[psutil.Process]) -> set[str]:
    """Say what kinds of ours run."""
    found = set()
    for process in processes:
        try:
            line = " ".join(process.cmdline())
        except psutil.NoSuchProcess:
            continue
        found |= {
            kind for kind in ("simulator", "supervisor run", "--type=renderer") if kind in line
        }
    return found


def test_a_killed_demo_leaves_nothing_running(tmp_path: Path) -> None:
    """SIGKILL gives it no chance to stop what it has started."""
    with subprocess.Popen(
        [sys.executable, "-m", "supervisor", "demo"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as demo:
        started = psutil.Process(demo.pid)
        family: list[psutil.Process] = []

        def up() -> bool:
            family[:] = started.children(recursive=True)
            return names(family) == EVERYTHING

        eventually(up)
        demo.send_signal(signal.SIGKILL)
        demo.wait()
        _, alive = psutil.wait_procs(family, timeout=60)
        left = [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
        for process in left:
            process.kill()
        assert left == []
