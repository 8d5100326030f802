"""A fleet to look at: the real supervisor, store and loop, with children that fail on cue."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from actors.base import ChildActor, tell
from actors.bridge import Bridge
from actors.live import LiveBoard
from actors.machine import Machine
from actors.messages import (
    Answer,
    ChildUp,
    Done,
    EndSession,
    ExitKind,
    RecycleDecided,
    RecycleProposed,
    Service,
    Shutdown,
    StartSession,
    StopKind,
    StopSession,
)
from actors.outbox_bells import OutboxBells
from actors.pool import PoolActor, PoolDeps
from actors.pool_plan import Rules
from actors.pressure import Mark, Marks, Needs
from actors.state import STOP_REASONS
from actors.telemetry import Telemetry
from storage.sqlite import open_store
from storage.store import SessionStatus
from storage.tenants import DEFAULT
from supervisor.assembly import service_spec
from supervisor.clerk import Clerk
from supervisor.compose import FleetPort
from supervisor.deps import FleetDeps
from supervisor.fleet import FleetSupervisor
from supervisor.parts import now_ms
from supervisor.restarts import FusePolicy, RestartPolicy
from supervisor.services import ServiceSpec
from tests.integration.archive_support import archive_files
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from pykka import ActorRef

    from actors.pressure import Readings
    from storage.sqlite import SqliteStore

ASK = 20.0
MACHINE = Machine()
CALM = Mark(high=100, low=100)
"""Never too high: what else the machine does is not these tests' business."""
RULES = Rules(
    most=50,
    slots=4,
    interval=0.02,
    needs=Needs(
        browser_bytes=1,
        reserve_bytes=0,
        session_descriptors=1,
        reserve_descriptors=0,
        browser_descriptors=1,
    ),
    marks=Marks(
        cpu_pressure=CALM,
        memory_pressure=CALM,
        load=Mark(high=1e6, low=1e6),
        memory_used=CALM,
    ),
)


class Crash(Exception):  # noqa: N818
    """Told to a child: end like this."""


@dataclass(frozen=True)
class Leave:
    """Told to a child: end with this exit."""

    kind: ExitKind
    cause: str


class Child(ChildActor):
    """A session without a browser: comes up at once, stops when told, unless it is deaf."""

    def __init__(self, *, deaf: bool, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.deaf = deaf

    def handle(self, message: Any) -> None:
        match message:
            case Leave(kind=kind, cause=cause):
                self.exit(kind, cause)
            case StopSession(kind=kind) if not self.deaf:
                self.exit(ExitKind.NORMAL, STOP_REASONS[kind])
            case RecycleProposed(cause=cause):
                decided = RecycleDecided(
                    child_id=self.child_id,
                    incarnation=self.incarnation,
                    agreed=cause != "unwanted",
                )
                self.tell_parent(decided)
            case threading.Event():
                message.wait(ASK)
            case BaseException() as error:
                raise error
            case _:
                pass

    def release(self) -> None:
        """Own nothing."""


@dataclass
class World:
    """A fleet, its store, and every pool and child that was ever started, in order."""

    port: FleetPort
    ref: ActorRef[Any]
    store: SqliteStore
    workspace_id: str
    board: LiveBoard
    telemetry: Telemetry
    directory: Path
    pools: list[ActorRef[Any]]
    children: list[tuple[str, int, ActorRef[Any]]] = field(default_factory=list)
    up: bool = True
    deaf: bool = False

    async def session(self, name: str) -> str:
        row, _ = await self.store.create_session(self.workspace_id, name, now_ms())
        return row.id

    async def start(self, session_id: str) -> Answer:
        return await self.port.ask(lambda r: StartSession(session_id=session_id, reply=r), ASK)

    async def end(self, session_id: str, kind: StopKind) -> Answer:
        return await self.port.ask(
            lambda r: EndSession(session_id=session_id, kind=kind, reply=r), ASK
        )

    async def boot(self, *session_ids: str) -> None:
        for session_id in session_ids:
            self.port.tell(StartSession(session_id=session_id, boot=True))

    async def child(self, session_id: str, number: int) -> ActorRef[Any]:
        """Wait for the n-th child of a session and return its ref."""

        async def look() -> list[ActorRef[Any]]:
            return [ref for sid, _, ref in self.children if sid == session_id][number - 1 :]

        return (await eventually_async(look))[0]

    async def becomes(self, session_id: str, status: str, reason: str) -> None:
        async def look() -> bool:
            row = await self.store.any_session(session_id)
            return (row.status, row.reason) == (SessionStatus(status), reason)

        await eventually_async(look)

    def lives(self, session_id: str) -> int:
        return sum(1 for sid, _, _ in self.children if sid == session_id)


@asynccontextmanager
async def world(
    tmp_path: Path,
    *,
    rules: Rules = RULES,
    look: Callable[[], Readings] = MACHINE.look,
    services: Sequence[ServiceSpec] = (),
    **changes: Any,
) -> AsyncIterator[World]:
    """Run a fleet while the block runs; its pool is real, unless one is among the services."""
    (tmp_path / "sessions").mkdir()
    async with open_store(tmp_path / "db", busy_timeout_ms=1000) as store:
        main = Bridge(asyncio.get_running_loop(), "main")
        made: list[World] = []

        def start_child(session_id: str, number: int, parent: ActorRef[Any]) -> ActorRef[Any]:
            here = made[0]
            ref = Child.start(
                deaf=here.deaf, child_id=session_id, incarnation=number, parent=parent
            )
            here.children.append((session_id, number, ref))
            if here.up:
                tell(parent, ChildUp(child_id=session_id, incarnation=number))
            return ref

        deps: dict[str, Any] = {
            "main": main,
            "clerk": Clerk(
                store=store,
                archives=archive_files(tmp_path, store),
                directory=lambda sid: tmp_path / "sessions" / sid,
                now_ms=now_ms,
            ),
            "board": LiveBoard(),
            "telemetry": Telemetry(),
            "start_child": start_child,
            "restart": RestartPolicy(
                intensity=3, period=60, first=0.001, longest=0.01, stable_after=3600
            ),
            "fuse": FusePolicy(intensity=1000, period=60),
            "quarantine": 3600.0,
            "uniform": lambda _low, high: high,
            "monotonic": time.monotonic,
            "now_ms": now_ms,
        }
        pool = PoolDeps(
            main=main,
            rules=rules,
            look=look,
            telemetry=deps["telemetry"],
            monotonic=time.monotonic,
        )
        pools: list[ActorRef[Any]] = []

        def start_pool(incarnation: int, root: ActorRef[Any]) -> ActorRef[Any]:
            ref = service_spec(Service.POOL, PoolActor, pool).start(incarnation, root)
            pools.append(ref)
            return ref

        if not any(spec.service is Service.POOL for spec in services):
            services = (ServiceSpec(service=Service.POOL, start=start_pool), *services)
        deps["services"] = services
        ref = FleetSupervisor.start(FleetDeps(**{**deps, **changes}))
        here = World(
            FleetPort(ref, OutboxBells()),
            ref,
            store,
            (await store.workspace_named(DEFAULT)).id,
            deps["board"],
            deps["telemetry"],
            tmp_path / "sessions",
            pools,
        )
        made.append(here)
        yield here
        if ref.is_alive():
            here.deaf = False
            answer = await here.port.ask(lambda r: Shutdown(deadline=10.0, reply=r), ASK)
            assert answer == Done()
        await main.close(5)
