"""Accounts, devices and contacts as the control API shows them. Pure but for the hub's look-up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from simulator.entities import Account, Contact, Device, Frame
from simulator.jid import lid_jid, pn_jid

IsConnected = Callable[[Device], bool]


def device_view(device: Device, is_connected: IsConnected) -> Frame:
    return {
        "id": device.id,
        "linked_at_ms": device.linked_at_ms,
        "connected": is_connected(device),
        "queued": len(device.queue),
    }


def account_view(account: Account, is_connected: IsConnected) -> Frame:
    """An account and its devices, without its messages."""
    devices = [device_view(d, is_connected) for d in account.devices.values()]
    return {
        "number": account.number,
        "name": account.name,
        "wid": pn_jid(account.number),
        "lid": lid_jid(account.number),
        "connected": any(d["connected"] for d in devices),
        "devices": devices,
        "auto_scan": account.auto_scan is not None,
    }


def message_views(account: Account) -> list[Frame]:
    """Every message of an account, from its own point of view."""
    return [m.frame() for chat in account.chats.values() for m in chat.messages.values()]


def contact_view(contact: Contact) -> Frame:
    """A contact with its rules; ``received`` counts what its phone shows."""
    view = asdict(contact)
    shown = view.pop("shown")
    return {
        **view,
        "wid": pn_jid(contact.number),
        "lid": lid_jid(contact.number),
        "received": len(shown),
    }
