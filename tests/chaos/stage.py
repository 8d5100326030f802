"""Where faults happen: one simulator, and fleets of real nodes, browsers and phones around it."""

from __future__ import annotations

import itertools
import secrets
import shutil
import tempfile
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import aiohttp

from actors.browser.scratch import sweep_links
from benchmarks.families import mentioning, outlived
from supervisor.demo_parts import Api
from supervisor.processes import Program, SimulatorPlace, start_node, start_simulator
from tests.chaos import sights
from tests.waiting import eventually, eventually_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from tests.chaos.sights import Browser

NUMBERS: Final = itertools.count(15552000001)
NEIGHBOURS: Final = ("left", "right")
STOP_TIMEOUT: Final = 3.0
"""Seconds that a browser may take to close on a stage, a tenth of the default."""
PATIENCE: Final = 60.0
UNCAPPED: Final = {
    "send_per_minute": "100000",
    "send_per_hour": "100000",
    "send_per_day": "100000",
    "send_delay": "0",
    "send_jitter": "0",
    "first_contact_delay": "0",
    "warm_up": "[]",
}
"""Messages flow faster here than WhatsApp would like; rows of the caps set their own."""


class Client(Api):
    """A client of a node and of the simulator that also wants to hear of refusals."""

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2 * PATIENCE))
        return self

    async def ask(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Return the status and the JSON object of the answer. Raises aiohttp.ClientError."""
        async with self._http.request(
            method, self._url + path, headers=self._headers, json=body
        ) as answer:
            await answer.read()
            is_json = answer.content_type.endswith("json")
            return answer.status, await answer.json(content_type=None) if is_json else {}

    async def status(self, path: str) -> int:
        """Return the status that a path answers with."""
        return (await self.ask("GET", path))[0]

    async def session(self, name: str) -> dict[str, Any]:
        """Return a session as it is now."""
        found: dict[str, Any] = await self.get(f"/v1/sessions/{name}")
        return found

    async def becomes(self, name: str, *reasons: str, within: float = PATIENCE) -> str:
        """Wait until a session shows one of these reasons; return it."""

        async def look() -> str | None:
            reason: str = (await self.session(name))["reason"]
            return reason if reason in reasons else None

        found = await eventually_async(look, within)
        assert found is not None
        return found

    async def events(self, session: str, *types: str, after: str | None = None) -> list[Any]:
        """Return a session's events after that one, oldest first."""
        path = f"/v1/events?limit=500&session={session}"
        path += f"&types={','.join(types)}" if types else ""
        path += f"&after={after}" if after else ""
        found: list[Any] = (await self.get(path))["events"]
        return found

    async def metric(self, line: str) -> float:
        """Return the sum of a metric's lines that begin so; 0 if there is none."""
        text = await self.text("/metrics")
        return sum(float(each.split()[-1]) for each in text.splitlines() if each.startswith(line))

    async def seen(self, after: int, *kinds: str, number: str = "") -> list[dict[str, Any]]:
        """Return what the simulator saw, oldest first."""
        path = f"/log?after={after}&limit=100000&kind={','.join(kinds)}&number={number}"
        found: list[dict[str, Any]] = (await self.control(path))["events"]
        return found

    async def last_truth(self) -> int:
        found: int = (await self.control("/log?limit=1"))["last_seq"]
        return found


@dataclass
class Fleet:
    """A data directory, its settings, and the node that runs on it at the moment."""

    stage: Stage
    home: Path
    settings: dict[str, str]
    key: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    program: Program | None = None
    ids: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, str] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def log(self) -> Path:
        return self.home / "wafleet.log"

    @property
    def pid(self) -> int:
        assert self.program is not None
        return self.program.pid

    def environment(self, **settings: str) -> dict[str, str]:
        """Return a node's environment; `settings` by their keys in lower case."""
        merged = {
            "data_dir": str(self.data),
            "api_port": "0",
            "api_key": self.key,
            "log_format": "json",
            "stop_timeout": f"{STOP_TIMEOUT:g}",
            "cpu_pressure_high": "100",  # what else this machine does is not the suite's business
            "cpu_pressure_low": "100",
            **UNCAPPED,
            **self.settings,
            **settings,
        }
        return {
            **self.stage.place.environment(),
            **{f"WAFLEET_{name.upper()}": value for name, value in merged.items()},
        }

    def start(self, wrapper: Sequence[str] = (), **settings: str) -> Program:
        """Start a node. Raises ProgramFailed."""
        self._bury()
        self.program = start_node(self.log, self.environment(**settings), wrapper)
        return self.program

    def start_inside(self, *, module: str, env: dict[str, str], **settings: str) -> Program:
        """Start a node inside a module that does something to it. Raises ProgramFailed."""
        self._bury()
        self.program = Program(
            module, ["run", "--json"], self.log, {**self.environment(**settings), **env}
        )
        return self.program

    def _bury(self) -> None:
        """Let go of a life that has ended by itself."""
        if self.program is not None:
            self.program.__exit__(None, None, None)

    def stop(self) -> int:
        """Stop the node in good order; return its exit code."""
        assert self.program is not None
        return self.program.stop()

    def kill(self) -> None:
        """SIGKILL the node."""
        assert self.program is not None
        self.program.kill()

    def wait(self) -> int:
        """Wait for the end of a node that was told to stop; return its exit code."""
        assert self.program is not None
        return self.program.process.wait(PATIENCE)

    def client(self) -> Client:
        assert self.program is not None
        return Client(self.program.ready["url"], self.key, self.stage.place.control_url)

    def browsers(self, session: str | None = None) -> list[Browser]:
        """Return the browsers that live now (of a session, by its name)."""
        wanted = None if session is None else self.ids[session]
        return [b for b in sights.browsers(self.data) if wanted in {None, b.session}]

    def browser(self, session: str) -> Browser:
        """Wait for the one browser of a session and return it."""
        [found] = eventually(lambda: self.browsers(session))
        return found

    async def create(self, api: Client, name: str, *, start: bool = True) -> None:
        """Make a session."""
        made = await api.post("/v1/sessions", {"name": name, "start": start})
        self.ids[name] = made["id"]

    async def link(self, api: Client, name: str) -> None:
        """Make a session and lead it to connected with a phone of its own."""
        self.numbers[name] = await self.stage.account(api)
        await self.create(api, name)
        await api.becomes(name, "qr_shown")
        code = await api.text(f"/v1/sessions/{name}/qr.txt")
        await api.simulator(f"/phones/{self.numbers[name]}/scan", {"qr": code})
        await api.becomes(name, "ready")

    def profile(self, name: str) -> Path:
        return self.data / "sessions" / self.ids[name] / "profile"

    def end(self) -> None:
        """Stop what runs, or kill it. Raises AssertionError for what outlives it."""
        if self.program is not None and self.program.process.poll() is None:
            try:
                self.program.stop()
            except BaseException:
                self.program.kill()
                raise
        if self.program is not None:
            self.program.__exit__(None, None, None)
        left = outlived(mentioning(self.data))
        sweep_links(self.data / "sessions")  # as the next start would, if this one was killed
        assert not left, f"left behind: {left}"


