"""The API's one error format (RFC 9457 application/problem+json) and the table of its codes.

Members: type ("urn:wafleet:error:<code>"), title, status, detail (what to do), code, instance
("urn:wafleet:request:<request id>"), and for refused fields errors: [{field, message}].

    400  body_invalid          not UTF-8, broken JSON, a key twice, or not an object
    401  unauthorized          no key, or the wrong one
    401  key_expired           the right key, too late; make a new one
    401  key_revoked           the right key, taken back; make a new one
    403  scope_missing         the key may not do this; `scope` names what it lacks
    403  key_limited           the key is for certain sessions only, this is about more
    403  operator_only         the key belongs to a tenant, this is about the whole node
    403  scope_not_own         a key can give a new one only what it may do itself
    403  origin_refused        a WebSocket from a page of another host
    404  route_not_found       no such path
    404  session_not_found     no such session, or it was deleted
    404  message_not_found     no such message in that session
    404  media_not_found       no such upload in this workspace, or its time was over
    404  media_not_kept        the message has no file, or none that was kept
    404  media_failed          its file could not be fetched and never will; `reason` says why
    404  chat_unknown          WhatsApp Web has no such chat or group
    404  place_unknown         `before` names no place of that list
    404  key_not_found         no such API key
    404  channel_not_found     no such channel of a broadcast
    404  webhook_not_found     no such webhook
    405  method_not_allowed    the path exists; the Allow header lists its methods
    408  body_timeout          the body did not arrive in time
    409  qr_not_available      no QR code is on show; session_status and session_reason say why
    409  session_stopped       a message for a session that is not meant to run; start it first
    409  session_inactive      the number is deactivated; activate it first
    409  provider_unsupported  a number of the Cloud API: nothing that needs a browser works on it
    409  plan_limit_reached    no more sessions or webhooks; limit_name, limit, used, plan say why
    409  capacity_reached      the node runs `used` sessions of `limit`; nothing was started
    409  qr_not_permitted      not in this state; session_status and session_reason say why
    409  broadcast_off         nothing is broadcast; set broadcast_driver
    409  reconnect_not_permitted  not in this state; members as above
    409  message_state_wrong   too late or too early for what was asked; message_state says why
    409  idempotency_in_flight a request with this key is being worked on; Retry-After
    409  media_pending         the message's file is still to be fetched; Retry-After
    409  not_connected         only a connected session can be asked for that
    409  <the fleet's code>    the fleet refused the command; its sentence is the detail
    410  message_gone          accepted under this key and not kept any more; not sent again
    413  body_too_large        more bytes than the limit
    413  media_too_large       a file of more bytes than can be sent at all
    415  media_type_invalid    the body is not declared as application/json in UTF-8, or compressed
    422  fields_invalid        a field or a query parameter is missing, unknown or wrong; see errors
    422  idempotency_key_reused  the key was used for another request; use a new one
    422  media_unreachable     the file could not be fetched from its address
    429  plan_limit_reached    no more messages today (UTC); Retry-After, members as above
    426  upgrade_required      a WebSocket only; use a WebSocket client
    429  too_many_streams      of the workspace or the node; Retry-After, limit
    429  qr_limited            too many QR windows; Retry-After, next_at, limit
    429  contact_checks_limited  too many numbers looked up in an hour; Retry-After, next_at, limit
    500  media_unreadable      a kept file is damaged, or its key is missing; `reason`
    500  internal_error        a fault of wafleet; the log has it under the request id
    503  storage_busy          the database is held by another program; Retry-After
    503  storage_unusable      the database can't be used; the log says why
    503  storage_failed        the database failed otherwise; the log says why
    503  media_busy            too many uploads at once; Retry-After
    503  fleet_down            the supervisor does not run or is stopping; Retry-After
    503  page_busy, page_unresponsive  the session's page does not answer now; Retry-After
    503  service_down          a part of wafleet is being started again; Retry-After
    503  not_alive, not_ready  /healthz and /readyz; `checks` says which part
    504  fleet_timeout         no answer in time; the command goes on, ask for the session later
    507  storage_full          the disk is full
    507  media_not_kept        a file could not be written; `reason` says more

Other statuses that aiohttp itself raises carry the code http_<status>.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from storage.acceptance import KeyReused, MessageStateWrong
from storage.keys import KeyNotFound
from storage.media_index import MediaNotFound
from storage.store import (
    MessageNotFound,
    SessionInactive,
    SessionNotFound,
    StoreBusy,
    StoreDamaged,
    StoreError,
    StoreFull,
    StoreUnusable,
)
from storage.webhooks import WebhookNotFound

if TYPE_CHECKING:
    from collections.abc import Mapping

    from storage.tenants import PlanLimitReached

PROBLEM_TYPE: Final = "application/problem+json"
_DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class FieldError:
    """One refused field: its dotted path, and what is allowed. Never the refused value."""

    field: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What a failed request answers. `members` are further JSON members, all safe to show."""

    status: int
    code: str
    title: str
    detail: str
    errors: tuple[FieldError, ...] = ()
    members: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


