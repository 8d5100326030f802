"""Routes that the browser sees: the page, its scripts, and the WebSocket."""

from __future__ import annotations

import asyncio
import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from simulator.faults import MissingModule, RefuseConnections, SlowPage

if TYPE_CHECKING:
    from simulator.core import Core
    from simulator.hub import Hub

PAGE = Path(__file__).parent / "page"
SOCKET_PATH = "/ws/chat"
MAX_FRAME = 160 * 2**20  # media come as base64 text


class Pages:
    """The web side of the simulator."""

    def __init__(self, core: Core, hub: Hub) -> None:
        self._hub = hub
        self._faults = core.faults
        self._truth = core.truth
        self._options = core.options
        self._scripts = {f.name: f.read_bytes() for f in PAGE.glob("*.js")}
        self._html = (PAGE / "index.html").read_text(encoding="utf-8")

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/", self._index)
        app.router.add_get("/assets/{name}", self._script)
        app.router.add_get(SOCKET_PATH, self._socket)
        return app

    async def _index(self, request: web.Request) -> web.Response:
        slow = self._faults.find(SlowPage)
        if slow is not None:
            await asyncio.sleep(slow.ms / 1000)
        nonce = secrets.token_urlsafe(16)
        missing = [f.name for f in self._faults.all(MissingModule)]
        self._truth.add("page_served", query=dict(request.query) or None, missing=missing or None)
        html = self._html.replace("{{nonce}}", nonce).replace(
            "{{config}}", json.dumps(self._config(missing)).replace("<", "\\u003c")
        )
        return web.Response(text=html, content_type="text/html", headers=_headers(nonce))

    def _config(self, missing: list[str]) -> dict[str, Any]:
        """What the page needs to know; times in milliseconds."""
        o = self._options
        return {
            "version": o.wa_version,
            "socketPath": SOCKET_PATH,
            "missingModules": missing,
            "waves": o.waves,
            "waveGapMs": o.wave_gap * 1000,
            "syncDelayMs": o.sync_delay * 1000,
            "heartbeatMs": o.heartbeat * 1000,
            "deadSocketMs": o.dead_socket * 1000,
            "reconnectMinMs": o.reconnect_min * 1000,
            "reconnectMaxMs": o.reconnect_max * 1000,
            "logoutNavigationMs": o.logout_navigation_delay * 1000,
        }

    async def _script(self, request: web.Request) -> web.Response:
        body = self._scripts.get(request.match_info["name"])
        if body is None:
            raise web.HTTPNotFound
        return web.Response(
            body=body, content_type="text/javascript", headers={"Cache-Control": "no-store"}
        )

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        if self._faults.find(RefuseConnections) is not None:
            raise web.HTTPServiceUnavailable
        socket = web.WebSocketResponse(max_msg_size=MAX_FRAME)
        await socket.prepare(request)
        await self._hub.serve(socket)
        return socket


def _headers(nonce: str) -> dict[str, str]:
    """A content policy as strict as the real page's: no inline script, no eval."""
    policy = (
        "default-src 'self' data: blob:; object-src 'none'; base-uri 'none'; "
        f"script-src 'self' 'nonce-{nonce}'; style-src 'self' 'nonce-{nonce}'; "
        "connect-src 'self' wss://web.whatsapp.com data: blob:; worker-src 'self' blob:"
    )
    return {"Content-Security-Policy": policy, "Cache-Control": "no-store"}
