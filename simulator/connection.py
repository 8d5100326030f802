"""One client WebSocket: frames in, frames out, with latency and silence applied to both."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from aiohttp import WSMsgType, web

from simulator.faults import Latency, SilentSocket

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.core import Core
    from simulator.entities import Account, Device, Frame


SWALLOWED_SHOWN = 200


class Connection:
    """A page's socket; ``account`` and ``device`` are set once it has logged in."""

    def __init__(self, number: int, socket: web.WebSocketResponse, core: Core) -> None:
        self.id = number
        self.keys: tuple[str, ...] = ()
        self.account: Account | None = None
        self.device: Device | None = None
        self.silenced_by: set[str] = set()
        self.open = True
        self.drained = False
        self._socket = socket
        self._faults = core.faults
        self._timers = core.timers
        self._truth = core.truth
        self._outbox: asyncio.Queue[tuple[float, Frame] | None] = asyncio.Queue()

    @property
    def account_number(self) -> str | None:
        return self.account.number if self.account else None

    @property
    def silent(self) -> bool:
        """Whether a fault swallows this connection's frames right now."""
        if self.silenced_by:
            return True
        return any(f.new_connections for f in self._faults.all(SilentSocket, self.account_number))

    def push(self, frame: Frame) -> None:
        """Queue a frame to the client; frames keep their order."""
        if self.open:
            self._outbox.put_nowait((asyncio.get_running_loop().time() + self._latency(), frame))

    def close(self) -> None:
        """Send what is queued, then close the socket."""
        self.open = False
        self._outbox.put_nowait(None)

    async def run(self, on_text: Callable[[str], None]) -> None:
        """Serve the socket until either side closes it; ``on_text`` gets each text frame."""
        writer = asyncio.create_task(self._write())
        try:
            async for message in self._socket:
                if message.type is not WSMsgType.TEXT:
                    continue
                if self.silent:
                    self._swallowed("in", message.data[:SWALLOWED_SHOWN])
                    continue
                delay = self._latency()
                if delay:
                    self._timers.later(delay, partial(self._late, on_text, message.data))
                else:
                    on_text(message.data)
        finally:
            self.open = False
            writer.cancel()
            with suppress(asyncio.CancelledError):  # that is what we asked for
                await writer

    def _swallowed(self, direction: str, what: str) -> None:
        self._truth.add(
            "frame_swallowed",
            connection=self.id,
            number=self.account_number,
            direction=direction,
            what=what,
        )

    def _late(self, on_text: Callable[[str], None], text: str) -> None:
        if self.open:
            on_text(text)

    def _latency(self) -> float:
        fault = self._faults.find(Latency, self.account_number)
        return fault.ms / 1000 if fault else 0.0

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while (item := await self._outbox.get()) is not None:
            due, frame = item
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            if self.silent:
                self._swallowed("out", str(frame.get("op", "answer")))
                continue
            try:
                await self._socket.send_json(frame)
            except ConnectionError:
                return  # the client is gone; the reader ends by itself
        await self._socket.close()
