"""The Pusher HTTP protocol, which Pusher Channels, Laravel Reverb and Soketi speak.

Spoken with aiohttp: the `pusher` library blocks on `requests` and wants five packages more, and its
module for asyncio can't be imported since Python 3.11. What is needed of the protocol is one signed
POST, and a signature for browsers.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import aiohttp

from api.broadcast import BroadcastError, BroadcastRefused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from api.broadcast import Broadcast

_VERSION: Final = "1.0"
_OK: Final = 200
_REDIRECT: Final = 300
_REFUSED: Final = 400
_FAILED: Final = 500
_AGAIN: Final = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True, kw_only=True)
class PusherApp:
    """An app on a Pusher server; `url` is that of its HTTP API, without a slash at the end."""

    url: str
    app_id: str
    key: str
    secret: str = field(repr=False)


def signed_query(
    app: PusherApp, method: str, path: str, body: bytes, seconds: int
) -> Mapping[str, str]:
    """Return the query parameters that prove a request to be the app's; they hold 600 seconds."""
    query = {
        "auth_key": app.key,
        "auth_timestamp": str(seconds),
        "auth_version": _VERSION,
        "body_md5": hashlib.md5(body, usedforsecurity=False).hexdigest(),
    }
    text = "&".join(f"{name}={value}" for name, value in sorted(query.items()))
    return {**query, "auth_signature": _sign(app, f"{method}\n{path}\n{text}")}


def channel_signature(app: PusherApp, socket_id: str, channel: str) -> str:
    """Return what a browser shows to the server to listen to a private channel."""
    return f"{app.key}:{_sign(app, f'{socket_id}:{channel}')}"


def _sign(app: PusherApp, text: str) -> str:
    return hmac.new(app.secret.encode(), text.encode(), hashlib.sha256).hexdigest()


class PusherDriver:
    """Publishes to a Pusher server; `timeout` in seconds."""

    def __init__(self, app: PusherApp, *, timeout: float, now_ms: Callable[[], int]) -> None:
        self._app = app
        self._timeout = timeout
        self._now_ms = now_ms
        self._client: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep connections to the server while the block runs."""
        timeout = aiohttp.ClientTimeout(total=self._timeout)
        async with aiohttp.ClientSession(timeout=timeout) as self._client:
            yield
        self._client = None

    async def publish(self, broadcast: Broadcast) -> None:
        if self._client is None:
            raise RuntimeError("publish needs running()")
        path = f"/apps/{self._app.app_id}/events"
        message = {
            "name": broadcast.name,
            "channels": broadcast.channels,
            "data": broadcast.data,
        }
        body = json.dumps(message).encode()
        query = signed_query(self._app, "POST", path, body, self._now_ms() // 1000)
        try:
            async with self._client.post(
                f"{self._app.url}{path}",
                params=query,
                data=body,
                headers={"Content-Type": "application/json"},
                allow_redirects=False,
            ) as response:
                _require_taken(response.status)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise BroadcastError(f"the server was not reached: {type(error).__name__}") from error

    def admission(self, socket_id: str, channel: str) -> str:
        return channel_signature(self._app, socket_id, channel)


def _require_taken(status: int) -> None:
    if _OK <= status < _REDIRECT:
        return
    if _REFUSED <= status < _FAILED and status not in _AGAIN:
        raise BroadcastRefused(f"the server answered {status}; check pusher_app_id, key and secret")
    raise BroadcastError(f"the server answered {status}")
