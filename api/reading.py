"""Routes of what WhatsApp Web knows: contacts, chats, groups, history. Nothing of it is stored.

And of what it is to show the other side of a chat: that we have read it, that we type.

Only a connected session can be asked; its page answers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar

from aiohttp import web

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
    Marked,
    MarkRead,
    MarkTyping,
    ReadGroup,
    ReadHistory,
)
from actors.messages import NOT_CONNECTED, PageRead, Refused
from actors.page_messages import ReadPage
from api.errors import (
    ApiError,
    FieldError,
    Problem,
    fields_invalid,
    fleet_down,
    fleet_timeout,
    provider_unsupported,
)
from api.lookup import find_session
from api.parsing import json_response, read_body, read_query
from api.recipients import RecipientInvalid, parse_recipient
from api.refusals import refused
from api.schemas import NoBody, NoQuery
from api.schemas_reading import (
    ChatOut,
    ChatsOut,
    ChatsQuery,
    CheckQuery,
    ContactCheckOut,
    ContactOut,
    ContactsOut,
    GroupMembersOut,
    GroupOut,
    GroupsOut,
    HistoryMessageOut,
    HistoryOut,
    ListQuery,
    MemberOut,
    Typing,
)
from api.times import rfc3339
from storage.store import Provider, SessionStatus

if TYPE_CHECKING:
    from actors.browser.reading import PageAnswer, PageQuery
    from api.ports import ApiDeps

A = TypeVar("A")

_NOT_FOUND = {
    "chat_unknown": ("There is no such chat", "Use a jid from GET …/chats or …/groups."),
    "place_unknown": ("There is no such place", "Use the next_before of an earlier page."),
}


class ReadingRoutes:
    """Handlers of …/contacts, …/chats and …/groups of a session."""

    def __init__(self, deps: ApiDeps) -> None:
        self._store = deps.store
        self._fleet = deps.fleet
        self._live = deps.live
        self._checks = deps.checks
        self._now_ms = deps.now_ms
        self._deadline = deps.command_deadline
        self._body_deadline = deps.body_deadline

    def routes(self) -> list[web.RouteDef]:
        one = "/v1/sessions/{session}"
        return [
            web.get(f"{one}/contacts/check", self.check),
            web.get(f"{one}/contacts", self.contacts),
            web.get(f"{one}/chats", self.chats),
            web.get(f"{one}/chats/{{jid}}/messages", self.history),
            web.post(f"{one}/chats/{{jid}}/read", self.mark_read),
            web.post(f"{one}/chats/{{jid}}/typing", self.mark_typing),
            web.get(f"{one}/groups", self.groups),
            web.get(f"{one}/groups/{{jid}}", self.group),
        ]

    async def check(self, request: web.Request) -> web.Response:
        session_id = await self._session(request)
        query = read_query(request, CheckQuery)
        if query.number.endswith("@g.us"):
            raise fields_invalid((FieldError("number", "is a person's number or jid"),))
        await self._count_check(session_id)
        found = await self._ask(session_id, CheckContact(jid=query.number), ContactCheck)
        return json_response(
            ContactCheckOut(
                exists=found.exists, jid=found.jid, lid=found.lid, business=found.business
            )
        )

    async def contacts(self, request: web.Request) -> web.Response:
        session_id = await self._session(request)
        query = read_query(request, ListQuery)
        page = await self._list(session_id, ListContacts(after=query.after, limit=query.limit))
        entries = [one for one in page.entries if isinstance(one, ContactEntry)]
        return json_response(
            ContactsOut(
                contacts=[
                    ContactOut(
                        jid=one.jid,
                        name=one.name,
                        pushname=one.pushname,
                        business=one.business,
                        saved=one.saved,
                    )
                    for one in entries
                ],
                next_after=page.next,
            )
        )

    async def chats(self, request: web.Request) -> web.Response:
        session_id = await self._session(request)
        query = read_query(request, ChatsQuery)
        page = await self._list(session_id, ListChats(before=query.before, limit=query.limit))
        entries = [one for one in page.entries if isinstance(one, ChatEntry)]
        return json_response(
            ChatsOut(chats=[_chat_out(one) for one in entries], next_before=page.next)
        )

    async def groups(self, request: web.Request) -> web.Response:
        session_id = await self._session(request)
        query = read_query(request, ListQuery)
        page = await self._list(session_id, ListGroups(after=query.after, limit=query.limit))
        entries = [one for one in page.entries if isinstance(one, GroupEntry)]
        return json_response(
            GroupsOut(groups=[_group_out(one) for one in entries], next_after=page.next)
        )

    async def group(self, request: web.Request) -> web.Response:
        session_id = await self._session(request)
        read_query(request, NoQuery)
        found = await self._ask(session_id, ReadGroup(jid=_jid(request)), GroupView)
        members = [MemberOut(jid=one.jid, admin=one.admin) for one in found.members]
        return json_response(GroupMembersOut(jid=found.jid, name=found.name, members=members))

    async def history(self, request: web.Request) -> web.Response:
        session_id = await self._session(request)
        query = read_query(request, ChatsQuery)
        asked = ReadHistory(jid=_jid(request), before=query.before, limit=query.limit)
        page = await self._list(session_id, asked)
        entries = [one for one in page.entries if isinstance(one, HistoryEntry)]
        return json_response(
            HistoryOut(messages=[_message_out(one) for one in entries], next_before=page.next)
        )

    async def mark_read(self, request: web.Request) -> web.Response:
        """204 once WhatsApp Web has marked it; the people of the chat see their blue ticks."""
        read_query(request, NoQuery)
        await read_body(request, NoBody, self._body_deadline)
        session_id = await self._session(request)
        await self._ask(session_id, MarkRead(jid=_jid(request)), Marked)
        return web.Response(status=204)

    async def mark_typing(self, request: web.Request) -> web.Response:
        """204 once it is shown."""
        read_query(request, NoQuery)
        wanted = await read_body(request, Typing, self._body_deadline)
        session_id = await self._session(request)
        typing = MarkTyping(jid=_jid(request), seconds=wanted.seconds, recording=wanted.recording)
        await self._ask(session_id, typing, Marked)
        return web.Response(status=204)

    async def _session(self, request: web.Request) -> str:
        """Return the id of the session that is asked. Raises ApiError, SessionNotFound."""
        session = await find_session(self._store, request)
        if session.provider is not Provider.WEBJS:
            raise provider_unsupported()
        return session.id

    async def _list(self, session_id: str, query: PageQuery) -> Listing:
        return await self._ask(session_id, query, Listing)

    async def _count_check(self, session_id: str) -> None:
        """Count a look-up. Raises ApiError, and counts nothing, where there can or may be none."""
        if not self._fleet.alive():
            raise fleet_down()
        live = self._live.get(session_id)
        if live is None or live.status != SessionStatus.CONNECTED:
            raise refused(NOT_CONNECTED)
        wait = await self._checks.take(session_id)
        if wait:
            raise self._too_many_checks(wait)

    def _too_many_checks(self, wait_ms: int) -> ApiError:
        most, seconds = self._checks.most, math.ceil(wait_ms / 1000)
        return ApiError(
            Problem(
                status=429,
                code="contact_checks_limited",
                title="Too many numbers looked up",
                detail=(
                    f"The session has looked up {most} numbers within an hour, and WhatsApp blocks"
                    f" numbers that look up too many; ask again in {seconds} s."
                ),
                members={"next_at": rfc3339(self._now_ms() + wait_ms), "limit": most},
                headers={"Retry-After": str(seconds)},
            )
        )

    async def _ask(self, session_id: str, query: PageQuery, answer: type[A]) -> A:
        """Have the session's page answer. Raises ApiError for all that keeps it from that."""
        if not self._fleet.alive():
            raise fleet_down()
        value = await self._read(session_id, query)
        if not isinstance(value, answer):
            raise TypeError(f"the page answered {type(query).__name__} with something else")
        return value

    async def _read(self, session_id: str, query: PageQuery) -> PageAnswer:
        try:
            found: Any = await self._fleet.ask(
                lambda reply: ReadPage(session_id=session_id, query=query, reply=reply),
                self._deadline,
            )
        except TimeoutError:
            raise fleet_timeout() from None
        if isinstance(found, PageRead):
            return found.value
        raise _refusal(found)


