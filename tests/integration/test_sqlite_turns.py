"""Whose turn it is, and the claim: the outgoing half of the store on a real file."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from storage.events import EventType
from storage.grants import MessageGrant
from storage.messages import MessageRow, MessageState, NewOutbound, Priority
from storage.outbox import Due
from storage.sqlite import SqliteStore, open_store
from storage.store import SessionStatus, StatusChange
from tests.integration.backup_support import execute
from tests.integration.tenant_support import GROUP, NOW, OTHER, PERSON, home_of, inbound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.integration

NOBODY = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
BULK = Priority.BULK


class Box:
    """A store with one session, and short words for what is done to it."""

    def __init__(self, store: SqliteStore, home: str, session_id: str) -> None:
        self.store = store
        self.home = home
        self.session_id = session_id
        self.serial = 0

    async def accept(self, chat: str = PERSON, **fields: Any) -> MessageRow:
        self.serial += 1
        new = {"session_id": self.session_id, "chat": chat, "wa_id": f"A{self.serial}"}
        return await self.store.accept_message(
            self.home, NewOutbound(**{"body": "hello", "now_ms": NOW, **new, **fields})
        )

    async def due(self, now_ms: int = NOW, **options: Any) -> Due:
        return await self.store.due(self.session_id, now_ms, **options)

    async def next(self, now_ms: int = NOW, **options: Any) -> str | None:
        message = (await self.due(now_ms, **options)).message
        return None if message is None else message.id

    async def claim(self, row: MessageRow, now_ms: int = NOW) -> MessageRow | None:
        self.serial += 1
        grant = MessageGrant(
            number="15550100001",
            key=f"{row.id}.{self.serial}",
            boot_id="b",
            boot_ms=self.serial,
            wall_ms=now_ms,
        )
        return await self.store.claim(row.id, grant, now_ms)

    async def grants(self) -> int:
        return sum(len(log.grants) for log in await self.store.number_logs())

    async def row(self, row: MessageRow) -> MessageRow:
        return await self.store.message(self.home, self.session_id, row.id)

    async def drain(self, now_ms: int = NOW) -> list[str]:
        """Claim and send until nothing is due; return the ids in order."""
        ids = []
        while (message := (await self.due(now_ms)).message) is not None:
            assert await self.claim(message, now_ms) is not None
            await self.store.record_sent(message.id, 1, now_ms)
            ids.append(message.id)
        return ids

    async def told(self, *types: EventType) -> list[str]:
        events = await self.store.events(self.home, limit=1000, types=types)
        return [event.payload.get("message_id", "") for event in events]


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    async with open_store(tmp_path / "wafleet.db", busy_timeout_ms=1000) as store:
        home = await home_of(store)
        yield Box(store, home, (await store.create_session(home, "sales", NOW))[0].id)


async def test_in_the_order_of_acceptance(box: Box) -> None:
    rows = [await box.accept(chat) for chat in (PERSON, OTHER, PERSON, GROUP, OTHER)]
    assert await box.drain() == [row.id for row in rows]


async def test_a_clock_that_is_put_back_changes_no_order(box: Box) -> None:
    rows = [await box.accept(now_ms=NOW - back) for back in (0, 3_600_000, 1)]
    assert await box.drain(NOW - 7_200_000) == [row.id for row in rows]


@pytest.mark.parametrize("state", ["sending", "unknown"])
async def test_what_is_on_its_way_holds_back_its_chat_only(box: Box, state: str) -> None:
    first, second, other = [await box.accept(chat) for chat in (PERSON, PERSON, OTHER)]
    await box.claim(first)
    if state == "unknown":
        await box.store.record_unknown(first.id, "no_answer", "x", NOW)
    assert await box.next() == other.id
    assert await box.claim(second) is None
    await box.store.record_sent(first.id, 1, NOW)
    assert await box.next() == second.id


async def test_conversations_before_bulk_and_bulk_before_them_when_its_turn_has_come(
    box: Box,
) -> None:
    bulk = await box.accept(priority=BULK)
    reply = await box.accept(OTHER)
    assert await box.next() == reply.id
    due = await box.due(bulk_first=True)
    assert due.message is not None
    assert (due.message.id, due.turn) == (bulk.id, BULK)


async def test_a_reply_takes_the_bulk_before_it_in_its_chat_along(box: Box) -> None:
    """In a chat it is first come, first served; but what a reply waits for goes first, too."""
    elsewhere = await box.accept(OTHER, priority=BULK)
    before = await box.accept(priority=BULK)
    reply = await box.accept()
    due = await box.due()
    assert due.message is not None
    assert (due.message.id, due.turn) == (before.id, Priority.CONVERSATION)
    assert await box.drain() == [before.id, reply.id, elsewhere.id]


@pytest.mark.parametrize("other", [{"send_at_ms": NOW + 5000}, {"priority": BULK}, {}])
async def test_the_last_one_is_known_to_be_it(box: Box, other: dict[str, Any]) -> None:
    """Whatever else waits in the session, and for whatever; another session's does not count."""
    there = await box.store.create_session(box.home, "support", NOW)
    new = NewOutbound(session_id=there[0].id, chat=PERSON, wa_id="Z", body="x", now_ms=NOW)
    await box.store.accept_message(box.home, new)
    first = await box.accept()
    assert (await box.due()).last
    await box.accept(OTHER, **other)
    assert not (await box.due()).last
    await box.claim(first)
    await box.store.record_sent(first.id, 1, NOW)
    assert (await box.due(NOW + 5000)).last


