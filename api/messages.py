"""Routes of messages: accept one for sending, list, read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import web

from api.caller import TRAIL
from api.idempotency import REPLAYED, request_key
from api.lookup import find_session, is_ulid
from api.parsing import json_response, read_body, read_query
from api.queue import queue_fields
from api.schemas import AcceptedOut, MessagesOut, MessagesQuery, NoQuery
from api.schemas_messages import NewMessageOfAnyKind
from api.views import as_of_now, message_fields, message_out
from storage.store import MessageNotFound

if TYPE_CHECKING:
    from api.accepting import Accepting
    from api.ports import ApiDeps
    from storage.store import SessionRow

# Words that stand in an id's place for what is done to many.
_MESSAGE: Final = "{message:(?!(?:batch|resolve)$)[^/]+}"


class MessageRoutes:
    """Handlers of /v1/sessions/{session}/messages."""

    def __init__(self, deps: ApiDeps, accepting: Accepting) -> None:
        self._deps = deps
        self._store = deps.store
        self._accepting = accepting

    def routes(self) -> list[web.RouteDef]:
        all_of_session = "/v1/sessions/{session}/messages"
        return [
            web.post(all_of_session, self.accept),
            web.get(all_of_session, self.list),
            web.get(f"{all_of_session}/{_MESSAGE}", self.read),
        ]

    async def accept(self, request: web.Request) -> web.Response:
        """202 once the message is on the disk; it waits there until the session is connected."""
        read_query(request, NoQuery)
        body = await read_body(request, NewMessageOfAnyKind, self._deps.body_deadline)
        row = await self._find(request)
        session = as_of_now(row, self._deps.live.get(row.id))
        key = request_key(request, "message", session, body)
        trail = request[TRAIL]
        access = None if trail.entry is None else trail.entry()
        accepted = await self._accepting.one(session, body.root, key, access)
        trail.detail["message_id"], trail.written = accepted.row.id, accepted.noted
        answer = AcceptedOut.model_validate(
            {
                **message_fields(accepted.row),
                "session_status": accepted.session_status,
                **queue_fields(self._deps, session, accepted.row, accepted.ahead),
            }
        )
        headers = {"Location": f"/v1/sessions/{session.id}/messages/{accepted.row.id}"}
        if accepted.again:
            headers[REPLAYED] = "true"
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

    async def _find(self, request: web.Request) -> SessionRow:
        return await find_session(self._store, request)
