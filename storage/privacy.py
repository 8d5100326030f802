"""The Privacy port: a contact's data across all sessions, and what has outlived its time.

A contact is one jid. Who writes under several (a phone number and a `@lid`) has several contacts;
each is exported and erased by itself.

    StoreError
    └── ContactNotFound        no such contact in that workspace
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from storage.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storage.messages import MessageRow


class ContactNotFound(StoreError):  # noqa: N818
    code = "contact_not_found"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactRow:
    """Someone a workspace exchanged messages with; once erased, a pseudonym without a number."""

    id: str
    jid: str
    phone_number: str | None
    name: str | None
    created_ms: int
    updated_ms: int
    erased_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactSession:
    """What passed between a contact and one session, in both directions, groups included."""

    session_id: str
    first_interaction_ms: int
    last_interaction_ms: int
    total_messages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaPointer:
    """A file that came with a message; `path` is relative to the data directory.

    `sha256` and `bytes` are those of the file as it is kept, encrypted.
    """

    id: str
    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMedia:
    message_id: str
    path: str
    sha256: str
    bytes: int
    now_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactExport:
    """One page of all that is stored of a contact; `next_after` None: there is no further page.

    `media` are the files of this page's messages.
    """

    contact: ContactRow
    sessions: Sequence[ContactSession]
    messages: Sequence[MessageRow]
    media: Sequence[MediaPointer]
    next_after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactAnswer:
    """A contact's reaction (its emoji) or vote (a JSON list of options) to somebody's message."""

    message_id: str
    kind: str
    value: str
    created_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """What an erasure took: how many messages, and the media whose files are to be removed now."""

    contact: ContactRow
    messages: int
    media: Sequence[MediaPointer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """What one round of retention took; `more`: its limit was reached, so ask again."""

    messages: int
    events: int
    media: Sequence[MediaPointer]
    more: bool


class Privacy(Protocol):
    async def contacts(
        self, workspace_id: str, *, after: str | None = None, limit: int = 100
    ) -> Sequence[ContactRow]:
        """Return contacts in order of id, those with an id greater than `after`."""

    async def contact(self, workspace_id: str, contact_id: str) -> ContactRow:
        """Return it, also when it was erased. Raises ContactNotFound."""

    async def contact_with_jid(self, workspace_id: str, jid: str) -> ContactRow:
        """Return the contact with this jid. Raises ContactNotFound."""

    async def contact_sessions(
        self, workspace_id: str, contact_id: str
    ) -> Sequence[ContactSession]:
        """Return its counters, latest interaction first. Raises ContactNotFound."""

    async def export_contact(
        self, workspace_id: str, contact_id: str, *, after: str | None = None, limit: int = 500
    ) -> ContactExport:
        """Return a page of what is stored of it in all sessions, deleted ones too, oldest first.

        `after` is the last page's `next_after`. Raises ContactNotFound.
        """

    async def contact_answers(self, workspace_id: str, contact_id: str) -> Sequence[ContactAnswer]:
        """Return its reactions and votes in all sessions, oldest first. Raises ContactNotFound."""

    async def erase_contact(
        self, workspace_id: str, contact_id: str, now_ms: int, batch: int = 500
    ) -> Erased:
        """Take name, number, jids, bodies, counters, media, reactions, votes; leave a pseudonym.

        What waits to be sent to it fails (contact_erased). Works in transactions of at most `batch`
        messages and then empties the database's log; after an interruption call it again, it goes
        on where it stopped. A message that comes later makes a new contact. Raises ContactNotFound.
        """

    async def record_media(self, new: NewMedia) -> MediaPointer:
        """Point to a message's file. Raises MessageNotFound."""

    async def purge_expired(self, now_ms: int, limit: int = 500) -> Purged:
        """Take what outlived its workspace's times to live, at most `limit` rows of each kind.

        In one transaction: if it fails, nothing was taken. Messages that still wait to be sent
        stay, or of which nobody knows whether they were, and so do chats, contacts, counters and
        the access log. Media go with their message, or before it; their files are to be removed
        now. The newest event of the log stays, so that no place in the log is ever given twice.
        Idempotency keys go after their time (storage.acceptance), whatever the workspace's.
        """
