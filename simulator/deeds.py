"""What people do beside writing: edit, take back, react, vote, call; and who is in a group.

Nothing here touches a socket: see ``simulator.delivery``.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from simulator.entities import Account, Contact, Frame, Group, Message, Person, address_of
from simulator.errors import InvalidRequestError, NotFoundError
from simulator.jid import group_jid, lid_jid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.core import Core
    from simulator.delivery import Switchboard


class Deeds:
    """Changes the copies that accounts have, and tells their devices."""

    def __init__(self, core: Core, board: Switchboard) -> None:
        self._board = board
        self._world = core.world
        self._truth = core.truth
        self._clock = core.clock

    def edit(self, person: Contact, to: str, message_id: str, text: str) -> None:
        """The author gives a message another text."""
        for account, message in self._copies(person, to, message_id, own=True):
            field = "body" if message.type == "chat" else "caption"
            at = self._clock.now_ms()
            if field == "body":
                message.body = text
            else:
                message.extra["caption"] = text
            message.extra["latestEditSenderTimestampMs"] = at
            frame = {"op": "edited", "field": field, "text": text, "at_ms": at}
            self._tell(account, person, message, frame)

    def revoke(self, person: Contact, to: str, message_id: str) -> None:
        """The author deletes a message for everyone."""
        for account, message in self._copies(person, to, message_id, own=True):
            message.type, message.body, message.extra = "revoked", None, {}
            self._tell(account, person, message, {"op": "revoked"})

    def react(self, person: Contact, to: str, message_id: str, emoji: str, via: str) -> None:
        """Somebody in the chat reacts; no emoji takes the reaction back."""
        for account, message in self._copies(person, to, message_id):
            now_ms = self._clock.now_ms()
            frame = {"op": "reacted", "emoji": emoji, "at_ms": now_ms, "via": via}
            self._tell(account, person, message, frame)

    def vote(self, person: Contact, to: str, message_id: str, options: list[str]) -> None:
        """Somebody in the chat votes in a poll."""
        for account, message in self._copies(person, to, message_id):
            offered = [option.get("name") for option in message.extra.get("pollOptions", ())]
            if not set(options) <= set(offered):
                raise InvalidRequestError("no_such_option", "The poll has no such option.")
            frame = {"op": "voted", "options": options, "at_ms": self._clock.now_ms()}
            self._tell(account, person, message, frame)

    def call(self, person: Contact, to: str, *, video: bool) -> str:
        """Somebody calls an account: its connected pages ring; returns the call's id."""
        account, call_id = self._world.account(to), secrets.token_hex(16).upper()
        frame = {
            "op": "call",
            "id": call_id,
            "from": address_of(person),
            "video": video,
            "t": self._clock.now_ms() // 1000,
            "people": [self._world.identity(person)],
        }
        rang = [self._board.to_device(device, frame) for device in account.devices.values()]
        self._truth.add("call_placed", number=to, id=call_id, devices=sum(rang))
        return call_id

    def change_members(self, group: Group, action: str, members: list[Person], by: Person) -> None:
        """Somebody adds or removes members, or joins or leaves."""
        told = list(self._world.members(group))
        for person in members:
            if action in {"add", "join"} and person.number not in group.participants:
                group.participants.append(person.number)
            elif action in {"remove", "leave"} and person.number in group.participants:
                group.participants.remove(person.number)
        told += [one for one in self._world.members(group) if one not in told]
        self._truth.add(
            "members_changed", group=group.id, action=action, members=[p.number for p in members]
        )
        for account in told:
            self._world.chat(account, group_jid(group.id))
            frame = {
                "op": "members",
                "chat": group_jid(group.id),
                "name": group.name,
                "action": action,
                "by": lid_jid(by.number),
                "members": [lid_jid(person.number) for person in members],
                "participants": group.listed(),
                "addressing": group.addressing,
                "people": [self._world.identity(person) for person in (*members, by)],
            }
            self._board.enqueue(account, frame)

    def _copies(
        self, person: Contact, to: str, message_id: str, *, own: bool = False
    ) -> Iterator[tuple[Account, Message]]:
        """Every account's copy of a message of the chat between them, or of the group."""
        group = self._world.groups.get(to.removesuffix("@g.us"))
        accounts = self._world.members(group) if group else (self._world.account(to),)
        jid = group_jid(group.id) if group else address_of(person)
        found = False
        for account in list(accounts):
            chat = account.chats.get(jid)
            message = chat.messages.get(message_id) if chat else None
            if message is None or (own and message.sender != person.number):
                continue
            found = True
            yield account, message
        if not found:
            raise NotFoundError("message_unknown", "There is no such message in that chat.")

    def _tell(self, account: Account, person: Person, message: Message, frame: Frame) -> None:
        in_group = message.author is not None
        self._truth.add(
            f"contact_{frame['op']}", number=account.number, id=message.id, by=person.number
        )
        told = {
            **frame,
            "id": message.id,
            "chat": message.chat,
            "from_me": message.from_me,
            "author": message.author,
            "sender": lid_jid(person.number) if in_group else address_of(person),
            "people": [self._world.identity(person)],
        }
        self._board.enqueue(account, told)
