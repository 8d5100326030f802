"""The sessions half of the store's contract, on a real file."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from storage.messages import MessageState, NewOutbound
from storage.sqlite import SqliteStore, open_store
from storage.store import Desired, SessionNotFound, SessionStatistics, SessionStatus, StatusChange
from tests.integration.outbox_support import claim_next
from tests.integration.tenant_support import home_of, inbound, outbound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TRANSIENT = ("launching", "stopping")
pytestmark = pytest.mark.integration

NOW = 1_800_000_000_000
NOBODY = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with open_store(tmp_path / "wafleet.db", busy_timeout_ms=1000) as opened:
        yield opened


@pytest.fixture
async def home(store: SqliteStore) -> str:
    return await home_of(store)


def change(
    session_id: str,
    incarnation: int,
    sequence: int,
    status: SessionStatus = SessionStatus.CONNECTED,
    *,
    phone_number: str | None = None,
    desired: Desired | None = None,
) -> StatusChange:
    return StatusChange(
        session_id=session_id,
        incarnation=incarnation,
        sequence=sequence,
        status=status,
        reason="ready",
        detail=f"{incarnation}.{sequence}",
        since_ms=NOW + 1000 * incarnation + sequence,
        phone_number=phone_number,
        desired=desired,
    )


async def test_a_new_session_is_stopped_and_disconnected(store: SqliteStore, home: str) -> None:
    row, made = await store.create_session(home, "sales", NOW)
    assert made
    assert (row.name, row.desired, row.status) == (
        "sales",
        Desired.STOPPED,
        SessionStatus.DISCONNECTED,
    )
    assert (row.reason, row.detail, row.phone_number) == ("created", None, None)
    assert (row.since_ms, row.created_ms, row.updated_ms) == (NOW, NOW, NOW)
    assert row.last_connected_ms is None
    assert await store.session(home, row.id) == row


async def test_creating_it_again_returns_the_same(store: SqliteStore, home: str) -> None:
    first, _ = await store.create_session(home, "sales", NOW)
    assert await store.create_session(home, "sales", NOW + 5) == (first, False)


async def test_fifty_at_once_make_one(store: SqliteStore, home: str) -> None:
    answers = await asyncio.gather(*(store.create_session(home, "sales", NOW) for _ in range(50)))
    assert sum(made for _, made in answers) == 1
    assert len({row.id for row, _ in answers}) == 1
    assert len(await store.sessions(home)) == 1


async def test_two_stores_racing_make_one(tmp_path: Path, store: SqliteStore, home: str) -> None:
    async with open_store(tmp_path / "wafleet.db", busy_timeout_ms=5000) as other:
        names = [f"s{number}" for number in range(20)]
        calls = [s.create_session(home, name, NOW) for name in names for s in (store, other)]
        answers = await asyncio.gather(*calls)
        assert sum(made for _, made in answers) == len(names)
        assert len(await other.sessions(home)) == len(names)


async def test_listing_pages_in_order_of_id(store: SqliteStore, home: str) -> None:
    ids = [(await store.create_session(home, f"s{number}", NOW))[0].id for number in range(7)]
    assert ids == sorted(ids)
    found: list[str] = []
    while page := await store.sessions(home, after=found[-1] if found else None, limit=3):
        found += [row.id for row in page]
    assert found == ids
    assert await store.sessions(home, limit=0) == []


async def test_finding_by_name(store: SqliteStore, home: str) -> None:
    row, _ = await store.create_session(home, "sales", NOW)
    assert await store.session_named(home, "sales") == row
    await store.delete_session(row.id, NOW)
    for missing in ("sales", "Sales", row.id, ""):
        with pytest.raises(SessionNotFound):
            await store.session_named(home, missing)
    again, _ = await store.create_session(home, "sales", NOW)
    assert await store.session_named(home, "sales") == again


async def test_set_desired(store: SqliteStore, home: str) -> None:
    row, _ = await store.create_session(home, "sales", NOW)
    after = await store.set_desired(home, row.id, Desired.RUNNING, NOW + 1)
    assert (after.desired, after.updated_ms) == (Desired.RUNNING, NOW + 1)
    assert await store.session(home, row.id) == after


async def test_status_changes_are_ordered(store: SqliteStore, home: str) -> None:
    row, _ = await store.create_session(home, "sales", NOW)
    assert await store.next_incarnation(row.id) == 1
    assert await store.record_status(change(row.id, 1, 1))
    assert await store.record_status(change(row.id, 1, 3))
    for stale in ((1, 3), (1, 2), (0, 9)):
        assert not await store.record_status(change(row.id, *stale))
    assert (await store.session(home, row.id)).detail == "1.3"
    assert await store.next_incarnation(row.id) == 2
    assert not await store.record_status(change(row.id, 1, 99)), "a former life's last word"
    assert await store.record_status(change(row.id, 2, 1))


async def test_concurrent_changes_end_at_the_youngest(store: SqliteStore, home: str) -> None:
    row, _ = await store.create_session(home, "sales", NOW)
    await asyncio.gather(
        *(store.record_status(change(row.id, 1, number)) for number in (4, 1, 5, 2, 3))
    )
    assert (await store.session(home, row.id)).detail == "1.5"


async def test_entering_connected_is_remembered(store: SqliteStore, home: str) -> None:
    row, _ = await store.create_session(home, "sales", NOW)
    await store.record_status(change(row.id, 1, 1, SessionStatus.AUTHENTICATED))
    assert (await store.session(home, row.id)).last_connected_ms is None
    await store.record_status(change(row.id, 1, 2))
    await store.record_status(change(row.id, 1, 3))  # still connected: not entered again
    await store.record_status(change(row.id, 1, 4, SessionStatus.FAILED))
    assert (await store.session(home, row.id)).last_connected_ms == NOW + 1002


async def test_what_a_change_leaves_out_stays(store: SqliteStore, home: str) -> None:
    row, _ = await store.create_session(home, "sales", NOW)
    await store.record_status(
        change(row.id, 1, 1, phone_number="491511234567", desired=Desired.RUNNING)
    )
    await store.record_status(change(row.id, 1, 2))
    after = await store.session(home, row.id)
    assert (after.phone_number, after.desired) == ("491511234567", Desired.RUNNING)


async def test_settling_marks_what_a_former_life_left(store: SqliteStore, home: str) -> None:
    ids = {}
    for status in SessionStatus:
        row, _ = await store.create_session(home, status.value, NOW)
        await store.record_status(change(row.id, 1, 1, status))
        ids[status] = row.id
    sender = ids[SessionStatus.CONNECTED]
    for wa_id in ("A1", "A2"):
        await store.accept_message(
            home, NewOutbound(session_id=sender, chat="1@c.us", wa_id=wa_id, body="x", now_ms=NOW)
        )
    claimed = await claim_next(store, sender, NOW)
    assert claimed is not None

    assert await store.settle_after_boot("supervisor_died", TRANSIENT, NOW + 9) == 3
    for status, session_id in ids.items():
        row = await store.session(home, session_id)
        if status in {SessionStatus.FAILED, SessionStatus.DISCONNECTED}:
            assert (row.status, row.reason) == (status, "ready")
        else:
            assert (row.status, row.reason) == (SessionStatus.DISCONNECTED, "supervisor_died")
            assert (row.detail, row.since_ms) == (None, NOW + 9)
    message = await store.message(home, sender, claimed.id)
    assert (message.state, message.error_code) == (MessageState.UNKNOWN, "supervisor_died")
    assert [row.id for row in await store.unknown_messages(sender)] == [claimed.id]
    assert await store.settle_after_boot("supervisor_died", TRANSIENT, NOW + 10) == 0


async def test_a_life_that_ended_in_the_middle_of_something_is_settled(
    store: SqliteStore, home: str
) -> None:
    """Launching and stopping were true of that life only; a reason that lasts stays."""
    for reason, settled in (("stopping", True), ("launching", True), ("stopped", False)):
        row, _ = await store.create_session(home, reason, NOW)
        disconnected = change(row.id, 1, 1, SessionStatus.DISCONNECTED)
        await store.record_status(replace(disconnected, reason=reason))
        await store.settle_after_boot("supervisor_died", TRANSIENT, NOW + 9)
        now = await store.session(home, row.id)
        assert now.reason == ("supervisor_died" if settled else reason)


async def test_a_session_counts_what_it_lived_through(store: SqliteStore, home: str) -> None:
    row, _ = await store.create_session(home, "a", NOW)
    await store.record_status(change(row.id, 1, 1))
    await store.record_status(change(row.id, 1, 2))
    await store.record_status(change(row.id, 1, 900, SessionStatus.DISCONNECTED))
    await store.record_status(change(row.id, 1, 1, SessionStatus.FAILED))  # stale
    await store.record_status(change(row.id, 1, 901))
    sent = await store.accept_message(home, outbound(row.id, "A1"))
    await claim_next(store, row.id, NOW)
    await store.record_sent(sent.id, 1, NOW)
    await store.record_acks(row.id, ["A1"], 3, NOW)
    await store.accept_message(home, outbound(row.id, "A2"))
    await store.record_acks(row.id, ["A2"], 2, NOW)
    for _ in range(2):  # a repeat is not stored, and not counted
        await store.record_inbound(inbound(row.id, "B1"))
    assert await store.settle_after_boot("supervisor_died", TRANSIENT, NOW) == 1
    found = (await store.session(home, row.id)).statistics
    assert found == SessionStatistics(
        connects=2, disconnects=2, connected_ms=898, messages_sent=2, messages_received=1
    )


async def test_deleting_frees_the_name_and_ends_the_outbox(store: SqliteStore, home: str) -> None:
    row, _ = await store.create_session(home, "sales", NOW)
    for wa_id in ("A1", "A2"):
        await store.accept_message(
            home, NewOutbound(session_id=row.id, chat="1@c.us", wa_id=wa_id, body="x", now_ms=NOW)
        )
    await claim_next(store, row.id, NOW)
    await store.delete_session(row.id, NOW + 1)
    again, made = await store.create_session(home, "sales", NOW + 2)
    assert made
    assert again.id != row.id
    assert [session.id for session in await store.sessions(home)] == [again.id]
    counts = {state: count for (_, state), count in (await store.message_counts()).items()}
    assert counts == {MessageState.FAILED: 1, MessageState.UNKNOWN: 1}
    assert await claim_next(store, row.id, NOW) is None


async def test_every_call_about_a_missing_session_says_so(store: SqliteStore, home: str) -> None:
    row, _ = await store.create_session(home, "gone", NOW)
    await store.delete_session(row.id, NOW)
    for missing in (row.id, NOBODY, "", "'; DROP TABLE messages; --"):
        new = NewOutbound(session_id=missing, chat="1@c.us", wa_id="A", body="x", now_ms=NOW)
        for call in (
            store.session(home, missing),
            store.set_desired(home, missing, Desired.RUNNING, NOW),
            store.next_incarnation(missing),
            store.record_status(change(missing, 9, 9)),
            store.delete_session(missing, NOW),
            store.accept_message(home, new),
            store.messages(home, missing),
        ):
            with pytest.raises(SessionNotFound):
                await call
    await store.ping()
