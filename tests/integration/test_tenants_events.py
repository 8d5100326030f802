"""The event log tells what happened: every change once, in order, and nothing besides."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.events import FACTS, EventType
from storage.messages import MessageState
from storage.sqlite import SqliteStore, open_store
from storage.store import SessionNotFound, SessionStatus, StatusChange, StoreError
from tests.integration.outbox_support import claim_next
from tests.integration.tenant_support import (
    GROUP,
    NOW,
    OTHER,
    PERSON,
    furnish,
    home_of,
    inbound,
    outbound,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from storage.events import EventRow

pytestmark = pytest.mark.integration


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with open_store(tmp_path / "wafleet.db") as opened:
        yield opened


@dataclass
class Told:
    """What someone knows who has only read the events."""

    sessions: dict[str, tuple[str, str, str | None]] = field(default_factory=dict)
    primary: set[str] = field(default_factory=set)
    inactive: set[str] = field(default_factory=set)
    messages: dict[str, str] = field(default_factory=dict)

    def hear(self, event: EventRow) -> None:
        """Apply one event, and check that it tells of a change."""
        session, payload = event.session_id, event.payload
        assert session is not None
        assert event.version == 1
        if event.type == EventType.SESSION_CREATED:
            assert session not in self.sessions
            self.sessions[session] = ("disconnected", "created", None)
            return
        match event.type.split("."):
            case ["session", "status"]:
                after = (payload["status"], payload["reason"], payload["detail"])
                assert payload["from"] == self.sessions[session][0]
                assert after != self.sessions[session]
                self.sessions[session] = after
            case ["session", "deleted"]:
                del self.sessions[session]
                self.primary.discard(session)
                self.inactive.discard(session)
            case ["session", "primary"]:
                assert payload["is_primary"] is (session not in self.primary)
                self.primary ^= {session}
            case ["session", "active"]:
                assert payload["is_active"] is (session in self.inactive)
                self.inactive ^= {session}
            case ["message", state]:
                assert self.messages.get(payload["message_id"]) != state
                self.messages[payload["message_id"]] = state
            case _:
                pytest.fail(event.type)


async def read_all(store: SqliteStore, workspace: str | None = None) -> Sequence[EventRow]:
    rows: list[EventRow] = []
    while True:
        after = rows[-1].id if rows else None
        if workspace is None:
            page = await store.all_events(after=after, limit=7)
        else:
            page = await store.events(workspace, after=after, limit=7)
        if not page:
            return rows
        rows += page


STATUS = st.tuples(
    st.just("status"),
    st.integers(0, 2),
    st.sampled_from(list(SessionStatus)),
    st.sampled_from(["ready", "lost"]),
    st.sampled_from([None, "why"]),
)
ACTS = st.lists(
    st.one_of(
        STATUS,
        st.tuples(
            st.sampled_from(
                ["create", "delete", "primary", "deactivate", "activate", "accept", "claim"]
            ),
            st.integers(0, 2),
        ),
        st.tuples(
            st.sampled_from(["sent", "failed", "unknown", "unsent"]),
            st.integers(0, 5),
            st.integers(-1, 4),
        ),
        st.tuples(st.just("acks"), st.integers(0, 2), st.integers(0, 5), st.integers(-1, 4)),
        st.tuples(
            st.just("inbound"),
            st.integers(0, 2),
            st.integers(0, 2),
            st.sampled_from([PERSON, GROUP, "status@broadcast"]),
        ),
        st.tuples(st.just("erase"), st.sampled_from([PERSON, OTHER])),
        st.just(("settle",)),
    ),
    max_size=25,
)


class Actor:
    """Does one act after the other on a store, whether or not they make sense."""

    def __init__(self, store: SqliteStore, home: str) -> None:
        self.store, self.home = store, home
        self.sessions: dict[int, str] = {}
        self.messages: list[str] = []
        self.sequence = 0
        self.wa_ids = 0

    async def do(self, act: tuple[Any, ...]) -> None:
        store, home = self.store, self.home
        match act:
            case ("create", number):
                row, _ = await store.create_session(home, f"s{number}", NOW)
                self.sessions[number] = row.id
            case ("erase", jid):
                contact = await store.contact_with_jid(home, jid)
                await store.erase_contact(home, contact.id, NOW, batch=2)
            case ("settle",):
                await store.settle_after_boot("supervisor_died", ("lost",), NOW)
            case ("sent" | "failed" | "unknown" | "unsent", *_):
                await self._record(act)
            case (verb, number, *rest):
                await self._session(verb, self.sessions.get(number, "none"), *rest)

    async def _session(self, verb: str, session: str, *rest: Any) -> None:
        store, home = self.store, self.home
        match verb, rest:
            case "delete", _:
                await store.delete_session(session, NOW)
            case "status", (status, reason, detail):
                await self._status(session, status, reason, detail)
            case "primary", _:
                await store.set_primary(home, session, NOW)
            case "deactivate", _:
                await store.deactivate(home, session, NOW)
            case "activate", _:
                await store.activate(home, session, NOW)
            case "accept", _:
                self.wa_ids += 1
                new = outbound(session, f"A{self.wa_ids}", chat=(PERSON, GROUP)[self.wa_ids % 2])
                self.messages.append((await store.accept_message(home, new)).id)
            case "claim", _:
                await claim_next(store, session, NOW)
            case "acks", (number, ack):
                await store.record_acks(session, [f"A{number}", f"A{number + 1}"], ack, NOW)
            case "inbound", (number, chat):
                await store.record_inbound(inbound(session, f"B{number}", chat=chat, sender=OTHER))

    async def _status(
        self, session: str, status: SessionStatus, reason: str, detail: str | None
    ) -> None:
        self.sequence += 1
        await self.store.record_status(
            StatusChange(
                session_id=session,
                incarnation=1,
                sequence=self.sequence,
                status=status,
                reason=reason,
                detail=detail,
                since_ms=NOW,
            )
        )

    async def _record(self, act: tuple[Any, ...]) -> None:
        verb, number, ack = act
        message = self.messages[number] if number < len(self.messages) else "none"
        match verb:
            case "sent":
                await self.store.record_sent(message, ack, NOW)
            case "failed":
                await self.store.record_failed(message, "x", "y", NOW)
            case "unknown":
                await self.store.record_unknown(message, "x", "y", NOW)
            case "unsent":
                await self.store.record_unsent(message, NOW)


@settings(max_examples=60, deadline=None)
@given(acts=ACTS)
async def test_who_hears_all_events_knows_all_states(acts: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        async with open_store(Path(directory) / "wafleet.db") as store:
            actor = Actor(store, await home_of(store))
            for act in [("create", 0), ("create", 1), *acts]:
                before = await store.last_event(actor.home)
                state = await states(store)
                try:
                    await actor.do(act)
                except StoreError:
                    assert await store.last_event(actor.home) == before, "a refusal is no event"
                    assert await states(store) == state
            told = Told()
            for event in await read_all(store):
                told.hear(event)
            rows = {row.id: row for row in await store.all_sessions()}
            assert told.sessions == {
                key: (row.status, row.reason, row.detail) for key, row in rows.items()
            }
            assert told.primary == {key for key, row in rows.items() if row.is_primary}
            assert told.inactive == {key for key, row in rows.items() if not row.is_active}
            assert told.messages == await states(store)


async def states(store: SqliteStore) -> dict[str, str]:
    """Return every message's state; `sending` is our own business and shows as accepted."""
    rows = await store._connections.read("SELECT uuid, state FROM messages")
    return {key: "accepted" if state == MessageState.SENDING else state for key, state in rows}


