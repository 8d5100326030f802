"""What the outside can do to the simulated world, in plain calls; the control API's other half."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from simulator import requests as req
from simulator.entities import Account, AutoScan, Contact, Device, Frame
from simulator.errors import InvalidRequestError
from simulator.faults import (
    Ban,
    ConflictNow,
    DeprecatedVersion,
    Disconnect,
    Fault,
    MemoryGrowth,
    NeedsUpdate,
    PageHang,
    RemoteLogout,
    SilentSocket,
    applies,
)
from simulator.jid import check_number, group_jid
from simulator.views import account_view, contact_view, device_view, message_views

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulator.core import Core
    from simulator.hub import Hub
    from simulator.options import AccountSeed, ContactSeed


class Desk:
    """Commands and views over one running simulator."""

    def __init__(self, core: Core, hub: Hub) -> None:
        self._hub = hub
        self._world = core.world
        self._faults = core.faults
        self._truth = core.truth
        self._options = core.options
        self._changed = core.changed

    def seed(self, accounts: tuple[AccountSeed, ...], contacts: tuple[ContactSeed, ...]) -> None:
        """Create what does not exist yet."""
        for account in accounts:
            if self._world.person(account.number) is None:
                self.add_account(req.NewAccount(number=account.number, name=account.name or None))
        for contact in contacts:
            if self._world.person(contact.number) is None:
                self.add_contact(req.NewContact(**asdict(contact)))

    # accounts and phones

    def accounts(self) -> list[dict[str, Any]]:
        return [account_view(a, self._is_connected) for a in self._world.accounts.values()]

    def account(self, number: str) -> dict[str, Any]:
        """One account with its messages."""
        account = self._world.account(number)
        return {**account_view(account, self._is_connected), "messages": message_views(account)}

    def add_account(self, body: req.NewAccount) -> dict[str, Any]:
        account = self._world.add_account(body.number, body.name)
        self._truth.add("account_created", number=account.number)
        if self._options.auto_scan:
            delay = int(self._options.auto_scan_delay * 1000)
            self._hub.linking.arm(account, AutoScan(delay_ms=delay, repeat=True))
        self._changed()
        return account_view(account, self._is_connected)

    def scan(self, number: str, text: str) -> dict[str, Any]:
        device = self._hub.linking.scan(number, text)
        self._changed()
        return device_view(device, self._is_connected)

    def type_code(self, number: str, code: str) -> dict[str, Any]:
        device = self._hub.linking.type_code(number, code)
        self._changed()
        return device_view(device, self._is_connected)

    def auto_scan(self, number: str, body: req.SetAutoScan) -> dict[str, Any]:
        armed = AutoScan(delay_ms=body.delay_ms, repeat=body.repeat) if body.enabled else None
        account = self._world.account(number)
        self._hub.linking.arm(account, armed)
        self._changed()
        return {"enabled": body.enabled, "delay_ms": body.delay_ms, "repeat": body.repeat}

    def log_out(self, number: str, body: req.PhoneLogout) -> list[str]:
        account = self._world.account(number)
        return self._hub.log_out(account, body.device_id, body.reason, by="phone")

    def phone_sends(self, number: str, body: req.PhoneSends) -> str:
        account = self._world.account(number)
        return self._hub.delivery.from_phone(account, body.to, body.text)

    # contacts and groups

    def contacts(self) -> list[dict[str, Any]]:
        return [contact_view(c) for c in self._world.contacts.values()]

    def add_contact(self, body: req.NewContact) -> dict[str, Any]:
        check_number(body.number)
        if body.reply == "fixed" and not body.reply_text:
            raise InvalidRequestError("missing_field", "A fixed reply needs 'reply_text'.")
        fields = asdict(body)
        fields["name"] = body.name or f"Contact {body.number[-4:]}"
        contact = self._world.add_contact(Contact(**fields))
        self._truth.add("contact_created", number=contact.number)
        self._changed()
        return contact_view(contact)

    def shown(self, number: str) -> list[dict[str, Any]]:
        """What a contact's phone displays, oldest first."""
        return list(self._world.contact(number).shown.values())

    def contact_sends(self, number: str, body: req.ContactSends) -> str:
        contact, delivery = self._world.contact(number), self._hub.delivery
        extra = body.extra
        if body.media is not None:
            caption = {"caption": body.text} if body.text else {}
            extra = {**delivery.attach(body.media, body.mimetype), **caption, **extra}
        return delivery.inbound(contact, body.to, body.text, body.type, extra)

    def contact_edits(self, number: str, body: req.ContactEdits) -> None:
        self._hub.deeds.edit(self._world.contact(number), body.to, body.id, body.text)
        self._changed()

    def contact_revokes(self, number: str, body: req.ContactRevokes) -> None:
        self._hub.deeds.revoke(self._world.contact(number), body.to, body.id)
        self._changed()

    def contact_reacts(self, number: str, body: req.ContactReacts) -> None:
        self._hub.deeds.react(self._world.contact(number), body.to, body.id, body.emoji, body.via)

    def contact_votes(self, number: str, body: req.ContactVotes) -> None:
        self._hub.deeds.vote(self._world.contact(number), body.to, body.id, body.options)

    def contact_calls(self, number: str, body: req.ContactCalls) -> str:
        return self._hub.deeds.call(self._world.contact(number), body.to, video=body.video)

    def groups(self) -> list[dict[str, Any]]:
        return [{**asdict(g), "jid": group_jid(g.id)} for g in self._world.groups.values()]

    def add_group(self, body: req.NewGroup) -> dict[str, Any]:
        group = self._world.add_group(body.name, body.participants, body.addressing)
        self._truth.add("group_created", group=group.id, participants=group.participants)
        self._changed()
        return {**asdict(group), "jid": group_jid(group.id)}

    def group_sends(self, group_id: str, body: req.GroupSends) -> str:
        group = self._world.group(group_id)
        sender = self._world.require_person(body.sender)
        return self._hub.delivery.inbound(sender, group.id, body.text, body.type, body.extra)

    def change_members(self, group_id: str, body: req.ChangeMembers) -> dict[str, Any]:
        group = self._world.group(group_id)
        members = [self._world.require_person(number) for number in body.participants]
        if not members:
            raise InvalidRequestError("missing_field", "Name at least one participant.")
        by = members[0] if body.by is None else self._world.require_person(body.by)
        self._hub.deeds.change_members(group, body.action, members, by)
        self._changed()
        return {**asdict(group), "jid": group_jid(group.id)}

    # faults

    def faults(self) -> list[dict[str, Any]]:
        return [fault.describe() for fault in self._faults.active.values()]

    def set_fault(self, kind: str, number: str | None, params: Mapping[str, Any]) -> dict[str, Any]:
        if number is not None:
            self._world.account(number)
        fault = self._faults.set(kind, number, params)
        self._truth.add("fault_set", number=number, fault=fault.id, fault_kind=kind)
        self._strike(fault)
        return fault.describe()

    def clear_faults(self, fault_id: str | None) -> list[str]:
        """Clear one fault, or all; what a fault did (a logout, a hang) is not undone."""
        wanted = [fault_id] if fault_id else list(self._faults.active)
        for one in wanted:
            fault = self._faults.clear(one)
            for connection in self._hub.connections.values():
                connection.silenced_by.discard(fault.id)
            self._truth.add("fault_cleared", number=fault.number, fault=fault.id)
        return wanted

    def _strike(self, fault: Fault) -> None:
        """Do to open connections what the fault does at the moment it is set."""
        if isinstance(fault.params, RemoteLogout):
            for account in self._struck_accounts(fault):
                self._hub.log_out(account, None, "unknown_companion", by="fault")
            return
        for connection in list(self._hub.connections.values()):
            if not applies(fault, connection.account_number):
                continue
            match fault.params:
                case SilentSocket():
                    connection.silenced_by.add(fault.id)
                case Disconnect():
                    connection.close()
                case ConflictNow():
                    self._hub.supersede(connection)
                case _:
                    frame = _stroke(fault)
                    if frame is not None:
                        connection.push(frame)

    def _is_connected(self, device: Device) -> bool:
        return self._hub.connected(device) is not None

    def _struck_accounts(self, fault: Fault) -> list[Account]:
        if fault.number is not None:
            return [self._world.account(fault.number)]
        return list(self._world.accounts.values())


def _stroke(fault: Fault) -> Frame | None:
    """The frame that tells a page of a fault; None when no page is told."""
    match fault.params:
        case Ban(state=state):
            return {"op": "blocked", "state": state}
        case DeprecatedVersion():
            return {"op": "blocked", "state": "DEPRECATED_VERSION"}
        case NeedsUpdate():
            return {"op": "needs_update"}
        case PageHang(ms=ms):
            return {"op": "hang", "duration_ms": ms}
        case MemoryGrowth(mb_per_s=rate, limit_mb=limit):
            return {"op": "grow", "mb_per_s": rate, "limit_mb": limit}
        case _:
            return None
