"""Questions to the page adapter, and its answers to them as records.

An answer that means nothing raises PageRefused with reason `bad_answer`; an entry of a list that
does is left out.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, Final, assert_never

from actors.browser.contents import decode_content
from actors.browser.driver import PageRefused
from actors.browser.reading import (
    ChatEntry,
    CheckContact,
    ContactCheck,
    ContactEntry,
    Entry,
    GroupEntry,
    GroupMember,
    GroupView,
    HistoryEntry,
    ListChats,
    ListContacts,
    ListGroups,
    Listing,
    Marked,
    MarkRead,
    MarkTyping,
    OpenMedia,
    PageAnswer,
    PageQuery,
    ReadGroup,
    ReadHistory,
    ReadingQuery,
)
from actors.browser.report_fields import (
    MAX_MS,
    Malformed,
    jid,
    number,
    optional,
    optional_jid,
    text,
    word,
)

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_SECONDS: Final = 2**40
MAX_COUNT: Final = 2**31


def question(query: PageQuery) -> tuple[str, dict[str, object]]:
    """Return the adapter's function that answers a query, and its arguments."""
    match query:
        case MarkRead(jid=one):
            return "markRead", {"jid": one}
        case MarkTyping(jid=one, seconds=seconds, recording=recording):
            return "markTyping", {"jid": one, "ms": round(seconds * 1000), "recording": recording}
        case _:
            return _reading(query)


def _reading(query: ReadingQuery) -> tuple[str, dict[str, object]]:
    match query:
        case CheckContact(jid=one):
            return "checkContact", {"jid": one}
        case ListChats(before=before, limit=limit):
            return "listChats", {"before": before, "limit": limit}
        case ListContacts(after=after, limit=limit):
            return "listContacts", {"after": after, "limit": limit}
        case ListGroups(after=after, limit=limit):
            return "listGroups", {"after": after, "limit": limit}
        case ReadGroup(jid=one):
            return "readGroup", {"jid": one}
        case ReadHistory(jid=one, before=before, limit=limit):
            return "readHistory", {"jid": one, "before": before, "limit": limit}
        case _:
            assert_never(query)


def decode_page_answer(query: PageQuery, value: object) -> PageAnswer:
    """Read the adapter's answer to a query."""
    if not isinstance(value, dict):
        raise _nonsense("no object")
    if isinstance(query, MarkRead | MarkTyping):
        return Marked()
    try:
        return _told(query, value)
    except Malformed as problem:
        raise _nonsense(str(problem)) from None


def _told(query: ReadingQuery, value: dict[str, Any]) -> PageAnswer:
    match query:
        case CheckContact():
            return _check(value)
        case ReadGroup():
            return _group_view(value)
        case ListChats():
            return _listing(value, _chat)
        case ListContacts():
            return _listing(value, _contact)
        case ListGroups():
            return _listing(value, _group)
        case ReadHistory():
            return _listing(value, _message)
        case _:
            assert_never(query)


def decode_open_media(value: object) -> OpenMedia:
    """Read the adapter's answer to `openMedia`."""
    if not isinstance(value, dict):
        raise _nonsense("no object")
    try:
        return OpenMedia(handle=word(value, "handle"), bytes=number(value, "bytes", 0, MAX_MS))
    except Malformed as problem:
        raise _nonsense(str(problem)) from None


def decode_piece(value: object) -> bytes:
    """Read the adapter's answer to `readMedia`."""
    try:
        return base64.b64decode(value if isinstance(value, str) else "?", validate=True)
    except (binascii.Error, ValueError):
        raise _nonsense("no base64") from None


def _nonsense(problem: str) -> PageRefused:
    return PageRefused("bad_answer", problem)


def _check(value: dict[str, Any]) -> ContactCheck:
    if value.get("exists") is not True:
        return ContactCheck(exists=False)
    return ContactCheck(
        exists=True,
        jid=jid(value, "jid"),
        lid=optional_jid(value, "lid"),
        business=value.get("business") is True,
    )


def _listing(value: dict[str, Any], read: Callable[[dict[str, Any]], Entry]) -> Listing:
    items = value.get("items")
    if not isinstance(items, list):
        raise Malformed("items is no list")
    entries = []
    for item in items:
        try:
            entries.append(read(item if isinstance(item, dict) else {}))
        except Malformed:
            continue  # the others are none the worse for it
    return Listing(entries=tuple(entries), next=optional(value, "next"))


def _count(value: dict[str, Any], key: str) -> int:
    try:
        return number(value, key, 0, MAX_COUNT)
    except Malformed:
        return 0


def _chat(item: dict[str, Any]) -> ChatEntry:
    last = number(item, "last", 0, MAX_SECONDS)
    return ChatEntry(
        jid=jid(item, "jid"),
        name=optional(item, "name"),
        unread=_count(item, "unread"),
        archived=item.get("archived") is True,
        last_ms=last * 1000 or None,
    )


def _contact(item: dict[str, Any]) -> ContactEntry:
    return ContactEntry(
        jid=jid(item, "jid"),
        name=optional(item, "name"),
        pushname=optional(item, "pushname"),
        business=item.get("business") is True,
        saved=item.get("saved") is True,
    )


def _group(item: dict[str, Any]) -> GroupEntry:
    return GroupEntry(
        jid=jid(item, "jid"),
        name=optional(item, "name"),
        size=_count(item, "size"),
        member=item.get("member") is True,
        admin=item.get("admin") is True,
    )


def _group_view(value: dict[str, Any]) -> GroupView:
    members = value.get("members")
    if not isinstance(members, list):
        raise Malformed("members is no list")
    found = (_member(one) for one in members if isinstance(one, dict))
    return GroupView(
        jid=jid(value, "jid"),
        name=optional(value, "name"),
        members=tuple(one for one in found if one is not None),
    )


def _member(item: dict[str, Any]) -> GroupMember | None:
    address = optional_jid(item, "jid")
    return None if address is None else GroupMember(jid=address, admin=item.get("admin") is True)


def _message(item: dict[str, Any]) -> HistoryEntry:
    mine = item.get("mine") is True
    return HistoryEntry(
        wa_id=word(item, "waId"),
        sender=None if mine else jid(item, "sender"),
        kind=word(item, "kind"),
        body=text(item, "body"),
        content=decode_content(item.get("content")),
        ack=number(item, "ack", -10, 10) if mine else None,
        edited=item.get("edited") is True,
        sent_ms=number(item, "sent", 0, MAX_SECONDS) * 1000,
    )
