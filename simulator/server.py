"""The simulator as one object: two listening ports and everything behind them."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from simulator.clock import Clock
from simulator.control import Control
from simulator.core import Core
from simulator.desk import Desk
from simulator.faults import Faults
from simulator.hub import Hub
from simulator.options import ORIGIN, SimulatorOptions
from simulator.pages import Pages
from simulator.state_file import StateFile
from simulator.timers import Timers
from simulator.tls import HOST, Identity, make_identity
from simulator.truth import TruthLog
from simulator.world import World

SHUTDOWN_SECONDS = 2.0


class Simulator:
    """An offline WhatsApp on loopback.

    ``await start()`` opens the ports, ``await stop()`` closes them and saves the state; the
    other members may be used only between the two.
    """

    def __init__(self, options: SimulatorOptions | None = None) -> None:
        self.options = options or SimulatorOptions()
        self.origin = ORIGIN
        self.page_port = 0
        self.control_port = 0
        self._identity: Identity | None = None
        self._runners: list[web.AppRunner] = []
        self._timers = Timers()
        self._world = World()
        self._state: StateFile | None = None
        self._truth: TruthLog | None = None
        self._hub: Hub | None = None
        self._desk: Desk | None = None

    async def start(self) -> None:
        """Load the state and listen; OSError when a port is taken."""
        options, clock, faults = self.options, Clock(), Faults()
        key_file = None
        if options.state_file is not None:
            key_file = options.state_file.with_name(options.state_file.name + ".key.pem")
            self._state = StateFile(options.state_file, self._world, self._timers)
            self._state.load()
        self._identity = make_identity(key_file)
        self._truth = truth = TruthLog(clock, options.log_file, options.log_limit)
        core = Core(self._world, faults, truth, self._timers, clock, options, self._changed)
        self._hub = hub = Hub(core)
        self._desk = Desk(core, hub)
        self._desk.seed(options.accounts, options.contacts)
        pages = Pages(core, hub)
        control = Control(self._desk, truth, self.info)
        try:
            self.page_port = await self._listen(pages.application(), options.port, tls=True)
            self.control_port = await self._listen(
                control.application(), options.control_port, tls=False
            )
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Close the sockets and ports, cancel what is pending, save the state."""
        if self._hub is not None:
            for connection in list(self._hub.connections.values()):
                connection.close()
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()
        self._timers.cancel_all()
        if self._state is not None:
            self._state.save()
        if self._truth is not None:
            self._truth.close()

    @property
    def spki_hash(self) -> str:
        if self._identity is None:
            raise RuntimeError("Start the simulator first.")
        return self._identity.spki_hash

    @property
    def control_url(self) -> str:
        return f"http://127.0.0.1:{self.control_port}"

    @property
    def host_resolver_rules(self) -> str:
        """The value of Chromium's ``--host-resolver-rules``: our host here, all else nowhere."""
        target = f"127.0.0.1:{self.page_port}"
        return f"MAP {HOST}:443 {target}, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"

    @property
    def chromium_flags(self) -> list[str]:
        return [
            f"--host-resolver-rules={self.host_resolver_rules}",
            f"--ignore-certificate-errors-spki-list={self.spki_hash}",
        ]

    @property
    def desk(self) -> Desk:
        """Commands without the HTTP in between, for embedding."""
        if self._desk is None:
            raise RuntimeError("Start the simulator first.")
        return self._desk

    @property
    def truth(self) -> TruthLog:
        if self._truth is None:
            raise RuntimeError("Start the simulator first.")
        return self._truth

    def info(self) -> dict[str, Any]:
        """What a client needs to be pointed here; the answer to ``GET /``."""
        return {
            "origin": self.origin,
            "page_address": f"127.0.0.1:{self.page_port}",
            "page_port": self.page_port,
            "control_url": self.control_url,
            "host_resolver_rules": self.host_resolver_rules,
            "spki_hash": self.spki_hash,
            "chromium_flags": self.chromium_flags,
        }

    async def _listen(self, app: web.Application, port: int, *, tls: bool) -> int:
        runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS, handler_cancellation=True
        )
        self._runners.append(runner)
        await runner.setup()
        context = self._identity.context if tls and self._identity else None
        await web.TCPSite(runner, self.options.host, port, ssl_context=context).start()
        return int(runner.addresses[0][1])

    def _changed(self) -> None:
        if self._state is not None:
            self._state.changed()
