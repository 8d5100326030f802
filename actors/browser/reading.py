"""What can be read from WhatsApp Web: questions and answers. Pure; a part of the browser port.

Each question is answered with the record named beside it, or PageRefused with reason
`not_connected`, `binding_missing`, `chat_unknown` or `place_unknown`. Jids are those that a chat or
a person goes by: by number where WhatsApp knows it. Times are milliseconds. A place in a list
(`after`, `before`) is what `next` of the page before was; None is the beginning.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


# ---- questions -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckContact:
    """Is this number or lid on WhatsApp? Answered with ContactCheck."""

    jid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListChats:
    """Chats of people and groups, the newest first. Answered with Listing of ChatEntry."""

    before: str | None
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ListContacts:
    """People, in order of jid. Answered with Listing of ContactEntry."""

    after: str | None
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ListGroups:
    """Groups, in order of jid. Answered with Listing of GroupEntry."""

    after: str | None
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadGroup:
    """One group with its members. Answered with GroupView."""

    jid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadHistory:
    """A chat's messages as WhatsApp Web keeps them, newest first. Listing of HistoryEntry."""

    jid: str
    before: str | None
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkRead:
    """Show a chat's people that we have read it. Answered with Marked."""

    jid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkTyping:
    """Show a chat's people that we type, or record, for so long; 0 ends it. Answered with Marked.

    Answered once it is shown; it ends by itself.
    """

    jid: str
    seconds: float
    recording: bool = False


ReadingQuery = CheckContact | ListChats | ListContacts | ListGroups | ReadGroup | ReadHistory

PageQuery = ReadingQuery | MarkRead | MarkTyping


# ---- answers -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactCheck:
    """Whether somebody is on WhatsApp, and if so under which addresses."""

    exists: bool
    jid: str | None = None
    lid: str | None = None
    business: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatEntry:
    jid: str
    name: str | None
    unread: int
    archived: bool
    last_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactEntry:
    """`name` is the one that the number's owner has saved, `pushname` the person's own."""

    jid: str
    name: str | None
    pushname: str | None
    business: bool
    saved: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupEntry:
    """`member` and `admin` tell whether we are."""

    jid: str
    name: str | None
    size: int
    member: bool
    admin: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMember:
    jid: str
    admin: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupView:
    jid: str
    name: str | None
    members: tuple[GroupMember, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """A message as the page shows it; `sender` None and an `ack` for our own.

    `kind` and `content` are those of storage.messages; a deleted one has the kind `revoked`.
    """

    wa_id: str
    sender: str | None
    kind: str
    body: str
    content: Mapping[str, Any] = field(default_factory=dict)
    ack: int | None
    edited: bool
    sent_ms: int


Entry = ChatEntry | ContactEntry | GroupEntry | HistoryEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A page of a list; `next` is the place to go on from, None on the last page."""

    entries: tuple[Entry, ...]
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """It is shown."""


PageAnswer = ContactCheck | GroupView | Listing | Marked


# ---- files ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedMedia:
    """The file of a contact's message; the page refuses one that is larger than `most` bytes."""

    wa_id: str
    chat: str
    sender: str | None
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenMedia:
    """A file that the page has fetched and holds until it is closed."""

    handle: str
    bytes: int


class Reader(Protocol):
    """The part of a Browser that is about what comes in; its errors are DriverErrors."""

    async def read(self, query: PageQuery) -> PageAnswer:
        """Answer a question from what WhatsApp Web knows; see actors.browser.reading."""

    async def open_media(self, wanted: WantedMedia) -> OpenMedia:
        """Have the page fetch a message's file and hold it until `close_media`, or the third one.

        Raises PageRefused with reason `message_unknown`, `media_unknown`, `media_too_large`,
        `media_unavailable`, `not_connected` or `binding_missing`; other DriverErrors as ever.
        """

    async def read_media(self, media: OpenMedia, offset: int, length: int) -> bytes:
        """Return a piece of an open file. Raises PageRefused with reason `media_closed`."""

    async def close_media(self, media: OpenMedia) -> None:
        """Let the page forget an open file."""

    async def reject_call(self, call_id: str) -> None:
        """Reject a call that rings. Raises PageRefused when it does not ring any more."""
