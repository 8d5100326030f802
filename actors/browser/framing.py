"""NUL-separated frames on non-blocking file descriptors.

FrameTooLarge       the peer sends a frame beyond the limit
WriteBufferFull     the peer does not read; the limit of unsent bytes is reached
"""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

CHUNK: Final = 256 * 1024
SEPARATOR: Final = b"\0"


class FrameTooLarge(Exception):  # noqa: N818 - it is a fact about a frame
    """A frame grew beyond the limit without an end."""


class WriteBufferFull(Exception):  # noqa: N818
    """The peer reads too slowly or not at all (a stopped browser)."""


class FrameSplitter:
    """Pure: bytes in, whole frames out. Each byte is looked at once, however large a frame is."""

    def __init__(self, max_frame: int) -> None:
        self._max_frame = max_frame
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Return the frames that `data` completes, without empty ones. Raises FrameTooLarge."""
        head, *rest = data.split(SEPARATOR)
        self._keep(head)
        frames = []
        for part in rest:
            frames.append(b"".join(self._parts))
            self._parts.clear()
            self._size = 0
            self._keep(part)
        return [frame for frame in frames if frame]

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._max_frame:
            self._parts.clear()
            raise FrameTooLarge(f"a frame is larger than {self._max_frame} bytes")
        if part:
            self._parts.append(part)


class FrameReader:
    """Reads one chunk per turn of the loop, so that a chatty browser can't starve the others."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        fd: int,
        max_frame: int,
        receive: Callable[[bytes], None],
        ended: Callable[[Exception | None], None],
    ) -> None:
        os.set_blocking(fd, False)
        self._loop = loop
        self._fd = fd
        self._splitter = FrameSplitter(max_frame)
        self._receive = receive
        self._ended = ended
        self._open = True
        loop.add_reader(fd, self._readable)

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, CHUNK)
            frames = self._splitter.feed(data)
        except BlockingIOError:
            return
        except (OSError, FrameTooLarge) as error:
            self._ended(error)
            return
        if not data:
            self._ended(None)
            return
        for frame in frames:
            if not self._open:  # a frame's handler closed us
                return
            self._receive(frame)

    def close(self) -> None:
        if self._open:
            self._open = False
            self._loop.remove_reader(self._fd)
            os.close(self._fd)


class FrameWriter:
    """Writes at once if the pipe takes it, else keeps the rest; never blocks the loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        fd: int,
        max_unsent: int,
        ended: Callable[[Exception | None], None],
    ) -> None:
        os.set_blocking(fd, False)
        self._loop = loop
        self._fd = fd
        self._max_unsent = max_unsent
        self._ended = ended
        self._unsent: deque[memoryview] = deque()
        self._size = 0
        self._open = True

    def write(self, frame: bytes) -> None:
        """Send one frame. Raises WriteBufferFull; a broken pipe is told to `ended` later."""
        if not self._open:
            return
        if self._size + len(frame) > self._max_unsent:
            raise WriteBufferFull(f"more than {self._max_unsent} bytes wait to be read")
        idle = not self._unsent
        self._unsent.append(memoryview(frame + SEPARATOR))
        self._size += len(frame) + 1
        if idle:
            self._flush()
            if self._unsent and self._open:
                self._loop.add_writer(self._fd, self._writable)

    def _writable(self) -> None:
        self._flush()
        if not self._unsent and self._open:
            self._loop.remove_writer(self._fd)

    def _flush(self) -> None:
        while self._unsent:
            head = self._unsent[0]
            try:
                count = os.write(self._fd, head)
            except BlockingIOError:
                return
            except OSError as error:
                # From inside a caller's write: the pipe's end is reported on the next turn, so
                # that no caller sees its connection closed under its feet.
                self._loop.call_soon(self._ended, error)
                self._drop()
                return
            self._size -= count
            if count < len(head):
                self._unsent[0] = head[count:]
            else:
                self._unsent.popleft()

    def _drop(self) -> None:
        self._unsent.clear()
        self._size = 0
        self._loop.remove_writer(self._fd)

    def close(self) -> None:
        if self._open:
            self._open = False
            self._drop()
            os.close(self._fd)
