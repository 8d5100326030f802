"""Routes of the workspace's webhooks: make, change, rotate, replay, delete, and see what was tried.

A key that may not read messages makes no webhook whose bodies hold them: it can't give more than it
has.
"""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING, Final

from aiohttp import web

from actors.net_guard import url_problem
from api.caller import CALLER, TRAIL
from api.errors import FieldError, fields_invalid, plan_limit_reached
from api.key_errors import scope_missing
from api.keys import Scope
from api.lookup import is_ulid
from api.parsing import json_response, read_body, read_query
from api.schemas import NoBody, NoQuery
from api.schemas_webhooks import (
    AttemptsOut,
    AttemptsQuery,
    ChangedWebhook,
    DeadLettersOut,
    DeadLettersQuery,
    MadeWebhookOut,
    NewWebhook,
    Replay,
    ReplayedOut,
    Rotation,
    WebhookOut,
    WebhooksOut,
    WebhooksQuery,
)
from api.views_webhooks import attempt_out, dead_letter_out, webhook_fields
from storage import webhooks as port
from storage.tenants import PlanLimitReached

if TYPE_CHECKING:
    from api.keys import Caller
    from api.ports import ApiDeps
    from storage.webhooks import WebhookRecord

_SECRET_BYTES: Final = 32
_MS: Final = 1000
_ONE: Final = "/v1/webhooks/{webhook}"


