"""The JSON shapes of what comes in: contacts, chats, groups, history, reactions and votes.

A jid is the one that a person or a chat goes by; `next` is the next page's place, null on the last.
"""

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from api.schemas import Recipient

MOST: Final = 200
PLACE_CHARS: Final = 200
Place = Annotated[str, Field(min_length=1, max_length=PLACE_CHARS)]


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Typing(BaseModel):
    """POST …/typing: for how long; 0 ends it. `recording` shows a voice note being recorded."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    seconds: int = Field(default=5, ge=0, le=60)
    recording: bool = False


class CheckQuery(_Query):
    """GET …/contacts/check: whether this number, or jid of a person, is on WhatsApp."""

    number: Recipient


class ListQuery(_Query):
    """GET …/contacts and …/groups: in order of jid, those after this place."""

    after: Place | None = None
    limit: int = Field(default=100, ge=1, le=MOST)


class ChatsQuery(_Query):
    """GET …/chats and …/chats/{jid}/messages: newest first, those before this place."""

    before: Place | None = None
    limit: int = Field(default=50, ge=1, le=MOST)


class ContactCheckOut(_Answer):
    """Whether somebody is on WhatsApp; `lid` is the other address of the same person, if known."""

    exists: bool
    jid: str | None
    lid: str | None
    business: bool


class ChatOut(_Answer):
    jid: str
    name: str | None
    unread: int
    archived: bool
    last_message_at: str | None


class ChatsOut(_Answer):
    """A page of chats, newest first; `next_before` is the next page's `before`."""

    chats: list[ChatOut]
    next_before: str | None


class ContactOut(_Answer):
    """A person; `name` is what the number's owner calls it, `pushname` what it calls itself."""

    jid: str
    name: str | None
    pushname: str | None
    business: bool
    saved: bool


class ContactsOut(_Answer):
    """A page of people; `next_after` is the next page's `after`."""

    contacts: list[ContactOut]
    next_after: str | None


class GroupOut(_Answer):
    """A group; `member` and `admin` tell whether the session's number is."""

    jid: str
    name: str | None
    size: int
    member: bool
    admin: bool


class GroupsOut(_Answer):
    """A page of groups; `next_after` is the next page's `after`."""

    groups: list[GroupOut]
    next_after: str | None


class MemberOut(_Answer):
    jid: str
    admin: bool


class GroupMembersOut(_Answer):
    """A group with its members."""

    jid: str
    name: str | None
    members: list[MemberOut]


class HistoryMessageOut(_Answer):
    """A message as WhatsApp Web keeps it; ours have no `from`, and an `ack` (1 sent to 4 played).

    `wa_id` is WhatsApp's id: wafleet knows only those that passed through it.
    """

    wa_id: str
    sender: str | None = Field(alias="from")
    kind: str
    text: str
    content: dict[str, Any]
    ack: int | None
    edited: bool
    sent_at: str


class HistoryOut(_Answer):
    """A page of a chat, newest first; it may hold fewer than asked for, even none.

    `next_before` is the next page's `before`.
    """

    messages: list[HistoryMessageOut]
    next_before: str | None


class ReactionOut(_Answer):
    sender: str = Field(alias="from")
    emoji: str
    at: str


class ReactionsOut(_Answer):
    """What others reacted to a message with, oldest first; each person once."""

    reactions: list[ReactionOut]


class VoteOut(_Answer):
    sender: str = Field(alias="from")
    options: list[str]
    at: str


class VotesOut(_Answer):
    """How others voted in a poll, oldest first; each person once."""

    votes: list[VoteOut]
