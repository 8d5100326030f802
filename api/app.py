"""Put the application together."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from api.health import HealthRoutes
from api.messages import MessageRoutes
from api.metrics import HttpMetrics, MetricsRoutes
from api.middleware import answer_problems, authenticate, observe, set_safe_headers
from api.openapi import OpenApiRoutes
from api.ports import ApiDeps
from api.qr import QrRoutes
from api.sessions import SessionRoutes

__all__ = ["DEPS", "ApiDeps", "build_app"]

DEPS: Final = web.AppKey("deps", ApiDeps)


def build_app(deps: ApiDeps) -> web.Application:
    """Return the application; nothing runs until it is served.

    Registers the HTTP metrics on `deps.telemetry`, so a registry serves one application only.
    Raises ValueError if the API key is empty.
    """
    if not deps.api_key.strip():
        raise ValueError("the API key is empty; set one")
    app = web.Application(
        client_max_size=deps.max_body_bytes,
        middlewares=[
            observe(HttpMetrics(deps.telemetry, deps.version)),
            answer_problems,
            authenticate(deps.api_key),
        ],
    )
    app[DEPS] = deps
    app.on_response_prepare.append(set_safe_headers)
    for room in (
        SessionRoutes(deps),
        MessageRoutes(deps),
        QrRoutes(deps),
        HealthRoutes(deps),
        MetricsRoutes(deps),
        OpenApiRoutes(deps.version),
    ):
        app.add_routes(room.routes())
    return app