class WebhookRoutes:
    """Handlers of /v1/webhooks."""

    def __init__(self, deps: ApiDeps) -> None:
        self._store = deps.store
        self._secrets = deps.secrets
        self._rules = deps.net_rules
        self._changed = deps.webhooks_changed
        self._now_ms = deps.now_ms
        self._body_deadline = deps.body_deadline

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/webhooks", self.list),
            web.post("/v1/webhooks", self.create),
            web.get(_ONE, self.read),
            web.patch(_ONE, self.change),
            web.delete(_ONE, self.delete),
            web.post(f"{_ONE}/rotate", self.rotate),
            web.post(f"{_ONE}/replay", self.replay),
            web.get(f"{_ONE}/attempts", self.attempts),
            web.get(f"{_ONE}/dead-letters", self.dead_letters),
        ]

    async def list(self, request: web.Request) -> web.Response:
        query = read_query(request, WebhooksQuery)
        records = await self._store.webhooks(
            request[CALLER].workspace_id, after=query.after, limit=query.limit + 1
        )
        page = records[: query.limit]
        more = len(records) > query.limit
        return json_response(
            WebhooksOut(
                webhooks=[_webhook_out(record) for record in page],
                next_after=page[-1].id if more else None,
            )
        )

    async def create(self, request: web.Request) -> web.Response:
        """201 with the secret, this once."""
        read_query(request, NoQuery)
        body = await read_body(request, NewWebhook, self._body_deadline)
        caller, now, secret = request[CALLER], self._now_ms(), new_secret()
        self._require_good(body.url)
        _require_reader(caller, messages=body.messages)
        try:
            record = await self._store.create_webhook(
                caller.workspace_id,
                port.NewWebhook(
                    session_id=body.session,
                    url=body.url,
                    description=body.description,
                    events=frozenset(body.events),
                    messages=body.messages,
                    seal=lambda webhook_id: self._sealed(secret, webhook_id),
                ),
                now,
            )
        except PlanLimitReached as error:
            raise plan_limit_reached(error, now) from error
        self._note(request, "made", record)
        answer = MadeWebhookOut.model_validate({**webhook_fields(record), "secret": secret})
        location = {"Location": f"/v1/webhooks/{record.id}"}
        return json_response(answer, status=201, headers=location)

    async def read(self, request: web.Request) -> web.Response:
        read_query(request, NoQuery)
        return json_response(_webhook_out(await self._find(request)))

    async def change(self, request: web.Request) -> web.Response:
        read_query(request, NoQuery)
        body = await read_body(request, ChangedWebhook, self._body_deadline)
        caller, before = request[CALLER], await self._find(request)
        if body.url is not None:
            self._require_good(body.url)
        # Whoever sends them elsewhere is shown the messages, too.
        shown = before.messages if body.messages is None else body.messages
        _require_reader(caller, messages=shown and (body.url is not None or body.messages is True))
        record = await self._store.change_webhook(
            caller.workspace_id,
            before.id,
            port.WebhookChange(
                url=body.url,
                description=body.description,
                events=None if body.events is None else frozenset(body.events),
                messages=body.messages,
                enabled=body.enabled,
            ),
            self._now_ms(),
        )
        self._note(request, "changed", record)
        return json_response(_webhook_out(record))

    async def rotate(self, request: web.Request) -> web.Response:
        """200 with the new secret, this once; for a while the one before signs, too."""
        read_query(request, NoQuery)
        body = await read_body(request, Rotation, self._body_deadline)
        before, now, secret = await self._find(request), self._now_ms(), new_secret()
        _require_reader(request[CALLER], messages=before.messages)
        record = await self._store.replace_secret(
            before.workspace_id,
            before.id,
            self._sealed(secret, before.id),
            now + body.overlap * _MS,
            now,
        )
        self._note(request, "rotated", record)
        return json_response(
            MadeWebhookOut.model_validate({**webhook_fields(record), "secret": secret})
        )

    async def delete(self, request: web.Request) -> web.Response:
        """204 once it is forgotten, with all that waits for it."""
        read_query(request, NoQuery)
        await read_body(request, NoBody, self._body_deadline)
        record = await self._find(request)
        await self._store.delete_webhook(record.workspace_id, record.id)
        self._note(request, "deleted", record)
        return web.Response(status=204)

    async def replay(self, request: web.Request) -> web.Response:
        """202: dead letters wait for their endpoint again."""
        read_query(request, NoQuery)
        body = await read_body(request, Replay, self._body_deadline)
        record = await self._find(request)
        count = await self._store.replay(
            record.workspace_id, record.id, body.events, self._now_ms()
        )
        self._note(request, "replayed", record)
        return json_response(ReplayedOut(replayed=count), status=202)

    async def attempts(self, request: web.Request) -> web.Response:
        query, record = read_query(request, AttemptsQuery), await self._find(request)
        rows = await self._store.webhook_attempts(
            record.workspace_id,
            record.id,
            before=query.before,
            failed=query.failed,
            limit=query.limit + 1,
        )
        page = rows[: query.limit]
        more = len(rows) > query.limit
        return json_response(
            AttemptsOut(
                attempts=[attempt_out(row) for row in page],
                next_before=page[-1].id if more else None,
            )
        )

    async def dead_letters(self, request: web.Request) -> web.Response:
        query, record = read_query(request, DeadLettersQuery), await self._find(request)
        rows = await self._store.dead_letters(
            record.workspace_id, record.id, after=query.after, limit=query.limit + 1
        )
        page = rows[: query.limit]
        more = len(rows) > query.limit
        return json_response(
            DeadLettersOut(
                dead_letters=[dead_letter_out(row) for row in page],
                next_after=page[-1].event_id if more else None,
            )
        )

    async def _find(self, request: web.Request) -> WebhookRecord:
        webhook = request.match_info["webhook"]
        if not is_ulid(webhook):
            raise port.WebhookNotFound("No webhook has this id.")
        return await self._store.webhook(request[CALLER].workspace_id, webhook)

    def _require_good(self, url: str) -> None:
        problem = url_problem(url, self._rules)
        if problem is not None:
            raise fields_invalid((FieldError("url", problem),))

    def _sealed(self, secret: str, webhook_id: str) -> str:
        return self._secrets.seal(secret.encode(), port.secret_context(webhook_id))

    def _note(self, request: web.Request, what: str, record: WebhookRecord) -> None:
        request[TRAIL].detail[what] = record.id
        request[TRAIL].session_id = record.session_id
        self._changed()


def new_secret() -> str:
    """Return a secret as Standard Webhooks writes them: whsec_ and 32 random bytes in base64."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def _require_reader(caller: Caller, *, messages: bool) -> None:
    if messages and Scope.MESSAGE_READ not in caller.scopes:
        raise scope_missing(Scope.MESSAGE_READ)


def _webhook_out(record: WebhookRecord) -> WebhookOut:
    return WebhookOut.model_validate(webhook_fields(record))
