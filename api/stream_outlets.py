"""The two ways of writing a stream: server-sent events, and frames of a WebSocket.

Server-sent events: each block has `id`, `event` (the type) and `data` (the event as in GET
/v1/events). A block of an `id` alone, at the beginning and at each heartbeat, moves the place from
which the client resumes, and is no event to it. A stream that wafleet ends says why in a last
event, `end`, with `code` and `detail`.

WebSocket: each text frame is a JSON object with `frame`: `hello` (after, heartbeat_seconds),
`event` (event), or, at each heartbeat, `position` (after). `after` is where to resume. The close
code says why it ended; the reason is the code of api.feed.End.
"""

from __future__ import annotations

import asyncio
import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol

from aiohttp import WSCloseCode, WSMsgType, hdrs, web

from api.feed import End
from api.middleware import REQUEST_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from api.feed import Told

EVENT_STREAM: Final = "text/event-stream"
RETRY_MS: Final = 2_000
"""After how long a browser comes back to a stream that ended."""
_MOST_FROM_CLIENT: Final = 1_024

DETAILS: Final[Mapping[End, str]] = MappingProxyType(
    {
        End.LEFT: "The client closed the stream.",
        End.TOO_SLOW: "The client reads too slowly; connect again with the last id seen.",
        End.SHUTDOWN: "wafleet is stopping; connect again with the last id seen.",
        End.KEY_REFUSED: "The key was revoked or has expired; use another one.",
        End.FAILED: "wafleet could not read its log; connect again with the last id seen.",
        End.UNEXPECTED_DATA: "This WebSocket takes no messages; the filters are in its address.",
    }
)
CLOSE_CODES: Final[Mapping[End, int]] = MappingProxyType(
    {
        End.LEFT: WSCloseCode.OK,
        End.TOO_SLOW: 4008,
        End.SHUTDOWN: WSCloseCode.GOING_AWAY,
        End.KEY_REFUSED: 4001,
        End.FAILED: WSCloseCode.INTERNAL_ERROR,
        End.UNEXPECTED_DATA: WSCloseCode.UNSUPPORTED_DATA,
    }
)


class Outlet(Protocol):
    """Writes one stream. Each write waits while the client's connection is full.

    Writing raises ConnectionResetError when the client has left.
    """

    kind: str

    @property
    def response(self) -> web.StreamResponse:
        """What the handler returns; it is prepared by `begin`."""
        ...

    @property
    def gone(self) -> bool:
        """Whether the client's connection is closed already."""
        ...

    async def begin(self, position: str, heartbeat: float, heard: Callable[[End], None]) -> None:
        """Open the stream at this place; `heartbeat` is in seconds.

        `heard` is called when the client ends it by what it says, where it can say something.
        """
        ...

    async def write(self, events: Sequence[Told]) -> None:
        """Write events in this order."""
        ...

    async def beat(self, position: str) -> None:
        """Show that the stream lives, and from where it would be resumed."""
        ...

    async def goodbye(self, end: End) -> None:
        """Say why the stream ends, and end it."""
        ...

    def abort(self) -> None:
        """Drop the connection with whatever it has not taken yet."""
        ...

    async def release(self) -> None:
        """Let nothing go on that belongs to the stream; for every end."""
        ...


class EventStream:
    """Server-sent events."""

    kind = "sse"

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._response = web.StreamResponse(
            headers={
                hdrs.CONTENT_TYPE: f"{EVENT_STREAM}; charset=utf-8",
                # A proxy that collects answers before it passes them on would hold events back.
                "X-Accel-Buffering": "no",
                "X-Request-Id": request[REQUEST_ID],
            }
        )

    @property
    def response(self) -> web.StreamResponse:
        return self._response

    @property
    def gone(self) -> bool:
        return _gone(self._request)

    async def begin(self, position: str, heartbeat: float, heard: Callable[[End], None]) -> None:  # noqa: ARG002 - the client can say nothing
        await self._response.prepare(self._request)
        await self._write(f": heartbeat {heartbeat:g} s\nretry: {RETRY_MS}\nid: {position}\n\n")

    async def write(self, events: Sequence[Told]) -> None:
        await self._write("".join(map(_block, events)))

    async def beat(self, position: str) -> None:
        await self._write(f": heartbeat\nid: {position}\n\n")

    async def goodbye(self, end: End) -> None:
        data = json.dumps({"code": end.value, "detail": DETAILS[end]})
        await self._write(f"event: end\ndata: {data}\n\n")
        await self._response.write_eof()

    def abort(self) -> None:
        _abort(self._request)

    async def release(self) -> None:
        """Nothing goes on beside the writing."""

    async def _write(self, text: str) -> None:
        await self._response.write(text.encode())


class Socket:
    """A WebSocket."""

    kind = "websocket"

    def __init__(self, request: web.Request, *, ping: float, goodbye: float) -> None:
        """In seconds: how often it is pinged, and how long the client may take to close after us.

        A client that has not answered a ping after half that time is dropped.
        """
        self._request = request
        self._response = web.WebSocketResponse(
            heartbeat=ping,
            timeout=goodbye,
            compress=False,  # each compressing connection holds some 300 kB
            max_msg_size=_MOST_FROM_CLIENT,
        )
        self._response.headers["X-Request-Id"] = request[REQUEST_ID]
        self._listener: asyncio.Task[None] | None = None

    @property
    def response(self) -> web.WebSocketResponse:
        return self._response

    @property
    def gone(self) -> bool:
        return _gone(self._request)

    async def begin(self, position: str, heartbeat: float, heard: Callable[[End], None]) -> None:
        await self._response.prepare(self._request)
        self._listener = asyncio.create_task(self._listen(heard))
        await self._send({"frame": "hello", "after": position, "heartbeat_seconds": heartbeat})

    async def write(self, events: Sequence[Told]) -> None:
        for told in events:
            await self._response.send_str(f'{{"frame":"event","event":{told.json}}}')

    async def beat(self, position: str) -> None:
        await self._send({"frame": "position", "after": position})

    async def goodbye(self, end: End) -> None:
        await self.release()  # closing reads what the client still says by itself
        await self._response.close(code=CLOSE_CODES[end], message=end.value.encode())
        transport = self._request.transport
        if transport is not None and transport.get_write_buffer_size() > 0:
            transport.abort()  # it had its time to read what was left

    def abort(self) -> None:
        _abort(self._request)

    async def release(self) -> None:
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.wait({self._listener})

    async def _listen(self, heard: Callable[[End], None]) -> None:
        """Read until the client closes; pings are answered by aiohttp, anything else ends it."""
        async for message in self._response:
            heard(End.LEFT if message.type is WSMsgType.ERROR else End.UNEXPECTED_DATA)
            return
        heard(End.LEFT)

    async def _send(self, frame: Mapping[str, object]) -> None:
        await self._response.send_str(json.dumps(frame))


def _block(told: Told) -> str:
    return f"id: {told.row.id}\nevent: {told.row.type}\ndata: {told.json}\n\n"


def _gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