def _refusal(answer: Refused) -> ApiError:
    if answer.code in _NOT_FOUND:
        title, detail = _NOT_FOUND[answer.code]
        return ApiError(Problem(status=404, code=answer.code, title=title, detail=detail))
    if answer.code in {"page_busy", "page_unresponsive"}:
        return ApiError(
            Problem(
                status=503,
                code=answer.code,
                title="The session's page does not answer now",
                detail=answer.message,
                headers={"Retry-After": "2"},
            )
        )
    return refused(answer)


def _jid(request: web.Request) -> str:
    """Return the jid of a path; a number means the chat with it. Raises ApiError."""
    try:
        return parse_recipient(request.match_info["jid"])
    except RecipientInvalid:
        title, detail = _NOT_FOUND["chat_unknown"]
        problem = Problem(status=404, code="chat_unknown", title=title, detail=detail)
        raise ApiError(problem) from None


def _chat_out(entry: ChatEntry) -> ChatOut:
    return ChatOut(
        jid=entry.jid,
        name=entry.name,
        unread=entry.unread,
        archived=entry.archived,
        last_message_at=None if entry.last_ms is None else rfc3339(entry.last_ms),
    )


def _group_out(entry: GroupEntry) -> GroupOut:
    return GroupOut(
        jid=entry.jid, name=entry.name, size=entry.size, member=entry.member, admin=entry.admin
    )


def _message_out(entry: HistoryEntry) -> HistoryMessageOut:
    return HistoryMessageOut.model_validate(
        {
            "wa_id": entry.wa_id,
            "from": entry.sender,
            "kind": entry.kind,
            "text": entry.body,
            "content": dict(entry.content),
            "ack": entry.ack,
            "edited": entry.edited,
            "sent_at": rfc3339(entry.sent_ms),
        }
    )