async def test_not_before_its_time_and_nobody_waits_for_it(box: Box) -> None:
    later = await box.accept(send_at_ms=NOW + 5000)
    sooner = await box.accept(send_at_ms=NOW + 3000)
    at_once = await box.accept()
    assert await box.drain() == [at_once.id]
    assert await box.due() == Due(next_ms=NOW + 3000)
    assert await box.claim(sooner, NOW + 2999) is None
    assert await box.drain(NOW + 3000) == [sooner.id]
    assert await box.drain(NOW + 5000) == [later.id]
    assert await box.due(NOW + 5000) == Due()


async def test_what_was_due_first_goes_first(box: Box) -> None:
    timed = await box.accept(send_at_ms=NOW + 10)
    before, after = [await box.accept(now_ms=NOW + at) for at in (5, 15)]
    assert await box.drain(NOW + 20) == [before.id, timed.id, after.id]


async def test_not_after_its_time(box: Box) -> None:
    over = await box.accept(expires_ms=NOW + 10)
    lasting = await box.accept()
    assert await box.claim(over, NOW + 10) is None
    assert await box.next(NOW + 10) == lasting.id
    assert await box.next(NOW + 9) == over.id


async def test_expiry_is_told_once(box: Box) -> None:
    over = await box.accept(expires_ms=NOW + 10)
    kept = await box.accept(expires_ms=NOW + 11)
    assert await box.store.expire_messages(NOW + 9) == 0
    assert [await box.store.expire_messages(NOW + 10) for _ in range(2)] == [1, 0]
    row = await box.row(over)
    assert (row.state, row.error_code) == (MessageState.EXPIRED, "expired")
    assert (await box.row(kept)).state is MessageState.ACCEPTED
    assert await box.told(EventType.MESSAGE_EXPIRED) == [over.id]


async def test_what_was_tried_before_can_not_just_expire(box: Box) -> None:
    """As a database has it that was restored from a backup: sent meanwhile, for all it knows."""
    row = await box.accept(expires_ms=NOW + 10)
    await box.store._connections.write(lambda tx: tx.change("UPDATE messages SET attempts = 1"))
    assert [await box.store.expire_messages(NOW + 10) for _ in range(2)] == [1, 0]
    after = await box.row(row)
    assert (after.state, after.error_code) == (MessageState.UNKNOWN, "expired")


async def test_a_claim_records_its_grant_or_nothing(box: Box) -> None:
    row = await box.accept()
    claimed = await box.claim(row, NOW + 7)
    assert claimed is not None
    assert (claimed.state, claimed.attempts) == (MessageState.SENDING, 1)
    assert (claimed.attempted_ms, claimed.updated_ms) == (NOW + 7, NOW + 7)
    assert await box.grants() == 1
    assert await box.claim(row) is None
    assert await box.grants() == 1


async def test_what_can_not_be_claimed(box: Box) -> None:
    sent, failed = await box.accept(), await box.accept(OTHER)
    await box.claim(sent)
    await box.store.record_sent(sent.id, 1, NOW)
    await box.store.record_failed(failed.id, "x", "y", NOW)
    erased = await box.accept(GROUP)
    await box.claim(erased)
    await box.store.record_unknown(erased.id, "x", "y", NOW)
    await box.accept()
    await box.store.deactivate(box.home, box.session_id, NOW)
    assert await box.due() == Due()
    for row in (sent, failed, erased):
        assert await box.claim(row) is None
    await box.store.activate(box.home, box.session_id, NOW)
    assert await box.claim(erased) is not None
    assert (await box.store.due(NOBODY, NOW)) == Due()


async def test_an_erased_message_in_doubt_is_never_sent_again(box: Box) -> None:
    row = await box.accept()
    await box.claim(row)
    await box.store.record_unknown(row.id, "x", "y", NOW)
    contact = await box.store.contact_with_jid(box.home, PERSON)
    await box.store.erase_contact(box.home, contact.id, NOW)
    assert await box.claim(row) is None


