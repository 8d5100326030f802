"""The messages half of the store's contract, on a real file."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from storage.messages import Direction, MessageRow, MessageState, NewInbound, NewOutbound
from storage.sqlite import SqliteStore, open_store
from storage.store import MessageNotFound, SessionNotFound, StoreError
from tests.integration.outbox_support import claim_next
from tests.integration.tenant_support import home_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.integration

NOW = 1_800_000_000_000
NOBODY = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
CHAT = "15551230001@c.us"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with open_store(tmp_path / "wafleet.db", busy_timeout_ms=1000) as opened:
        yield opened


@pytest.fixture
async def home(store: SqliteStore) -> str:
    return await home_of(store)


@pytest.fixture
async def session_id(store: SqliteStore, home: str) -> str:
    return (await store.create_session(home, "sales", NOW))[0].id


async def accept(
    store: SqliteStore,
    session_id: str,
    wa_id: str,
    *,
    chat: str = CHAT,
    body: str = "hello",
) -> MessageRow:
    return await store.accept_message(
        await home_of(store),
        NewOutbound(session_id=session_id, chat=chat, wa_id=wa_id, body=body, now_ms=NOW),
    )


def inbound(session_id: str, wa_id: str, *, chat: str = CHAT, body: str = "hi") -> NewInbound:
    return NewInbound(
        session_id=session_id,
        chat=chat,
        sender=chat,
        wa_id=wa_id,
        kind="chat",
        body=body,
        sent_ms=NOW - 5,
        now_ms=NOW,
    )


async def test_accepting(store: SqliteStore, home: str, session_id: str) -> None:
    row = await accept(store, session_id, "A1")
    assert (row.state, row.direction, row.attempts) == (
        MessageState.ACCEPTED,
        Direction.OUTBOUND,
        0,
    )
    assert (row.session_id, row.chat, row.wa_id, row.body) == (session_id, CHAT, "A1", "hello")
    assert (row.created_ms, row.sent_ms, row.error_code) == (NOW, None, None)
    assert await store.message(home, session_id, row.id) == row


async def test_the_same_wa_id_is_refused(store: SqliteStore, home: str, session_id: str) -> None:
    first = await accept(store, session_id, "A1")
    with pytest.raises(StoreError) as caught:
        await accept(store, session_id, "A1", body="other")
    assert caught.value.code == "storage_failed"
    assert "other" not in str(caught.value)
    assert await store.messages(home, session_id) == [first]


async def test_claiming_is_first_in_first_out(store: SqliteStore, session_id: str) -> None:
    ids = [
        (await accept(store, session_id, f"A{number}", chat=f"1555123000{number}@c.us")).id
        for number in range(5)
    ]
    claimed = [await claim_next(store, session_id, NOW + 1) for _ in range(6)]
    assert [row.id for row in claimed if row] == ids
    assert claimed[5] is None
    assert all(row.state is MessageState.SENDING and row.attempts == 1 for row in claimed if row)


async def test_concurrent_claims_take_each_message_once(
    store: SqliteStore, session_id: str
) -> None:
    accepted = await asyncio.gather(
        *(
            accept(store, session_id, f"A{number}", chat=f"155512300{number:02}@c.us")
            for number in range(30)
        )
    )
    claimed = []
    while (await store.due(session_id, NOW)).message is not None:
        claimed += await asyncio.gather(*(claim_next(store, session_id, NOW) for _ in range(40)))
    taken = sorted(row.id for row in claimed if row)
    assert taken == sorted(row.id for row in accepted), "each once"


async def test_claims_stay_within_their_session(
    store: SqliteStore, home: str, session_id: str
) -> None:
    other, _ = await store.create_session(home, "support", NOW)
    await accept(store, session_id, "A1")
    assert await claim_next(store, other.id, NOW) is None
    assert await claim_next(store, NOBODY, NOW) is None


async def test_an_unsent_message_is_the_next_again(
    store: SqliteStore, home: str, session_id: str
) -> None:
    first = await accept(store, session_id, "A1")
    await accept(store, session_id, "A2")
    await claim_next(store, session_id, NOW)
    await store.record_unsent(first.id, NOW + 1)
    row = await store.message(home, session_id, first.id)
    assert (row.state, row.attempts) == (MessageState.ACCEPTED, 0)
    again = await claim_next(store, session_id, NOW + 2)
    assert again is not None
    assert (again.id, again.attempts) == (first.id, 1)
    await store.record_sent(first.id, 1, NOW + 3)
    await store.record_unsent(first.id, NOW + 4)  # too late: it was sent
    assert (await store.message(home, session_id, first.id)).state is MessageState.SENT


async def test_receipts_fill_in_times_once(store: SqliteStore, home: str, session_id: str) -> None:
    row = await accept(store, session_id, "A1")
    await claim_next(store, session_id, NOW)
    await store.record_sent(row.id, 1, NOW + 10)
    sent = await store.message(home, session_id, row.id)
    assert (sent.state, sent.sent_ms, sent.delivered_ms) == (MessageState.SENT, NOW + 10, None)
    assert await store.record_acks(session_id, ["A1"], 3, NOW + 20) == 1
    assert await store.record_acks(session_id, ["A1"], 2, NOW + 30) == 0
    read = await store.message(home, session_id, row.id)
    assert (read.state, read.sent_ms, read.delivered_ms, read.read_ms) == (
        MessageState.READ,
        NOW + 10,
        NOW + 20,
        NOW + 20,
    )
    await store.record_sent(row.id, 1, NOW + 40)
    assert await store.message(home, session_id, row.id) == read


async def test_a_receipt_repairs_a_wrong_belief(
    store: SqliteStore, home: str, session_id: str
) -> None:
    for wa_id, chat in (("A1", CHAT), ("A2", "15551230009@c.us")):
        await accept(store, session_id, wa_id, chat=chat)
    lost, failed = [await claim_next(store, session_id, NOW) for _ in range(2)]
    assert lost is not None
    assert failed is not None
    await store.record_unknown(lost.id, "no_answer", "CallTimedOut", NOW + 1)
    await store.record_failed(failed.id, "send_refused", "no", NOW + 1)
    assert await store.record_acks(session_id, ["A1", "A2", "theirs"], 2, NOW + 2) == 2
    for row in (lost, failed):
        after = await store.message(home, session_id, row.id)
        assert (after.state, after.error_code, after.error_detail) == (
            MessageState.DELIVERED,
            None,
            None,
        )
        assert (after.sent_ms, after.delivered_ms) == (NOW + 2, NOW + 2)


async def test_what_a_session_was_sending_when_it_ended_is_unknown(
    store: SqliteStore, home: str, session_id: str
) -> None:
    """Only what it was sending; once; with an event; and a late answer still counts."""
    sent, sending, waiting = [await accept(store, session_id, f"A{n}") for n in range(3)]
    await claim_next(store, session_id, NOW)
    await store.record_sent(sent.id, 1, NOW)
    await claim_next(store, session_id, NOW)
    other, _ = await store.create_session(home, "support", NOW)
    assert await store.doubt_sending(other.id, NOW + 1) == 0
    assert await store.doubt_sending(session_id, NOW + 1) == 1
    assert await store.doubt_sending(session_id, NOW + 2) == 0
    rows = {row.id: row for row in await store.messages(home, session_id)}
    assert (rows[sending.id].state, rows[sending.id].error_code) == (
        MessageState.UNKNOWN,
        "session_ended",
    )
    assert rows[sent.id].state is MessageState.SENT
    assert rows[waiting.id].state is MessageState.ACCEPTED
    told = await store.events(home, types=["message.unknown"])
    assert [event.payload["message_id"] for event in told] == [sending.id]
    await store.record_sent(sending.id, 1, NOW + 3)
    assert (await store.message(home, session_id, sending.id)).state is MessageState.SENT


async def test_a_refusal_counts_only_before_sent(
    store: SqliteStore, home: str, session_id: str
) -> None:
    await accept(store, session_id, "A1")
    await accept(store, session_id, "A2")
    first = await claim_next(store, session_id, NOW)
    assert first is not None
    await store.record_sent(first.id, 1, NOW)
    assert await store.record_acks(session_id, ["A1", "A2"], -1, NOW + 1) == 1
    states = {
        row.wa_id: (row.state, row.error_code) for row in await store.messages(home, session_id)
    }
    assert states == {
        "A1": (MessageState.SENT, None),
        "A2": (MessageState.FAILED, "send_refused"),
    }


async def test_failing_and_losing_track(store: SqliteStore, home: str, session_id: str) -> None:
    row = await accept(store, session_id, "A1")
    await store.record_unknown(row.id, "no_answer", "x", NOW)  # not sending: nothing happens
    assert (await store.message(home, session_id, row.id)).state is MessageState.ACCEPTED
    await claim_next(store, session_id, NOW)
    await store.record_failed(row.id, "not_on_whatsapp", "no account", NOW + 1)
    failed = await store.message(home, session_id, row.id)
    assert (failed.state, failed.error_code, failed.error_detail) == (
        MessageState.FAILED,
        "not_on_whatsapp",
        "no account",
    )
    assert await claim_next(store, session_id, NOW) is None
    await store.record_sent(row.id, 1, NOW + 2)
    await store.record_failed(row.id, "not_on_whatsapp", "no account", NOW + 3)
    late = await store.message(home, session_id, row.id)
    assert late.state is MessageState.SENT


async def test_many_receipts_at_once(store: SqliteStore, session_id: str) -> None:
    await accept(store, session_id, "A1")
    wa_ids = ["A1", "A1", *(f"X{number}" for number in range(1200))]
    assert await store.record_acks(session_id, wa_ids, 1, NOW) == 1
    assert await store.record_acks(session_id, [], 1, NOW) == 0
    assert await store.record_acks(NOBODY, ["A1"], 2, NOW) == 0


async def test_receipts_touch_only_own_messages(
    store: SqliteStore, home: str, session_id: str
) -> None:
    other, _ = await store.create_session(home, "support", NOW)
    await accept(store, other.id, "A1")
    await store.record_inbound(inbound(session_id, "A1"))
    assert await store.record_acks(session_id, ["A1"], 3, NOW) == 0


async def test_an_inbound_message_is_stored_once(store: SqliteStore, session_id: str) -> None:
    answers = await asyncio.gather(
        *(store.record_inbound(inbound(session_id, "B1")) for _ in range(10))
    )
    stored = [row for row in answers if row is not None]
    assert len(stored) == 1
    assert (stored[0].state, stored[0].direction, stored[0].sent_ms) == (
        MessageState.RECEIVED,
        Direction.INBOUND,
        NOW - 5,
    )
    assert await store.record_inbound(inbound(session_id, "B1", chat="2@c.us")) is not None
    # The same id, outbound: a note to oneself comes back in.
    assert (await accept(store, session_id, "B1")).direction is Direction.OUTBOUND
    with pytest.raises(SessionNotFound):
        await store.record_inbound(inbound(NOBODY, "B2"))


async def test_listing(store: SqliteStore, home: str, session_id: str) -> None:
    for number in range(6):
        await accept(store, session_id, f"A{number}", chat=f"{number % 2}@c.us")
        await store.record_inbound(inbound(session_id, f"B{number}", chat=f"{number % 2}@c.us"))
    everything = await store.messages(home, session_id)
    assert [row.wa_id for row in everything[:4]] == ["B5", "A5", "B4", "A4"]
    assert len(everything) == 12
    pages: list[MessageRow] = []
    while page := await store.messages(
        home, session_id, before=pages[-1].id if pages else None, limit=5
    ):
        pages += page
    assert pages == everything
    out = await store.messages(home, session_id, direction=Direction.OUTBOUND)
    assert [row.wa_id for row in out] == ["A5", "A4", "A3", "A2", "A1", "A0"]
    both = await store.messages(
        home, session_id, direction=Direction.INBOUND, chat="1@c.us", limit=2
    )
    assert [row.wa_id for row in both] == ["B5", "B3"]
    assert await store.messages(home, session_id, chat="9@c.us") == []
    assert await store.message_counts() == {
        (Direction.OUTBOUND, MessageState.ACCEPTED): 6,
        (Direction.INBOUND, MessageState.RECEIVED): 6,
    }


async def test_a_missing_message_is_named(store: SqliteStore, home: str, session_id: str) -> None:
    other, _ = await store.create_session(home, "support", NOW)
    foreign = await accept(store, other.id, "A1")
    received = await store.record_inbound(inbound(session_id, "B1"))
    assert received is not None
    for call in (
        store.message(home, session_id, foreign.id),
        store.message(home, session_id, NOBODY),
        store.record_sent(NOBODY, 1, NOW),
        store.record_failed(NOBODY, "x", "y", NOW),
        store.record_sent(received.id, 1, NOW),
    ):
        with pytest.raises(MessageNotFound):
            await call
    await store.record_unknown(NOBODY, "x", "y", NOW)
    await store.record_unsent(NOBODY, NOW)


async def test_a_value_that_cannot_be_stored_changes_nothing(
    store: SqliteStore, home: str, session_id: str
) -> None:
    row = await accept(store, session_id, "A1")
    with pytest.raises(StoreError):
        await claim_next(store, session_id, 2**70)  # more than 64 bits
    assert await store.message(home, session_id, row.id) == row
    assert await claim_next(store, session_id, NOW) is not None


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@example(body="half \ud83d and \udc00, whole \U0001f600, nul \0")
@given(body=st.text(alphabet=st.characters(exclude_categories=()), max_size=40))
async def test_any_text_comes_back(
    store: SqliteStore, home: str, session_id: str, body: str
) -> None:
    """Half surrogate pairs, which pages do send, are replaced; all else comes back as it was."""
    wa_id = body.encode("utf-16-le", "surrogatepass").hex()
    row = await store.record_inbound(inbound(session_id, wa_id, body=body))
    if row is not None:
        whole = body.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        assert (await store.message(home, session_id, row.id)).body == whole
