"""Our own edits and deletions: what they do to the message that they name, once, and told once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from storage.acceptance import Resolution
from storage.events import EventType
from storage.inbound import Target
from storage.messages import MessageRow, MessageState
from storage.sqlite import SqliteStore, open_store
from tests.integration.outbox_support import claim_next
from tests.integration.tenant_support import NOW, OTHER, PERSON, home_of, inbound, outbound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.integration


class Desk:
    """A store, a session, and short words for what it sends."""

    def __init__(self, store: SqliteStore, home: str, session: str) -> None:
        self.store = store
        self.home = home
        self.session = session
        self.serial = 0

    async def accept(self, kind: str = "text", body: str = "old", target: str = "") -> MessageRow:
        self.serial += 1
        new = outbound(self.session, f"A{self.serial}")
        content = {"target": target} if target else {}
        return await self.store.accept_message(
            self.home, replace(new, kind=kind, body=body, content=content)
        )

    async def claim(self, at_ms: int = NOW) -> MessageRow:
        row = await claim_next(self.store, self.session, at_ms)
        assert row is not None
        return row

    async def send(
        self, kind: str = "text", body: str = "old", target: str = "", *, at_ms: int = NOW
    ) -> str:
        """Hand it over at that moment, and hear of its ack 5 ms later."""
        row = await self.accept(kind, body, target)
        assert (await self.claim(at_ms)).id == row.id
        await self.store.record_sent(row.id, 1, at_ms + 5)
        return row.id

    async def row(self, message: str) -> MessageRow:
        return await self.store.message(self.home, self.session, message)

    async def told(self) -> list[tuple[str, str]]:
        types = (EventType.MESSAGE_SENT, EventType.MESSAGE_EDITED, EventType.MESSAGE_REVOKED)
        events = await self.store.events(self.home, types=types)
        return [(event.type, event.payload["message_id"]) for event in events]

    def target(self, wa_id: str, at_ms: int) -> Target:
        return Target(session_id=self.session, wa_id=wa_id, chats=(PERSON,), now_ms=at_ms)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_store(tmp_path / "db") as store:
        home = await home_of(store)
        yield Desk(store, home, (await store.create_session(home, "s", NOW))[0].id)


async def test_an_edit_that_was_sent_shows_in_the_message(desk: Desk) -> None:
    first = await desk.send()
    edit = await desk.accept("edit", "new", first)
    await desk.claim(NOW + 10)
    assert (await desk.row(first)).edited_ms is None, "not before it is sent"
    await desk.store.record_sent(edit.id, 1, NOW + 12)
    row = await desk.row(first)
    assert (row.body, row.edited_ms, row.revoked_ms) == ("new", NOW + 10, None)
    assert (row.updated_ms, row.state) == (NOW + 12, MessageState.SENT)
    sent, edited = EventType.MESSAGE_SENT, EventType.MESSAGE_EDITED
    assert await desk.told() == [(sent, first), (sent, edit.id), (edited, first)]
    (event,) = await desk.store.events(desk.home, types=[edited])
    assert event.payload == {
        "message_id": first,
        "chat_id": event.payload["chat_id"],
        "kind": "text",
    }
    await desk.store.record_sent(edit.id, 1, NOW + 20)
    await desk.store.record_acks(desk.session, [edit.wa_id], 2, NOW + 20)
    assert await desk.row(first) == row, "once"


async def test_a_deletion_that_was_sent_shows_in_the_message(desk: Desk) -> None:
    first = await desk.send()
    revoke = await desk.send("revoke", "", first, at_ms=NOW + 10)
    row = await desk.row(first)
    assert (row.body, row.edited_ms, row.revoked_ms) == ("old", None, NOW + 10)
    await desk.send("revoke", "", first, at_ms=NOW + 20)
    await desk.send("edit", "late", first, at_ms=NOW + 30)
    assert await desk.row(first) == row, "it is done with"
    told = await desk.told()
    assert told[1:3] == [(EventType.MESSAGE_SENT, revoke), (EventType.MESSAGE_REVOKED, first)]
    assert {kind for kind, _ in told[3:]} == {EventType.MESSAGE_SENT}


@pytest.mark.parametrize("ending", ["failed", "unknown", "refused"])
async def test_what_was_not_sent_changes_nothing(desk: Desk, ending: str) -> None:
    first = await desk.send()
    edit = await desk.accept("edit", "new", first)
    await desk.claim()
    if ending == "failed":
        await desk.store.record_failed(edit.id, "not_permitted", "x", NOW)
    elif ending == "unknown":
        await desk.store.record_unknown(edit.id, "no_answer", "x", NOW)
    else:
        await desk.store.record_acks(desk.session, [edit.wa_id], -1, NOW)
    row = await desk.row(first)
    assert (row.body, row.edited_ms) == ("old", None)
    assert await desk.store.record_acks(desk.session, [edit.wa_id], 1, NOW + 9) == 1
    row = await desk.row(first)
    assert (row.body, row.edited_ms) == ("new", NOW), "WhatsApp's word comes at last"


async def test_an_edit_whose_ack_comes_late_does_not_undo_a_later_one(desk: Desk) -> None:
    first = await desk.send()
    lost = await desk.accept("edit", "one", first)
    await desk.claim(NOW + 10)
    await desk.store.record_unknown(lost.id, "no_answer", "x", NOW + 11)
    await desk.store.resolve_message(desk.home, desk.session, lost.id, Resolution.FAIL, NOW + 12)
    await desk.send("edit", "two", first, at_ms=NOW + 20)
    assert await desk.store.record_acks(desk.session, [lost.wa_id], 1, NOW + 30) == 1
    row = await desk.row(first)
    assert (row.body, row.edited_ms) == ("two", NOW + 20)


@pytest.mark.parametrize("page_first", [True, False])
@pytest.mark.parametrize("off", [-700, 3])
async def test_what_the_page_tells_of_too_is_told_once(
    desk: Desk, *, page_first: bool, off: int
) -> None:
    """Its times are WhatsApp's, in whole seconds, so a little before or after ours."""
    first = await desk.send()
    for kind in ("edit", "revoke"):
        act = await desk.accept(kind, "new", first)
        await desk.claim(NOW + 10)
        if not page_first:
            await desk.store.record_sent(act.id, 1, NOW + 15)
        if kind == "edit":
            await desk.store.record_edit(desk.target("A1", NOW + 12), "new", NOW + 10 + off)
        else:
            await desk.store.record_revoke(desk.target("A1", NOW + 12), None, NOW + 10 + off)
        if page_first:
            await desk.store.record_sent(act.id, 1, NOW + 15)
    told = [kind for kind, _ in await desk.told() if kind != EventType.MESSAGE_SENT]
    assert told == [EventType.MESSAGE_EDITED, EventType.MESSAGE_REVOKED]


async def test_only_an_own_message_of_this_session_is_changed(desk: Desk) -> None:
    theirs = await desk.store.record_inbound(inbound(desk.session, "B1", body="theirs"))
    other, _ = await desk.store.create_session(desk.home, "t", NOW)
    foreign = await desk.store.accept_message(desk.home, outbound(other.id, "A1", chat=OTHER))
    assert theirs is not None
    for target in (theirs.id, foreign.id, "nobody", ""):
        await desk.send("edit", "new", target)
    await desk.send("text", "new", theirs.id)  # it names one, and is no edit
    assert await desk.row(theirs.id) == theirs
    assert await desk.store.message(desk.home, other.id, foreign.id) == foreign
    assert {kind for kind, _ in await desk.told()} == {EventType.MESSAGE_SENT}


async def test_what_was_erased_stays_erased(desk: Desk) -> None:
    first = await desk.send()
    edit = await desk.accept("edit", "secret", first)
    await desk.claim()
    contact = await desk.store.contact_with_jid(desk.home, PERSON)
    await desk.store.erase_contact(desk.home, contact.id, NOW)
    await desk.store.record_sent(edit.id, 1, NOW)
    row = await desk.row(first)
    assert (row.body, row.edited_ms) == ("", None)
