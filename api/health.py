"""The probes, open to anybody and without secrets.

/healthz tells whether the process works (restart it if not), /readyz whether requests can be
served. Neither depends on WhatsApp: a fleet that is offline is still a healthy program.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from api.errors import unhealthy
from api.parsing import read_query
from api.schemas import NoQuery
from storage.store import StoreError

if TYPE_CHECKING:
    from api.ports import ApiDeps

log = structlog.get_logger(__name__)


class HealthRoutes:
    """Handlers of /healthz and /readyz."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/healthz", self.healthz), web.get("/readyz", self.readyz)]

    async def healthz(self, request: web.Request) -> web.Response:
        read_query(request, NoQuery)
        checks = {"loops": self._deps.progress(), "fleet": self._deps.fleet.alive()}
        if not all(checks.values()):
            raise unhealthy("not_alive", "wafleet does not work", checks)
        return web.json_response({"status": "ok"})

    async def readyz(self, request: web.Request) -> web.Response:
        read_query(request, NoQuery)
        checks = {"store": await self._store_answers(), "fleet": self._deps.fleet.alive()}
        if not all(checks.values()):
            raise unhealthy("not_ready", "wafleet can't serve requests now", checks)
        return web.json_response({"status": "ok"})

    async def _store_answers(self) -> bool:
        try:
            await self._deps.store.ping()
        except StoreError as error:
            log.warning("store_failed", code=error.code, route="/readyz")
            return False
        return True
