"""Small writes that an answer need not wait for, begun in the order given, a few at a time."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import structlog

from storage.store import StoreBusy, StoreError, StoreFull

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Job = Callable[[], Awaitable[object]]

MOST_JOBS: Final = 10_000
"""How many may wait; while the database can't be written to, later ones are dropped and told of."""

TOGETHER: Final = 32
"""How many are under way at a time: so they share a commit."""

_PAUSE: Final = 0.2
_DRAIN: Final = 5.0

log = structlog.get_logger(__name__)


class Background:
    """A queue and the one task that works it off; `running` makes the task."""

    def __init__(self) -> None:
        self._jobs: asyncio.Queue[tuple[str, Job, asyncio.Event]] = asyncio.Queue(MOST_JOBS)
        self._under_way = 0

    def give(self, what: str, job: Job) -> asyncio.Event | None:
        """Queue a job; return what is set once it is done, or None if it was dropped.

        A job may raise StoreErrors: after StoreBusy and StoreFull it is tried again until it is
        done, after others it is given up. `what` names it in the log.
        """
        done = asyncio.Event()
        try:
            self._jobs.put_nowait((what, job, done))
        except asyncio.QueueFull:
            log.error("background_write_dropped", what=what, code="queue_full")  # noqa: TRY400
            return None
        return done

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Work while the block runs; on leaving, finish what is queued, within a few seconds."""
        worker = asyncio.create_task(self._work())
        try:
            yield
        finally:
            try:
                await asyncio.wait_for(self._jobs.join(), _DRAIN)
            except TimeoutError:
                left = self._jobs.qsize() + self._under_way
                log.error("background_writes_lost", count=left)  # noqa: TRY400
            worker.cancel()
            await asyncio.wait({worker})

    async def _work(self) -> None:
        while True:
            taken = [await self._jobs.get()]
            while len(taken) < TOGETHER and not self._jobs.empty():
                taken.append(self._jobs.get_nowait())
            self._under_way = len(taken)
            async with asyncio.TaskGroup() as group:
                for one in taken:
                    group.create_task(self._do(*one))

    async def _do(self, what: str, job: Job, done: asyncio.Event) -> None:
        try:
            await _carry_out(what, job)
        finally:
            self._under_way -= 1
            self._jobs.task_done()
            done.set()


async def _carry_out(what: str, job: Job) -> None:
    told = False
    while True:
        try:
            await job()
        except (StoreBusy, StoreFull) as error:
            if not told:
                log.warning("background_write_waits", what=what, code=error.code)
                told = True
            await asyncio.sleep(_PAUSE)
        except StoreError as error:
            log.exception("background_write_failed", what=what, code=error.code)
            return
        except Exception:  # the border: one faulty job must not end all later ones
            log.exception("background_write_failed", what=what, code="internal_error")
            return
        else:
            return
