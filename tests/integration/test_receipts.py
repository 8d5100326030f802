"""Acks that wait for the store together are written together, and none of them is lost."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from actors.receipts import Receipts
from storage.messages import MessageState, NewOutbound
from storage.sqlite import open_store
from storage.store import StoreBusy
from tests.integration.outbox_support import claim_next
from tests.integration.tenant_support import home_of
from tests.other_writer import other_writer

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration
NOW = 1_800_000_000_000
STATES = (MessageState.SENDING, MessageState.SENT, MessageState.DELIVERED, MessageState.READ)


async def test_each_receipt_is_told_at_its_time_in_one_write(tmp_path: Path) -> None:
    """Also what comes while the store is busy; what comes later is refused, for another write."""
    async with open_store(tmp_path / "db", busy_timeout_ms=50) as store:
        home = await home_of(store)
        session, _ = await store.create_session(home, "a", NOW)
        new = NewOutbound(session_id=session.id, chat="1@c.us", wa_id="A", body="x", now_ms=NOW)
        row = await store.accept_message(home, new)
        assert await claim_next(store, session.id, NOW)
        receipts = Receipts(store, session.id)
        assert all(receipts.add(["A"], ack, NOW + ack) for ack in (1, 3, 2))
        async with other_writer(tmp_path / "db"):
            with pytest.raises(StoreBusy):
                await receipts.write()
        assert receipts.add(["A"], 3, NOW + 4)
        assert await receipts.write() == 2, "delivered is in read"
        assert not receipts.add(["A"], 4, NOW + 5)
        after = await store.message(home, session.id, row.id)
        assert (after.state, after.sent_ms, after.read_ms) == (MessageState.READ, NOW + 1, NOW + 3)
        told = [event.type for event in await store.events(home)][-2:]
        assert told == ["message.sent", "message.read"]


async def test_none_is_lost_between_two_threads(tmp_path: Path) -> None:
    """Whatever is taken is written, however close the beginning of the write is."""
    async with open_store(tmp_path / "db") as store:
        home = await home_of(store)
        session, _ = await store.create_session(home, "a", NOW)
        for number in range(50):
            wa_id = f"A{number}"
            new = NewOutbound(
                session_id=session.id, chat=f"{number}@c.us", wa_id=wa_id, body="x", now_ms=NOW
            )
            row = await store.accept_message(home, new)
            assert await claim_next(store, session.id, NOW)
            receipts = Receipts(store, session.id)
            taken: list[int] = []

            def adding(
                receipts: Receipts = receipts, taken: list[int] = taken, wa_id: str = wa_id
            ) -> None:
                taken.extend(ack for ack in (1, 2, 3) if receipts.add([wa_id], ack, NOW))

            thread = threading.Thread(target=adding)
            thread.start()
            await receipts.write()
            await asyncio.to_thread(thread.join)
            state = (await store.message(home, session.id, row.id)).state
            assert state == STATES[max(taken, default=0)]
