"""Small writes that an answer need not wait for, done one after the other in the order given."""

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

_PAUSE: Final = 0.2
_DRAIN: Final = 5.0

log = structlog.get_logger(__name__)


class Background:
    """A queue and the one task that works it off; `running` makes the task."""

    def __init__(self) -> None:
        self._jobs: asyncio.Queue[tuple[str, Job, asyncio.Event]] = asyncio.Queue(MOST_JOBS)

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
                log.error("background_writes_lost", count=self._jobs.qsize() + 1)  # noqa: TRY400
            worker.cancel()
            await asyncio.wait({worker})

    async def _work(self) -> None:
        while True:
            what, job, done = await self._jobs.get()
            try:
                await _carry_out(what, job)
            finally:
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
