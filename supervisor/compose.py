"""The composition root: the only place that names concrete adapters and knows the order of things.

Started in this order, stopped in exactly the reverse: data directory, browser check, orphan sweep,
store (a snapshot in its place if it has to be), loops, webhooks, supervisor, API, keepers. Then the
sessions that should run are asked for.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog

from actors.base import tell
from actors.bridge import Bridge, FutureReply, LoopThread
from actors.browser.profile import sweep_orphans
from actors.check_cap import CheckCap
from actors.limiter_door import Forecasts
from actors.live import LiveBoard
from actors.messages import (
    Answer,
    Done,
    FleetMessage,
    OutboxChanged,
    Refused,
    Reply,
    Shutdown,
    StartSession,
)
from actors.outgoing import OutgoingDesk
from actors.reasons import TRANSIENT
from actors.telemetry import Telemetry
from api.app import build_app
from api.ports import ApiDeps
from api.server import serving
from storage.archive_files import ArchiveFiles
from storage.media_files import MediaFiles
from storage.space import Space
from storage.sqlite.snapshots import SnapshotFiles
from storage.store import Desired, SessionRow, Store
from storage.tenants import DEFAULT
from storage.upload_files import UploadFiles
from storage.vault import SecretBox
from supervisor.assembly import check_limit, fleet_deps, keeper, safekeeper, send_caps
from supervisor.datadir import DataDir
from supervisor.errors import SupervisorDied
from supervisor.expiry import Expirer
from supervisor.fleet import FleetSupervisor
from supervisor.keeper import keeping
from supervisor.keyring import open_keyring
from supervisor.parts import Parts, instant, new_wa_id, now_ms
from supervisor.places import boot_order
from supervisor.pulse import STALLED_AFTER, Pulse
from supervisor.reaper import reaping
from supervisor.recovery import safe_store
from supervisor.watchdog import Watchdog
from supervisor.webhooks import delivering
from supervisor.wiring import VERSION, broadcasts, browser_driver, net_rules, stream_rules

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from pykka import ActorRef

    from actors.outbox_bells import OutboxBells
    from config.settings import Settings

log = structlog.get_logger(__name__)

LOOP_STOP: Final = 5.0
PAGE: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A node that runs: where its API is, and how to wait for its untimely end."""

    url: str
    api_key: str = field(repr=False)
    key_file: Path | None
    watch: Callable[[], Any]


class FleetPort:
    """The supervisor as the API and the boot see it; news of an outbox go straight to a session."""

    def __init__(self, ref: ActorRef[FleetSupervisor], bells: OutboxBells) -> None:
        self._ref = ref
        self._bells = bells

    def tell(self, message: FleetMessage | OutboxChanged) -> bool:
        if isinstance(message, OutboxChanged):
            self._bells.ring(message)
            return self.alive()
        return tell(self._ref, message)

    async def ask(self, build: Callable[[Reply], FleetMessage], deadline: float) -> Answer:
        reply = FutureReply()
        if not tell(self._ref, build(reply)):
            return Refused(code="fleet_down", message="wafleet is stopping; try again later.")
        answer: Answer = await reply.wait(deadline)
        return answer

    def alive(self) -> bool:
        return self._ref.is_alive()


@asynccontextmanager
async def node(settings: Settings) -> AsyncIterator[Running]:
    """Run a whole node while the block runs. Raises what keeps it from starting."""
    async with AsyncExitStack() as stack:
        data = DataDir(settings.data_dir)
        stack.enter_context(data.owned())
        driver = browser_driver(settings)
        for problem in driver.missing():
            raise problem
        api_key, _ = data.bootstrap_key(
            settings.api_key.get_secret_value() if settings.api_key else None
        )
        keyring = open_keyring(settings, data)
        _sweep(data)
        busy_timeout_ms = int(settings.busy_timeout * 1000)
        snapshots = SnapshotFiles(
            database=data.database,
            directory=data.snapshots,
            keep=settings.snapshots_kept,
            busy_timeout_ms=busy_timeout_ms,
        )
        store, restored = await stack.enter_async_context(
            safe_store(
                data=data,
                keyring=keyring,
                snapshots=snapshots,
                busy_timeout_ms=busy_timeout_ms,
                now_ms=now_ms,
            )
        )
        settled = await store.settle_after_boot("supervisor_died", TRANSIENT, now_ms())
        log.info("store_opened", settled=settled)
        space = Space()
        archives = ArchiveFiles(
            data=data.root,
            store=store,
            index=store,
            keyring=keyring,
            keep=settings.archive_generations,
            now_ms=now_ms,
            space=space,
        )
        await archives.sweep()
        media = MediaFiles(
            data=data.root,
            index=store,
            privacy=store,
            keyring=keyring,
            now_ms=now_ms,
            space=space,
        )
        await media.sweep()
        uploads = UploadFiles(
            data=data.root, index=store, keyring=keyring, now_ms=now_ms, space=space
        )
        telemetry, board = Telemetry(), LiveBoard()
        if restored is not None:
            telemetry.safekeeping.restored(
                cause=restored.cause,
                seconds=restored.seconds,
                sessions=restored.adopted.sessions,
                archives=restored.adopted.archives,
            )
        await stack.enter_async_context(reaping(telemetry.orphans_reaped.inc))
        watchdog = stack.enter_context(watching(telemetry, settings.stuck_after))
        main, browsers, turning = await stack.enter_async_context(running_loops(telemetry))
        parts = Parts(
            settings=settings,
            data=data,
            driver=driver,
            store=store,
            grants=store,
            privacy=store,
            secrets=SecretBox(keyring),
            archives=archives,
            media=media,
            outgoing=OutgoingDesk(store=store, index=store, uploads=uploads, paths=data.paths),
            telemetry=telemetry,
            board=board,
            main=main,
            browsers=browsers,
            space=space,
        )
        desk = await stack.enter_async_context(delivering(parts, store))
        fleet = await stack.enter_async_context(running_fleet(parts))
        deps = ApiDeps(
            store=store,
            live=board,
            fleet=fleet,
            workspace_id=(await store.workspace_named(DEFAULT)).id,
            api_key=api_key,
            now_ms=now_ms,
            new_wa_id=new_wa_id,
            telemetry=telemetry.registry,
            version=VERSION,
            progress=lambda: turning() and not watchdog.is_stuck(FleetSupervisor),
            media=media,
            secrets=parts.secrets,
            net_rules=net_rules(settings),
            webhooks_changed=desk.changed,
            usage=parts.usage,
            uploads=uploads,
            streams=stream_rules(settings),
            forecasts=Forecasts(book=parts.limiter.book, caps=send_caps(settings), instant=instant),
            checks=CheckCap(grants=store, limit=check_limit(settings), instant=instant),
            broadcasts=broadcasts(settings),
            max_body_bytes=settings.max_body_bytes,
            command_deadline=settings.stop_timeout + 30.0,
        )
        host, port = await stack.enter_async_context(
            serving(build_app(deps), settings.api_host, settings.api_port)
        )
        await stack.enter_async_context(keeping(keeper(parts)))
        await stack.enter_async_context(keeping(Expirer(store=store, now_ms=now_ms)))
        await stack.enter_async_context(keeping(safekeeper(parts, snapshots)))
        await _resume(store, fleet)
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        log.info("api_started", host=host, port=port)
        yield Running(
            url=url,
            api_key=api_key,
            key_file=None if settings.api_key else data.key_file,
            watch=partial(_watch, fleet),
        )


