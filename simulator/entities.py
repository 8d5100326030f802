"""What exists in the simulated WhatsApp: people, devices, chats, messages, groups.

Plain mutable records without behaviour that needs a clock or a network. Everything is stored
from the owner's point of view: two accounts that write to each other hold one Message each.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from simulator.jid import lid_jid, pn_jid

if TYPE_CHECKING:
    from simulator.options import Addressing, Receipts, Reply

Frame = dict[str, Any]

SENT, DELIVERED, READ = 1, 2, 3
FAILED = -1


@dataclass(slots=True)
class Message:
    """One message in one account's copy of a chat.

    ``t`` is in seconds. ``ack`` is -1 failed, 0 pending, 1 server, 2 delivered, 3 read.
    ``sender`` is the number of who wrote it, ``author`` its JID in a group. The two waiting
    lists name the members who have not received or read it yet.
    """

    id: str
    chat: str
    from_me: bool
    sender: str
    t: int
    type: str = "chat"
    body: str | None = None
    author: str | None = None
    ack: int = 0
    extra: Frame = field(default_factory=dict)
    undelivered: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    def frame(self) -> Frame:
        """The message as the page receives it."""
        return {
            **self.extra,
            "id": self.id,
            "chat": self.chat,
            "from_me": self.from_me,
            "author": self.author,
            "t": self.t,
            "type": self.type,
            "body": self.body,
            "ack": self.ack,
        }


@dataclass(slots=True)
class Chat:
    """One conversation of one account; ``unread`` counts what its devices have not marked seen."""

    jid: str
    name: str = ""
    unread: int = 0
    messages: dict[str, Message] = field(default_factory=dict)


@dataclass(slots=True)
class Stanza:
    """A frame that stays queued for a device until the device confirms it by ``id``."""

    id: str
    frame: Frame


@dataclass(slots=True)
class Device:
    """A linked device; ``id`` is ``number:index``, ``secret`` what the page must show to log in."""

    id: str
    secret: str
    linked_at_ms: int
    queue: list[Stanza] = field(default_factory=list)


@dataclass(slots=True)
class AutoScan:
    """The phone scans the next code it sees; ``repeat`` keeps it armed while it has no device."""

    delay_ms: int = 500
    repeat: bool = False


@dataclass(slots=True)
class Account:
    """A number whose WhatsApp is driven by clients, with the scripted phone that owns it."""

    number: str
    name: str
    devices: dict[str, Device] = field(default_factory=dict)
    chats: dict[str, Chat] = field(default_factory=dict)
    sent: dict[str, str] = field(default_factory=dict)
    next_device: int = 1
    auto_scan: AutoScan | None = None
    kind: Literal["account"] = "account"

    @property
    def addressing(self) -> Addressing:
        return "pn"


@dataclass(slots=True)
class Contact:
    """Another person on WhatsApp, who answers by rule; delays are milliseconds.

    A delay of None means the simulator's own. ``shown`` is what the contact's phone displays,
    each message id once.
    """

    number: str
    name: str
    receipts: Receipts = "read"
    reply: Reply = "none"
    reply_text: str = ""
    addressing: Addressing = "pn"
    delivered_delay_ms: int | None = None
    read_delay_ms: int | None = None
    reply_delay_ms: int | None = None
    shown: dict[str, Frame] = field(default_factory=dict)
    kind: Literal["contact"] = "contact"


Person = Account | Contact


@dataclass(slots=True)
class Group:
    """A group; ``participants`` are numbers, the first one is its admin.

    ``addressing`` says by which of their addresses pages list them, and mentions must name them.
    """

    id: str
    name: str
    participants: list[str]
    addressing: Addressing = "lid"

    def listed(self) -> list[Frame]:
        """The participants as pages get them."""
        jid = lid_jid if self.addressing == "lid" else pn_jid
        return [{"id": jid(n), "admin": n == self.participants[0]} for n in self.participants]


def address_of(person: Person) -> str:
    """The JID under which a one-to-one chat with this person is kept."""
    return lid_jid(person.number) if person.addressing == "lid" else pn_jid(person.number)
