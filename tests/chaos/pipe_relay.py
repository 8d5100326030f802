"""A Chromium whose CDP pipe can be closed by force, from outside and with the browser unharmed.

`python pipe_relay.py CHROMIUM ARGUMENTS…` becomes that Chromium; a child of it passes on what goes
through the pipe between Chromium's descriptors 3 and 4 and whoever started us. At SIGUSR1 it closes
that one's ends, and only those: Chromium goes on and notices nothing.
"""

from __future__ import annotations

import os
import selectors
import signal
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import FrameType

COMMANDS: Final = 3
ANSWERS: Final = 4
CHUNK: Final = 1 << 16


def main() -> None:
    """Put a relay between, then become Chromium."""
    chromium, *arguments = sys.argv[1:]
    if "--remote-debugging-pipe" in arguments:
        commands_out, commands_in = os.pipe()
        answers_out, answers_in = os.pipe()
        if os.fork() == 0:
            os.close(commands_out)
            os.close(answers_in)
            relay(commands_in, answers_out)
            os._exit(0)
        os.dup2(commands_out, COMMANDS)
        os.dup2(answers_in, ANSWERS)
        for fd in (commands_out, commands_in, answers_out, answers_in):
            os.close(fd)
    os.execv(chromium, [chromium, *arguments])  # noqa: S606 - it takes our place


def relay(commands_in: int, answers_out: int) -> None:
    """Pass on until either side has closed."""
    ours = {COMMANDS, ANSWERS}

    def close_ours(_number: int, _frame: FrameType | None) -> None:
        while ours:
            os.close(ours.pop())

    signal.signal(signal.SIGUSR1, close_ours)
    ways = {COMMANDS: commands_in, answers_out: ANSWERS}
    with selectors.PollSelector() as ready:
        for source in ways:
            ready.register(source, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                if key.fd == COMMANDS and not ours:
                    ready.unregister(COMMANDS)  # closed by force: Chromium's end stays open
                    continue
                data = os.read(key.fd, CHUNK)
                if not data:
                    return
                if key.fd == COMMANDS or ours:
                    _write(ways[key.fd], data)


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


if __name__ == "__main__":
    main()
