"""One session in real Chromium under a real supervisor, on a simulator of its own."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from prometheus_client import generate_latest

from actors.browser.whatsapp import WhatsAppBrowser
from actors.limiter_door import Forecasts
from actors.live import LiveBoard, LiveSession
from actors.messages import Answer, ArchiveSession, Done, EndSession, StartSession, StopKind
from actors.outgoing import OutgoingDesk
from actors.telemetry import Telemetry
from config.settings import Settings
from simulator import AccountSeed, ContactSeed, Simulator, SimulatorOptions
from storage.archive_files import ArchiveFiles
from storage.archives import ArchiveFailed
from storage.media_files import MediaFiles
from storage.space import Space
from storage.sqlite import open_store
from storage.tenants import DEFAULT
from storage.upload_files import UploadFiles
from storage.vault import SecretBox
from supervisor import compose
from supervisor.assembly import send_caps
from supervisor.datadir import DataDir
from supervisor.parts import Parts, instant, now_ms
from supervisor.wiring import browser_driver
from tests.integration.archive_support import RING
from tests.integration.browser_support import BUNDLE
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from pathlib import Path

    from actors.bridge import Bridge
    from actors.browser.driver import Browser, BrowserDriver, BrowserFact, DriverError, SessionPaths
    from storage.archives import Restored
    from storage.sqlite.store import SqliteStore

ME = "15550100001"
ALICE = "15550100002"
ASK = 60.0
UNPACED: dict[str, Any] = {
    "send_per_minute": 10_000,
    "send_per_hour": 10_000,
    "send_delay": 0.0,
    "send_jitter": 0.0,
    "first_contact_delay": 0.0,
    "warm_up": (),
}
"""No number is held to what it may send: these tests are about something else."""


class MoodyDisk(ArchiveFiles):
    """Archives on a disk that is full on cue."""

    full = False

    async def restore(self, session_id: str, profile: Path) -> Restored:
        if self.full:
            raise ArchiveFailed("profile_unusable", "The disk is full; make room.")
        return await super().restore(session_id, profile)


class WatchedDriver:
    """The real driver; the tests also get to see the browsers."""

    def __init__(self, driver: BrowserDriver) -> None:
        self._driver = driver
        self.browsers: list[Browser] = []

    def missing(self) -> Sequence[DriverError]:
        return self._driver.missing()

    async def launch(
        self, session_id: str, paths: SessionPaths, sink: Callable[[BrowserFact], None]
    ) -> Browser:
        browser = await self._driver.launch(session_id, paths, sink)
        self.browsers.append(browser)
        return browser


@dataclass(kw_only=True)
class World:
    """A fleet, its simulator, and one session."""

    data: DataDir
    store: SqliteStore
    archives: MoodyDisk
    media: MediaFiles
    uploads: UploadFiles
    space: Space
    fleet: compose.FleetPort
    board: LiveBoard
    telemetry: Telemetry
    simulator: Simulator
    workspace: str
    session: str
    seen: set[str]
    driver: WatchedDriver
    bridge: Bridge
    forecasts: Forecasts

    async def evaluate(self, expression: str) -> Any:
        """Run JavaScript in the page of the newest browser."""
        browser = self.driver.browsers[-1]
        assert isinstance(browser, WhatsAppBrowser)
        work = partial(browser._ready_page().evaluate, expression, 10)
        return await asyncio.to_thread(self.bridge.run, work, 15)

    async def start(self) -> None:
        ask = partial(StartSession, session_id=self.session)
        assert await self.fleet.ask(lambda r: ask(reply=r), ASK) == Done()

    async def end(self, kind: StopKind) -> None:
        ask = partial(EndSession, session_id=self.session, kind=kind)
        assert await self.fleet.ask(lambda r: ask(reply=r), ASK) == Done()

    async def archive(self) -> Answer:
        ask = partial(ArchiveSession, session_id=self.session)
        return await self.fleet.ask(lambda r: ask(reply=r), ASK)

    async def live(self, *reasons: str) -> LiveSession:
        """Wait until the session shows one of these reasons; take note of all that are seen."""

        async def look() -> LiveSession | None:
            live = self.board.get(self.session)
            if live is not None:
                self.seen.add(live.status)
            return live if live is not None and live.reason in reasons else None

        found = await eventually_async(look)
        assert found is not None
        return found

    async def link(self) -> LiveSession:
        """Start, scan, wait for connected."""
        await self.start()
        qr = (await self.live("qr_shown")).qr
        assert qr is not None
        self.simulator.desk.scan(ME, qr.text)
        return await self.live("ready")

    async def generations(self) -> list[int]:
        return [each.generation for each in await self.archives.list(self.session)]

    async def has_generations(self, *wanted: int) -> None:
        async def look() -> bool:
            return await self.generations() == list(wanted)

        await eventually_async(look)

    async def becomes(self, reason: str) -> None:
        async def look() -> bool:
            return (await self.store.any_session(self.session)).reason == reason

        await eventually_async(look)

    @property
    def profile(self) -> Path:
        return self.data.paths(self.session).profile

    def file(self, generation: int) -> Path:
        return self.data.archives / self.workspace / self.session / f"{generation}.wfa"

    def metric(self, line: str) -> bool:
        return line in generate_latest(self.telemetry.registry).decode().splitlines()


@asynccontextmanager
async def world(
    tmp_path: Path, whatsapp: Mapping[str, Any] | None = None, **settings: Any
) -> AsyncIterator[World]:
    """Run a fleet with the composition root's own parts; `whatsapp` are simulator's options."""
    async with AsyncExitStack() as stack:
        simulator = Simulator(
            SimulatorOptions(
                accounts=(AccountSeed(number=ME, name="Ann"),),
                contacts=(ContactSeed(number=ALICE, name="Alice"),),
                **(whatsapp or {}),
            )
        )
        await simulator.start()
        stack.push_async_callback(simulator.stop)
        made = Settings(
            data_dir=tmp_path / "data",
            wajs_bundle=BUNDLE,
            host_resolver_rules=simulator.host_resolver_rules,
            trusted_spki=simulator.spki_hash,
            # what else this machine does is not these tests' business
            cpu_pressure_high=100.0,
            cpu_pressure_low=100.0,
            **{"stop_timeout": 10, "archive_delay": 3600.0, **UNPACED, **settings},
        )
        data = DataDir(made.data_dir)
        stack.enter_context(data.owned())
        store = await stack.enter_async_context(open_store(data.database))
        space = Space()
        archives = MoodyDisk(
            data=data.root,
            store=store,
            index=store,
            keyring=RING,
            keep=made.archive_generations,
            now_ms=now_ms,
            space=space,
        )
        telemetry, board = Telemetry(), LiveBoard()
        main, browsers, _ = await stack.enter_async_context(compose.running_loops(telemetry))
        driver = WatchedDriver(browser_driver(made))
        media = MediaFiles(
            data=data.root, index=store, privacy=store, keyring=RING, now_ms=now_ms, space=space
        )
        uploads = UploadFiles(data=data.root, index=store, keyring=RING, now_ms=now_ms)
        parts = Parts(
            settings=made,
            data=data,
            driver=driver,
            store=store,
            grants=store,
            privacy=store,
            secrets=SecretBox(RING),
            archives=archives,
            media=media,
            outgoing=OutgoingDesk(store=store, index=store, uploads=uploads, paths=data.paths),
            telemetry=telemetry,
            board=board,
            main=main,
            browsers=browsers,
            space=space,
        )
        fleet = await stack.enter_async_context(compose.running_fleet(parts))
        workspace = (await store.workspace_named(DEFAULT)).id
        row, _ = await store.create_session(workspace, "one", 1)
        yield World(
            data=data,
            store=store,
            archives=archives,
            media=media,
            uploads=uploads,
            space=space,
            fleet=fleet,
            board=board,
            telemetry=telemetry,
            simulator=simulator,
            workspace=workspace,
            session=row.id,
            seen=set(),
            driver=driver,
            bridge=browsers,
            forecasts=Forecasts(book=parts.limiter.book, caps=send_caps(made), instant=instant),
        )
