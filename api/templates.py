"""Routes as they are written, for metrics, logs and rules: never what a client put in a path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from aiohttp import web

UNMATCHED: Final = "unmatched"


def route_template(request: web.Request) -> str:
    """Return the matched route as written, like /v1/sessions/{session}, or UNMATCHED."""
    resource = request.match_info.route.resource
    return UNMATCHED if resource is None else resource.canonical