class ApiError(Exception):
    """Raised by handlers to answer with a problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.code)
        self.problem = problem


def problem_response(problem: Problem, request_id: str) -> web.Response:
    """Return the response of a problem."""
    document: dict[str, Any] = {
        "type": f"urn:wafleet:error:{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
        "instance": f"urn:wafleet:request:{request_id}",
        **problem.members,
    }
    if problem.errors:
        document["errors"] = [{"field": e.field, "message": e.message} for e in problem.errors]
    return web.Response(
        status=problem.status,
        body=json.dumps(document).encode(),
        content_type=PROBLEM_TYPE,
        headers=problem.headers,
    )


def body_invalid(detail: str) -> ApiError:
    return ApiError(
        Problem(status=400, code="body_invalid", title="The body is not valid", detail=detail)
    )


def body_timeout() -> ApiError:
    return ApiError(
        Problem(
            status=408,
            code="body_timeout",
            title="The body came too slowly",
            detail="Send the whole body at once, then try again.",
            headers={"Connection": "close"},
        )
    )


def media_type_invalid() -> ApiError:
    return ApiError(
        Problem(
            status=415,
            code="media_type_invalid",
            title="The media type is not supported",
            detail=(
                "Send the body as uncompressed UTF-8 JSON with Content-Type: application/json."
            ),
        )
    )


def fields_invalid(errors: tuple[FieldError, ...]) -> ApiError:
    return ApiError(
        Problem(
            status=422,
            code="fields_invalid",
            title="The request is not valid",
            detail="Correct the fields that are listed in errors.",
            errors=errors,
        )
    )


def provider_unsupported() -> ApiError:
    return ApiError(
        Problem(
            status=409,
            code="provider_unsupported",
            title="The number is not on WhatsApp Web",
            detail="It is a number of the official Cloud API, which wafleet does not drive yet.",
        )
    )


def plan_limit_reached(error: PlanLimitReached, now_ms: int) -> ApiError:
    """Return the error for a plan's limit; that of a day tells how long the day still is."""
    daily = error.limit_name == "messages"
    left = _DAY_SECONDS - now_ms // 1000 % _DAY_SECONDS
    return ApiError(
        Problem(
            status=429 if daily else 409,
            code=error.code,
            title="The plan's limit is reached",
            detail=str(error),
            members={
                "limit_name": error.limit_name,
                "limit": error.limit,
                "used": error.used,
                "plan": error.plan,
            },
            headers={"Retry-After": str(left)} if daily else {},
        )
    )


def message_gone() -> ApiError:
    return ApiError(
        Problem(
            status=410,
            code="message_gone",
            title="The message is not kept any more",
            detail="It was accepted under this key and is not sent again; use a new key to.",
        )
    )


def qr_not_available(status: str, reason: str, detail: str) -> ApiError:
    return ApiError(
        Problem(
            status=409,
            code="qr_not_available",
            title="No QR code is on show",
            detail=detail,
            members={"session_status": status, "session_reason": reason},
        )
    )