@dataclass
class Stage:
    """A simulator, a directory, and a fleet on (almost) default settings that faults may share."""

    directory: Path
    place: SimulatorPlace
    _shared: Fleet | None = None
    _homes: Iterator[int] = field(default_factory=itertools.count)

    @contextmanager
    def fleet(self, **settings: str) -> Iterator[Fleet]:
        """Make a fleet, not started; at the end nothing of it is left."""
        made = self._make(settings)
        try:
            yield made
        finally:
            made.end()

    @asynccontextmanager
    async def running(self, *sessions: str, **settings: str) -> AsyncIterator[tuple[Fleet, Client]]:
        """Make a fleet, start it and link these sessions."""
        with self.fleet(**settings) as fleet:
            fleet.start()
            async with fleet.client() as api:
                for name in sessions:
                    await fleet.link(api, name)
                yield fleet, api

    async def shared(self) -> Fleet:
        """Return the fleet that faults share, with its neighbours connected."""
        if self._shared is None:
            self._shared = fleet = self._make({})
            fleet.start()
            async with fleet.client() as api:
                for name in NEIGHBOURS:
                    await fleet.link(api, name)
        return self._shared

    def drop_shared(self) -> None:
        """End the shared fleet; the next who asks gets a new one."""
        fleet, self._shared = self._shared, None
        if fleet is not None:
            fleet.end()

    async def account(self, api: Client) -> str:
        """Make an account with a phone; return its number."""
        number = str(next(NUMBERS))
        await api.simulator("/accounts", {"number": number, "name": "Shop"})
        return number

    async def contact(self, api: Client) -> str:
        """Make a contact; return its number."""
        number = str(next(NUMBERS))
        await api.simulator("/contacts", {"number": number, "name": "Alice"})
        return number

    def _make(self, settings: dict[str, str]) -> Fleet:
        home = self.directory / f"node{next(self._homes)}"
        home.mkdir()
        return Fleet(stage=self, home=home, settings=settings)


@contextmanager
def stage(*simulator_args: str) -> Iterator[Stage]:
    """Set up, and take down to the last process also when interrupted."""
    directory = Path(tempfile.mkdtemp(prefix="chaos-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, directory)
        simulator = start_simulator(directory / "simulator.log", *simulator_args)
        stack.enter_context(simulator)
        made = Stage(directory=directory, place=SimulatorPlace.of(simulator.ready))
        stack.callback(made.drop_shared)
        yield made
