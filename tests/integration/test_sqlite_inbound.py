"""What others did to messages, on a real file: kept once, told once, gone with the person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from storage.inbound import Call, Participation, Reaction, Target, Vote
from storage.privacy import NewMedia
from storage.sqlite import open_store
from storage.store import MessageNotFound, SessionNotFound
from storage.tenants import Retention
from tests.integration.tenant_support import GROUP, NOW, OTHER, PERSON, home_of, inbound, outbound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from storage.sqlite import SqliteStore

pytestmark = pytest.mark.integration

THIRD = "15551230003@c.us"
LID = "123456789012345@lid"


class Desk:
    """A store, a session, and what its event log says since."""

    def __init__(self, store: SqliteStore, workspace: str, session: str) -> None:
        self.store = store
        self.workspace = workspace
        self.session = session

    async def receive(self, wa_id: str, **more: Any) -> str:
        row = await self.store.record_inbound(inbound(self.session, wa_id, **more))
        assert row is not None
        return row.id

    def target(self, wa_id: str, *chats: str, at: int = NOW + 50) -> Target:
        return Target(session_id=self.session, wa_id=wa_id, chats=chats or (PERSON,), now_ms=at)

    async def told(self, kind: str) -> list[Mapping[str, Any]]:
        return [row.payload for row in await self.store.events(self.workspace, types=[kind])]

    async def contact(self, jid: str) -> str:
        return (await self.store.contact_with_jid(self.workspace, jid)).id


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_store(tmp_path / "db") as store:
        workspace = await home_of(store)
        session, _ = await store.create_session(workspace, "s", NOW)
        yield Desk(store, workspace, session.id)


async def test_an_edit_changes_the_text_once_and_only_forward(desk: Desk) -> None:
    store, message = desk.store, await desk.receive("A")
    assert await store.record_edit(desk.target("A"), "new", NOW + 10)
    assert not await store.record_edit(desk.target("A"), "new", NOW + 10)
    assert not await store.record_edit(desk.target("A"), "older", NOW + 9)
    row = await store.message(desk.workspace, desk.session, message)
    assert (row.body, row.edited_ms, row.updated_ms) == ("new", NOW + 10, NOW + 50)
    (event,) = await desk.told("message.edited")
    assert event["message_id"] == message
    assert "new" not in str(event)
    assert await store.record_edit(desk.target("A"), "newer", NOW + 11)
    assert len(await desk.told("message.edited")) == 2


async def test_what_is_not_known_there_changes_nothing(desk: Desk) -> None:
    store = desk.store
    await desk.receive("A")
    for target in (desk.target("B"), desk.target("A", OTHER), desk.target("A", LID)):
        assert not await store.record_edit(target, "new", NOW)
        assert not await store.record_revoke(target, None, NOW)
        assert not await store.record_reaction(target, PERSON, "x", NOW)
        assert not await store.record_vote(target, PERSON, ["x"], NOW)
    other, _ = await store.create_session(desk.workspace, "t", NOW)
    foreign = Target(session_id=other.id, wa_id="A", chats=(PERSON,), now_ms=NOW)
    assert not await store.record_revoke(foreign, None, NOW)
    types = {row.type for row in await store.events(desk.workspace)}
    assert types == {"session.created", "message.received"}
    unknown = Target(session_id="x", wa_id="A", chats=(PERSON,), now_ms=NOW)
    with pytest.raises(SessionNotFound):
        await store.record_edit(unknown, "new", NOW)


async def test_a_chat_may_go_by_either_of_its_addresses(desk: Desk) -> None:
    """A message that came under a lid, edited when WhatsApp knows the number."""
    message = await desk.receive("A", chat=LID)
    assert await desk.store.record_edit(desk.target("A", PERSON, LID), "new", NOW)
    assert (await desk.store.message(desk.workspace, desk.session, message)).body == "new"


async def test_a_revoked_message_stays_as_it_came_and_is_done_with(desk: Desk) -> None:
    store, message = desk.store, await desk.receive("A", body="secret")
    assert await store.record_revoke(desk.target("A"), None, NOW + 7)
    assert not await store.record_revoke(desk.target("A"), None, NOW + 8)
    row = await store.message(desk.workspace, desk.session, message)
    assert (row.body, row.revoked_ms) == ("secret", NOW + 7)
    assert not await store.record_edit(desk.target("A"), "late", NOW + 9)
    assert not await store.record_reaction(desk.target("A"), PERSON, "x", NOW + 9)
    (event,) = await desk.told("message.revoked")
    assert event == {"message_id": message, "chat_id": event["chat_id"], "kind": "text"}


@pytest.mark.parametrize(("by", "taken"), [(OTHER, True), (THIRD, False), (None, True)])
async def test_only_the_author_takes_a_message_back(
    desk: Desk, by: str | None, taken: bool
) -> None:
    await desk.receive("A", chat=GROUP, sender=OTHER)
    assert await desk.store.record_revoke(desk.target("A", GROUP), by, NOW) is taken
    assert len(await desk.told("message.revoked")) == int(taken)


async def test_nobody_else_takes_our_message_back(desk: Desk) -> None:
    await desk.store.accept_message(desk.workspace, outbound(desk.session, "O"))
    assert not await desk.store.record_revoke(desk.target("O"), PERSON, NOW)
    assert await desk.store.record_revoke(desk.target("O"), None, NOW), "we did, on the phone"


async def test_the_newest_reaction_of_each_person_is_kept(desk: Desk) -> None:
    store = desk.store
    sent = await store.accept_message(desk.workspace, outbound(desk.session, "O", chat=GROUP))
    target = desk.target("O", GROUP)
    assert await store.record_reaction(target, PERSON, "👍", NOW + 1)
    assert not await store.record_reaction(target, PERSON, "👍", NOW + 1)
    assert await store.record_reaction(target, OTHER, "🎉", NOW + 2)
    assert await store.record_reaction(target, PERSON, "❤️", NOW + 3)
    assert not await store.record_reaction(target, PERSON, "👍", NOW + 1), "it comes late"
    assert await store.reactions(desk.workspace, desk.session, sent.id) == [
        Reaction(sender=OTHER, emoji="🎉", at_ms=NOW + 2),
        Reaction(sender=PERSON, emoji="❤️", at_ms=NOW + 3),
    ]
    assert await store.record_reaction(target, OTHER, "", NOW + 4)
    assert not await store.record_reaction(target, OTHER, "", NOW + 5)
    assert not await store.record_reaction(target, GROUP, "x", NOW + 5), "that is nobody"
    left = await store.reactions(desk.workspace, desk.session, sent.id)
    assert [one.sender for one in left] == [PERSON]
    told = await desk.told("message.reaction")
    person, other = await desk.contact(PERSON), await desk.contact(OTHER)
    assert [(one["contact_id"], one["removed"]) for one in told] == [
        (person, False),
        (other, False),
        (person, False),
        (other, True),
    ]
    assert "❤️" not in str(told)
    with pytest.raises(MessageNotFound):
        await store.reactions(desk.workspace, desk.session, "01J9ZS8XQ2N4B6D8F0H2K4M6P8")


async def test_votes_are_kept_likewise(desk: Desk) -> None:
    store, poll = desk.store, await desk.receive("P")
    target = desk.target("P")
    assert await store.record_vote(target, PERSON, ["a", "b"], NOW + 1)
    assert not await store.record_vote(target, PERSON, ["a", "b"], NOW + 2)
    assert await store.record_vote(target, OTHER, ["b"], NOW + 2)
    assert await store.record_vote(target, PERSON, [], NOW + 3)
    assert await store.votes(desk.workspace, desk.session, poll) == [
        Vote(sender=OTHER, options=("b",), at_ms=NOW + 2)
    ]
    told = await desk.told("message.poll_vote")
    assert [one["removed"] for one in told] == [False, False, True]


async def test_members_and_calls_are_told_by_contact(desk: Desk) -> None:
    change = Participation(
        session_id=desk.session,
        chat=GROUP,
        action="add",
        by=THIRD,
        members=(PERSON, PERSON, OTHER, GROUP),
        now_ms=NOW,
    )
    await desk.store.record_participants(change)
    (event,) = await desk.told("group.participants")
    assert event["contact_ids"] == [await desk.contact(PERSON), await desk.contact(OTHER)]
    assert (event["action"], event["by_contact_id"]) == ("add", await desk.contact(THIRD))
    call = Call(
        session_id=desk.session, sender=PERSON, video=True, group=False, rejected=True, now_ms=NOW
    )
    await desk.store.record_call(call)
    assert await desk.told("call.received") == [
        {
            "contact_id": await desk.contact(PERSON),
            "video": True,
            "group": False,
            "rejected": True,
        }
    ]
    counted = await desk.store.contact_sessions(desk.workspace, await desk.contact(PERSON))
    assert counted == [], "neither is a message"


async def test_a_file_is_wanted_until_it_is_kept_or_given_up(desk: Desk) -> None:
    store = desk.store
    first, second = await desk.receive("A", fetch=True), await desk.receive("B", fetch=True)
    plain = await desk.receive("C")

    async def next_at(before: int) -> str | None:
        found = await store.next_download(desk.session, before)
        return None if found is None else found.message_id

    assert await next_at(NOW) == first
    found = await store.next_download(desk.session, NOW)
    assert found is not None
    assert (found.wa_id, found.chat, found.sender, found.attempts) == ("A", PERSON, PERSON, 0)
    await store.count_download(first, 1, NOW)
    assert await next_at(NOW) == second, "that one was tried just now"
    assert await next_at(NOW + 1) == first
    await store.count_download(first, -1, NOW)
    await store.count_download(first, 1, NOW)
    again = await store.next_download(desk.session, NOW + 1)
    assert again is not None
    assert again.attempts == 1

    file = await store.message_file(desk.workspace, desk.session, first)
    assert (file.wanted, file.media, file.error_code) == (True, None, None)
    await store.end_download(first, "media_too_large", NOW)
    file = await store.message_file(desk.workspace, desk.session, first)
    assert (file.wanted, file.error_code) == (False, "media_too_large")

    await store.end_download(first, "again", NOW)
    told = await desk.told("message.media")
    assert [(one["message_id"], one["code"]) for one in told] == [(first, "media_too_large")]

    kept = await store.record_media(
        NewMedia(message_id=second, path="media/x", sha256="cd" * 32, bytes=7, now_ms=NOW)
    )
    assert await next_at(NOW + 1) is None, "we died before that could be written"
    await store.end_download(second, None, NOW)
    await store.end_download(second, None, NOW)
    told = await desk.told("message.media")
    assert [(one["message_id"], one["code"]) for one in told[1:]] == [(second, None)]
    file = await store.message_file(desk.workspace, desk.session, second)
    assert (file.wanted, file.media, file.error_code) == (False, kept, None)
    file = await store.message_file(desk.workspace, desk.session, plain)
    assert (file.wanted, file.media, file.error_code) == (False, None, None)


async def test_an_erased_contact_leaves_nothing_of_this(desk: Desk) -> None:
    """Neither on the contact's own messages, nor on those of others."""
    store = desk.store
    mine = await desk.receive("A", fetch=True)
    theirs = await desk.receive("B", chat=GROUP, sender=OTHER)
    await desk.receive("G", chat=GROUP, sender=PERSON)
    for target, who in ((desk.target("A"), OTHER), (desk.target("B", GROUP), PERSON)):
        assert await store.record_reaction(target, who, "👍", NOW)
        assert await store.record_vote(target, who, ["a"], NOW)
    person = await desk.contact(PERSON)
    answers = await store.contact_answers(desk.workspace, person)
    assert [(one.message_id, one.kind, one.value) for one in answers] == [
        (theirs, "reaction", "👍"),
        (theirs, "vote", '["a"]'),
    ]
    await store.erase_contact(desk.workspace, person, NOW + 1)
    assert await store.contact_answers(desk.workspace, person) == []
    for message in (mine, theirs):
        assert await store.reactions(desk.workspace, desk.session, message) == []
        assert await store.votes(desk.workspace, desk.session, message) == []
    assert await store.next_download(desk.session, NOW + 2) is None
    assert not await store.record_edit(desk.target("A"), "back", NOW + 2)
    assert not await store.record_reaction(desk.target("A"), OTHER, "x", NOW + 2)
    assert not await store.record_edit(desk.target("G", GROUP), "back", NOW + 2)
    assert not await store.record_reaction(desk.target("G", GROUP), OTHER, "x", NOW + 2)


async def test_retention_takes_it_along(desk: Desk) -> None:
    store = desk.store
    await desk.receive("A", fetch=True)
    assert await store.record_reaction(desk.target("A"), PERSON, "👍", NOW)
    await store.set_retention(desk.workspace, Retention(messages_ms=1), NOW)
    await store.purge_expired(NOW + 10_000_000)
    assert await store.next_download(desk.session, NOW + 10_000_000) is None
    rows = await store._connections.read("SELECT count(*) FROM reactions")
    assert rows[0][0] == 0
