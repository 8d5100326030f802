"""Routes of the outbox: accept many at once, take back what waits, resolve what is unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from api.caller import TRAIL
from api.idempotency import REPLAYED, request_key
from api.lookup import find_session, is_ulid
from api.parsing import json_response, read_body, read_query
from api.schemas import FieldProblem, NoBody, NoQuery
from api.schemas_outbox import (
    BatchOut,
    ItemOut,
    ItemProblem,
    NewMessages,
    Resolve,
    ResolvedOut,
)
from api.views import as_of_now, message_out
from storage.messages import MessageRow
from storage.store import MessageNotFound, SessionStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from api.accepting import Accepting
    from api.errors import FieldError, Problem
    from api.ports import ApiDeps

_PAGE = 100


class OutboxRoutes:
    """Handlers of what is asked of messages that have not been sent, or may not have been."""

    def __init__(self, deps: ApiDeps, accepting: Accepting) -> None:
        self._deps = deps
        self._store = deps.store
        self._accepting = accepting

    def routes(self) -> list[web.RouteDef]:
        messages = "/v1/sessions/{session}/messages"
        return [
            web.post(f"{messages}/batch", self.accept_many),
            web.post(f"{messages}/resolve", self.resolve_all),
            web.post(f"{messages}/{{message}}/cancel", self.cancel),
            web.post(f"{messages}/{{message}}/resolve", self.resolve),
        ]

    async def accept_many(self, request: web.Request) -> web.Response:
        """202 with a result for each; what could be accepted was."""
        read_query(request, NoQuery)
        body = await read_body(request, NewMessages, self._deps.body_deadline)
        row = await find_session(self._store, request)
        session = as_of_now(row, self._deps.live.get(row.id))
        key = request_key(request, "batch", session, body)
        batch = await self._accepting.many(session, body.messages, key)
        results = _results(batch.results)
        accepted = sum(one.message is not None for one in results)
        answer = BatchOut(
            accepted=accepted,
            refused=len(results) - accepted,
            session_status=SessionStatus(batch.session_status),
            results=results,
        )
        request[TRAIL].detail |= {"accepted": str(accepted), "refused": str(answer.refused)}
        return json_response(
            answer, status=202, headers={REPLAYED: "true"} if batch.again else None
        )

    async def cancel(self, request: web.Request) -> web.Response:
        """The message as it is then; 409 once it is or may have been on its way, or has its end."""
        read_query(request, NoQuery)
        await read_body(request, NoBody, self._deps.body_deadline)
        session = await find_session(self._store, request)
        row = await self._store.cancel_message(
            session.workspace_id, session.id, _message_id(request), self._deps.now_ms()
        )
        request[TRAIL].detail["message_id"] = row.id
        self._accepting.announce(session.id)
        return json_response(message_out(row))

    async def resolve(self, request: web.Request) -> web.Response:
        """The message as it is then; 409 unless it was unknown."""
        read_query(request, NoQuery)
        body = await read_body(request, Resolve, self._deps.body_deadline)
        session = await find_session(self._store, request)
        row = await self._store.resolve_message(
            session.workspace_id,
            session.id,
            _message_id(request),
            body.action,
            self._deps.now_ms(),
        )
        request[TRAIL].detail |= {"message_id": row.id, "resolution": body.action}
        self._accepting.announce(session.id)
        return json_response(message_out(row))

    async def resolve_all(self, request: web.Request) -> web.Response:
        """How many there were; those that become unknown meanwhile may be among them."""
        read_query(request, NoQuery)
        body = await read_body(request, Resolve, self._deps.body_deadline)
        session = await find_session(self._store, request)
        resolved, after, more = 0, None, True
        while more:
            count, after = await self._store.resolve_messages(
                session.workspace_id,
                session.id,
                body.action,
                self._deps.now_ms(),
                after=after,
                limit=_PAGE,
            )
            resolved, more = resolved + count, after is not None
        request[TRAIL].detail |= {"resolved": str(resolved), "resolution": body.action}
        self._accepting.announce(session.id)
        return json_response(ResolvedOut(resolved=resolved))


def _message_id(request: web.Request) -> str:
    found = request.match_info["message"]
    if not is_ulid(found):
        raise MessageNotFound("No message has this id.")
    return found


def _results(results: Sequence[MessageRow | Problem]) -> list[ItemOut]:
    return [
        ItemOut(index=index, message=message_out(one))
        if isinstance(one, MessageRow)
        else ItemOut(index=index, error=_problem(one))
        for index, one in enumerate(results)
    ]


def _problem(problem: Problem) -> ItemProblem:
    return ItemProblem(
        status=problem.status,
        code=problem.code,
        title=problem.title,
        detail=problem.detail,
        errors=[_field(error) for error in problem.errors] or None,
    )


def _field(error: FieldError) -> FieldProblem:
    return FieldProblem(field=error.field, message=error.message)
