"""What a client does to a message that is there already: react, vote, edit, delete for everyone.

The message of the account changes, and so does what the phones of the contacts in the chat show: a
contact's copy has ``reactions`` and ``votes`` by number, ``edited``, or the type ``revoked``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator import wire
from simulator.entities import Account, Contact, Frame, Group, Message

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.core import Core

EDIT_SECONDS = 15 * 60
REVOKE_SECONDS = 60 * 3600


class Acts:
    """Carries out what clients do to messages."""

    def __init__(self, core: Core) -> None:
        self._world = core.world
        self._truth = core.truth
        self._clock = core.clock
        self._changed = core.changed

    def perform(
        self, account: Account, frame: wire.React | wire.Vote | wire.Edit | wire.Revoke
    ) -> Frame:
        """Do it; return the fields of the answer: none, or an ``error``."""
        message = self._find(account, frame.chat, frame.id)
        if message is None:
            return {"error": "message_unknown"}
        match frame:
            case wire.React():
                return self._react(account, message, frame)
            case wire.Vote():
                return self._vote(account, message, frame)
            case wire.Edit():
                return self._edit(account, message, frame)
            case wire.Revoke():
                return self._revoke(account, message)

    def _react(self, account: Account, message: Message, frame: wire.React) -> Frame:
        """The last reaction of a person is the one that stands; an empty one is none."""
        self._mark(message.extra, "reactions", account.number, frame.reaction)
        for copy in self._copies(message):
            self._mark(copy, "reactions", account.number, frame.reaction)
        self._note("reacted", account, message, reaction=frame.reaction)
        return {}

    def _vote(self, account: Account, message: Message, frame: wire.Vote) -> Frame:
        """The last vote of a person is the one that stands."""
        known = {option["name"] for option in message.extra.get("pollOptions", [])}
        if message.type != "poll_creation" or not known.issuperset(frame.options):
            return {"error": "no_such_option"}
        self._mark(message.extra, "votes", account.number, frame.options)
        for copy in self._copies(message):
            self._mark(copy, "votes", account.number, frame.options)
        self._note("voted", account, message, options=frame.options)
        return {}

    def _edit(self, account: Account, message: Message, frame: wire.Edit) -> Frame:
        """Another text, or caption, for an own message that is young enough."""
        if not self._is_own(message, EDIT_SECONDS):
            return {"error": "not_editable"}
        field = "body" if message.type == "chat" else "caption"
        if field == "body":
            message.body = frame.body
        else:
            message.extra["caption"] = frame.body
        message.extra["edited"] = True
        for copy in self._copies(message):
            copy.update({field: frame.body, "edited": True})
        self._note("edited", account, message, text=frame.body)
        return {}

    def _revoke(self, account: Account, message: Message) -> Frame:
        """Nobody sees it any more; again changes nothing."""
        if not self._is_own(message, REVOKE_SECONDS):
            return {"error": "not_revocable"}
        if message.type != "revoked":
            message.type, message.body, message.extra = "revoked", None, {}
            for copy in self._copies(message):
                kept = {k: copy[k] for k in ("id", "chat", "from_me", "author", "t", "ack", "from")}
                copy.clear()
                copy.update({**kept, "type": "revoked", "body": None})
            self._note("revoked", account, message)
        return {}

    def _find(self, account: Account, chat_jid: str, message_id: str) -> Message | None:
        """Find a message under either address of its chat."""
        for jid, chat in account.chats.items():
            if message_id in chat.messages and self._world.same_chat(jid, chat_jid):
                return chat.messages[message_id]
        return None

    def _is_own(self, message: Message, seconds: int) -> bool:
        return message.from_me and self._clock.now_ms() // 1000 - message.t <= seconds

    def _copies(self, message: Message) -> Iterator[Frame]:
        """What the contacts of the chat show of it."""
        target = self._world.resolve(message.chat)
        numbers = target.participants if isinstance(target, Group) else [target and target.number]
        for number in numbers:
            person = self._world.person(number or "")
            if isinstance(person, Contact) and message.id in person.shown:
                yield person.shown[message.id]

    def _mark(self, fields: Frame, name: str, number: str, value: object) -> None:
        marks = fields.setdefault(name, {})
        if value:
            marks[number] = value
        else:
            marks.pop(number, None)

    def _note(self, kind: str, account: Account, message: Message, **fields: object) -> None:
        number = account.number
        self._truth.add(kind, number=number, id=message.id, chat=message.chat, **fields)
        self._changed()
