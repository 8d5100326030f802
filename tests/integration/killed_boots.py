"""A program: boots on copies of a data directory, killed before the n-th change, n = 1 … the last.

Arguments: the data directory, a directory for the copies. A line for each n tells whether it was
killed, and before what. A change is anything that adds, moves, removes or syncs a name or a file.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from config.logging import configure_logging
from tests.integration.recovery_support import boot

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CHANGES: Final = ("link", "unlink", "replace", "rename", "mkdir", "rmdir", "fsync")


def arm(number: int, told: int, changes: Sequence[str] = CHANGES, of: str = "") -> None:
    """Let this process be killed before its n-th change of something with `of` in its name.

    `told` is the descriptor to which it says before what.
    """
    counter = itertools.count(1)

    def guarded(name: str, change: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            if of in str(args[0]) and next(counter) == number:
                os.write(told, name.encode())
                os.kill(os.getpid(), signal.SIGKILL)
            return change(*args, **more)

        return call

    for name in changes:
        setattr(os, name, guarded(name, getattr(os, name)))


async def boot_once(root: Path) -> None:
    async with boot(root) as (store, _):
        await store.ping()


def killed_before(root: Path, number: int) -> str:
    """Boot in a process of its own; return what it was killed before, "" if it was not."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            arm(number, write)
            asyncio.run(boot_once(root))
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read) as pipe:
        what = pipe.read()
    _, status = os.waitpid(child, 0)
    if what == "" and status != 0:
        raise RuntimeError(f"the boot failed: {status}")
    return what


def main(source: Path, copies: Path) -> None:
    for number in itertools.count(1):
        root = copies / str(number)
        shutil.copytree(source, root)
        what = killed_before(root, number)
        print(number, what, flush=True)  # noqa: T201 - it is a program
        if not what:
            return


if __name__ == "__main__":
    configure_logging("error", "json")  # on standard error
    main(Path(sys.argv[1]), Path(sys.argv[2]))