async def test_events_hold_nothing_personal(store: SqliteStore) -> None:
    home = await home_of(store)
    row, _ = await store.create_session(home, "15550009999", NOW)
    await store.record_status(
        StatusChange(
            session_id=row.id,
            incarnation=1,
            sequence=1,
            status=SessionStatus.CONNECTED,
            reason="ready",
            detail=None,
            since_ms=NOW,
            phone_number="15550009999",
        )
    )
    await store.record_qr_code(row.id, "sealed-code", NOW)
    accepted = await store.accept_message(home, outbound(row.id, "A1"))
    await claim_next(store, row.id, NOW)
    await store.record_failed(accepted.id, "invalid_jid", f"no {PERSON}", NOW)
    await store.record_inbound(inbound(row.id, "B1", chat=GROUP, sender=OTHER, body="a secret"))
    told = json.dumps([dict(event.payload) for event in await read_all(store)])
    for personal in ("15550009999", "1555123", "@c.us", "@g.us", "secret", "out A1", "sealed"):
        assert personal not in told
    assert [event.type for event in await read_all(store, home)] == [
        "session.created",
        "session.status",
        "message.accepted",
        "message.failed",
        "message.received",
    ]


async def test_reading_by_place_session_and_type(store: SqliteStore) -> None:
    one, other = await furnish(store, "acme"), await furnish(store, "globex")
    everything = await read_all(store)
    ids = [event.id for event in everything]
    assert ids == sorted(set(ids))
    own = await read_all(store, one.workspace)
    assert [e.id for e in own] == [e.id for e in everything if e.workspace_id == one.workspace]
    assert await store.last_event(one.workspace) == own[-1].id
    assert await store.events(one.workspace, after=own[-1].id) == []
    assert await store.events(one.workspace, session_id=one.session, limit=100) == own
    kinds = {"message.accepted", "session.primary"}
    some = await store.events(one.workspace, types=kinds)
    assert {e.type for e in some} == kinds
    both = await store.all_events(types=kinds)
    assert {e.workspace_id for e in both} == {one.workspace, other.workspace}
    assert await store.events(one.workspace, limit=0) == []
    # A place that retention took: go on with the next one kept.
    await store._connections.write(
        lambda tx: tx.change("DELETE FROM events WHERE uuid <= ?", (own[1].id,))
    )
    assert await store.events(one.workspace, after=own[1].id) == own[2:]
    assert await store.events(one.workspace, after=own[0].id) == own[2:]
    await store.delete_session(one.session, NOW)
    last = (await store.events(one.workspace, after=own[-1].id, session_id=one.session))[-1]
    assert last.type == EventType.SESSION_DELETED, "a deleted session's events stay readable"


