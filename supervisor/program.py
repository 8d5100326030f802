"""`wafleet run`: the node as a program, with its signals, its announcement and its exit codes."""

from __future__ import annotations

import asyncio
import faulthandler
import json
import os
import signal
import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

import structlog

from actors.browser.driver import LaunchFailed
from api.server import ListenFailed
from storage.store import StoreError
from supervisor import descriptors, garbage
from supervisor.compose import Running, node
from supervisor.errors import StartError, SupervisorDied
from supervisor.scheduling import give_way

if TYPE_CHECKING:
    from collections.abc import Callable

    from config.settings import Settings

log = structlog.get_logger(__name__)

SETTINGS_INVALID: Final = 2
BROWSER_MISSING: Final = 4
STORE_UNUSABLE: Final = 5
ADDRESS_UNUSABLE: Final = 6
SUPERVISOR_DIED: Final = 70


def run(
    settings: Settings,
    announce: Callable[[Running], None],
    stopping: Callable[[], None] = lambda: None,
) -> int:
    """Run a node until SIGTERM or SIGINT; return the exit code, after a sentence on stderr.

    `announce` is called when it is up, `stopping` when it was told to stop, which may take a while.
    """
    # for a person who wants to know where it stands: all threads, on standard error, also when
    # every one of them is stuck
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    if not give_way():
        log.info("scheduling_not_changed")
    try:
        descriptors.require(descriptors.raise_limit(), settings.max_sessions)
        asyncio.run(_serve(settings, announce, stopping))
    except (StartError, LaunchFailed, StoreError, ListenFailed, SupervisorDied) as error:
        return _complain(error.code, str(error), _exit_code(error))
    except Exception:
        # logged, not raised: an interpreter's own traceback would not be scrubbed
        log.exception("program_failed")
        return _complain("internal_error", "a defect ended wafleet; see its log", SUPERVISOR_DIED)
    return 0


async def _serve(
    settings: Settings, announce: Callable[[Running], None], stopping: Callable[[], None]
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(node(settings))
        garbage.settle()
        announce(running)
        watch = asyncio.create_task(running.watch())
        stopped = asyncio.create_task(stop.wait())
        stack.push_async_callback(_cancel, watch, stopped)
        await asyncio.wait({watch, stopped}, return_when=asyncio.FIRST_COMPLETED)
        log.info("stop_began")
        stopping()
        if watch.done():
            watch.result()


async def _cancel(*tasks: asyncio.Task[object]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def _exit_code(error: Exception) -> int:
    match error:
        case StartError():
            return error.exit_code
        case LaunchFailed():
            return BROWSER_MISSING
        case StoreError():
            return STORE_UNUSABLE
        case ListenFailed():
            return ADDRESS_UNUSABLE
        case _:
            return SUPERVISOR_DIED


def _complain(code: str, sentence: str, exit_code: int) -> int:
    print(f"wafleet: {sentence} [{code}]", file=sys.stderr)  # noqa: T201 - the program's last word
    return exit_code


def announce_json(running: Running) -> None:
    """Print one JSON line for a program that started us; the key itself is never printed."""
    facts = {
        "event": "ready",
        "url": running.url,
        "pid": os.getpid(),
        "key_file": str(running.key_file) if running.key_file else None,
    }
    print(json.dumps(facts), flush=True)  # noqa: T201 - stdout is this function's purpose
