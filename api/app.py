"""Put the application together."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

from aiohttp import web

from api.accepting import Accepting
from api.authentication import Authenticator, authenticate
from api.background import Background
from api.broadcast import Broadcaster
from api.broadcast_routes import BroadcastRoutes
from api.feed import Feed
from api.health import HealthRoutes
from api.history import HistoryRoutes
from api.key_routes import KeyRoutes
from api.media import MediaRoutes
from api.message_files import MessageFileRoutes
from api.messages import MessageRoutes
from api.metrics import HttpMetrics, MetricsRoutes
from api.metrics_streams import BroadcastMetrics, StreamMetrics
from api.middleware import answer_problems, observe, set_safe_headers
from api.numbers import NumberRoutes
from api.openapi import OpenApiRoutes
from api.outbox import OutboxRoutes
from api.ports import ApiDeps, Broadcasts
from api.pressure import PressureRoutes
from api.qr import QrRoutes
from api.queue import QueueRoutes
from api.reading import ReadingRoutes
from api.recorder import AccessRecorder, record_access
from api.rules import without_rule
from api.sessions import SessionRoutes
from api.streams import Streams
from api.webhooks import WebhookRoutes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["DEPS", "ApiDeps", "build_app"]

DEPS: Final = web.AppKey("deps", ApiDeps)


def build_app(deps: ApiDeps) -> web.Application:
    """Return the application; nothing runs until it is served.

    Once it is served, the bootstrap key is stored if it is not there yet, which may raise
    StoreErrors. Registers the HTTP metrics on `deps.telemetry`, so a registry serves one
    application only. Raises ValueError if the API key is empty.
    """
    if not deps.api_key.strip():
        raise ValueError("the API key is empty; set one")
    background = Background()
    authenticator = Authenticator(
        deps.store, background, deps.api_key, deps.workspace_id, deps.now_ms
    )
    feed = Feed(deps.store, room=deps.streams.room)
    broadcaster = None
    if deps.broadcasts is not None:
        broadcaster = _broadcaster(deps, deps.broadcasts, feed)
    streams = Streams(deps, feed, authenticator, StreamMetrics(deps.telemetry))
    recorder = AccessRecorder(deps.store, background, deps.workspace_id, deps.now_ms)
    app = web.Application(
        client_max_size=deps.max_body_bytes,
        middlewares=[
            observe(HttpMetrics(deps.telemetry, deps.version)),
            answer_problems,
            authenticate(authenticator, recorder, deps.workspace_id),
            record_access(recorder),
        ],
    )
    app[DEPS] = deps
    app.on_response_prepare.append(set_safe_headers)

    async def work(_: web.Application) -> AsyncIterator[None]:
        await authenticator.register_bootstrap()
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(background.running())
            await stack.enter_async_context(feed.running())
            if broadcaster is not None:
                await stack.enter_async_context(broadcaster.running())
            yield

    app.cleanup_ctx.append(work)
    accepting = Accepting(deps)
    app.on_shutdown.append(streams.shut)
    for room in (
        SessionRoutes(deps),
        MessageRoutes(deps, accepting),
        OutboxRoutes(deps, accepting),
        QueueRoutes(deps),
        MediaRoutes(deps),
        MessageFileRoutes(deps),
        ReadingRoutes(deps),
        QrRoutes(deps),
        NumberRoutes(deps),
        HistoryRoutes(deps, streams),
        streams,
        BroadcastRoutes(deps),
        KeyRoutes(deps, authenticator),
        WebhookRoutes(deps),
        HealthRoutes(deps),
        MetricsRoutes(deps),
        PressureRoutes(deps),
        OpenApiRoutes(deps.version),
    ):
        app.add_routes(room.routes())
    _require_rules(app)
    return app


def _broadcaster(deps: ApiDeps, broadcasts: Broadcasts, feed: Feed) -> Broadcaster:
    return Broadcaster(
        driver=broadcasts.driver,
        feed=feed,
        board=deps.live,
        metrics=BroadcastMetrics(deps.telemetry),
        with_qr=broadcasts.with_qr,
        uniform=broadcasts.uniform,
    )


def _require_rules(app: web.Application) -> None:
    routes = [(r.method, r.resource.canonical) for r in app.router.routes() if r.resource]
    missing = without_rule(routes)
    if missing:
        raise RuntimeError(f"api.rules has no rule for {', '.join(missing)}")
