"""The control API: plain HTTP on loopback, JSON in and out, for tests and demonstrations.

Errors are ``{"code", "message"}`` with a fitting status.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from aiohttp import web

from simulator import requests as req
from simulator.decode import decode
from simulator.errors import InvalidRequestError, SimulatorError

if TYPE_CHECKING:
    from simulator.desk import Desk
    from simulator.truth import TruthLog

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

MAX_WAIT_MS = 30_000


@dataclass(frozen=True, slots=True)
class Control:
    """Routes of the control side; ``info`` is what ``GET /`` answers."""

    desk: Desk
    truth: TruthLog
    info: Callable[[], dict[str, Any]]

    def application(self) -> web.Application:
        app = web.Application(middlewares=[errors_as_json])
        app.router.add_routes(
            [
                web.get("/", self._info),
                web.get("/accounts", self._accounts),
                web.post("/accounts", self._add_account),
                web.get("/accounts/{number}", self._account),
                web.post("/phones/{number}/scan", self._scan),
                web.post("/phones/{number}/link-code", self._link_code),
                web.post("/phones/{number}/auto-scan", self._auto_scan),
                web.post("/phones/{number}/logout", self._logout),
                web.post("/phones/{number}/messages", self._phone_sends),
                web.get("/contacts", self._contacts),
                web.post("/contacts", self._add_contact),
                web.get("/contacts/{number}/messages", self._contact_messages),
                web.post("/contacts/{number}/messages", self._contact_sends),
                web.post("/contacts/{number}/edits", self._contact_edits),
                web.post("/contacts/{number}/revokes", self._contact_revokes),
                web.post("/contacts/{number}/reactions", self._contact_reacts),
                web.post("/contacts/{number}/votes", self._contact_votes),
                web.post("/contacts/{number}/calls", self._contact_calls),
                web.get("/groups", self._groups),
                web.post("/groups", self._add_group),
                web.post("/groups/{group}/messages", self._group_sends),
                web.post("/groups/{group}/participants", self._change_members),
                web.get("/log", self._log),
                web.get("/faults", self._faults),
                web.post("/faults", self._set_fault),
                web.delete("/faults", self._clear_faults),
                web.delete("/faults/{fault}", self._clear_fault),
            ]
        )
        return app

    async def _info(self, _request: web.Request) -> web.Response:
        return web.json_response(self.info())

    async def _accounts(self, _request: web.Request) -> web.Response:
        return web.json_response({"accounts": self.desk.accounts()})

    async def _account(self, request: web.Request) -> web.Response:
        return web.json_response(self.desk.account(request.match_info["number"]))

    async def _add_account(self, request: web.Request) -> web.Response:
        body = await _body(request, req.NewAccount)
        return web.json_response(self.desk.add_account(body), status=201)

    async def _scan(self, request: web.Request) -> web.Response:
        body = await _body(request, req.Scan)
        return web.json_response(self.desk.scan(request.match_info["number"], body.qr))

    async def _link_code(self, request: web.Request) -> web.Response:
        body = await _body(request, req.TypeCode)
        return web.json_response(self.desk.type_code(request.match_info["number"], body.code))

    async def _auto_scan(self, request: web.Request) -> web.Response:
        body = await _body(request, req.SetAutoScan)
        return web.json_response(self.desk.auto_scan(request.match_info["number"], body))

    async def _logout(self, request: web.Request) -> web.Response:
        body = await _body(request, req.PhoneLogout)
        gone = self.desk.log_out(request.match_info["number"], body)
        return web.json_response({"devices": gone})

    async def _phone_sends(self, request: web.Request) -> web.Response:
        body = await _body(request, req.PhoneSends)
        sent = self.desk.phone_sends(request.match_info["number"], body)
        return web.json_response({"id": sent}, status=201)

    async def _contacts(self, _request: web.Request) -> web.Response:
        return web.json_response({"contacts": self.desk.contacts()})

    async def _add_contact(self, request: web.Request) -> web.Response:
        body = await _body(request, req.NewContact)
        return web.json_response(self.desk.add_contact(body), status=201)

    async def _contact_messages(self, request: web.Request) -> web.Response:
        return web.json_response({"messages": self.desk.shown(request.match_info["number"])})

    async def _contact_sends(self, request: web.Request) -> web.Response:
        body = await _body(request, req.ContactSends)
        sent = self.desk.contact_sends(request.match_info["number"], body)
        return web.json_response({"id": sent}, status=201)

    async def _contact_edits(self, request: web.Request) -> web.Response:
        body = await _body(request, req.ContactEdits)
        self.desk.contact_edits(request.match_info["number"], body)
        return web.json_response({}, status=201)

    async def _contact_revokes(self, request: web.Request) -> web.Response:
        body = await _body(request, req.ContactRevokes)
        self.desk.contact_revokes(request.match_info["number"], body)
        return web.json_response({}, status=201)

    async def _contact_reacts(self, request: web.Request) -> web.Response:
        body = await _body(request, req.ContactReacts)
        self.desk.contact_reacts(request.match_info["number"], body)
        return web.json_response({}, status=201)

    async def _contact_votes(self, request: web.Request) -> web.Response:
        body = await _body(request, req.ContactVotes)
        self.desk.contact_votes(request.match_info["number"], body)
        return web.json_response({}, status=201)

    async def _contact_calls(self, request: web.Request) -> web.Response:
        body = await _body(request, req.ContactCalls)
        call = self.desk.contact_calls(request.match_info["number"], body)
        return web.json_response({"id": call}, status=201)

    async def _change_members(self, request: web.Request) -> web.Response:
        body = await _body(request, req.ChangeMembers)
        return web.json_response(self.desk.change_members(request.match_info["group"], body))

    async def _groups(self, _request: web.Request) -> web.Response:
        return web.json_response({"groups": self.desk.groups()})

    async def _add_group(self, request: web.Request) -> web.Response:
        body = await _body(request, req.NewGroup)
        return web.json_response(self.desk.add_group(body), status=201)

    async def _group_sends(self, request: web.Request) -> web.Response:
        data = await _json(request)
        # "from" is a Python keyword, so the field has another name inside
        if isinstance(data, dict) and "from" in data:
            data["sender"] = data.pop("from")
        body = decode(req.GroupSends, data)
        sent = self.desk.group_sends(request.match_info["group"], body)
        return web.json_response({"id": sent}, status=201)

    async def _log(self, request: web.Request) -> web.Response:
        """``?after=SEQ&kind=a,b&number=N&limit=N&wait_ms=N``; waits when nothing is newer."""
        query = request.query
        after = _number(query.get("after", "0"), "after")
        wait = min(_number(query.get("wait_ms", "0"), "wait_ms"), MAX_WAIT_MS)
        kinds = [k for k in query.get("kind", "").split(",") if k]
        if wait:
            await self.truth.grown(after, wait / 1000)
        events = self.truth.read(
            after=after,
            kinds=kinds,
            number=query.get("number", ""),
            limit=_number(query.get("limit", "10000"), "limit"),
        )
        return web.json_response({"events": events, "last_seq": self.truth.last_seq})

    async def _faults(self, _request: web.Request) -> web.Response:
        return web.json_response({"faults": self.desk.faults()})

    async def _set_fault(self, request: web.Request) -> web.Response:
        data = await _json(request)
        if not isinstance(data, dict):
            raise InvalidRequestError("not_an_object", "Send a JSON object.")
        kind, number = data.pop("kind", None), data.pop("number", None)
        if not isinstance(kind, str):
            raise InvalidRequestError("missing_field", "Name the fault in the field 'kind'.")
        if number is not None and not isinstance(number, str):
            raise InvalidRequestError("invalid_field", "The field 'number' must be a string.")
        fault = self.desk.set_fault(kind, None if number == "all" else number, data)
        return web.json_response(fault, status=201)

    async def _clear_faults(self, _request: web.Request) -> web.Response:
        return web.json_response({"cleared": self.desk.clear_faults(None)})

    async def _clear_fault(self, request: web.Request) -> web.Response:
        return web.json_response({"cleared": self.desk.clear_faults(request.match_info["fault"])})


async def _json(request: web.Request) -> Any:
    text = await request.text()
    if not text:
        return {}
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidRequestError("bad_json", "The body is not JSON.") from error


async def _body(request: web.Request, cls: type[T]) -> T:
    return decode(cls, await _json(request))


def _number(text: str, name: str) -> int:
    if not text.isdecimal():
        raise InvalidRequestError("invalid_field", f"{name} must be a whole number.")
    return int(text)


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except SimulatorError as error:
        body = {"code": error.code, "message": error.message}
        return web.json_response(body, status=error.status)
    except web.HTTPException as error:
        if not isinstance(error, web.HTTPClientError | web.HTTPServerError):
            raise
        code = (error.reason or "error").lower().replace(" ", "_")
        message = f"{request.method} {request.path} is not something the simulator offers."
        return web.json_response({"code": code, "message": message}, status=error.status)
