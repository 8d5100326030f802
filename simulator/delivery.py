"""Messages on their way: acks and receipts back, replies and inbound messages in.

Nothing here touches a socket: frames go to ``Switchboard``, which keeps them queued for devices
that are not connected.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import TYPE_CHECKING, Any, Protocol

from simulator.entities import (
    DELIVERED,
    FAILED,
    READ,
    SENT,
    Account,
    Contact,
    Device,
    Frame,
    Group,
    Message,
    Person,
    address_of,
)
from simulator.errors import InvalidRequestError
from simulator.faults import DropAcks, RejectSends
from simulator.jid import group_jid, lid_jid
from simulator.wire import Send

if TYPE_CHECKING:
    from simulator.core import Core


class Switchboard(Protocol):
    """Where frames to an account's devices go."""

    def to_device(self, device: Device, frame: Frame) -> bool:
        """Send now if the device is connected, else lose it; whether it was sent."""

    def enqueue(self, account: Account, frame: Frame, *, but: Device | None = None) -> None:
        """Queue for every linked device (except ``but``) until each has confirmed it."""


def new_message_id() -> str:
    return "3EB0" + secrets.token_hex(9).upper()


class Delivery:
    """Routes messages between accounts, contacts and groups.

    ``media`` holds uploaded media as base64 text, by file hash.
    """

    def __init__(self, core: Core, board: Switchboard) -> None:
        self._board = board
        self._world = core.world
        self._faults = core.faults
        self._truth = core.truth
        self._timers = core.timers
        self._clock = core.clock
        self._options = core.options
        self.media: dict[str, str] = {}

    def accept(self, account: Account, device: Device, send: Send) -> None:
        """A client sent a message: record it, answer it, pass it on once."""
        known = self._world.sent_message(account, send.id)
        self._truth.add(
            "message_received_from_client",
            number=account.number,
            device=device.id,
            id=send.id,
            chat=send.chat,
            type=send.msg.get("type"),
            text=send.msg.get("body"),
            duplicate=known is not None,
        )
        refusal = self._faults.find(RejectSends, account.number)
        target = self._world.resolve(send.chat)
        if refusal is not None or target is None:
            error = refusal.error if refusal else "ERROR_UNKNOWN"
            self._truth.add(
                "message_rejected", number=account.number, id=send.id, chat=send.chat, error=error
            )
            self._board.to_device(device, {"op": "nack", "id": send.id, "error": error})
            return
        if known is not None:
            self._repeat(account, device, known)
            return
        message = self._record(account, send, target)
        self._board.enqueue(account, {"op": "message", "msg": message.frame()}, but=device)
        self._ack_later(account, device, message)
        for person in self._recipients(account, target):
            self._reach(account, message, person)

    def seen(self, account: Account, chat_jid: str) -> None:
        """A client marked a chat as read: the senders learn of it."""
        chat = account.chats.get(chat_jid)
        if chat is None:
            return
        unread = [m for m in chat.messages.values() if not m.from_me and m.ack < READ]
        chat.unread = 0
        for message in unread:
            message.ack = READ
            self._truth.add("read_by_client", number=account.number, id=message.id, chat=chat_jid)
            sender = self._world.person(message.sender)
            if isinstance(sender, Account):
                self._receipt(sender, message.id, READ, account)

    def delete(self, account: Account, chat_jid: str, message_id: str) -> None:
        """A client deleted a message for its own account; nobody else learns of it."""
        chat = account.chats.get(chat_jid)
        known = chat is not None and chat.messages.pop(message_id, None) is not None
        self._truth.add(
            "deleted_by_client", number=account.number, id=message_id, chat=chat_jid, known=known
        )

    def attach(self, media: str, mimetype: str) -> Frame:
        """Keep base64 media as if uploaded; the fields that a message with it carries."""
        data = decode_base64(media)
        filehash = base64.b64encode(hashlib.sha256(data).digest()).decode()
        self.media[filehash] = media
        described = {"filehash": filehash, "mimetype": mimetype, "size": len(data)}
        return {"mimetype": mimetype, "filehash": filehash, "mediaData": described}

    def inbound(
        self, sender: Person, to: str, text: str, kind: str = "chat", extra: Frame | None = None
    ) -> str:
        """A contact or another account writes to an account or a group; returns the id."""
        message_id = new_message_id()
        group = self._world.groups.get(to.removesuffix("@g.us"))
        if group is not None:
            if sender.number not in group.participants:
                raise InvalidRequestError(
                    "not_a_member", f"{sender.number} is not in group {group.id}."
                )
            receivers = [a for a in self._world.members(group) if a.number != sender.number]
        else:
            receivers = [self._world.account(to)]
        for account in receivers:
            self._hand_over(account, sender, group, message_id, kind, text, extra or {})
        return message_id

    def from_phone(self, account: Account, to: str, text: str) -> str:
        """The account's own phone sends: its devices see it as theirs; returns the id."""
        target = self._world.groups.get(to.removesuffix("@g.us")) or self._world.require_person(to)
        send = Send(id=new_message_id(), chat="", msg={"type": "chat", "body": text})
        message = self._record(account, send, target)
        message.ack = SENT
        self._truth.add("phone_sent", number=account.number, id=message.id, chat=message.chat)
        self._board.enqueue(account, {"op": "message", "msg": message.frame()})
        for person in self._recipients(account, target):
            self._reach(account, message, person)
        return message.id

    def _record(self, account: Account, send: Send, target: Person | Group) -> Message:
        extra = {k: v for k, v in send.msg.items() if k not in {"type", "body"}}
        if "filehash" in extra:
            described = ("type", "filehash", "mimetype", "size")
            extra["mediaData"] = {k: send.msg[k] for k in described if k in send.msg}
        if isinstance(target, Group):
            chat, members = group_jid(target.id), [p.number for p in self._others(account, target)]
        else:
            chat, members = address_of(target), [target.number]
        body = send.msg.get("body")
        message = Message(
            id=send.id,
            chat=chat,
            from_me=True,
            sender=account.number,
            t=self._clock.now_ms() // 1000,
            type=str(send.msg.get("type") or "chat"),
            body=body if isinstance(body, str) else None,
            author=lid_jid(account.number) if isinstance(target, Group) else None,
            extra=extra,
            undelivered=list(members),
            unread=list(members),
        )
        self._world.store(account, message)
        return message

    def _repeat(self, account: Account, device: Device, known: Message) -> None:
        self._truth.add("duplicate_suppressed", number=account.number, id=known.id, chat=known.chat)
        self._ack_later(account, device, known)

    def _ack_later(self, account: Account, device: Device, message: Message) -> None:
        def ack() -> None:
            message.ack = max(message.ack, SENT)
            if self._dropped(account, SENT):
                self._truth.add("ack_dropped", number=account.number, id=message.id, ack=SENT)
                return
            frame = {"op": "ack", "id": message.id, "t": message.t, "ack": message.ack}
            self._truth.add(
                "ack_sent" if self._board.to_device(device, frame) else "ack_lost",
                number=account.number,
                device=device.id,
                id=message.id,
                ack=SENT,
            )

        self._timers.later(self._options.ack_delay, ack)

    def _recipients(self, account: Account, target: Person | Group) -> list[Person]:
        return self._others(account, target) if isinstance(target, Group) else [target]

    def _others(self, account: Account, group: Group) -> list[Person]:
        people = (self._world.person(n) for n in group.participants if n != account.number)
        return [p for p in people if p is not None]

    def _reach(self, account: Account, message: Message, person: Person) -> None:
        """Let one recipient get the message, and answer as it does."""
        options = self._options
        if person is account:
            self._receipt_later(account, message, DELIVERED, person, options.delivered_delay)
            self._receipt_later(account, message, READ, person, options.read_delay)
        elif isinstance(person, Account):
            group = self._world.groups.get(message.chat.removesuffix("@g.us"))
            self._hand_over(
                person, account, group, message.id, message.type, message.body, message.extra
            )
            self._receipt_later(account, message, DELIVERED, person, options.delivered_delay)
        else:
            self._show(account, message, person)

    def _show(self, account: Account, message: Message, contact: Contact) -> None:
        options = self._options
        contact.shown[message.id] = {**message.frame(), "from": account.number}
        self._truth.add(
            "contact_received",
            number=account.number,
            contact=contact.number,
            id=message.id,
            chat=message.chat,
            text=message.body,
        )
        delivered = _seconds(contact.delivered_delay_ms, options.delivered_delay)
        read = max(delivered, _seconds(contact.read_delay_ms, options.read_delay))
        if contact.receipts != "none":
            self._receipt_later(account, message, DELIVERED, contact, delivered)
        if contact.receipts == "read":
            self._receipt_later(account, message, READ, contact, read)
        if contact.reply != "none":
            text = contact.reply_text if contact.reply == "fixed" else message.body or ""
            to = message.chat if message.author else account.number
            self._timers.later(
                options.ack_delay + _seconds(contact.reply_delay_ms, options.reply_delay),
                lambda: void(self.inbound(contact, to, text)),
            )

    def _receipt_later(
        self, account: Account, message: Message, level: int, person: Person, delay: float
    ) -> None:
        self._timers.later(
            self._options.ack_delay + delay,
            lambda: self._receipt(account, message.id, level, person),
        )

    def _receipt(self, account: Account, message_id: str, level: int, person: Person) -> None:
        """Tell the sender's devices that ``person`` received or read the message."""
        message = self._world.sent_message(account, message_id)
        if message is None or message.ack == FAILED:
            return
        waiting = message.undelivered if level == DELIVERED else message.unread
        if person.number not in waiting:
            return
        waiting.remove(person.number)
        if level == READ and person.number in message.undelivered:
            message.undelivered.remove(person.number)
        if not waiting:
            message.ack = max(message.ack, level)
        if self._dropped(account, level):
            self._truth.add("ack_dropped", number=account.number, id=message.id, ack=level)
            return
        self._truth.add(
            "receipt", number=account.number, id=message.id, ack=level, by=person.number
        )
        in_group = message.author is not None
        self._board.enqueue(
            account,
            {
                "op": "receipt",
                "chat": message.chat,
                "id": message.id,
                "ack": level,
                "participant": lid_jid(person.number) if in_group else None,
                "remaining": len(waiting),
                "t": self._clock.now_ms() // 1000,
            },
        )

    def _hand_over(
        self,
        account: Account,
        sender: Person,
        group: Group | None,
        message_id: str,
        kind: str,
        text: str | None,
        extra: Frame,
    ) -> None:
        """Put a message from ``sender`` into the account's chat and queue it for its devices."""
        message = Message(
            id=message_id,
            chat=group_jid(group.id) if group else address_of(sender),
            from_me=False,
            sender=sender.number,
            t=self._clock.now_ms() // 1000,
            type=kind,
            body=text,
            author=lid_jid(sender.number) if group else None,
            ack=SENT,
            extra=extra,
        )
        self._world.store(account, message)
        self._truth.add(
            "inbound_queued",
            number=account.number,
            id=message_id,
            chat=message.chat,
            text=text,
            devices=len(account.devices),
        )
        frame: dict[str, Any] = {
            "op": "message",
            "msg": message.frame(),
            "people": [self._world.identity(sender)],
        }
        self._board.enqueue(account, frame)

    def _dropped(self, account: Account, level: int) -> bool:
        return any(level in f.levels for f in self._faults.all(DropAcks, account.number))


def _seconds(ms: int | None, default: float) -> float:
    return default if ms is None else ms / 1000


def decode_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise InvalidRequestError("invalid_field", "The media must be base64 text.") from error


def void(_value: object) -> None:
    """Drop a value, for callbacks that must return nothing."""
