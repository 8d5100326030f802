"""Messages taken back before they were sent, and doubts that a person ends; on a real file."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from storage.acceptance import MessageStateWrong, Resolution
from storage.messages import MessageRow, MessageState
from storage.sqlite import SqliteStore, open_store
from storage.store import MessageNotFound, SessionNotFound
from tests.integration.outbox_support import (
    NOBODY,
    claim_next,
    events,
    ids,
    some,
)
from tests.integration.tenant_support import NOW, PERSON, home_of, inbound, outbound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.integration


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with open_store(tmp_path / "wafleet.db", busy_timeout_ms=10_000) as opened:
        yield opened


@pytest.fixture
async def home(store: SqliteStore) -> str:
    return await home_of(store)


@pytest.fixture
async def session(store: SqliteStore, home: str) -> str:
    return (await store.create_session(home, "sales", NOW))[0].id


# ---- cancelling and resolving --------------------------------------------------------------------


async def in_state(store: SqliteStore, home: str, session: str, state: MessageState) -> MessageRow:
    """Make a message that got this far."""
    [row] = (await store.accept_messages(home, session, {0: outbound(session, state)})).values()
    assert isinstance(row, MessageRow)
    if state is MessageState.CANCELLED:
        return await store.cancel_message(home, session, row.id, NOW)
    if state is not MessageState.ACCEPTED:
        await claim_next(store, session, NOW)
    if state is MessageState.UNKNOWN:
        await store.record_unknown(row.id, "no_answer", "x", NOW)
    if state is MessageState.FAILED:
        await store.record_failed(row.id, "not_on_whatsapp", "x", NOW)
    ack = {MessageState.SENT: 1, MessageState.DELIVERED: 2, MessageState.READ: 3}.get(state)
    if ack is not None:
        await store.record_sent(row.id, ack, NOW)
    return await store.message(home, session, row.id)


STATES = [
    MessageState.ACCEPTED,
    MessageState.SENDING,
    MessageState.SENT,
    MessageState.DELIVERED,
    MessageState.READ,
    MessageState.UNKNOWN,
    MessageState.FAILED,
    MessageState.CANCELLED,
]


@pytest.mark.parametrize("state", STATES)
async def test_only_what_waits_is_cancelled(
    store: SqliteStore, home: str, session: str, state: MessageState
) -> None:
    row = await in_state(store, home, session, state)
    assert row.state is state
    if state in {MessageState.ACCEPTED, MessageState.CANCELLED}:
        for _ in range(2):
            row = await store.cancel_message(home, session, row.id, NOW + 1)
            assert (row.state, row.error_code) == (MessageState.CANCELLED, None)
        assert await events(store, home, "message.cancelled") == [row.id], "told once"
        assert await claim_next(store, session, NOW + 2) is None
    else:
        with pytest.raises(MessageStateWrong) as refused:
            await store.cancel_message(home, session, row.id, NOW + 1)
        assert refused.value.state is state
        assert str(state) in str(refused.value)
        assert await store.message(home, session, row.id) == row
        assert await events(store, home, "message.cancelled") == []


async def test_what_an_earlier_attempt_may_have_sent_is_not_cancelled(
    store: SqliteStore, home: str, session: str
) -> None:
    """It waits to be sent again, and is looked up before; calling it cancelled could be wrong."""
    row = await in_state(store, home, session, MessageState.UNKNOWN)
    row = await store.resolve_message(home, session, row.id, Resolution.RESEND, NOW)
    with pytest.raises(MessageStateWrong, match="earlier attempt may have been sent") as refused:
        await store.cancel_message(home, session, row.id, NOW + 1)
    assert (refused.value.code, refused.value.state) == (
        "message_state_wrong",
        MessageState.ACCEPTED,
    )
    assert await store.message(home, session, row.id) == row
    assert await events(store, home, "message.cancelled") == []


async def test_what_was_certainly_not_sent_is_cancelled_all_the_same(
    store: SqliteStore, home: str, session: str
) -> None:
    row = await in_state(store, home, session, MessageState.SENDING)
    await store.record_unsent(row.id, NOW)
    row = await store.cancel_message(home, session, row.id, NOW + 1)
    assert row.state is MessageState.CANCELLED


async def test_a_message_is_either_claimed_or_cancelled(
    store: SqliteStore, home: str, session: str
) -> None:
    """Whichever comes first wins, and the other one learns of it."""
    for n in range(20):
        found = await store.accept_messages(home, session, {0: outbound(session, f"R{n}")})
        claimed, cancelled = await asyncio.gather(
            claim_next(store, session, NOW),
            store.cancel_message(home, session, ids(found)[0], NOW),
            return_exceptions=True,
        )
        won = isinstance(cancelled, MessageRow)
        assert won is (claimed is None)
        assert won or isinstance(cancelled, MessageStateWrong)
        if not won:
            await store.record_sent(ids(found)[0], 1, NOW)


@pytest.mark.parametrize("resolution", list(Resolution))
@pytest.mark.parametrize("state", STATES)
async def test_only_what_is_unknown_is_resolved(
    store: SqliteStore, home: str, session: str, state: MessageState, resolution: Resolution
) -> None:
    row = await in_state(store, home, session, state)
    if state is not MessageState.UNKNOWN:
        with pytest.raises(MessageStateWrong) as refused:
            await store.resolve_message(home, session, row.id, resolution, NOW + 1)
        assert refused.value.state is state
        assert await store.message(home, session, row.id) == row
        assert await store.resolve_messages(home, session, resolution, NOW + 1) == (0, None)
        return
    after = await store.resolve_message(home, session, row.id, resolution, NOW + 1)
    assert after.wa_id == row.wa_id
    if resolution is Resolution.FAIL:
        assert (after.state, after.error_code) == (MessageState.FAILED, "given_up")
        assert await events(store, home, "message.failed") == [row.id]
        assert await claim_next(store, session, NOW + 2) is None
    else:
        assert (after.state, after.error_code) == (MessageState.ACCEPTED, None)
        assert await events(store, home, "message.accepted") == [row.id, row.id]
        claimed = await claim_next(store, session, NOW + 2)
        assert claimed is not None
        assert (claimed.id, claimed.attempts) == (row.id, 2), "so it is looked for before"
    await store.record_sent(row.id, 1, NOW + 3)
    late = await store.message(home, session, row.id)
    assert late.state is MessageState.SENT, "WhatsApp's word beats a person's"


@pytest.mark.parametrize("resolution", list(Resolution))
async def test_all_unknown_ones_of_a_session_are_resolved_page_by_page(
    store: SqliteStore, home: str, session: str, resolution: Resolution
) -> None:
    other = (await store.create_session(home, "support", NOW))[0].id
    for here in (session, other):
        items = {n: outbound(here, f"A{n}", chat=f"1555123000{n}@c.us") for n in range(8)}
        found = await store.accept_messages(home, here, items)
        for row_id in list(ids(found).values())[:7]:
            await claim_next(store, here, NOW)
            await store.record_unknown(row_id, "no_answer", "x", NOW)
    first = await store.resolve_messages(home, session, resolution, NOW + 1, limit=3)
    second = await store.resolve_messages(
        home, session, resolution, NOW + 1, after=first[1], limit=3
    )
    third = await store.resolve_messages(
        home, session, resolution, NOW + 1, after=second[1], limit=3
    )
    assert [count for count, _ in (first, second, third)] == [3, 3, 1]
    assert (first[1] is None, second[1] is None, third[1]) == (False, False, None)
    assert await store.unknown_messages(session) == []
    assert len(await store.unknown_messages(other)) == 7, "another session's stay"
    with pytest.raises(SessionNotFound):
        await store.resolve_messages(home, NOBODY, resolution, NOW)


async def test_nothing_is_left_to_resend_of_an_erased_message(
    store: SqliteStore, home: str, session: str
) -> None:
    row = await in_state(store, home, session, MessageState.UNKNOWN)
    contact = await store.contact_with_jid(home, PERSON)
    await store.erase_contact(home, contact.id, NOW)
    after = await store.resolve_message(home, session, row.id, Resolution.RESEND, NOW + 1)
    assert (after.state, after.error_code) == (MessageState.FAILED, "contact_erased")
    assert await claim_next(store, session, NOW + 2) is None


async def test_inbound_and_missing_messages_are_not_found(
    store: SqliteStore, home: str, session: str
) -> None:
    received = await store.record_inbound(inbound(session, "B1"))
    other = (await store.create_session(home, "support", NOW))[0].id
    [foreign] = (await store.accept_messages(home, other, some(other, range(1)))).values()
    assert received is not None
    assert isinstance(foreign, MessageRow)
    for message_id in (received.id, foreign.id, NOBODY):
        with pytest.raises(MessageNotFound):
            await store.cancel_message(home, session, message_id, NOW)
        with pytest.raises(MessageNotFound):
            await store.resolve_message(home, session, message_id, Resolution.FAIL, NOW)
