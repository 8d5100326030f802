"""Messages as they are stored: records and states. Pure.

`body` is what a person wrote: the text, or the caption of media; `content` holds what else the kind
has, as JSON (reply, mentions, place, options of a poll), never binary data: media are files, see
storage.media. Jids in `content` are personal data, as `chat` and `sender` are: erasure empties it.

Inbound kinds are text, image, video, document, audio, voice, sticker, location, contact and poll;
what WhatsApp has beside these keeps WhatsApp's own word for it. Their content, as far as it is
told:

    image, video, document, audio, voice, sticker
              file: mimetype, bytes, filename, seconds, as the sender says; view_once, gif
    location  latitude, longitude (degrees), name, address, live
    contact   contacts: name, phone (a jid), vcard
    poll      question, options, selectable (how many one may choose, 0: all)
    any       reply: wa_id, from; mentions (jids); forwarded
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class Direction(StrEnum):
    OUTBOUND = "outbound"
    INBOUND = "inbound"


class MessageState(StrEnum):
    """Outbound: accepted → sending → sent → delivered → read → played; the others aside.

    `unknown` means handed to the page, with no answer known: neither lost nor proven sent.
    `expired` was not sent before its time was over, `cancelled` was taken back before it was sent.
    Inbound messages are `received`.
    """

    ACCEPTED = "accepted"
    SENDING = "sending"
    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    PLAYED = "played"
    UNKNOWN = "unknown"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    RECEIVED = "received"


class Priority(IntEnum):
    """Which chats go first: a conversation's messages before those of bulk. In a chat: FIFO."""

    CONVERSATION = 0
    BULK = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRow:
    """One message. `chat` is a jid; `wa_id` is WhatsApp's message id (the key's id part, hex).

    `attempts` is how often it was, or may have been, handed to a page, `attempted_ms` when last; a
    restored backup counts one for each message that was still to be sent when it was made. It is
    not sent before `send_at_ms` nor after `expires_ms`. `possible_duplicate`: it was sent again
    without WhatsApp being able to tell whether it knew it.
    """

    id: str
    session_id: str
    direction: Direction
    chat: str
    sender: str | None
    wa_id: str
    kind: str
    body: str
    content: Mapping[str, Any]
    state: MessageState
    error_code: str | None
    error_detail: str | None
    attempts: int
    priority: Priority
    possible_duplicate: bool
    send_at_ms: int | None
    expires_ms: int | None
    created_ms: int
    updated_ms: int
    attempted_ms: int | None
    sent_ms: int | None
    delivered_ms: int | None
    read_ms: int | None
    edited_ms: int | None
    revoked_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOutbound:
    """A message that the API has validated; `wa_id` is allocated once, here, for ever."""

    session_id: str
    chat: str
    wa_id: str
    body: str
    now_ms: int
    kind: str = "text"
    content: Mapping[str, Any] = field(default_factory=dict)
    priority: Priority = Priority.CONVERSATION
    send_at_ms: int | None = None
    expires_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewInbound:
    """A message that a contact sent; repeats of the same (session, chat, wa_id) are stored once.

    `fetch`: it came with a file that is to be fetched; see storage.inbound.
    """

    session_id: str
    chat: str
    sender: str
    wa_id: str
    kind: str
    body: str
    sent_ms: int
    now_ms: int
    content: Mapping[str, Any] = field(default_factory=dict)
    fetch: bool = False
