"""Bytes that arrive on the loop, for a thread that wants to read them as they come."""

from __future__ import annotations

import asyncio
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from concurrent.futures import Future

_CLOSED: Final = "nobody waits for these bytes any more"


class PulledBytes:
    """Give to a thread what `source` yields on the loop, piece by piece; nothing is gathered.

    `seen` is called on the loop with each piece. What the source raises comes out in the thread.
    To be made on the loop; `close` it there when the thread is not to go on: its next piece, or the
    one that it waits for, is an error then.
    """

    def __init__(self, source: AsyncIterator[bytes], seen: Callable[[bytes], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._source = source
        self._seen = seen
        self._waiting: Future[bytes | None] | None = None
        self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        while (piece := self._pull()) is not None:
            yield piece

    def close(self) -> None:
        self._closed = True
        if self._waiting is not None:
            self._waiting.cancel()

    def _pull(self) -> bytes | None:
        self._waiting = asyncio.run_coroutine_threadsafe(self._next(), self._loop)
        try:
            return self._waiting.result()
        except CancelledError:
            raise ConnectionAbortedError(_CLOSED) from None

    async def _next(self) -> bytes | None:
        if self._closed:
            raise ConnectionAbortedError(_CLOSED)
        piece = await anext(self._source, None)
        if piece is not None:
            self._seen(piece)
        return piece
