"""What a logged-in client may say, and what comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator import wire
from simulator.acts import Acts
from simulator.entities import Account, Device, Frame, Group, address_of

if TYPE_CHECKING:
    from simulator.connection import Connection
    from simulator.core import Core
    from simulator.delivery import Delivery


class Member:
    """Handles the frames of clients that have logged in."""

    def __init__(self, core: Core, delivery: Delivery) -> None:
        self._core = core
        self._delivery = delivery
        self._acts = Acts(core)

    def on_frame(
        self, connection: Connection, account: Account, device: Device, frame: wire.ClientFrame
    ) -> None:
        """Messages, confirmations and lookups; the rest is only noted."""
        match frame:
            case wire.Send():
                self._delivery.accept(account, device, frame)
                self._core.changed()
            case wire.Confirm():
                self._confirm(account, device, set(frame.stanzas))
            case wire.Seen():
                self._delivery.seen(account, frame.chat)
                self._core.changed()
            case wire.Delete():
                self._delivery.delete(account, frame.chat, frame.id)
                self._core.changed()
            case wire.Exists():
                connection.push(self._exists(account, frame))
            case wire.MediaPut():
                self._delivery.media[frame.filehash] = frame.data
                connection.push(wire.answer(frame.rid))
            case wire.MediaGet():
                data = self._delivery.media.get(frame.filehash)
                fields = {"data": data} if data is not None else {"error": "media_unknown"}
                connection.push(wire.answer(frame.rid, **fields))
            case wire.React() | wire.Vote() | wire.Edit() | wire.Revoke():
                connection.push(wire.answer(frame.rid, **self._acts.perform(account, frame)))
            case _:
                self._aside(connection, account, frame)

    def _aside(self, connection: Connection, account: Account, frame: wire.ClientFrame) -> None:
        """What changes nothing in the world but belongs into the truth log."""
        add, number = self._core.truth.add, account.number
        match frame:
            case wire.Presence(chat=chat, state=state):
                add("presence", number=number, chat=chat, state=state)
            case wire.CallReject(id=call):
                add("call_rejected", number=number, id=call)
            case _:
                add("bad_frame", connection=connection.id, code="out_of_place")

    def _exists(self, account: Account, frame: wire.Exists) -> Frame:
        target = self._core.world.resolve(frame.wid)
        if target is None or isinstance(target, Group):
            self._core.truth.add("exists_query", number=account.number, wid=frame.wid, exists=False)
            return wire.answer(frame.rid, exists=False)
        self._core.truth.add("exists_query", number=account.number, wid=frame.wid, exists=True)
        return wire.answer(
            frame.rid, exists=True, chat=address_of(target), **self._core.world.identity(target)
        )

    def _confirm(self, account: Account, device: Device, confirmed: set[str]) -> None:
        """Take what the client has stored off its queue."""
        for stanza in device.queue:
            if stanza.id in confirmed and stanza.frame["op"] == "message":
                message = stanza.frame["msg"]
                self._core.truth.add(
                    "inbound_delivered",
                    number=account.number,
                    device=device.id,
                    id=message["id"],
                    chat=message["chat"],
                    from_me=message["from_me"],
                )
        device.queue = [s for s in device.queue if s.id not in confirmed]
        self._core.changed()
