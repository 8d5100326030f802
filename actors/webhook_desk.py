"""The desk of all webhooks: a worker for each that is enabled, woken by events that it wants."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from actors.webhook_worker import WebhookWorker
from storage.store import StoreError

if TYPE_CHECKING:
    from actors.webhook_worker import WebhookDeps

log = structlog.get_logger(__name__)

LOOK: Final = 5.0
"""Seconds until the log is read although nothing was told: other programs append to it, too."""
REVIEW: Final = 60.0
"""Seconds until the list of webhooks is read although nobody said that it has changed."""
GATHER: Final = 0.005
"""Seconds that news may gather: a busy log is read for several events at a time, not for each."""
TROUBLE: Final = 1.0
PAGE: Final = 500
FAREWELL: Final = 3.0
"""Seconds for what is under way at the end; what is not answered by then is sent again later."""


class WebhookDesk:
    """Used on the loop of the store. `run` is cancelled at the end."""

    def __init__(self, deps: WebhookDeps) -> None:
        self._deps = deps
        self._workers: dict[str, tuple[WebhookWorker, asyncio.Task[None]]] = {}
        self._changed = asyncio.Event()
        self._staffed = asyncio.Event()
        deps.telemetry.open_breakers.set_function(
            lambda: sum(not worker.trusted for worker, _ in self._workers.values())
        )

    def changed(self) -> None:
        """Somebody made, changed or deleted a webhook: look at all of them again, at once."""
        self._changed.set()

    async def run(self) -> None:
        """Let every enabled webhook be told of what happens, until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._review())
                group.create_task(self._follow())
        finally:
            await self._end()

    async def _review(self) -> None:
        while True:
            self._changed.clear()
            pause = REVIEW
            try:
                await self._appoint()
            except StoreError as error:
                log.warning("webhooks_not_read", code=error.code)
                pause = TROUBLE
            except Exception:  # the border: whatever it is, it must not end all deliveries
                log.exception("webhooks_not_read")
                pause = TROUBLE
            try:
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _appoint(self) -> None:
        wanted = {webhook.id: webhook for webhook in await self._deps.store.enabled_webhooks()}
        for key, (worker, task) in list(self._workers.items()):
            if task.done() or key not in wanted:
                worker.stop()
                # what it is about to send is none of anybody's any more
                task.cancel()
                await asyncio.wait({task})
                del self._workers[key]
        for key, webhook in wanted.items():
            if key in self._workers:
                self._workers[key][0].change(webhook)
                continue
            worker = WebhookWorker(self._deps, webhook)
            self._workers[key] = worker, asyncio.create_task(worker.run())
        self._deps.telemetry.enabled.set(len(self._workers))
        if self._workers:
            self._staffed.set()
        else:
            self._staffed.clear()

    async def _follow(self) -> None:
        """Wake those for whom there is something new: nobody reads the log for nothing."""
        seen, place = 0, ""
        while True:
            try:
                if not self._workers:  # the first one begins by looking itself
                    place = ""
                    await self._staffed.wait()
                seen = await self._deps.store.event_news(seen, LOOK)
                await asyncio.sleep(GATHER)
                place = await self._wake(place)
            except StoreError as error:
                log.warning("event_log_not_read", code=error.code)
                await asyncio.sleep(TROUBLE)
            except Exception:  # the border, as above
                log.exception("event_log_not_read")
                await asyncio.sleep(TROUBLE)

    async def _wake(self, place: str) -> str:
        """Wake those who want what came after this event; all of them if it is not known."""
        if not place:
            place = await self._deps.store.newest_event() or ""
            for worker, _ in self._workers.values():
                worker.nudge()
            return place
        while True:
            rows = await self._deps.store.all_events(after=place, limit=PAGE)
            for worker, _ in self._workers.values():
                if any(worker.wants(row) for row in rows):
                    worker.nudge()
            place = rows[-1].id if rows else place
            if len(rows) < PAGE:
                return place

    async def _end(self) -> None:
        tasks = {task for _, task in self._workers.values()}
        for worker, _ in self._workers.values():
            worker.stop()
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=FAREWELL)
        for task in late:
            task.cancel()
        if late:
            log.warning("webhook_deliveries_broken_off", count=len(late))
            await asyncio.wait(late)
        self._workers.clear()
