"""A Chromium's last words: kept to explain a failed launch, scrubbed, never logged raw."""

from __future__ import annotations

import os
import re
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

LINES: Final = 50
LINE_LENGTH: Final = 300
CHUNK: Final = 64 * 1024
CLOSING_READS: Final = 16

URL = re.compile(r"\b(?:https?|wss?|data|blob):[^\s\"')]+", re.IGNORECASE)
PATH = re.compile(r"(?<![\w.])/(?:[^\s:\"'(),]+/)+")
LONG_TOKEN = re.compile(r"[A-Za-z0-9+/=_@,.-]{40,}")
DIGITS = re.compile(r"\d{7,}")


def scrub(line: str) -> str:
    """Take out what may identify somebody: addresses, folders, tokens and long numbers."""
    line = URL.sub("<url>", line)
    line = PATH.sub("…/", line)
    line = LONG_TOKEN.sub("<token>", line)
    line = DIGITS.sub("<number>", line)
    printable = "".join(char if char.isprintable() else " " for char in line)
    return printable[:LINE_LENGTH]


class StderrTail:
    """Drains a descriptor, which it owns, so that the writer never blocks; keeps the last lines."""

    def __init__(self, loop: asyncio.AbstractEventLoop, fd: int) -> None:
        os.set_blocking(fd, False)
        self._loop = loop
        self._fd = fd
        self._open = True
        self._partial = ""
        self._lines: deque[str] = deque(maxlen=LINES)
        loop.add_reader(fd, self._readable)

    def text(self) -> str:
        """Return the lines so far, oldest first."""
        lines = [*self._lines, *([scrub(self._partial)] if self._partial else [])]
        return "\n".join(lines)

    def close(self) -> None:
        """Read what is still there, then close. Idempotent."""
        for _ in range(CLOSING_READS):  # not for ever: an orphaned child may still be writing
            if not self._open or not self._readable():
                break
        self._shut()

    def _readable(self) -> bool:
        """Read one chunk; return whether there may be more."""
        try:
            data = os.read(self._fd, CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self._shut()
            return False
        *lines, self._partial = (self._partial + data.decode("utf-8", "replace")).split("\n")
        self._partial = self._partial[-CHUNK:]
        self._lines.extend(scrub(line) for line in lines if line.strip())
        return True

    def _shut(self) -> None:
        if self._open:
            self._open = False
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
