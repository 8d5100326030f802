"""The services beside the sessions: always there, started again when they crash, stopped last."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from actors.base import tell
from actors.bridge import FutureReply
from actors.limiter_door import LimiterDoor
from actors.messages import Done, Refused, Reply, Service, ToService
from actors.service import ServiceActor
from supervisor.services import ServiceSpec
from tests.integration.fleet_world import World, world
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pykka import ActorRef

    from supervisor.services import Door

pytestmark = pytest.mark.integration


@dataclass(frozen=True)
class Ping:
    """Told to a service: answer with its incarnation."""

    reply: Reply


class Probe(ServiceActor):
    """A service that answers and crashes on cue."""

    def serve(self, message: Any) -> None:
        match message:
            case Ping(reply=reply):
                reply.put(self.incarnation)
            case BaseException() as error:
                raise error
            case _:
                pass

    def release(self) -> None:
        """Own nothing."""


@dataclass
class Services:
    """Specs of probes; `refs` are all that were ever started."""

    refs: list[ActorRef[Any]] = field(default_factory=list)

    def spec(self, service: Service, door: Door | None = None) -> ServiceSpec:
        def start(incarnation: int, root: ActorRef[Any]) -> ActorRef[Any]:
            ref = Probe.start(child_id=service.value, incarnation=incarnation, parent=root)
            self.refs.append(ref)
            return ref

        return ServiceSpec(service=service, start=start, door=door)


async def knock(door: LimiterDoor) -> int | None:
    """Return the incarnation behind the door, None if there is none."""
    reply = FutureReply()
    message: Any = Ping(reply)
    return await reply.wait(10) if door.ask(message) else None


async def ping(here: World, service: Service) -> Any:
    reply = FutureReply()
    here.port.tell(ToService(service=service, message=Ping(reply)))
    try:
        return await reply.wait(1.0)
    except TimeoutError:
        return None  # it died with the question in its mailbox


def is_incarnation(here: World, service: Service, number: int) -> Callable[[], Any]:
    async def look() -> bool:
        return bool(await ping(here, service) == number)

    return look


@pytest.mark.parametrize("error", [RuntimeError("x"), asyncio.CancelledError(), SystemExit()])
async def test_a_crash_costs_one_restart_of_one_service(
    tmp_path: Path, error: BaseException
) -> None:
    services = Services()
    specs = [services.spec(Service.JANITOR), services.spec(Service.MEMORY)]
    async with world(tmp_path, services=specs) as here:
        session = await here.session("a")
        assert await here.start(session) == Done()
        child = await here.child(session, 1)
        await eventually_async(is_incarnation(here, Service.JANITOR, 1))
        tell(services.refs[0], error)
        await eventually_async(is_incarnation(here, Service.JANITOR, 2))
        assert await ping(here, Service.MEMORY) == 1
        assert child.is_alive()
        assert here.lives(session) == 1
        metric = here.telemetry.registry.get_sample_value(
            "wafleet_service_restarts_total", {"service": "janitor"}
        )
        assert metric == 1.0
    assert not any(ref.is_alive() for ref in services.refs)


async def test_a_door_leads_to_whichever_incarnation_runs(tmp_path: Path) -> None:
    """To none between a crash and the next start, nor after the end."""
    services, door = Services(), LimiterDoor()
    assert await knock(door) is None
    async with world(tmp_path, services=[services.spec(Service.LIMITER, door)]) as here:
        await eventually_async(is_incarnation(here, Service.LIMITER, 1))
        assert await knock(door) == 1
        tell(services.refs[0], RuntimeError("x"))

        async def second() -> bool:
            return await knock(door) == 2

        await eventually_async(second)
    assert await knock(door) is None


async def test_a_crash_loop_goes_on_slower_and_harms_no_session(tmp_path: Path) -> None:
    services = Services()
    async with world(tmp_path, services=[services.spec(Service.JANITOR)]) as here:
        session = await here.session("a")
        await here.start(session)
        await here.child(session, 1)
        for number in range(1, 8):  # beyond the intensity
            await eventually_async(is_incarnation(here, Service.JANITOR, number))
            tell(services.refs[-1], RuntimeError("again"))
        await eventually_async(is_incarnation(here, Service.JANITOR, 8))
        assert here.lives(session) == 1


async def test_who_asks_a_missing_service_is_told(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        answer = await ping(here, Service.LIMITER)
        assert isinstance(answer, Refused)
        assert answer.code == "service_down"


async def test_a_stale_exit_changes_nothing(tmp_path: Path) -> None:
    """The former incarnation's last word comes after the next one runs."""
    services = Services()
    async with world(tmp_path, services=[services.spec(Service.JANITOR)]) as here:
        await eventually_async(is_incarnation(here, Service.JANITOR, 1))
        tell(services.refs[0], RuntimeError("x"))
        await eventually_async(is_incarnation(here, Service.JANITOR, 2))
        services.spec(Service.JANITOR).start(1, here.ref).stop()
        assert await ping(here, Service.JANITOR) == 2
        assert len(services.refs) == 3