async def test_the_oldest_in_doubt_of_a_chat_is_the_first_to_be_sent_again(
    box: Box, tmp_path: Path
) -> None:
    """A database of an earlier version may have several in one chat."""
    first, second = [await box.accept() for _ in range(2)]
    execute(tmp_path / "wafleet.db", "UPDATE messages SET state = 'unknown', attempts = 1")
    assert await box.claim(second) is None
    assert await box.claim(first) is not None
    assert await box.claim(second) is None
    await box.store.record_sent(first.id, 1, NOW)
    again = await box.claim(second)
    assert again is not None
    assert again.attempts == 2


async def test_racing_claims_take_each_message_once_and_never_two_of_a_chat(box: Box) -> None:
    rows = [await box.accept(chat) for chat in (PERSON, OTHER, PERSON, OTHER)]
    claimed = await asyncio.gather(*(box.claim(row) for row in rows * 3))
    taken = [row.chat for row in claimed if row is not None]
    assert sorted(taken) == sorted({PERSON, OTHER})
    assert await box.grants() == 2


async def test_a_first_contact_is_one_for_all_sessions_of_the_number(box: Box) -> None:
    other, _ = await box.store.create_session(box.home, "support", NOW)
    for session_id in (box.session_id, other.id):
        await box.store.record_status(
            StatusChange(
                session_id=session_id,
                incarnation=1,
                sequence=1,
                status=SessionStatus.CONNECTED,
                reason="ready",
                detail=None,
                since_ms=NOW,
                phone_number="15550100001",
            )
        )
    row = await box.accept()
    assert (await box.due()).first_contact
    new = NewOutbound(session_id=other.id, chat=PERSON, wa_id="B1", body="x", now_ms=NOW)
    await box.store.accept_message(box.home, new)
    assert (await box.store.due(other.id, NOW)).first_contact
    await box.claim(row)
    assert not (await box.store.due(other.id, NOW)).first_contact


async def test_a_reply_is_what_follows_a_message_of_the_contact(box: Box) -> None:
    await box.accept()
    assert not (await box.due()).reply
    await box.drain()
    await box.store.record_inbound(inbound(box.session_id, "B1"))
    await box.accept()
    assert (await box.due()).reply
    await box.drain()
    await box.accept()
    assert not (await box.due()).reply


async def test_what_was_not_handed_over_is_what_it_was(box: Box) -> None:
    row = await box.accept()
    await box.claim(row)
    await box.store.record_unsent(row.id, NOW)
    after = await box.row(row)
    assert (after.state, after.attempts) == (MessageState.ACCEPTED, 0)
    await box.claim(row)
    await box.store.record_unknown(row.id, "no_answer", "x", NOW)
    await box.claim(row)
    await box.store.record_unsent(row.id, NOW)
    after = await box.row(row)
    assert (after.state, after.attempts) == (MessageState.UNKNOWN, 1)
    assert await box.grants() == 3, "none is given back"


async def test_why_it_stays_in_doubt_is_told_when_that_changes(box: Box) -> None:
    row = await box.accept()
    await box.store.record_stuck(row.id, "parked", "x", NOW)
    assert (await box.row(row)).state is MessageState.ACCEPTED
    await box.claim(row)
    await box.store.record_unknown(row.id, "no_answer", "x", NOW)
    for _ in range(2):
        await box.store.record_stuck(row.id, "parked", "x", NOW)
    assert (await box.row(row)).error_code == "parked"
    assert len(await box.told(EventType.MESSAGE_UNKNOWN)) == 2


@pytest.mark.parametrize(("archived", "doubled"), [(NOW, True), (NOW + 1, False)])
async def test_what_a_restored_login_can_not_know_may_be_sent_twice(
    box: Box, archived: int, doubled: bool
) -> None:
    row = await box.accept()
    await box.claim(row, NOW)
    await box.store.record_unknown(row.id, "no_answer", "x", NOW)
    assert await box.store.record_restored(box.session_id, archived, NOW + 5) == doubled
    assert not (await box.row(row)).possible_duplicate, "it was not sent again yet"
    claimed = await box.claim(row, NOW + 6)
    assert claimed is not None
    assert claimed.possible_duplicate is doubled


@pytest.mark.parametrize(
    ("restored", "state"), [(False, MessageState.EXPIRED), (True, MessageState.UNKNOWN)]
)
async def test_what_whatsapp_does_not_know_expires_unless_it_can_not_know(
    box: Box, restored: bool, state: MessageState
) -> None:
    row = await box.accept(expires_ms=NOW + 10)
    await box.claim(row)
    await box.store.record_unknown(row.id, "no_answer", "x", NOW)
    if restored:
        await box.store.record_restored(box.session_id, NOW, NOW + 5)
    for _ in range(2):
        await box.store.record_expired(row.id, NOW + 10)
    after = await box.row(row)
    assert (after.state, after.error_code) == (state, "expired")
    told = await box.told(EventType.MESSAGE_UNKNOWN, EventType.MESSAGE_EXPIRED)
    assert len(told) == 2
