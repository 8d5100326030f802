"""The world model: who exists, who knows whom, and what an address means. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from simulator.entities import (
    Account,
    Chat,
    Contact,
    Device,
    Group,
    Message,
    Person,
    address_of,
)
from simulator.errors import ConflictError, InvalidRequestError, NotFoundError
from simulator.jid import (
    GROUP_SERVER,
    LID_SERVER,
    PN_SERVER,
    check_number,
    group_jid,
    lid_jid,
    lid_of,
    pn_jid,
    split_jid,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.options import Addressing

FIRST_NUMBER = 15_550_100_001
FIRST_GROUP = 120_363_000_000_000_001


@dataclass(slots=True)
class World:
    """All people and groups. Lookups raise NotFoundError with a code that names what is missing."""

    accounts: dict[str, Account] = field(default_factory=dict)
    contacts: dict[str, Contact] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    _by_lid: dict[str, str] = field(default_factory=dict)

    def add_account(self, number: str | None, name: str | None) -> Account:
        """Create an account; without a number it takes the next free fictional one."""
        if number is None:
            taken = FIRST_NUMBER
            while self.person(str(taken)) is not None:
                taken += 1
            number = str(taken)
        self._refuse_taken(number)
        account = Account(number=number, name=name or f"Account {number[-4:]}")
        self.accounts[number] = account
        self._by_lid[lid_of(number)] = number
        return account

    def add_contact(self, contact: Contact) -> Contact:
        self._refuse_taken(contact.number)
        self.contacts[contact.number] = contact
        self._by_lid[lid_of(contact.number)] = contact.number
        return contact

    def add_group(
        self, name: str, participants: list[str], addressing: Addressing = "lid"
    ) -> Group:
        """Create a group; every participant must exist, at least one must be an account."""
        for number in participants:
            self.require_person(number)
        if not any(number in self.accounts for number in participants):
            raise InvalidRequestError("no_account", "A group needs at least one account in it.")
        taken = FIRST_GROUP
        while str(taken) in self.groups:
            taken += 1
        group = Group(
            id=str(taken),
            name=name,
            participants=list(dict.fromkeys(participants)),
            addressing=addressing,
        )
        self.groups[group.id] = group
        for account in self.members(group):
            self.chat(account, group_jid(group.id))
        return group

    def reindex(self) -> None:
        """Rebuild the LID index after the records were filled from a state file."""
        self._by_lid = {lid_of(n): n for n in (*self.accounts, *self.contacts)}

    def person(self, number: str) -> Person | None:
        return self.accounts.get(number) or self.contacts.get(number)

    def require_person(self, number: str) -> Person:
        person = self.person(number)
        if person is None:
            raise NotFoundError("person_unknown", f"{number} is neither an account nor a contact.")
        return person

    def account(self, number: str) -> Account:
        if number not in self.accounts:
            raise NotFoundError(
                "account_unknown", f"There is no account {number}; create it first."
            )
        return self.accounts[number]

    def contact(self, number: str) -> Contact:
        if number not in self.contacts:
            raise NotFoundError(
                "contact_unknown", f"There is no contact {number}; create it first."
            )
        return self.contacts[number]

    def group(self, group_id: str) -> Group:
        group_id = group_id.removesuffix("@" + GROUP_SERVER)
        if group_id not in self.groups:
            raise NotFoundError("group_unknown", f"There is no group {group_id}; create it first.")
        return self.groups[group_id]

    def members(self, group: Group) -> Iterator[Account]:
        """The participants that are accounts."""
        return (self.accounts[n] for n in group.participants if n in self.accounts)

    def resolve(self, jid: str) -> Person | Group | None:
        """Who an address means, None when nobody on WhatsApp has it."""
        user, server = split_jid(jid)
        if server == GROUP_SERVER:
            return self.groups.get(user)
        if server == LID_SERVER:
            return self.person(self._by_lid.get(user, ""))
        return self.person(user) if server == PN_SERVER else None

    def device(self, device_id: str, secret: str) -> tuple[Account, Device] | None:
        """The linked device that shows this secret, None when it is unknown or revoked."""
        account = self.accounts.get(device_id.partition(":")[0])
        device = account.devices.get(device_id) if account else None
        if account is None or device is None or device.secret != secret:
            return None
        return account, device

    def link(self, account: Account, secret: str, now_ms: int, limit: int) -> Device:
        """Add a device; ConflictError ``device_limit`` when the account already has ``limit``."""
        if len(account.devices) >= limit:
            raise ConflictError(
                "device_limit",
                f"{account.number} already has {limit} linked devices; log one out first.",
            )
        device = Device(f"{account.number}:{account.next_device}", secret, now_ms)
        account.next_device += 1
        account.devices[device.id] = device
        return device

    def chat(self, account: Account, jid: str) -> Chat:
        """The account's chat with this address, created when it is new."""
        if jid not in account.chats:
            target = self.resolve(jid)
            account.chats[jid] = Chat(jid=jid, name=target.name if target else "")
        return account.chats[jid]

    def own_chat(self, account: Account, peer: Person) -> Chat:
        return self.chat(account, address_of(peer))

    def store(self, account: Account, message: Message) -> None:
        """Put a message into the account's history."""
        chat = self.chat(account, message.chat)
        chat.messages[message.id] = message
        if message.from_me:
            account.sent[message.id] = message.chat
        else:
            chat.unread += 1

    def sent_message(self, account: Account, message_id: str) -> Message | None:
        chat = account.chats.get(account.sent.get(message_id, ""))
        return chat.messages.get(message_id) if chat else None

    def same_chat(self, one: str, other: str) -> bool:
        """Whether two addresses mean the same conversation (a number and its LID do)."""
        if one == other:
            return True
        target = self.resolve(one)
        return target is not None and target is self.resolve(other)

    def identity(self, person: Person) -> dict[str, str]:
        """Both addresses of a person, for the page's PN and LID cache."""
        return {"pn": pn_jid(person.number), "lid": lid_jid(person.number), "name": person.name}

    def _refuse_taken(self, number: str) -> None:
        check_number(number)
        if self.person(number) is not None:
            raise ConflictError("number_taken", f"{number} exists already; use another number.")
