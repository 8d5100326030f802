"""Note in the access log who did what: state changes, QR views, refused keys.

Entries are written in the order of their answers, as long as the database takes them. An answer
waits for its entry at most PATIENCE seconds; a database that is busy for longer gets it later.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

from aiohttp import web

from api.caller import CALLER, TRAIL
from api.errors import ApiError
from api.rules import CLOSED, rule_of
from api.templates import route_template
from storage.audit import NewAccess
from storage.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.typedefs import Handler, Middleware

    from api.background import Background
    from api.keys import Caller
    from storage.audit import AccessLog

PATIENCE: Final = 0.25
DONE: Final = "done"
REFUSED_ACTION: Final = "auth"
"""The action of an entry about a request that was refused before anything noteworthy was asked."""

MOST_REFUSALS: Final = 60
_WINDOW_MS: Final = 60_000


class RefusalLimit:
    """At most MOST_REFUSALS entries a minute, so that guessing keys can't fill the disk (pure)."""

    def __init__(self) -> None:
        self._began_ms = 0
        self._written = 0
        self._left_out = 0

    def admit(self, now_ms: int) -> int | None:
        """Return how many were left out since the last one written; None to leave this one out."""
        if not 0 <= now_ms - self._began_ms < _WINDOW_MS:
            self._began_ms, self._written = now_ms, 0
        if self._written >= MOST_REFUSALS:
            self._left_out += 1
            return None
        self._written += 1
        left_out, self._left_out = self._left_out, 0
        return left_out


class AccessRecorder:
    """Writes to the access log; `operator` is the workspace of what belongs to no other."""

    def __init__(
        self,
        access_log: AccessLog,
        background: Background,
        operator: str,
        now_ms: Callable[[], int],
    ) -> None:
        self._log = access_log
        self._background = background
        self._operator = operator
        self._now_ms = now_ms
        self._refusals = RefusalLimit()

    async def note(
        self, request: web.Request, caller: Caller, action: str, result: str, *, patience: float
    ) -> None:
        """Queue an entry, then wait up to `patience` seconds until it is on the disk."""
        new = self.entry(request, caller, action, result)
        written = self._queue(caller.workspace_id, new, patient=patience <= 0)
        if written is None or patience <= 0:
            return
        try:
            await asyncio.wait_for(written.wait(), patience)
        except TimeoutError:
            return  # it stays queued; whoever waits for the answer has waited long enough

    def entry(self, request: web.Request, caller: Caller, action: str, result: str) -> NewAccess:
        """Return the entry about a call, with what is known of it by now."""
        trail = request[TRAIL]
        return NewAccess(
            action=action,
            result=result,
            now_ms=self._now_ms(),
            key=caller.key,
            session_id=trail.session_id,
            ip_address=request.remote,
            detail=trail.detail,
        )

    def refused(
        self, request: web.Request, result: str, *, caller: Caller | None, whose: str | None
    ) -> None:
        """Queue an entry about a refused key; `whose` workspace, None if that is not known."""
        now = self._now_ms()
        left_out = self._refusals.admit(now)
        if left_out is None:
            return
        rule = rule_of(request.method, route_template(request)) or CLOSED
        detail = {"method": _method(request), "route": route_template(request)}
        self._queue(
            whose or self._operator,
            NewAccess(
                action=rule.action or REFUSED_ACTION,
                result=result,
                now_ms=now,
                key=None if caller is None else caller.key,
                ip_address=request.remote,
                detail={**detail, "left_out": left_out} if left_out else detail,
            ),
        )

    def _queue(
        self, workspace_id: str, new: NewAccess, *, patient: bool = True
    ) -> asyncio.Event | None:
        append = self._log.append_access
        return self._background.give(
            "access_entry", lambda: append(workspace_id, new, patient=patient)
        )


def _method(request: web.Request) -> str:
    known = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
    return request.method if request.method in known else "OTHER"


def record_access(recorder: AccessRecorder) -> Middleware:
    """Note every call whose rule has an action, with what became of it."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        rule = rule_of(request.method, route_template(request)) or CLOSED
        if rule.action is None:
            return await handler(request)
        result, patience = "internal_error", PATIENCE if rule.waits else 0.0
        caller, trail = request[CALLER], request[TRAIL]
        trail.entry = partial(recorder.entry, request, caller, rule.action, DONE)
        try:
            response = await handler(request)
            result = DONE
        except ApiError as error:
            result = error.problem.code
            raise
        except StoreError as error:
            result = error.code
            raise
        except web.HTTPException as error:
            result = f"http_{error.status}"
            raise
        except asyncio.CancelledError:
            result, patience = "cancelled", 0.0
            raise
        finally:
            if not (trail.written and result == DONE):
                await recorder.note(request, caller, rule.action, result, patience=patience)
        return response

    return middleware
