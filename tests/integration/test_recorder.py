"""A session's writes with a real store that another program locks."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from actors.base import BaseActor
from actors.bridge import Bridge
from actors.calls import Calls
from actors.messages import Begin, Outcome, TimerFired
from actors.recorder import Recorder
from storage.messages import NewInbound
from storage.sqlite import open_store
from tests.integration.tenant_support import home_of
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from pathlib import Path

    from storage.store import Store

pytestmark = pytest.mark.integration


class Scribe(BaseActor):
    """Owns a recorder and nothing else."""

    def __init__(self, main: Bridge, store: Store, session_id: str) -> None:
        super().__init__()
        self.retries = 0
        self.woken = 0
        self.drained = False
        self._main, self._store, self._session_id = main, store, session_id
        self._calls = Calls(self.actor_ref)
        self._recorder = Recorder(self._calls, main, session_id, self._arm)

    def _arm(self, _seconds: float) -> None:
        self.retries += 1
        self._main.after(0.05, self.actor_ref, TimerFired(name="recorder", number=0))

    def handle(self, message: Any) -> None:
        match message:
            case Begin():
                pass
            case Outcome():
                self.woken += 1
                self._calls.settle(message)
            case TimerFired():
                self._recorder.retry()
            case str():
                new = NewInbound(
                    session_id=self._session_id,
                    chat="15550100002@c.us",
                    sender="15550100002@c.us",
                    wa_id=message,
                    kind="chat",
                    body=message,
                    sent_ms=1,
                    now_ms=1,
                )
                self._recorder.put("inbound", partial(self._store.record_inbound, new))
            case _:
                self._recorder.when_drained(self._note_drained)

    def _note_drained(self) -> None:
        self.drained = True

    def died(self, error: BaseException) -> None:
        raise error

    def cleanup(self) -> None:
        """Own nothing."""


async def test_writes_wait_for_a_locked_database_and_keep_their_order(tmp_path: Path) -> None:
    """What WhatsApp has acknowledged is not lost because another program holds the database."""
    path = tmp_path / "wafleet.db"
    async with open_store(path, busy_timeout_ms=50) as store:
        home = await home_of(store)
        row, _ = await store.create_session(home, "one", 1)
        main = Bridge(asyncio.get_running_loop(), "main")
        ref = Scribe.start(main, store, row.id)
        scribe = ref._actor_weakref()
        assert scribe is not None
        with sqlite3.connect(path, isolation_level=None) as other:
            other.execute("BEGIN EXCLUSIVE")
            for number in range(5):
                ref.tell(f"A{number}")
            ref.tell(object())

            async def waited() -> bool:
                return scribe.retries >= 3

            await eventually_async(waited)
            assert not scribe.drained
            other.execute("ROLLBACK")
        other.close()

        async def drained() -> bool:
            return scribe.drained

        await eventually_async(drained)
        found = await store.messages(home, row.id)
        assert [message.wa_id for message in reversed(found)] == [f"A{n}" for n in range(5)]
        ref.stop()
        await main.close(5)


async def test_a_write_that_can_never_work_does_not_hold_up_the_others(tmp_path: Path) -> None:
    """The session was deleted meanwhile: logged and dropped, the queue drains."""
    async with open_store(tmp_path / "wafleet.db", busy_timeout_ms=50) as store:
        main = Bridge(asyncio.get_running_loop(), "main")
        ref = Scribe.start(main, store, "01ARZ3NDEKTSV4RRFFQ69G5FAV")
        scribe = ref._actor_weakref()
        assert scribe is not None
        began = time.monotonic()
        ref.tell("A1")
        ref.tell("A2")
        ref.tell(object())

        async def drained() -> bool:
            return scribe.drained

        await eventually_async(drained)
        assert scribe.retries == 0
        assert time.monotonic() - began < 10
        ref.stop()
        await main.close(5)


async def test_a_write_that_nobody_waits_for_wakes_nobody(tmp_path: Path) -> None:
    """What comes after it goes on all the same, whether it has ended by then or not."""
    async with open_store(tmp_path / "wafleet.db") as store:
        home = await home_of(store)
        row, _ = await store.create_session(home, "one", 1)
        main = Bridge(asyncio.get_running_loop(), "main")
        ref = Scribe.start(main, store, row.id)
        scribe = ref._actor_weakref()
        assert scribe is not None

        async def written(count: int) -> bool:
            return len(await store.messages(home, row.id)) == count

        for number in range(3):  # each long after the one before
            ref.tell(f"A{number}")
            await eventually_async(partial(written, number + 1))
        assert scribe.woken == 0
        for number in range(3, 40):  # some while the one before is under way
            ref.tell(f"A{number}")
        ref.tell(object())

        async def drained() -> bool:
            return scribe.drained

        await eventually_async(drained)
        found = await store.messages(home, row.id, limit=100)
        assert [message.wa_id for message in reversed(found)] == [f"A{n}" for n in range(40)]
        assert not scribe._calls._open
        ref.stop()
        await main.close(5)
