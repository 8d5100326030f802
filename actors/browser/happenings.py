"""Facts of what others do beside writing. Pure; a part of the browser port (actors.browser.driver).

A message is named by its WhatsApp id and the addresses of its chat (`chats`, the one that the chat
goes by first: a number and a `@lid` can mean the same chat). Times are milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageEdited:
    """A message has another text (or caption) now."""

    wa_id: str
    chats: tuple[str, ...]
    body: str
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRevoked:
    """A message was deleted for everyone.

    `by` names who says so where WhatsApp Web has not looked whether they may: it has to be the
    message's author.
    """

    wa_id: str
    chats: tuple[str, ...]
    by: str | None
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReactionChanged:
    """Somebody reacted to a message; an empty `emoji` takes the reaction back."""

    wa_id: str
    chats: tuple[str, ...]
    sender: str
    emoji: str
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PollVoted:
    """Somebody voted in a poll: `options` is all that is chosen now, perhaps nothing."""

    wa_id: str
    chats: tuple[str, ...]
    sender: str
    options: tuple[str, ...]
    at_ms: int


class GroupAction(StrEnum):
    """What became of members: others added or removed them, they joined or left by themselves."""

    ADD = "add"
    REMOVE = "remove"
    JOIN = "join"
    LEAVE = "leave"
    PROMOTE = "promote"
    DEMOTE = "demote"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantsChanged:
    """The members of a group changed; `by` is who did it, if that is known."""

    chat: str
    action: GroupAction
    by: str | None
    members: tuple[str, ...]
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CallReceived:
    """Somebody calls; it rings until it is rejected, answered elsewhere or given up."""

    call_id: str
    sender: str
    video: bool
    group: bool
    at_ms: int


Happening = (
    MessageEdited
    | MessageRevoked
    | ReactionChanged
    | PollVoted
    | ParticipantsChanged
    | CallReceived
)
