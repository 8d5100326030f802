"""What every test gets: a guard that fails it for anything it leaves behind."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

# a slow machine is not a failed property
settings.register_profile("wafleet", deadline=None, print_blob=True)
settings.load_profile("wafleet")

SETTLE_SECONDS = 10.0
REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Footprint:
    """What a test could leave behind: threads, processes, descriptors, listening ports, files."""

    threads: frozenset[str]
    processes: frozenset[tuple[int, str]]
    descriptors: frozenset[str]
    ports: frozenset[int]
    files: frozenset[str]

    def beyond(self, before: Footprint) -> dict[str, list[str]]:
        """Name what is here and was not there before."""
        found = {
            "threads": self.threads - before.threads,
            "processes": self.processes - before.processes,
            "descriptors": self.descriptors - before.descriptors,
            "ports": self.ports - before.ports,
            "files": self.files - before.files,
        }
        return {kind: sorted(map(str, left)) for kind, left in found.items() if left}


def footprint() -> Footprint:
    """Look at this process, its descendants and the scratch directory."""
    me = psutil.Process()
    processes = set()
    for child in me.children(recursive=True):
        try:
            processes.add((child.pid, child.name()))
        except psutil.NoSuchProcess:
            continue
    descriptors = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = str(link.readlink())
        except OSError:
            continue  # the descriptor of the listing itself
        if not target.startswith(("/dev/", "/proc/")) and not target.endswith(".pyc"):
            descriptors.add(f"{link.name} {target}")
    listening = (c for c in me.net_connections("inet") if c.status == psutil.CONN_LISTEN)
    ports = {c.laddr.port for c in listening if c.laddr}
    scratch = Path(tempfile.gettempdir())
    files = {str(p.relative_to(scratch)) for p in scratch.iterdir()}
    files |= {f"repository/{p.name}" for p in REPOSITORY.iterdir() if p.name == "data"}
    return Footprint(
        threads=frozenset(t.name for t in threading.enumerate()),
        processes=frozenset(processes),
        descriptors=frozenset(descriptors),
        ports=frozenset(ports),
        files=frozenset(files),
    )


@pytest.fixture(scope="session", autouse=True)
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give the whole run a scratch directory of its own, so that leftovers are ours and visible."""
    tmp_path_factory.getbasetemp()  # pytest's own directory stays where it was
    directory = Path(tempfile.mkdtemp(prefix="wafleet-tests-"))
    before, tempfile.tempdir = tempfile.tempdir, str(directory)
    environment = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(directory)
    yield directory
    tempfile.tempdir = before
    if environment is None:
        del os.environ["TMPDIR"]
    else:
        os.environ["TMPDIR"] = environment
    directory.rmdir()  # fails if anything is left


@pytest.fixture(autouse=True)
def nothing_is_left(scratch: Path) -> Iterator[None]:
    """Fail a test that leaves a thread, process, descriptor, port or file behind."""
    assert scratch.is_dir()
    before = footprint()
    yield
    deadline = time.monotonic() + SETTLE_SECONDS
    while (left := footprint().beyond(before)) and time.monotonic() < deadline:
        time.sleep(0.02)  # a condition with a deadline: threads and children take a moment to end
    assert not left, f"the test left behind: {left}"


@pytest.fixture
def free_port() -> int:
    """Return a loopback port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