async def test_an_event_that_cannot_be_written_undoes_its_change(store: SqliteStore) -> None:
    home = await home_of(store)
    row, _ = await store.create_session(home, "a", NOW)
    await store._connections.write(
        lambda tx: tx.change(
            "CREATE TEMP TRIGGER deaf BEFORE INSERT ON main.events"
            " BEGIN SELECT raise(ABORT, 'full'); END"
        )
    )
    for call in (
        store.create_session(home, "b", NOW),
        store.accept_message(home, outbound(row.id, "A1")),
        store.record_inbound(inbound(row.id, "B1")),
        store.set_primary(home, row.id, NOW),
        store.deactivate(home, row.id, NOW),
        store.delete_session(row.id, NOW),
    ):
        with pytest.raises(StoreError):
            await call
    assert await store.all_sessions() == [row]
    assert await store.messages(home, row.id) == []
    assert await store.contacts(home) == []
    assert (await store.usage(home, NOW)).messages == 0


async def test_what_changes_nothing_is_no_event(store: SqliteStore) -> None:
    home = await home_of(store)
    row, _ = await store.create_session(home, "a", NOW)
    await store.set_primary(home, row.id, NOW)
    message = await store.accept_message(home, outbound(row.id, "A1"))
    await claim_next(store, row.id, NOW)
    await store.record_sent(message.id, 1, NOW)
    await store.record_inbound(inbound(row.id, "B1"))
    change = StatusChange(
        session_id=row.id,
        incarnation=1,
        sequence=1,
        status=SessionStatus.CONNECTED,
        reason="ready",
        detail=None,
        since_ms=NOW,
    )
    assert await store.record_status(change)
    before = await store.last_event(home)
    assert not await store.record_status(change), "stale"
    assert await store.record_status(replace(change, sequence=2)), "written, but the same"
    assert await store.record_status(replace(change, sequence=3, phone_number="1555"))
    await store.create_session(home, "a", NOW)
    await store.set_primary(home, row.id, NOW)
    await store.activate(home, row.id, NOW)
    await store.record_sent(message.id, 1, NOW)
    await store.record_acks(row.id, ["A1"], 1, NOW)
    await store.record_failed(message.id, "x", "y", NOW)
    await store.record_unknown(message.id, "x", "y", NOW)
    await store.record_inbound(inbound(row.id, "B1"))
    assert await store.last_event(home) == before


async def test_events_are_never_changed(store: SqliteStore) -> None:
    home = await home_of(store)
    await store.create_session(home, "a", NOW)
    with pytest.raises(StoreError):
        await store._connections.write(lambda tx: tx.change("UPDATE events SET type = 'x'"))


async def test_what_stands_for_itself_is_told_too(store: SqliteStore) -> None:
    """Also of a deleted session; what belongs to a change is never told without it."""
    home = await home_of(store)
    row, _ = await store.create_session(home, "a", NOW)
    await store.record_event(row.id, EventType.MEMORY, {"action": "collected"}, NOW)
    await store.delete_session(row.id, NOW)
    await store.record_event(row.id, EventType.STORAGE, {"action": "cleaned"}, NOW)
    told = await store.events(home)
    assert [event.type for event in told] == [
        "session.created",
        "memory",
        "session.deleted",
        "storage",
    ]
    assert told[1].payload == {"action": "collected"}
    for event in set(EventType) - FACTS:
        with pytest.raises(ValueError, match="in its own transaction"):
            await store.record_event(row.id, event, {}, NOW)
    with pytest.raises(SessionNotFound):
        await store.record_event("01ARZ3NDEKTSV4RRFFQ69G5FAV", EventType.MEMORY, {}, NOW)
