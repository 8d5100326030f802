"""Bodies that the control API takes; unknown fields are refused."""

from dataclasses import dataclass, field
from typing import Any, Literal

from simulator.options import Addressing, Receipts, Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccount:
    """``number`` None takes the next free fictional number."""

    number: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    qr: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeCode:
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAutoScan:
    """``repeat`` keeps the phone armed for as long as the account has no linked device."""

    enabled: bool = True
    delay_ms: int = 500
    repeat: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneLogout:
    """``device_id`` None logs out every device."""

    device_id: str | None = None
    reason: str = "unknown_companion"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneSends:
    """``to`` is a number or a group's id."""

    to: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewContact:
    """See ``simulator.entities.Contact``."""

    number: str
    name: str = ""
    receipts: Receipts = "read"
    reply: Reply = "none"
    reply_text: str = ""
    addressing: Addressing = "pn"
    delivered_delay_ms: int | None = None
    read_delay_ms: int | None = None
    reply_delay_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactSends:
    """``to`` is an account's number or a group's id; ``extra`` goes into the message as it is.

    ``media`` is base64; with it, ``type`` is image, document and so on, and ``text`` the caption.
    """

    to: str
    text: str = ""
    type: str = "chat"
    media: str | None = None
    mimetype: str = "application/octet-stream"
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactEdits:
    """``to`` as in ContactSends, ``id`` a message of the contact's."""

    to: str
    id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactRevokes:
    to: str
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactReacts:
    """``id`` is any message of the chat; no ``emoji`` takes the reaction back.

    ``via`` says how the page's modules hand it on: one by one (row), in a list, in a list for the
    table of reactions, or, as WhatsApp Web does with news, to the table and one by one (both).
    """

    to: str
    id: str
    emoji: str = ""
    via: Literal["row", "list", "table", "both"] = "both"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactVotes:
    """``options`` are the names of all that is chosen."""

    to: str
    id: str
    options: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactCalls:
    """``to`` is an account's number."""

    to: str
    video: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeMembers:
    """``by`` is a number; without it the first of the participants does it to himself."""

    action: Literal["add", "remove", "join", "leave"]
    participants: list[str]
    by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewGroup:
    """See ``simulator.entities.Group``."""

    name: str
    participants: list[str]
    addressing: Addressing = "lid"


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSends:
    """``sender`` is the field ``from`` of the request."""

    sender: str
    text: str
    type: str = "chat"
    extra: dict[str, Any] = field(default_factory=dict)
