"""GET /v1/numbers: the workspace's numbers, each with its state as it is now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from api.caller import CALLER
from api.paging import visible_page
from api.parsing import json_response, read_query
from api.schemas import NumbersOut, SessionsQuery
from api.views import number_out

if TYPE_CHECKING:
    from api.ports import ApiDeps


class NumberRoutes:
    """Handler of /v1/numbers."""

    def __init__(self, deps: ApiDeps) -> None:
        self._store = deps.store
        self._live = deps.live

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/v1/numbers", self.list)]

    async def list(self, request: web.Request) -> web.Response:
        query = read_query(request, SessionsQuery)
        page, next_after = await visible_page(
            self._store, request[CALLER], after=query.after, limit=query.limit
        )
        return json_response(
            NumbersOut(
                numbers=[number_out(row, self._live.get(row.id)) for row in page],
                next_after=next_after,
            )
        )
