"""The real programs as subprocesses: one simulator for the run, a node for each test that asks."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from supervisor.demo_parts import Api, leftovers
from supervisor.processes import Program, SimulatorPlace, start_node, start_simulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

NUMBERS = itertools.count(15550110001)


@dataclass
class Node:
    """A node that may be stopped and started again on the same data directory."""

    data: Path
    place: SimulatorPlace
    env: Mapping[str, str]
    program: Program = field(init=False)

    def start(self, *wrapper: str, **env: str) -> Program:
        self.program = start_node(self.data.parent / "wafleet.log", {**self.env, **env}, wrapper)
        return self.program

    @property
    def log(self) -> str:
        return (self.data.parent / "wafleet.log").read_text()

    def api(self) -> Api:
        return Api.of(self.program, self.place)

    def browsers(self) -> list[psutil.Process]:
        """Return the main processes of this node's browsers (not their renderers and helpers)."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            cmdline = process.info["cmdline"] or []
            if any(str(self.data) in part for part in cmdline) and not any(
                part.startswith("--type=") for part in cmdline
            ):
                found.append(process)
        return found

    def left(self) -> list[str]:
        """Name what a stopped or killed node has left behind."""
        return leftovers(self.data, [self.program.pid], [self.program.ready["url"]])


@contextmanager
def simulator(*args: str) -> Iterator[SimulatorPlace]:
    """Run a simulator of one's own."""
    directory = Path(tempfile.mkdtemp(prefix="simulator-"))
    try:
        with start_simulator(directory / "simulator.log", *args) as program:
            yield SimulatorPlace.of(program.ready)
    finally:
        shutil.rmtree(directory)


@pytest.fixture(scope="session")
def place(scratch: Path) -> Iterator[SimulatorPlace]:
    """Give the run's simulator; each test makes its own accounts on it."""
    assert scratch.is_dir()
    with simulator() as there:
        yield there


@pytest.fixture
def make_node(tmp_path: Path) -> Iterator[Callable[..., Node]]:
    """Give a function that makes (and does not start) a node; every one is stopped in the end."""
    with ExitStack() as stack:
        numbers = itertools.count()

        def make(place: SimulatorPlace, **env: str) -> Node:
            home = tmp_path / f"node{next(numbers)}"
            home.mkdir()
            node = Node(
                data=home / "data",
                place=place,
                env={
                    **place.environment(),
                    "WAFLEET_DATA_DIR": str(home / "data"),
                    "WAFLEET_API_PORT": "0",
                    "WAFLEET_LOG_FORMAT": "json",
                    "WAFLEET_STOP_TIMEOUT": "5",
                    # what else this machine does is not these tests' business
                    "WAFLEET_CPU_PRESSURE_HIGH": "100",
                    "WAFLEET_CPU_PRESSURE_LOW": "100",
                    "WAFLEET_SEND_DELAY": "0",
                    "WAFLEET_SEND_JITTER": "0",
                    "WAFLEET_FIRST_CONTACT_DELAY": "0",
                    **env,
                },
            )
            stack.callback(_end, node)
            return node

        yield make


def _end(node: Node) -> None:
    program = getattr(node, "program", None)
    if program is not None:
        program.__exit__(None, None, None)


@pytest.fixture
def node(make_node: Callable[..., Node], place: SimulatorPlace) -> Node:
    """Give a started node on the run's simulator."""
    made = make_node(place)
    made.start()
    return made


async def account(api: Api) -> str:
    """Make an account with a phone; return its number."""
    number = str(next(NUMBERS))
    await api.simulator("/accounts", {"number": number, "name": "Shop"})
    return number


async def contact(api: Api, **behaviour: Any) -> str:
    """Make a contact; return its number."""
    number = str(next(NUMBERS))
    await api.simulator("/contacts", {"number": number, "name": "Alice", **behaviour})
    return number


async def connect(api: Api, name: str) -> str:
    """Create a session, scan its QR code, wait until it is connected; return its number."""
    number = await account(api)
    await api.post("/v1/sessions", {"name": name, "start": True})
    await api.session_becomes(name, "qr_scanning", "qr_shown")
    qr = await api.text(f"/v1/sessions/{name}/qr.txt")
    await api.simulator(f"/phones/{number}/scan", {"qr": qr})
    await api.session_becomes(name, "connected", "ready")
    return number