def _sweep(data: DataDir) -> None:
    """No browser of a previous life may outlive it: we own the directory, so they are orphans."""
    killed = sweep_orphans(data.sessions)
    if killed:
        log.warning("orphans_killed", pids=list(killed))
    copies = data.remove_copies()
    if copies:
        log.warning("profile_copies_removed", count=copies)


@contextmanager
def watching(telemetry: Telemetry, patience: float) -> Iterator[Watchdog]:
    """The watchdog, while the block runs: from before the first actor until after the last."""
    watchdog = Watchdog(telemetry, patience)
    watchdog.start()
    try:
        yield watchdog
    finally:
        watchdog.stop()


@asynccontextmanager
async def running_loops(
    telemetry: Telemetry,
) -> AsyncIterator[tuple[Bridge, Bridge, Callable[[], bool]]]:
    """The browser loop beside this one, a bridge to each, and whether both turn."""
    thread = LoopThread("browser-loop")
    thread.start()
    main = Bridge(asyncio.get_running_loop(), "main")
    browsers = Bridge(thread.loop, "browser")
    pulses = {
        "main": Pulse("main", telemetry.loop_lag.labels(loop="main").set),
        "browser": Pulse("browser", telemetry.loop_lag.labels(loop="browser").set),
    }
    telemetry.stragglers.labels(loop="main").set_function(lambda: main.stragglers)
    telemetry.stragglers.labels(loop="browser").set_function(lambda: browsers.stragglers)
    beat = asyncio.create_task(pulses["main"].beat())
    browser_beat = asyncio.run_coroutine_threadsafe(pulses["browser"].beat(), thread.loop)
    try:
        yield main, browsers, lambda: all(p.age < STALLED_AFTER for p in pulses.values())
    finally:
        beat.cancel()
        browser_beat.cancel()
        await main.close(LOOP_STOP)
        closing = asyncio.run_coroutine_threadsafe(browsers.close(LOOP_STOP), thread.loop)
        left = await asyncio.wrap_future(closing)
        if left:
            log.error("browser_calls_cancelled", calls=left)
        if not await asyncio.to_thread(thread.stop, LOOP_STOP):
            log.error("browser_loop_stuck")


@asynccontextmanager
async def running_fleet(parts: Parts) -> AsyncIterator[FleetPort]:
    """The supervisor; on leaving, every session is stopped and no browser is left."""
    fleet = FleetPort(FleetSupervisor.start(fleet_deps(parts)), parts.bells)
    try:
        yield fleet
    finally:
        await _stop_fleet(fleet, parts.settings.shutdown_timeout)
        _sweep(parts.data)


async def _stop_fleet(fleet: FleetPort, deadline: float) -> None:
    try:
        answer = await fleet.ask(lambda r: Shutdown(deadline=deadline, reply=r), deadline + 5.0)
    except TimeoutError:
        log.exception("supervisor_stuck")
        return
    if not isinstance(answer, Done):
        log.error("fleet_not_stopped_in_time", code=answer.code)


async def _resume(store: Store, fleet: FleetPort) -> None:
    """Ask for every session that should run, the weightiest first; the pool staggers them."""
    wanted: list[SessionRow] = []
    after: str | None = None
    while rows := await store.all_sessions(after=after, limit=PAGE):
        wanted += (row for row in rows if row.desired is Desired.RUNNING)
        after = rows[-1].id
    for row in boot_order(wanted):
        fleet.tell(StartSession(session_id=row.id, boot=True))


async def _watch(fleet: FleetPort) -> None:
    """Raise SupervisorDied when the root is dead: a process without it must not look alive."""
    while fleet.alive():  # noqa: ASYNC110 - pykka has no awaitable for an actor's end
        await asyncio.sleep(1.0)
    raise SupervisorDied("The root supervisor died; see the log for its last exception.")
