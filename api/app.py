"""Put the application together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import web

from api.authentication import Authenticator, authenticate
from api.background import Background
from api.health import HealthRoutes
from api.history import HistoryRoutes
from api.key_routes import KeyRoutes
from api.messages import MessageRoutes
from api.metrics import HttpMetrics, MetricsRoutes
from api.middleware import answer_problems, observe, set_safe_headers
from api.numbers import NumberRoutes
from api.openapi import OpenApiRoutes
from api.ports import ApiDeps
from api.pressure import PressureRoutes
from api.qr import QrRoutes
from api.recorder import AccessRecorder, record_access
from api.rules import without_rule
from api.sessions import SessionRoutes
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
        async with background.running():
            yield

    app.cleanup_ctx.append(work)
    for room in (
        SessionRoutes(deps),
        MessageRoutes(deps),
        QrRoutes(deps),
        NumberRoutes(deps),
        HistoryRoutes(deps),
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


def _require_rules(app: web.Application) -> None:
    routes = [(r.method, r.resource.canonical) for r in app.router.routes() if r.resource]
    missing = without_rule(routes)
    if missing:
        raise RuntimeError(f"api.rules has no rule for {', '.join(missing)}")
