"""What every benchmark plays on: a simulator and nodes, real processes in a scratch directory.

LeftBehind          something outlived its benchmark (and was killed); the figures can't be trusted
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.families import family, mentioning, outlived
from supervisor.processes import Program, SimulatorPlace, start_node, start_simulator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from supervisor.demo_parts import Api

TRUTH_WAIT: Final = 30.0


class LeftBehind(Exception):  # noqa: N818 - it reads as what happened
    """Named processes outlived the benchmark that started them."""


UNPACED: Final = {
    "send_per_minute": "100000",
    "send_per_hour": "100000",
    "send_per_day": "100000",
    "send_delay": "0",
    "send_jitter": "0",
    "first_contact_delay": "0",
    "warm_up": "[]",
}
"""Settings of a node that sends as fast as it can; only a simulator may be treated so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A running simulator and room for nodes, browsers and their logs."""

    directory: Path
    place: SimulatorPlace

    @property
    def node_log(self) -> Path:
        return self.directory / "wafleet.log"

    @contextmanager
    def node(self, **settings: str) -> Iterator[Program]:
        """Run a node on this stage's data directory; `settings` by their keys in lower case."""
        env = {
            **self.place.environment(),
            "WAFLEET_DATA_DIR": str(self.directory / "data"),
            "WAFLEET_API_PORT": "0",
            "WAFLEET_LOG_FORMAT": "json",
            **{f"WAFLEET_{key.upper()}": value for key, value in settings.items()},
        }
        node = start_node(self.node_log, env)
        try:
            yield node
        finally:
            end(node)

    def log_since(self, offset: int) -> list[dict[str, Any]]:
        """Return what the nodes have logged after `offset` bytes of their log."""
        with self.node_log.open("rb") as log:
            log.seek(offset)
            lines = log.read().splitlines()
        return [json.loads(line) for line in lines if line.startswith(b"{")]


@contextmanager
def stage(*simulator_args: str) -> Iterator[Stage]:
    """Set up, and take down to the last process also when interrupted. Raises LeftBehind."""
    directory = Path(tempfile.mkdtemp(prefix="wafleet-bench-"))
    left: list[str] = []
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, directory)
        stack.callback(lambda: left.extend(outlived(mentioning(directory))))
        log = directory / "simulator.log"
        simulator = start_simulator(log, f"--log={directory / 'truth.jsonl'}", *simulator_args)
        stack.callback(end, simulator)
        yield Stage(directory=directory, place=SimulatorPlace.of(simulator.ready))
    if left:
        raise LeftBehind("left behind: " + ", ".join(left))


def end(program: Program) -> None:
    """Stop a program in good order, or kill it; nothing that it started lives on afterwards."""
    started = family(program.pid)
    try:
        program.stop()
    except BaseException:
        program.kill()
        raise
    finally:
        left = outlived(started)
    if left:
        raise LeftBehind("left behind: " + ", ".join(left))


class Truth:
    """The simulator's log from a moment on, read without touching the node."""

    def __init__(self, api: Api, after: int) -> None:
        self._api = api
        self._after = after
        self.entries: list[dict[str, Any]] = []

    @classmethod
    async def from_now(cls, api: Api) -> Truth:
        return cls(api, (await api.control("/log?limit=1"))["last_seq"])

    async def first(self, kind: str) -> dict[str, Any]:
        """Return the first entry of the kind, waiting for it. Raises TimeoutError."""
        deadline = time.monotonic() + TRUTH_WAIT
        while True:
            for entry in self.entries:
                if entry["kind"] == kind:
                    return entry
            if time.monotonic() > deadline:
                raise TimeoutError(f"the simulator saw no {kind} within {TRUTH_WAIT:g} s")
            found = await self._api.control(f"/log?after={self._after}&wait_ms=1000")
            self.entries += found["events"]
            self._after = found["last_seq"]


async def show_qr(api: Api, session: str) -> str:
    """Start a session and return its first QR code."""
    await api.post(f"/v1/sessions/{session}/start", {})
    await api.session_becomes(session, "qr_scanning", "qr_shown")
    return await api.text(f"/v1/sessions/{session}/qr.txt")


async def connect(api: Api, session: str, number: str) -> None:
    """Make a session and lead it to connected with a phone of this number, made if need be."""
    known = {account["number"] for account in (await api.control("/accounts"))["accounts"]}
    if number not in known:
        await api.simulator("/accounts", {"number": number, "name": "Shop"})
    await api.post("/v1/sessions", {"name": session})
    code = await show_qr(api, session)
    await api.simulator(f"/phones/{number}/scan", {"qr": code})
    await api.session_becomes(session, "connected", "ready")


def monotonic_of(entry: dict[str, Any]) -> float:
    """Return when a line of a node's log was written, in seconds of time.monotonic()."""
    wall = datetime.fromisoformat(entry["timestamp"]).timestamp()
    return wall - (time.time() - time.monotonic())
