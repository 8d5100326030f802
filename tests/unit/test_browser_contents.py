"""What the page says of messages, lists and deeds: right where it is right, total everywhere."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.browser.contents import MAX_CARDS, MOST_CONTENT, decode_content
from actors.browser.driver import MessageReceived, PageRefused
from actors.browser.facts import decode_fact
from actors.browser.happenings import (
    CallReceived,
    GroupAction,
    MessageEdited,
    MessageRevoked,
    ParticipantsChanged,
    PollVoted,
    ReactionChanged,
)
from actors.browser.lists import decode_open_media, decode_page_answer, decode_piece, question
from actors.browser.reading import (
    ChatEntry,
    CheckContact,
    ContactCheck,
    ContactEntry,
    GroupEntry,
    GroupMember,
    GroupView,
    HistoryEntry,
    ListChats,
    ListContacts,
    ListGroups,
    Listing,
    OpenMedia,
    ReadGroup,
    ReadHistory,
)

if TYPE_CHECKING:
    from actors.browser.reading import PageAnswer, PageQuery

pytestmark = pytest.mark.unit

BOB, LID, GROUP = "15550100002@c.us", "123456789012345@lid", "120363000000000001@g.us"

CONTENTS: list[tuple[object, dict[str, Any]]] = [
    (None, {}),
    ([], {}),
    ({}, {}),
    ({"unknown": 1, "file": None, "contacts": 7, "reply": [], "mentions": {}}, {}),
    (
        {"file": {"mimetype": "image/png", "bytes": 12, "filename": "a.png", "seconds": 3.7}},
        {"file": {"mimetype": "image/png", "bytes": 12, "filename": "a.png", "seconds": 3}},
    ),
    ({"file": {"bytes": -1}}, {"file": {"mimetype": "application/octet-stream"}}),
    ({"file": {"bytes": True}}, {"file": {"mimetype": "application/octet-stream"}}),
    ({"view_once": True, "gif": "yes", "live": False, "forwarded": 1}, {"view_once": True}),
    ({"latitude": 0, "longitude": 0.0}, {"latitude": 0.0, "longitude": 0.0}),
    ({"latitude": 90.1, "longitude": -180}, {"longitude": -180.0}),
    ({"latitude": float("nan"), "longitude": True}, {}),
    (
        {"contacts": [{"name": "Bob", "phone": BOB, "vcard": "V"}, 1, {"vcard": 2}]},
        {"contacts": [{"name": "Bob", "phone": BOB, "vcard": "V"}, {}]},
    ),
    (
        {"question": "Tea?", "options": ["yes", 1, "no"], "selectable": 0},
        {"question": "Tea?", "options": ["yes", "no"], "selectable": 0},
    ),
    (
        {"reply": {"wa_id": "A", "from": "15550100002:7@c.us"}},
        {"reply": {"wa_id": "A", "from": BOB}},
    ),
    ({"reply": {"wa_id": "A", "from": "nobody"}}, {"reply": {"wa_id": "A"}}),
    ({"reply": {"from": BOB}}, {}),
    ({"mentions": [BOB, BOB, "x", LID]}, {"mentions": [BOB, LID]}),
]


@pytest.mark.parametrize(("value", "content"), CONTENTS)
def test_only_what_is_known_and_right_is_kept(value: object, content: dict[str, Any]) -> None:
    assert decode_content(value) == content


def test_one_message_keeps_a_bounded_amount_of_vcards() -> None:
    card = {"name": "x", "vcard": "v" * 60_000}
    kept = decode_content({"contacts": [card] * 1000})["contacts"]
    assert len(kept) == MAX_CARDS
    assert sum(len(one.get("vcard", "")) for one in kept) == MOST_CONTENT


TARGET = {"waId": "A", "chats": [BOB, LID], "at": 5}
DEEDS = [
    (
        {"event": "edited", **TARGET, "body": "new"},
        MessageEdited(wa_id="A", chats=(BOB, LID), body="new", at_ms=5),
    ),
    (
        {"event": "revoked", **TARGET, "by": None},
        MessageRevoked(wa_id="A", chats=(BOB, LID), by=None, at_ms=5),
    ),
    (
        {"event": "revoked", **TARGET, "by": BOB},
        MessageRevoked(wa_id="A", chats=(BOB, LID), by=BOB, at_ms=5),
    ),
    (
        {"event": "reaction", **TARGET, "sender": BOB, "emoji": "👍"},
        ReactionChanged(wa_id="A", chats=(BOB, LID), sender=BOB, emoji="👍", at_ms=5),
    ),
    (
        {"event": "reaction", **TARGET, "sender": BOB, "emoji": ""},
        ReactionChanged(wa_id="A", chats=(BOB, LID), sender=BOB, emoji="", at_ms=5),
    ),
    (
        {"event": "vote", **TARGET, "sender": BOB, "options": ["a"]},
        PollVoted(wa_id="A", chats=(BOB, LID), sender=BOB, options=("a",), at_ms=5),
    ),
    (
        {"event": "participants", "chat": GROUP, "action": "join", "members": [BOB], "at": 5},
        ParticipantsChanged(chat=GROUP, action=GroupAction.JOIN, by=None, members=(BOB,), at_ms=5),
    ),
    (
        {"event": "call", "callId": "C", "sender": BOB, "video": True, "group": False, "at": 5},
        CallReceived(call_id="C", sender=BOB, video=True, group=False, at_ms=5),
    ),
]


@pytest.mark.parametrize(("report", "fact"), DEEDS)
def test_reads_what_others_did(report: dict[str, Any], fact: object) -> None:
    assert decode_fact(json.dumps(report)) == fact


@pytest.mark.parametrize(
    "change",
    [
        {"event": "edited", "chats": []},
        {"event": "edited", "chats": ["x"]},
        {"event": "revoked", "waId": ""},
        {"event": "reaction", "sender": None},
        {"event": "vote", "sender": "x", "options": []},
        {"event": "edited", "at": -1},
        {"event": "participants", "chat": GROUP, "action": "explode", "members": []},
        {"event": "call", "sender": BOB},
    ],
)
def test_rejects_deeds_that_mean_nothing(change: dict[str, Any]) -> None:
    report = {**TARGET, "body": "x", "sender": BOB, "emoji": "x", **change}
    assert type(decode_fact(json.dumps(report))).__name__ == "Rejected"


def test_a_message_carries_its_content() -> None:
    report = {
        "event": "message",
        "waId": "A",
        "chat": GROUP,
        "sender": BOB,
        "kind": "location",
        "content": {"latitude": 1.5, "longitude": 2},
        "sent": 1,
    }
    fact = decode_fact(json.dumps(report))
    assert isinstance(fact, MessageReceived)
    assert fact.content == {"latitude": 1.5, "longitude": 2.0}


QUERIES: list[tuple[PageQuery, object, PageAnswer]] = [
    (CheckContact(jid=BOB), {"exists": False}, ContactCheck(exists=False)),
    (
        CheckContact(jid=BOB),
        {"exists": True, "jid": BOB, "lid": LID, "business": True},
        ContactCheck(exists=True, jid=BOB, lid=LID, business=True),
    ),
    (
        ListChats(before=None, limit=5),
        {
            "items": [
                {"jid": BOB, "name": "Bob", "unread": 2, "archived": True, "last": 7},
                {"jid": "broken", "last": 1},
                5,
                {"jid": GROUP, "last": 0},
            ],
            "next": "here",
        },
        Listing(
            entries=(
                ChatEntry(jid=BOB, name="Bob", unread=2, archived=True, last_ms=7000),
                ChatEntry(jid=GROUP, name=None, unread=0, archived=False, last_ms=None),
            ),
            next="here",
        ),
    ),
    (
        ListContacts(after=None, limit=5),
        {"items": [{"jid": LID, "pushname": "B", "saved": True}], "next": None},
        Listing(
            entries=(ContactEntry(jid=LID, name=None, pushname="B", business=False, saved=True),),
            next=None,
        ),
    ),
    (
        ListGroups(after="x", limit=5),
        {"items": [{"jid": GROUP, "name": "G", "size": 3, "member": True, "admin": False}]},
        Listing(
            entries=(GroupEntry(jid=GROUP, name="G", size=3, member=True, admin=False),), next=None
        ),
    ),
    (
        ReadGroup(jid=GROUP),
        {"jid": GROUP, "name": "G", "members": [{"jid": BOB, "admin": True}, {"jid": 1}, 2]},
        GroupView(jid=GROUP, name="G", members=(GroupMember(jid=BOB, admin=True),)),
    ),
    (
        ReadHistory(jid=BOB, before=None, limit=5),
        {
            "items": [
                {"waId": "A", "mine": True, "kind": "text", "body": "x", "ack": 3, "sent": 9},
                {"waId": "B", "mine": False, "kind": "text", "sent": 9},
                {"waId": "C", "sender": BOB, "kind": "x", "edited": True, "sent": 8},
            ],
            "next": None,
        },
        Listing(
            entries=(
                HistoryEntry(
                    wa_id="A", sender=None, kind="text", body="x", ack=3, edited=False, sent_ms=9000
                ),
                HistoryEntry(
                    wa_id="C",
                    sender=BOB,
                    kind="x",
                    body="",
                    ack=None,
                    edited=True,
                    sent_ms=8000,
                ),
            ),
            next=None,
        ),
    ),
]


@pytest.mark.parametrize(("query", "value", "answer"), QUERIES)
def test_reads_what_the_page_answers(query: PageQuery, value: object, answer: PageAnswer) -> None:
    assert decode_page_answer(query, value) == answer
    function, args = question(query)
    assert function
    json.dumps(args)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=15,
)
FIELDS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("items", "jid", "exists", "members", "file", "contacts", "reply", "latitude", "options"),
        ANY_JSON,
    ),
)


@given(ANY_JSON | FIELDS, st.sampled_from([query for query, _, _ in QUERIES]))
def test_no_json_makes_them_raise_anything_else(value: object, query: PageQuery) -> None:
    json.dumps(decode_content(value), allow_nan=False)
    with suppress(PageRefused):
        decode_page_answer(query, value)


@pytest.mark.parametrize("value", [None, 5, "%%%", "abc", {}])
def test_a_piece_is_base64(value: object) -> None:
    with pytest.raises(PageRefused):
        decode_piece(value)


@given(st.binary())
def test_a_piece_comes_as_it_was(data: bytes) -> None:
    assert decode_piece(base64.b64encode(data).decode()) == data


@pytest.mark.parametrize("value", [None, {}, {"handle": "1"}, {"handle": "1", "bytes": -1}])
def test_an_open_file_has_a_handle_and_a_size(value: object) -> None:
    with pytest.raises(PageRefused):
        decode_open_media(value)
    assert decode_open_media({"handle": "1", "bytes": 0}) == OpenMedia(handle="1", bytes=0)