def session_stopped(status: str, reason: str) -> ApiError:
    return ApiError(
        Problem(
            status=409,
            code="session_stopped",
            title="The session is stopped",
            detail="Start the session first, then send the message again.",
            members={"session_status": status, "session_reason": reason},
        )
    )


def fleet_down() -> ApiError:
    return ApiError(
        Problem(
            status=503,
            code="fleet_down",
            title="The supervisor does not run",
            detail="wafleet is starting, stopping or broken; try again once /readyz answers 200.",
            headers={"Retry-After": "5"},
        )
    )


def fleet_timeout() -> ApiError:
    return ApiError(
        Problem(
            status=504,
            code="fleet_timeout",
            title="The command is not finished",
            detail="The command goes on; ask for the session later, or repeat the same request.",
        )
    )


def unhealthy(code: str, title: str, checks: Mapping[str, bool]) -> ApiError:
    """Return the 503 of a probe; `checks` tells part by part what works."""
    return ApiError(
        Problem(
            status=503,
            code=code,
            title=title,
            detail="See checks for the part that fails, and the log for the cause.",
            members={"checks": dict(checks)},
        )
    )


def internal_error() -> Problem:
    return Problem(
        status=500,
        code="internal_error",
        title="wafleet failed",
        detail="Look in the log for the request id that is in instance.",
    )


_OF_STORE: Final[Mapping[type[StoreError], tuple[int, str, str | None]]] = {
    SessionNotFound: (
        404,
        "There is no such session",
        "Use an id or a name from GET /v1/sessions.",
    ),
    MessageNotFound: (
        404,
        "There is no such message",
        "Use an id from GET /v1/sessions/{id}/messages.",
    ),
    MediaNotFound: (
        404,
        "There is no such upload",
        "Hand the file in with POST /v1/media; uploads are kept for some days.",
    ),
    WebhookNotFound: (404, "There is no such webhook", "Use an id from GET /v1/webhooks."),
    KeyNotFound: (404, "There is no such API key", "Use an id from GET /v1/keys."),
    SessionInactive: (409, "The number is deactivated", "Activate it first."),
    MessageStateWrong: (409, "The message's state does not allow it", None),
    KeyReused: (422, "The idempotency key was used before", None),
    StoreBusy: (
        503,
        "The database is busy",
        "Another program holds the database; try again in a moment.",
    ),
    StoreFull: (
        507,
        "The disk is full",
        "Nothing was stored. Free space on the data directory's disk, then try again.",
    ),
    StoreDamaged: (
        503,
        "The database is damaged",
        "Restart wafleet: it goes on with the last good snapshot; the log says more.",
    ),
    StoreUnusable: (
        503,
        "The database can't be used",
        "The log says why; repair or restore the database, then restart wafleet.",
    ),
    StoreError: (
        503,
        "The database failed",
        "The log says why; try again, and restart wafleet if it stays so.",
    ),
}
"""Status, title and detail of each failure; None: its own text, which names nothing of ours."""


def from_store(error: StoreError) -> Problem:
    """Return the problem of a storage failure; its own text may name paths and is not shown."""
    known = next(kind for kind in type(error).__mro__ if kind in _OF_STORE)
    status, title, detail = _OF_STORE[known]
    return Problem(
        status=status,
        code=error.code,
        title=title,
        detail=str(error) if detail is None else detail,
        members={"message_state": error.state} if isinstance(error, MessageStateWrong) else {},
        headers={"Retry-After": "1"} if isinstance(error, StoreBusy) else {},
    )


def from_aiohttp(error: web.HTTPException) -> Problem:
    """Return the problem of an error that aiohttp's router or body reader raised."""
    match error:
        case web.HTTPNotFound():
            code, detail = "route_not_found", "Check the path; the API's routes begin with /v1."
        case web.HTTPMethodNotAllowed():
            code, detail = "method_not_allowed", "Use a method from the Allow header."
        case web.HTTPRequestEntityTooLarge():
            code, detail = "body_too_large", "Send a smaller body."
        case _:
            code, detail = f"http_{error.status}", "The request can't be served as it is."
    kept = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
    title = HTTPStatus(error.status).phrase
    return Problem(status=error.status, code=code, title=title, detail=detail, headers=kept)
