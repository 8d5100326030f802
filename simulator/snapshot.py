"""What a page gets at login: who it is, its chats with history, the people it knows. Pure."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from simulator.entities import Account, Chat, Device, Frame, Group
from simulator.jid import GROUP_SERVER, lid_jid, pn_jid

if TYPE_CHECKING:
    from simulator.world import World


def login_frame(world: World, account: Account, device: Device, history: int) -> Frame:
    """The ``login_ok`` frame; every chat brings its newest ``history`` messages, oldest first.

    Messages that still wait in the device's queue are left out: they come as new ones.
    """
    waiting = {s.frame["msg"]["id"] for s in device.queue if s.frame["op"] == "message"}
    return {
        "op": "login_ok",
        "wid": pn_jid(account.number),
        "lid": lid_jid(account.number),
        "device": device.id,
        "name": account.name,
        "chats": [_chat(world, chat, history, waiting) for chat in account.chats.values()],
        "people": [world.identity(account), *_people(world, account)],
        "offline": len(device.queue),
    }


def _chat(world: World, chat: Chat, history: int, waiting: set[str]) -> Frame:
    kept = [m for m in chat.messages.values() if m.id not in waiting]
    newest = list(islice(reversed(kept), history))[::-1]
    group = world.resolve(chat.jid) if chat.jid.endswith("@" + GROUP_SERVER) else None
    view: dict[str, Any] = {
        "id": chat.jid,
        "name": chat.name,
        "unread": max(0, chat.unread - sum(1 for m in chat.messages if m in waiting)),
        "t": newest[-1].t if newest else 0,
        "msgs": [m.frame() for m in newest],
    }
    if isinstance(group, Group):
        view["participants"] = group.listed()
        view["addressing"] = group.addressing
    return view


def _people(world: World, account: Account) -> list[dict[str, str]]:
    """Everyone with whom the account has a one-to-one chat."""
    found = []
    for jid in account.chats:
        if jid.endswith("@" + GROUP_SERVER):
            continue
        target = world.resolve(jid)
        if target is not None and not isinstance(target, Group) and target is not account:
            found.append(world.identity(target))
    return found
