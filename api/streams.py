"""The event log as a stream: GET /v1/events as server-sent events, and /v1/events/ws.

Who comes with the last id seen first gets what the log has since then, page by page and no faster
than it reads; then it follows the feed. Its buffer is bounded, a write that the client does not
take in time ends the stream, and so does a key that was revoked meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import structlog
from aiohttp import hdrs, web

from api.authentication import Denied, bearer
from api.caller import CALLER
from api.errors import FieldError, fields_invalid
from api.event_stream import Stream
from api.feed import BEGINNING, Wanted
from api.lookup import is_ulid, session_of_query
from api.middleware import mark_answered
from api.parsing import read_query
from api.schemas import StreamQuery
from api.stream_errors import origin_refused, too_many_streams, upgrade_required
from api.stream_outlets import EVENT_STREAM, EventStream, Socket
from storage.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from api.authentication import Authenticator
    from api.feed import Feed, Subscription
    from api.metrics_streams import StreamMetrics
    from api.ports import ApiDeps
    from api.stream_outlets import Outlet

log = structlog.get_logger(__name__)

_LAST_EVENT_ID: Final = "Last-Event-ID"


def wants_stream(request: web.Request) -> bool:
    """Tell whether a request for events asks for a stream of them instead of a page."""
    accepted = ",".join(request.headers.getall(hdrs.ACCEPT, [])).split(",")
    kinds = {part.partition(";")[0].strip().lower() for part in accepted}
    return request.method == hdrs.METH_GET and EVENT_STREAM in kinds


class Streams:
    """Handlers of both streams."""

    def __init__(
        self, deps: ApiDeps, feed: Feed, authenticator: Authenticator, metrics: StreamMetrics
    ) -> None:
        self._store = deps.store
        self._rules = deps.streams
        self._feed = feed
        self._authenticator = authenticator
        self._metrics = metrics
        self._open: dict[Outlet, str] = {}
        self._none_open = asyncio.Event()

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/v1/events/ws", self.websocket)]

    async def shut(self, _: web.Application) -> None:
        """End every stream: tell the clients, wait a moment, and drop those who don't take it."""
        self._feed.close()
        if not self._open:
            return
        self._none_open.clear()
        try:
            async with asyncio.timeout(self._rules.shutdown):
                await self._none_open.wait()
        except TimeoutError:
            log.warning("streams_aborted", count=len(self._open))
            for outlet in list(self._open):
                outlet.abort()

    async def sse(self, request: web.Request) -> web.StreamResponse:
        """GET /v1/events with Accept: text/event-stream."""
        wanted, after = await self._asked(request)
        outlet = EventStream(request)
        with self._admitted(wanted, outlet) as subscription:
            await self._serve(request, subscription, outlet, after)
        return outlet.response

    async def websocket(self, request: web.Request) -> web.StreamResponse:
        """GET /v1/events/ws."""
        read_query(request, StreamQuery)
        if not web.WebSocketResponse().can_prepare(request):
            raise upgrade_required()
        _require_own_origin(request)
        wanted, after = await self._asked(request)
        rules = self._rules
        outlet = Socket(request, ping=rules.ping, goodbye=rules.goodbye)
        with self._admitted(wanted, outlet) as subscription:
            await self._serve(request, subscription, outlet, after)
        return outlet.response

    async def _asked(self, request: web.Request) -> tuple[Wanted, str | None]:
        """Return what is asked for, and the id after which; None is from now on.

        Raises what is to be refused: once the stream has begun, nothing can be.
        """
        query, caller = read_query(request, StreamQuery), request[CALLER]
        session_id = await session_of_query(self._store, caller, query.session)
        if session_id is not None:
            await self._store.events(caller.workspace_id, session_id=session_id, limit=0)
        wanted = Wanted(
            workspace_id=caller.workspace_id,
            session_id=session_id,
            types=frozenset() if query.types is None else frozenset(query.types.split(",")),
            visible=caller.sessions,
        )
        return wanted, _last_id(request) or query.after

    @contextmanager
    def _admitted(self, wanted: Wanted, outlet: Outlet) -> Iterator[Subscription]:
        """Subscribe, and count the stream while it is open. Raises ApiError too_many_streams."""
        rules, workspace_id = self._rules, str(wanted.workspace_id)
        if Counter(self._open.values())[workspace_id] >= rules.most_per_workspace:
            raise too_many_streams(rules.most_per_workspace)
        if len(self._open) >= rules.most:
            raise too_many_streams(rules.most)
        subscription = self._feed.subscribe(wanted)
        self._open[outlet] = workspace_id
        try:
            with self._metrics.open.labels(kind=outlet.kind).track_inprogress():
                yield subscription
        finally:
            self._feed.leave(subscription)
            del self._open[outlet]
            if not self._open:
                self._none_open.set()

    async def _serve(
        self, request: web.Request, subscription: Subscription, outlet: Outlet, after: str | None
    ) -> None:
        newest = await self._store.newest_event() or BEGINNING
        stream = Stream(
            events=self._store,
            feed=self._feed,
            workspace_id=request[CALLER].workspace_id,
            subscription=subscription,
            outlet=outlet,
            rules=self._rules,
            key_holds=partial(self._key_holds, request),
        )
        began = time.monotonic()
        mark_answered(request)
        # A place that this log never reached (it was restored from a copy) is its end.
        end = await stream.run(newest if after is None else min(after, newest))
        self._metrics.ended.labels(kind=outlet.kind, code=end.value).inc()
        self._metrics.events.labels(kind=outlet.kind).inc(stream.written)
        log.info(
            "stream_ended",
            kind=outlet.kind,
            code=end.value,
            count=stream.written,
            seconds=round(time.monotonic() - began, 3),
        )

    async def _key_holds(self, request: web.Request) -> bool:
        """Tell whether the key that opened a stream would still open it."""
        try:
            await self._authenticator.check(bearer(request))
        except Denied:
            return False
        except StoreError:
            return True  # a database that is down takes nobody's rights
        return True


def _last_id(request: web.Request) -> str | None:
    """Return the id that a browser sends when it comes back; it is newer than its address is."""
    values = request.headers.getall(_LAST_EVENT_ID, [])
    if not values or values == [""]:
        return None
    if len(values) > 1 or not is_ulid(values[0]):
        raise fields_invalid((FieldError(_LAST_EVENT_ID, "is the id of one event"),))
    return values[0]


def _require_own_origin(request: web.Request) -> None:
    """Refuse pages of other hosts: a browser lets any page open a WebSocket to anywhere."""
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is not None and urlsplit(origin).netloc.lower() != request.host.lower():
        raise origin_refused()
