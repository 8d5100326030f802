"""POST /v1/broadcasting/auth: let a browser listen to a private channel.

Front ends' Pusher clients ask this when they subscribe, usually through the user's own server: it
holds the API key. What was admitted stays so until the browser disconnects, also when the key is
revoked meanwhile: that is how the protocol is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from api.caller import CALLER, TRAIL
from api.channels import Channel, parse_channel
from api.key_errors import key_limited, scope_missing
from api.keys import Scope
from api.parsing import json_response, read_form, read_query
from api.schemas import ChannelAdmitted, ChannelWanted, NoQuery
from api.stream_errors import broadcast_off, channel_not_found
from storage.store import SessionNotFound

if TYPE_CHECKING:
    from api.keys import Caller
    from api.ports import ApiDeps


class BroadcastRoutes:
    """Handler of /v1/broadcasting/auth."""

    def __init__(self, deps: ApiDeps) -> None:
        self._store = deps.store
        self._broadcasts = deps.broadcasts
        self._body_deadline = deps.body_deadline

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/v1/broadcasting/auth", self.admit)]

    async def admit(self, request: web.Request) -> web.Response:
        read_query(request, NoQuery)
        wanted = await read_form(request, ChannelWanted, self._body_deadline)
        if self._broadcasts is None:
            raise broadcast_off()
        channel = parse_channel(wanted.channel_name)
        if channel is None:
            raise channel_not_found()
        kind, about = channel
        request[TRAIL].detail["channel"] = kind.value
        if kind is Channel.WORKSPACE:
            _require_workspace(request[CALLER], about)
        else:
            await self._require_session(request, kind, about)
        admission = self._broadcasts.driver.admission(wanted.socket_id, wanted.channel_name)
        return json_response(ChannelAdmitted(auth=admission))

    async def _require_session(self, request: web.Request, kind: Channel, about: str) -> None:
        caller = request[CALLER]
        row = await self._store.session(caller.workspace_id, about)
        if not caller.may_see(row.id):
            raise SessionNotFound("The key is not for this session.")
        request[TRAIL].session_id = row.id
        # As for GET …/qr: whoever sees the code can link a phone.
        if kind is Channel.QR and Scope.SESSION_WRITE not in caller.scopes:
            raise scope_missing(Scope.SESSION_WRITE)


def _require_workspace(caller: Caller, about: str) -> None:
    if about != caller.workspace_id:
        raise channel_not_found()
    if caller.sessions is not None:
        raise key_limited()
