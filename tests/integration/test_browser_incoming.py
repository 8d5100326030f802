"""What others do, told by the real page: all kinds of messages, deeds, lists, history, files."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from actors.browser.driver import MessageReceived
from actors.browser.happenings import (
    CallReceived,
    GroupAction,
    MessageEdited,
    MessageRevoked,
    ParticipantsChanged,
    PollVoted,
    ReactionChanged,
)
from actors.browser.reading import (
    ChatEntry,
    CheckContact,
    ContactCheck,
    ContactEntry,
    GroupEntry,
    GroupView,
    HistoryEntry,
    ListChats,
    ListContacts,
    ListGroups,
    Listing,
    ReadGroup,
    ReadHistory,
    WantedMedia,
)
from simulator import requests as req
from simulator.jid import lid_jid
from tests.integration.browser_support import Facts, until
from tests.integration.whatsapp_support import (
    BOB,
    CAROL,
    ME,
    UNKNOWN,
    linked,
    outgoing,
    refused,
    simulating,
    truth,
    wa_id,
)

if TYPE_CHECKING:
    from pathlib import Path

    from actors.browser.whatsapp import WhatsAppBrowser

pytestmark = pytest.mark.integration

BOB_JID, CAROL_JID = f"{BOB}@c.us", f"{CAROL}@c.us"
PICTURE = bytes(range(256)) * 8
VCARD = f"BEGIN:VCARD\nVERSION:3.0\nFN:Zed\nTEL;type=CELL;waid={UNKNOWN}:+{UNKNOWN}\nEND:VCARD"

KINDS: list[tuple[dict[str, Any], str, str, dict[str, Any]]] = [
    ({"text": "hello"}, "text", "hello", {}),
    (
        {"text": "look", "type": "image", "media": PICTURE, "mimetype": "image/png"},
        "image",
        "look",
        {"file": {"mimetype": "image/png", "bytes": len(PICTURE)}},
    ),
    (
        {"type": "video", "media": b"v", "mimetype": "video/mp4", "extra": {"isGif": True}},
        "video",
        "",
        {"file": {"mimetype": "video/mp4", "bytes": 1}, "gif": True},
    ),
    (
        {
            "type": "document",
            "media": b"%PDF",
            "mimetype": "application/pdf",
            "extra": {"filename": "a.pdf"},
        },
        "document",
        "",
        {"file": {"mimetype": "application/pdf", "bytes": 4, "filename": "a.pdf"}},
    ),
    (
        {"type": "ptt", "media": b"o", "mimetype": "audio/ogg", "extra": {"duration": 3}},
        "voice",
        "",
        {"file": {"mimetype": "audio/ogg", "bytes": 1, "seconds": 3}},
    ),
    (
        {"type": "audio", "media": b"m", "mimetype": "audio/mpeg"},
        "audio",
        "",
        {"file": {"mimetype": "audio/mpeg", "bytes": 1}},
    ),
    (
        {"type": "location", "extra": {"lat": 1.5, "lng": -2, "loc": "Pier\nQuay 1"}},
        "location",
        "",
        {"latitude": 1.5, "longitude": -2.0, "name": "Pier", "address": "Quay 1"},
    ),
    (
        {"type": "vcard", "text": VCARD, "extra": {"vcardFormattedName": "Zed"}},
        "contact",
        "",
        {"contacts": [{"name": "Zed", "phone": f"{UNKNOWN}@c.us", "vcard": VCARD}]},
    ),
    (
        {
            "type": "poll_creation",
            "extra": {
                "pollName": "Tea?",
                "pollOptions": [{"name": "yes", "localId": 0}, {"name": "no", "localId": 1}],
                "pollSelectableOptionsCount": 1,
            },
        },
        "poll",
        "Tea?",
        {"question": "Tea?", "options": ["yes", "no"], "selectable": 1},
    ),
    (
        {
            "text": "yes @15550100001",
            "extra": {
                "quotedStanzaID": "ABC",
                "quotedParticipant": f"{ME}@c.us",
                "mentionedJidList": [f"{ME}@c.us"],
                "isForwarded": True,
            },
        },
        "text",
        "yes @15550100001",
        {
            "reply": {"wa_id": "ABC", "from": f"{ME}@c.us"},
            "mentions": [f"{ME}@c.us"],
            "forwarded": True,
        },
    ),
    (
        {"type": "image", "media": b"1", "mimetype": "image/png", "extra": {"isViewOnce": True}},
        "image",
        "",
        {"file": {"mimetype": "image/png", "bytes": 1}, "view_once": True},
    ),
]


def sends(to: str, **fields: Any) -> req.ContactSends:
    media = fields.pop("media", None)
    if media is not None:
        fields["media"] = base64.b64encode(media).decode()
    return req.ContactSends(to=to, **fields)


async def fetched(browser: WhatsAppBrowser, wanted: WantedMedia, piece: int = 500) -> bytes:
    opened = await browser.open_media(wanted)
    pieces = [
        await browser.read_media(opened, at, min(piece, opened.bytes - at))
        for at in range(0, opened.bytes, piece)
    ]
    await browser.close_media(opened)
    assert await refused(browser.read_media(opened, 0, 1)) == "media_closed"
    return b"".join(pieces)


async def test_every_kind_is_told_with_its_content_and_its_file(tmp_path: Path) -> None:
    facts = Facts()
    async with simulating() as simulator, linked(tmp_path, simulator, facts) as browser:
        desk = simulator.desk
        for fields, kind, body, content in KINDS:
            desk.contact_sends(BOB, sends(ME, **fields))
            told = await facts.next(MessageReceived)
            assert (told.kind, told.body, told.content) == (kind, body, content)
            assert (told.chat, told.sender) == (BOB_JID, BOB_JID)

        picture = next(one for one in facts.of(MessageReceived) if one.body == "look")
        wanted = WantedMedia(wa_id=picture.wa_id, chat=BOB_JID, sender=BOB_JID, most=5000)
        assert await fetched(browser, wanted) == PICTURE
        small = WantedMedia(wa_id=picture.wa_id, chat=BOB_JID, sender=BOB_JID, most=100)
        assert await refused(browser.open_media(small)) == "media_too_large"
        desk.contact_sends(BOB, sends(ME, type="image", media=b"x" * 200))
        other = (await facts.next(MessageReceived)).wa_id
        kept, desk._hub.delivery.media = desk._hub.delivery.media, {}
        for most, reason in ((100, "media_too_large"), (500, "media_unavailable")):
            asked = WantedMedia(wa_id=other, chat=BOB_JID, sender=BOB_JID, most=most)
            assert await refused(browser.open_media(asked)) == reason, "by what it says of itself"
        desk._hub.delivery.media = kept
        lies = sends(ME, type="image", media=b"x" * 200, extra={"size": 5})
        lies.extra["mediaData"] = None
        desk.contact_sends(BOB, lies)
        none = (await facts.next(MessageReceived)).wa_id
        assert (
            await refused(
                browser.open_media(WantedMedia(wa_id=none, chat=BOB_JID, sender=None, most=100))
            )
            == "media_unknown"
        )
        nobody = WantedMedia(wa_id=wa_id(9), chat=BOB_JID, sender=None, most=100)
        assert await refused(browser.open_media(nobody)) == "message_unknown"

        group = desk.add_group(req.NewGroup(name="Crew", participants=[ME, BOB, CAROL]))
        desk.change_members(group["id"], req.ChangeMembers(action="join", participants=[BOB]))
        desk.contact_sends(CAROL, sends(group["id"], type="image", media=PICTURE, text="ours"))
        told = await facts.next(MessageReceived)
        assert (told.chat, told.sender, told.body) == (group["jid"], CAROL_JID, "ours")
        wanted = WantedMedia(wa_id=told.wa_id, chat=told.chat, sender=told.sender, most=5000)
        assert await fetched(browser, wanted) == PICTURE


async def test_what_others_do_to_messages_is_told_once(tmp_path: Path) -> None:
    facts = Facts()
    async with simulating() as simulator, linked(tmp_path, simulator, facts) as browser:
        desk = simulator.desk
        for number, jid in ((BOB, BOB_JID), (CAROL, CAROL_JID)):
            message = desk.contact_sends(number, sends(ME, text="first"))
            assert (await facts.next(MessageReceived)).chat == jid
            desk.contact_edits(number, req.ContactEdits(to=ME, id=message, text="second"))
            edit = await facts.next(MessageEdited)
            assert (edit.wa_id, edit.chats[0], edit.body) == (message, jid, "second")
            assert lid_jid(number) in edit.chats
            desk.contact_reacts(number, req.ContactReacts(to=ME, id=message, emoji="👍"))
            reaction = await facts.next(ReactionChanged)
            assert (reaction.wa_id, reaction.sender, reaction.emoji) == (message, jid, "👍")
            desk.contact_reacts(number, req.ContactReacts(to=ME, id=message))
            assert (await facts.next(ReactionChanged)).emoji == ""
            desk.contact_revokes(number, req.ContactRevokes(to=ME, id=message))
            revoke = await facts.next(MessageRevoked)
            assert (revoke.wa_id, revoke.chats[0], revoke.by) == (message, jid, None)

        await browser.send(outgoing(CAROL_JID, wa_id(1), "ours"))
        desk.contact_reacts(CAROL, req.ContactReacts(to=ME, id=wa_id(1), emoji="🎉"))
        reaction = await facts.next(ReactionChanged)
        assert (reaction.wa_id, reaction.sender) == (wa_id(1), CAROL_JID)

        poll = desk.contact_sends(BOB, sends(ME, **KINDS[8][0]))
        await facts.next(MessageReceived)
        desk.contact_votes(BOB, req.ContactVotes(to=ME, id=poll, options=["no"]))
        vote = await facts.next(PollVoted)
        assert (vote.wa_id, vote.sender, vote.options) == (poll, BOB_JID, ("no",))
        desk.contact_votes(BOB, req.ContactVotes(to=ME, id=poll, options=[]))
        assert (await facts.next(PollVoted)).options == ()

        assert len(facts.of(MessageEdited)) == 2
        assert len(facts.of(MessageRevoked)) == 2
        assert len(facts.of(ReactionChanged)) == 5


async def test_a_notice_about_a_message_that_is_not_loaded_names_its_author(
    tmp_path: Path,
) -> None:
    facts = Facts()
    async with simulating() as simulator, linked(tmp_path, simulator, facts) as browser:
        desk = simulator.desk
        message = desk.contact_sends(BOB, sends(ME, text="first"))
        told = await facts.next(MessageReceived)
        page = browser._ready_page()
        forget = "WPP.whatsapp.MsgStore.remove(`false_%s_%s`) ? 1 : 0"
        assert await page.evaluate(forget % (told.chat, message), 5) == 1
        desk.contact_revokes(BOB, req.ContactRevokes(to=ME, id=message))
        revoke = await facts.next(MessageRevoked)
        assert (revoke.wa_id, revoke.by) == (message, BOB_JID)


async def test_members_and_calls_are_told_and_calls_rejected(tmp_path: Path) -> None:
    facts = Facts()
    async with simulating() as simulator, linked(tmp_path, simulator, facts) as browser:
        desk = simulator.desk
        group = desk.add_group(req.NewGroup(name="Crew", participants=[ME, BOB]))
        steps = [
            (req.ChangeMembers(action="add", participants=[CAROL], by=BOB), BOB_JID, CAROL_JID),
            (req.ChangeMembers(action="leave", participants=[CAROL]), CAROL_JID, CAROL_JID),
            (req.ChangeMembers(action="join", participants=[CAROL]), CAROL_JID, CAROL_JID),
            (req.ChangeMembers(action="remove", participants=[CAROL], by=BOB), BOB_JID, CAROL_JID),
        ]
        for change, by, member in steps:
            desk.change_members(group["id"], change)
            told = await facts.next(ParticipantsChanged)
            assert told.action is GroupAction(change.action)
            assert (told.chat, told.by, told.members) == (group["jid"], by, (member,))
        view = await browser.read(ReadGroup(jid=group["jid"]))
        assert isinstance(view, GroupView)
        assert [(one.jid, one.admin) for one in view.members] == [
            (f"{ME}@c.us", True),
            (BOB_JID, False),
        ]

        call = desk.contact_calls(BOB, req.ContactCalls(to=ME, video=True))
        ringing = await facts.next(CallReceived)
        assert (ringing.call_id, ringing.sender, ringing.video) == (call, BOB_JID, True)
        await browser.reject_call(call)
        await until(lambda: truth(simulator, "call_rejected"))
        assert [event["id"] for event in truth(simulator, "call_rejected")] == [call]
        assert await refused(browser.reject_call("nothing")) == "page_error"


async def test_chats_contacts_groups_and_history_are_read_page_by_page(tmp_path: Path) -> None:
    facts = Facts()
    async with simulating() as simulator, linked(tmp_path, simulator, facts) as browser:
        desk = simulator.desk
        group = desk.add_group(req.NewGroup(name="Crew", participants=[ME, BOB, CAROL]))
        desk.change_members(group["id"], req.ChangeMembers(action="join", participants=[BOB]))
        ids = []
        for number in range(7):
            ids.append(desk.contact_sends(BOB, sends(ME, text=f"n{number}")))
            await facts.next(MessageReceived)
        desk.contact_sends(CAROL, sends(ME, text="hi"))
        await facts.next(MessageReceived)
        await browser.send(outgoing(CAROL_JID, wa_id(1), "ours"))

        seen: list[ChatEntry] = []
        before: str | None = None
        while True:
            page = await browser.read(ListChats(before=before, limit=1))
            assert isinstance(page, Listing)
            seen += [one for one in page.entries if isinstance(one, ChatEntry)]
            before = page.next
            if before is None:
                break
        assert {one.jid for one in seen} == {BOB_JID, CAROL_JID, group["jid"]}
        assert len(seen) == 3
        bob = next(one for one in seen if one.jid == BOB_JID)
        assert (bob.name, bob.unread) == ("Bob", 7)

        people = await browser.read(ListContacts(after=None, limit=50))
        assert isinstance(people, Listing)
        assert [one.jid for one in people.entries if isinstance(one, ContactEntry)] == [
            BOB_JID,
            CAROL_JID,
        ]
        after = await browser.read(ListContacts(after=BOB_JID, limit=50))
        assert isinstance(after, Listing)
        assert [one.jid for one in after.entries if isinstance(one, ContactEntry)] == [CAROL_JID]

        groups = await browser.read(ListGroups(after=None, limit=5))
        assert groups == Listing(
            entries=(GroupEntry(jid=group["jid"], name="Crew", size=3, member=True, admin=True),),
            next=None,
        )

        read: list[str] = []
        before = None
        for expected in (3, 3, 1):
            page = await browser.read(ReadHistory(jid=BOB_JID, before=before, limit=3))
            assert isinstance(page, Listing)
            entries = [one for one in page.entries if isinstance(one, HistoryEntry)]
            assert len(entries) == expected
            read += [one.wa_id for one in entries]
            before = page.next
        assert before is None
        assert read == ids[::-1]

        carol = await browser.read(ReadHistory(jid=CAROL_JID, before=None, limit=9))
        assert isinstance(carol, Listing)
        assert {
            (one.sender, one.body) for one in carol.entries if isinstance(one, HistoryEntry)
        } == {
            (CAROL_JID, "hi"),
            (None, "ours"),
        }
        for query, reason in (
            (ReadHistory(jid=f"{UNKNOWN}@c.us", before=None, limit=3), "chat_unknown"),
            (ReadHistory(jid=BOB_JID, before="false_1@c.us_A", limit=3), "place_unknown"),
            (ReadGroup(jid="120363999@g.us"), "chat_unknown"),
        ):
            assert await refused(browser.read(query)) == reason


async def test_a_number_is_looked_up(tmp_path: Path) -> None:
    facts = Facts()
    async with simulating() as simulator, linked(tmp_path, simulator, facts) as browser:
        found = await browser.read(CheckContact(jid=BOB_JID))
        assert found == ContactCheck(exists=True, jid=BOB_JID, lid=lid_jid(BOB), business=False)
        found = await browser.read(CheckContact(jid=lid_jid(BOB)))
        assert isinstance(found, ContactCheck)
        assert (found.exists, found.jid, found.lid) == (True, BOB_JID, lid_jid(BOB))
        missing = await browser.read(CheckContact(jid=f"{UNKNOWN}@c.us"))
        assert missing == ContactCheck(exists=False)
