"""What happens around every request: id, request log and metrics, problems, safe headers.

Order from the outside in: `observe`, `answer_problems`, `authenticate` (api.authentication),
`record_access` (api.recorder), handler.
"""

from __future__ import annotations

import re
import time
import uuid
from typing import TYPE_CHECKING, Final

import structlog
from aiohttp import hdrs, web

from api.errors import (
    ApiError,
    from_aiohttp,
    from_store,
    internal_error,
    problem_response,
)
from api.rules import CLOSED, rule_of
from api.templates import route_template
from storage.acceptance import KeyReused, MessageStateWrong
from storage.keys import KeyNotFound
from storage.media_index import MediaNotFound
from storage.store import (
    MessageNotFound,
    SessionInactive,
    SessionNotFound,
    StoreBusy,
    StoreError,
)

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

    from api.metrics import HttpMetrics

_SCRAPE: Final = "/metrics"
REQUEST_ID: Final = web.RequestKey("request_id", str)
_ANSWERED: Final = web.RequestKey("answered", float)

_SANE_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)

_ANSWERS: Final = (
    SessionNotFound,
    MessageNotFound,
    KeyNotFound,
    SessionInactive,
    KeyReused,
    MessageStateWrong,
    MediaNotFound,
)
"""What the store says no to as it should: no failure of the store."""

log = structlog.get_logger(__name__)


def observe(metrics: HttpMetrics) -> Middleware:
    """Give the request an id, and log and count it once it is answered."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        offered = request.headers.get("X-Request-Id", "")
        request_id = offered if _SANE_ID.fullmatch(offered) else uuid.uuid4().hex
        request[REQUEST_ID] = request_id
        begun = time.perf_counter()
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            response = await handler(request)
            seconds = request.get(_ANSWERED, time.perf_counter()) - begun
            response.headers["X-Request-Id"] = request_id
            route = route_template(request)
            method = metrics.count(request.method, route, response.status, seconds)
            probe = route == _SCRAPE or (rule_of(request.method, route) or CLOSED).open
            quiet = probe and response.status < web.HTTPBadRequest.status_code
            (log.debug if quiet else log.info)(
                "request_served",
                method=method,
                route=route,
                status=response.status,
                seconds=round(seconds, 6),
            )
        return response

    return middleware


def mark_answered(request: web.Request) -> None:
    """The answer begins now, and may go on for hours: that is no time that anybody waited."""
    request[_ANSWERED] = time.perf_counter()


@web.middleware
async def answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every failure into a problem; what is our fault goes to the log, not to the client."""
    try:
        return await handler(request)
    except ApiError as error:
        problem = error.problem
    except StoreError as error:
        problem = from_store(error)
        if not isinstance(error, _ANSWERS):
            # A busy database is an everyday event; anything else needs its whole story.
            trace = not isinstance(error, StoreBusy)
            route = route_template(request)
            log.warning("store_failed", code=error.code, route=route, exc_info=trace)
    except web.HTTPException as error:
        problem = from_aiohttp(error)
    except Exception:  # the border: whatever it is, the client gets a request id and no more
        problem = internal_error()
        log.exception("request_failed", method=request.method, route=route_template(request))
    return problem_response(problem, request[REQUEST_ID])


async def set_safe_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Keep answers out of caches and off guessing clients, and don't name the software."""
    response.headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers[hdrs.SERVER] = "wafleet"
