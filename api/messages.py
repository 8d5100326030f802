"""Routes of messages: accept a text for sending, list, read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from actors.messages import OutboxChanged
from api.caller import TRAIL
from api.errors import plan_limit_reached, provider_unsupported, session_stopped
from api.lookup import find_session, is_ulid
from api.parsing import json_response, read_body, read_query
from api.queue import queue_fields
from api.schemas import (
    AcceptedOut,
    MessagesOut,
    MessagesQuery,
    NewMessage,
    NoQuery,
)
from api.views import as_of_now, message_fields, message_out
from storage.messages import NewOutbound
from storage.store import Desired, MessageNotFound, Provider, SessionStatus
from storage.tenants import PlanLimitReached

if TYPE_CHECKING:
    from api.ports import ApiDeps
    from storage.store import SessionRow

log = structlog.get_logger(__name__)


class MessageRoutes:
    """Handlers of /v1/sessions/{session}/messages."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps
        self._store = deps.store

    def routes(self) -> list[web.RouteDef]:
        all_of_session = "/v1/sessions/{session}/messages"
        return [
            web.post(all_of_session, self.accept),
            web.get(all_of_session, self.list),
            web.get(f"{all_of_session}/{{message}}", self.read),
        ]

    async def accept(self, request: web.Request) -> web.Response:
        """202 once the message is on the disk; it waits there until the session is connected.

        A session that is not meant to run would let it wait for ever, so that is refused.
        """
        read_query(request, NoQuery)
        body = await read_body(request, NewMessage, self._deps.body_deadline)
        session = self._as_of_now(await self._find(request))
        if session.provider is not Provider.WEBJS:
            raise provider_unsupported()
        if session.is_active and not _takes_messages(session):
            raise session_stopped(session.status, session.reason)
        new = NewOutbound(
            session_id=session.id,
            chat=body.to,
            wa_id=self._deps.new_wa_id(),
            body=body.text,
            now_ms=self._deps.now_ms(),
        )
        try:
            row = await self._store.accept_message(session.workspace_id, new)
        except PlanLimitReached as error:
            raise plan_limit_reached(error, new.now_ms) from None
        request[TRAIL].detail["message_id"] = row.id
        if not self._deps.fleet.tell(OutboxChanged(session_id=session.id)):
            # It is stored all the same; the session finds it when it connects the next time.
            log.warning("outbox_notice_failed", session_id=session.id)
        session = self._as_of_now(await self._store.session(session.workspace_id, session.id))
        answer = AcceptedOut.model_validate(
            {
                **message_fields(row),
                "session_status": session.status,
                **await queue_fields(self._deps, session, row),
            }
        )
        headers = {"Location": f"/v1/sessions/{session.id}/messages/{row.id}"}
        return json_response(answer, status=202, headers=headers)

    async def list(self, request: web.Request) -> web.Response:
        query = read_query(request, MessagesQuery)
        session = await self._find(request)
        rows = await self._store.messages(
            session.workspace_id,
            session.id,
            before=query.before,
            direction=query.direction,
            chat=query.chat,
            limit=query.limit + 1,
        )
        page = rows[: query.limit]
        more = len(rows) > query.limit
        return json_response(
            MessagesOut(
                messages=[message_out(row) for row in page],
                next_before=page[-1].id if more else None,
            )
        )

    async def read(self, request: web.Request) -> web.Response:
        read_query(request, NoQuery)
        session = await self._find(request)
        message_id = request.match_info["message"]
        if not is_ulid(message_id):
            raise MessageNotFound("No message has this id.")
        return json_response(
            message_out(await self._store.message(session.workspace_id, session.id, message_id))
        )

    def _as_of_now(self, row: SessionRow) -> SessionRow:
        return as_of_now(row, self._deps.live.get(row.id))

    async def _find(self, request: web.Request) -> SessionRow:
        return await find_session(self._store, request)


def _takes_messages(session: SessionRow) -> bool:
    return session.desired is Desired.RUNNING or session.status is SessionStatus.CONNECTED
