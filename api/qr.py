"""Routes of the QR code on show: as JSON, as PNG or SVG, or as the bare text that a phone reads.

The code is a login: it is read from the live board, stored only encrypted, never logged or cached.
"""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING, Final

import segno
from aiohttp import web

from api.errors import provider_unsupported, qr_not_available
from api.lookup import find_session
from api.parsing import json_response, read_query
from api.schemas import NoQuery, QrOut
from api.times import rfc3339
from api.views import as_of_now
from storage.store import Desired, Provider, SessionStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.live import QrCode
    from api.ports import ApiDeps
    from storage.store import SessionRow

_SCALE: Final = 8
_BORDER: Final = 4
_NO_STORE: Final = {"Cache-Control": "no-store"}


def draw_png(text: str) -> bytes:
    """Return the QR code as a PNG image."""
    out = io.BytesIO()
    _make(text).save(out, kind="png", scale=_SCALE, border=_BORDER)
    return out.getvalue()


def draw_svg(text: str) -> bytes:
    """Return the QR code as an SVG image on a white ground."""
    out = io.BytesIO()
    _make(text).save(out, kind="svg", scale=_SCALE, border=_BORDER, light="white")
    return out.getvalue()


def _make(text: str) -> segno.QRCode:
    return segno.make_qr(text, error="l")


class QrRoutes:
    """Handlers of /v1/sessions/{session}/qr*."""

    def __init__(self, deps: ApiDeps) -> None:
        self._store = deps.store
        self._live = deps.live

    def routes(self) -> list[web.RouteDef]:
        qr = "/v1/sessions/{session}/qr"
        return [
            web.get(qr, self.read),
            web.get(f"{qr}.png", self.png),
            web.get(f"{qr}.svg", self.svg),
            web.get(f"{qr}.txt", self.txt),
        ]

    async def read(self, request: web.Request) -> web.Response:
        qr = await self._on_show(request)
        answer = QrOut(text=qr.text, number=qr.number, shown_at=rfc3339(qr.shown_ms))
        return json_response(answer, headers=_NO_STORE)

    async def png(self, request: web.Request) -> web.Response:
        return await self._drawn(request, draw_png, "image/png")

    async def svg(self, request: web.Request) -> web.Response:
        return await self._drawn(request, draw_svg, "image/svg+xml; charset=utf-8")

    async def txt(self, request: web.Request) -> web.Response:
        """The text inside the code and nothing else, not even a line end; to be drawn elsewhere."""
        qr = await self._on_show(request)
        return web.Response(text=qr.text, headers=_NO_STORE)

    async def _drawn(
        self, request: web.Request, draw: Callable[[str], bytes], content_type: str
    ) -> web.Response:
        qr = await self._on_show(request)
        # Drawing takes tens of milliseconds; a thread keeps the loop answering meanwhile.
        body = await asyncio.to_thread(draw, qr.text)
        return web.Response(body=body, headers={**_NO_STORE, "Content-Type": content_type})

    async def _on_show(self, request: web.Request) -> QrCode:
        read_query(request, NoQuery)
        row = await find_session(self._store, request)
        if row.provider is not Provider.WEBJS:
            raise provider_unsupported()
        live = self._live.get(row.id)
        if live is None or live.qr is None:
            session = as_of_now(row, live)
            raise qr_not_available(session.status, session.reason, _why_not(session))
        return live.qr


def _why_not(session: SessionRow) -> str:
    if session.status in {SessionStatus.CONNECTED, SessionStatus.AUTHENTICATED}:
        return "The session is linked already; log it out first to link another phone."
    if session.status is SessionStatus.FAILED:
        return "The session failed; see its reason, mend that, then start it again."
    if session.desired is Desired.STOPPED:
        return "The session is not started; start it first."
    if session.reason == "qr_timeout":
        return "No phone scanned the last code in time; start the session again."
    return "The session has no QR code yet; ask again in a moment."
