"""The Inbound port: what others do beside writing, and the files of what they write. Pure.

Part of the Store; see there for errors. What is done to a message (edit, revoke, reaction, vote) is
applied where the message is known by its WhatsApp id in one of `chats`, in either direction, and
was not erased; anything else is dropped, since there is nothing to point to. A repeat changes
nothing and makes no event. What came is kept as it came when a sender takes it back: `revoked_ms`
tells. Only the newest reaction and vote of each person is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from storage.privacy import MediaPointer


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The message that something was done to, and when we learned of it."""

    session_id: str
    wa_id: str
    chats: tuple[str, ...]
    now_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Participation:
    """The members of a group changed; `action` is add, remove, join, leave, promote or demote."""

    session_id: str
    chat: str
    action: str
    by: str | None
    members: tuple[str, ...]
    now_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Somebody called."""

    session_id: str
    sender: str
    video: bool
    group: bool
    rejected: bool
    now_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """Who reacted to a message; `sender` is a jid."""

    sender: str
    emoji: str
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """What somebody has chosen in a poll."""

    sender: str
    options: tuple[str, ...]
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """A message whose file is to be fetched; `attempts` were made."""

    message_id: str
    wa_id: str
    chat: str
    sender: str | None
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFile:
    """A message's file: kept (`media`), still to be fetched, failed for good (`error_code`).

    None of these: it has no file, or files were not fetched when it came, or its time was over.
    """

    content: Mapping[str, Any]
    media: MediaPointer | None
    wanted: bool
    error_code: str | None


class Inbound(Protocol):
    """Every write is one transaction, with the event that tells of it."""

    async def record_edit(self, target: Target, body: str, edited_ms: int) -> bool:
        """Give a message another text; False if nothing changed.

        An edit that is older than the last one is dropped. Raises SessionNotFound.
        """

    async def record_revoke(self, target: Target, by: str | None, revoked_ms: int) -> bool:
        """Mark a message as deleted for everyone; False if nothing changed.

        `by` has to be the sender of a contact's message, and never takes back our own; None: it is
        known that they may. Raises SessionNotFound.
        """

    async def record_reaction(self, target: Target, sender: str, emoji: str, at_ms: int) -> bool:
        """Keep somebody's reaction, or drop it if `emoji` is empty; False if nothing changed.

        One that is older than the one kept is dropped. Raises SessionNotFound.
        """

    async def record_vote(
        self, target: Target, sender: str, options: Sequence[str], at_ms: int
    ) -> bool:
        """Keep somebody's vote in a poll, likewise; none chosen takes it back."""

    async def record_participants(self, change: Participation) -> None:
        """Tell that a group's members changed. Raises SessionNotFound."""

    async def record_call(self, call: Call) -> None:
        """Tell of a call. Raises SessionNotFound."""

    async def reactions(
        self, workspace_id: str, session_id: str, message_id: str
    ) -> Sequence[Reaction]:
        """Return those to a message, oldest first. Raises MessageNotFound."""

    async def votes(self, workspace_id: str, session_id: str, message_id: str) -> Sequence[Vote]:
        """Return those in a poll, oldest first. Raises MessageNotFound."""

    async def next_download(self, session_id: str, before_ms: int) -> Download | None:
        """Return the oldest message whose file is to be fetched and was not tried since then.

        Raises SessionNotFound.
        """

    async def count_download(self, message_id: str, by: int, now_ms: int) -> None:
        """Count an attempt that is about to be made (1), or that was none (-1)."""

    async def end_download(self, message_id: str, code: str | None, now_ms: int) -> None:
        """It is kept (None), or will never be: the code says why. Once; the event tells both."""

    async def message_file(
        self, workspace_id: str, session_id: str, message_id: str
    ) -> MessageFile:
        """Return what there is of a message's file. Raises MessageNotFound."""
