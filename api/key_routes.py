"""Routes of the workspace's API keys: list, make, revoke."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import web

from api.caller import CALLER, TRAIL
from api.key_errors import scope_not_own
from api.keys import make_key, stored_scopes
from api.lookup import is_ulid
from api.parsing import json_response, read_body, read_query
from api.schemas import NoBody, NoQuery
from api.schemas_keys import ApiKeyOut, ApiKeysOut, KeysQuery, MadeApiKeyOut, NewApiKey
from api.views import api_key_fields
from storage.keys import KeyNotFound, NewKey

if TYPE_CHECKING:
    from api.authentication import Authenticator
    from api.ports import ApiDeps

_MS: Final = 1000


class KeyRoutes:
    """Handlers of /v1/keys."""

    def __init__(self, deps: ApiDeps, authenticator: Authenticator) -> None:
        self._store = deps.store
        self._now_ms = deps.now_ms
        self._body_deadline = deps.body_deadline
        self._authenticator = authenticator

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/keys", self.list),
            web.post("/v1/keys", self.create),
            web.delete("/v1/keys/{key}", self.revoke),
        ]

    async def list(self, request: web.Request) -> web.Response:
        query = read_query(request, KeysQuery)
        records = await self._store.keys(
            request[CALLER].workspace_id, after=query.after, limit=query.limit + 1
        )
        page = records[: query.limit]
        more = len(records) > query.limit
        return json_response(
            ApiKeysOut(
                keys=[ApiKeyOut.model_validate(api_key_fields(record)) for record in page],
                next_after=page[-1].id if more else None,
            )
        )

    async def create(self, request: web.Request) -> web.Response:
        """201 with the key's text, this once."""
        read_query(request, NoQuery)
        body = await read_body(request, NewApiKey, self._body_deadline)
        caller, now = request[CALLER], self._now_ms()
        beyond = sorted(set(body.scopes) - caller.scopes)
        if beyond:
            raise scope_not_own(beyond)
        for session_id in body.sessions or ():
            await self._store.session(caller.workspace_id, session_id)
        made = make_key()
        record = await self._store.create_key(
            caller.workspace_id,
            NewKey(
                key_id=made.parts.key_id,
                name=body.name,
                hash=made.parts.hash,
                scopes=stored_scopes(body.scopes, body.sessions),
                expires_ms=None if body.expires_in is None else now + body.expires_in * _MS,
            ),
            now,
        )
        request[TRAIL].detail["made"] = record.id
        answer = MadeApiKeyOut.model_validate({**api_key_fields(record), "key": made.text})
        return json_response(answer, status=201, headers={"Location": f"/v1/keys/{record.id}"})

    async def revoke(self, request: web.Request) -> web.Response:
        """204 once the key is useless; again changes nothing."""
        read_query(request, NoQuery)
        await read_body(request, NoBody, self._body_deadline)
        key = request.match_info["key"]
        if not is_ulid(key):
            raise KeyNotFound("No key has this id.")
        record = await self._store.revoke_key(request[CALLER].workspace_id, key, self._now_ms())
        self._authenticator.forget(record.key_id)
        request[TRAIL].detail["revoked"] = record.id
        return web.Response(status=204)
