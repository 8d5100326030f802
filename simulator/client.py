"""A client without a browser: speaks the wire protocol, for tests and load.

It does what the page does, and no more than it is told: nothing is confirmed by itself, so that
queues can be watched.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

import aiohttp

from simulator.pages import SOCKET_PATH

if TYPE_CHECKING:
    from types import TracebackType

    from simulator.entities import Frame

KEYS = ("noise", "identity", "adv")
DEADLINE = 5.0


class WireClient:
    """One WebSocket to a simulator on ``port``; use it as an async context manager."""

    def __init__(self, port: int) -> None:
        self.frames: list[Frame] = []
        self._url = f"wss://127.0.0.1:{port}{SOCKET_PATH}"
        self._session: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._reader: asyncio.Task[None] | None = None
        self._arrived = asyncio.Condition()
        self._requests = 0
        self.closed = False

    async def __aenter__(self) -> Self:
        # the certificate is self-signed, and nothing secret is spoken on loopback
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False))
        try:
            self._socket = await self._session.ws_connect(self._url)
        except BaseException:
            await self._session.close()
            raise
        self._reader = asyncio.create_task(self._read(self._socket))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._socket is not None:
            await self._socket.close()
        if self._reader is not None:
            await self._reader
        if self._session is not None:
            await self._session.close()

    async def push(self, op: str, **fields: object) -> None:
        """Send one frame."""
        if self._socket is None:
            raise RuntimeError("Enter the client first.")
        await self._socket.send_json({"op": op, **fields})

    async def push_text(self, text: str) -> None:
        """Send text as it is, right or wrong."""
        if self._socket is None:
            raise RuntimeError("Enter the client first.")
        await self._socket.send_str(text)

    async def ask(self, op: str, **fields: object) -> Frame:
        """Send a frame that is answered and return the answer."""
        self._requests += 1
        rid = self._requests
        await self.push(op, rid=rid, **fields)
        return await self.take(re=rid)

    async def take(self, deadline: float = DEADLINE, **match: object) -> Frame:
        """Remove and return the first frame whose fields match; TimeoutError when none comes."""
        async with asyncio.timeout(deadline), self._arrived:
            while True:
                for frame in self.frames:
                    if all(frame.get(name) == value for name, value in match.items()):
                        self.frames.remove(frame)
                        return frame
                if self.closed:
                    raise ConnectionError("The server closed the connection.")
                await self._arrived.wait()

    async def show_code(self) -> str:
        """Say hello as an unpaired page and return the text of the QR code on show."""
        await self.push("hello", keys=list(KEYS))
        return self.code_text(await self.take(op="qr"))

    @staticmethod
    def code_text(frame: Frame) -> str:
        """The QR text for a ``qr`` frame."""
        return ",".join((str(frame["ref"]), *KEYS))

    async def log_in(self, device: str, secret: str) -> Frame:
        """Log in with a linked device and return the ``login_ok`` frame."""
        await self.push("login", device=device, secret=secret)
        return await self.take(op="login_ok")

    async def log_in_paired(self) -> tuple[str, str, Frame]:
        """Wait until the phone has linked this page, then log in: device, secret, login_ok."""
        paired = await self.take(op="paired")
        device, secret = str(paired["device"]), str(paired["secret"])
        return device, secret, await self.log_in(device, secret)

    async def send_text(self, chat: str, text: str, message_id: str) -> None:
        """Send a text message; the server answers ``ack`` or ``nack``."""
        await self.push("send", id=message_id, chat=chat, msg={"type": "chat", "body": text})

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                frame: dict[str, Any] = message.json()
                async with self._arrived:
                    self.frames.append(frame)
                    self._arrived.notify_all()
        async with self._arrived:
            self.closed = True
            self._arrived.notify_all()
