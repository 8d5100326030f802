"""GET /pressure, for the operator: how full the node is, and what keeps launches waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from actors.messages import Refused, Service, ToService
from actors.pool_messages import PoolReport, TellPressure
from actors.pressure import SENTENCES, Cause
from api.errors import fleet_down, fleet_timeout
from api.parsing import json_response, read_query
from api.refusals import refused
from api.schemas import NoQuery

if TYPE_CHECKING:
    from api.ports import ApiDeps


class _Out(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BlockOut(_Out):
    """What keeps launches waiting, and for how many seconds by now."""

    cause: Cause
    detail: str
    seconds: float


class MemoryOut(_Out):
    """Bytes, of the machine or the tightest control group; null where the kernel does not tell."""

    available_bytes: int | None
    total_bytes: int | None


class DescriptorsOut(_Out):
    """Of the supervisor itself; a limit of null is no limit."""

    used: int | None
    limit: int | None


class LoadOut(_Out):
    """PSI: the percentage of the last ten seconds in which some work waited; load per processor."""

    cpu_percent: float | None
    memory_percent: float | None
    load: float | None


class PressureOut(_Out):
    """How full the node is. Those who wait are listed in the order in which they launch."""

    max_sessions: int
    in_use: int
    launch_slots: int
    launching: list[str]
    waiting: list[str]
    blocked: BlockOut | None
    memory: MemoryOut
    descriptors: DescriptorsOut
    pressure: LoadOut


def pressure_out(report: PoolReport) -> PressureOut:
    """Return the answer for a report."""
    readings, blocked = report.readings, None
    if report.blocked is not None:
        blocked = BlockOut(
            cause=report.blocked,
            detail=SENTENCES[report.blocked],
            seconds=round(report.blocked_seconds or 0.0, 3),
        )
    return PressureOut(
        max_sessions=report.limit,
        in_use=report.in_use,
        launch_slots=report.slots,
        launching=list(report.launching),
        waiting=list(report.waiting),
        blocked=blocked,
        memory=MemoryOut(
            available_bytes=readings.memory_available, total_bytes=readings.memory_total
        ),
        descriptors=DescriptorsOut(
            used=readings.descriptors_used, limit=readings.descriptors_limit
        ),
        pressure=LoadOut(
            cpu_percent=readings.cpu_pressure,
            memory_percent=readings.memory_pressure,
            load=readings.load,
        ),
    )


class PressureRoutes:
    """Handler of /pressure."""

    def __init__(self, deps: ApiDeps) -> None:
        self._fleet = deps.fleet
        self._deadline = deps.command_deadline

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/pressure", self.read)]

    async def read(self, request: web.Request) -> web.Response:
        read_query(request, NoQuery)
        if not self._fleet.alive():
            raise fleet_down()
        try:
            answer = await self._fleet.ask(
                lambda reply: ToService(service=Service.POOL, message=TellPressure(reply=reply)),
                self._deadline,
            )
        except TimeoutError:
            raise fleet_timeout() from None
        match answer:
            case PoolReport():
                return json_response(pressure_out(answer))
            case Refused():
                raise refused(answer)
            case _:
                raise RuntimeError("the pool told something else than how full it is")
