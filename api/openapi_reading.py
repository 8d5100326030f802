"""What comes in and what can be read, as the OpenAPI document describes it."""

from __future__ import annotations

from typing import Final

from api.operation import Operation
from api.schemas import NoBody
from api.schemas_reading import (
    ChatsOut,
    ChatsQuery,
    CheckQuery,
    ContactCheckOut,
    ContactsOut,
    GroupMembersOut,
    GroupsOut,
    HistoryOut,
    ListQuery,
    ReactionsOut,
    Typing,
    VotesOut,
)

_ONE: Final = "/v1/sessions/{session}"
_MESSAGE: Final = f"{_ONE}/messages/{{message}}"

READING_OPERATIONS: Final = (
    Operation(
        method="get",
        path=f"{_MESSAGE}/media",
        summary="The file that came with a message; 409 media_pending while it is fetched.",
        media_type="application/octet-stream",
    ),
    Operation(
        method="get",
        path=f"{_MESSAGE}/reactions",
        summary="What others reacted to a message with.",
        answer=ReactionsOut,
    ),
    Operation(
        method="get",
        path=f"{_MESSAGE}/votes",
        summary="How others voted in a poll.",
        answer=VotesOut,
    ),
    Operation(
        method="get",
        path=f"{_ONE}/contacts/check",
        summary="Whether a number is on WhatsApp, as a connected session is told; 429 after many.",
        query=CheckQuery,
        answer=ContactCheckOut,
    ),
    Operation(
        method="get",
        path=f"{_ONE}/contacts",
        summary="The people that WhatsApp Web knows, in order of jid.",
        query=ListQuery,
        answer=ContactsOut,
    ),
    Operation(
        method="get",
        path=f"{_ONE}/chats",
        summary="The chats that WhatsApp Web shows, newest first.",
        query=ChatsQuery,
        answer=ChatsOut,
    ),
    Operation(
        method="get",
        path=f"{_ONE}/chats/{{jid}}/messages",
        summary="A chat's history as WhatsApp Web keeps it, newest first.",
        query=ChatsQuery,
        answer=HistoryOut,
    ),
    Operation(
        method="post",
        path=f"{_ONE}/chats/{{jid}}/read",
        summary="Show the people of a chat that we have read it.",
        status=204,
        body=NoBody,
    ),
    Operation(
        method="post",
        path=f"{_ONE}/chats/{{jid}}/typing",
        summary="Show the people of a chat that we type, or record, for some seconds.",
        status=204,
        body=Typing,
    ),
    Operation(
        method="get",
        path=f"{_ONE}/groups",
        summary="The groups that WhatsApp Web shows, in order of jid.",
        query=ListQuery,
        answer=GroupsOut,
    ),
    Operation(
        method="get",
        path=f"{_ONE}/groups/{{jid}}",
        summary="A group with its members.",
        answer=GroupMembersOut,
    ),
)
