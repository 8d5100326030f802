"""The server's switchboard: which connections are open and who is behind them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from simulator import wire
from simulator.connection import Connection
from simulator.deeds import Deeds
from simulator.delivery import Delivery
from simulator.entities import Account, Device, Frame, Stanza
from simulator.errors import NotFoundError, WireError
from simulator.faults import Ban, DeprecatedVersion
from simulator.linking import REASON_CODES, Linking
from simulator.member import Member
from simulator.snapshot import login_frame

if TYPE_CHECKING:
    from aiohttp import web

    from simulator.core import Core


class Hub:
    """Serves client sockets; implements the delivery's Switchboard."""

    def __init__(self, core: Core) -> None:
        self.connections: dict[int, Connection] = {}
        self.linking = Linking(core)
        self.delivery = Delivery(core, self)
        self.deeds = Deeds(core, self)
        self._member = Member(core, self.delivery)
        self._core = core
        self._online: dict[str, Connection] = {}
        self._ids = itertools.count(1)
        self._stanzas = itertools.count(core.clock.now_ms() * 1000)

    async def serve(self, socket: web.WebSocketResponse) -> None:
        """Run one client socket to its end."""
        core = self._core
        connection = Connection(next(self._ids), socket, core)
        self.connections[connection.id] = connection
        core.truth.add("ws_open", connection=connection.id)
        try:
            await connection.run(lambda text: self._on_text(connection, text))
        finally:
            device = connection.device
            core.truth.add(
                "ws_close",
                connection=connection.id,
                number=connection.account_number,
                device=device.id if device else None,
                close_code=socket.close_code,
            )
            self.connections.pop(connection.id, None)
            self.linking.forget(connection)
            self._detach(connection)

    def connected(self, device: Device) -> Connection | None:
        """The open connection that is logged in with this device."""
        return self._online.get(device.id)

    # Switchboard

    def to_device(self, device: Device, frame: Frame) -> bool:
        connection = self.connected(device)
        if connection is not None:
            connection.push(frame)
        return connection is not None

    def enqueue(self, account: Account, frame: Frame, *, but: Device | None = None) -> None:
        for device in account.devices.values():
            if device is but:
                continue
            stanza = Stanza(f"s{next(self._stanzas)}", frame)
            device.queue.append(stanza)
            connection = self.connected(device)
            if connection is not None and connection.drained:
                connection.push({**frame, "stanza": stanza.id})
        self._core.changed()

    # what the phone and the control side can do to clients

    def log_out(self, account: Account, device_id: str | None, reason: str, by: str) -> list[str]:
        """Revoke one device, or all; connected pages are told, others find out at login."""
        if device_id is not None and device_id not in account.devices:
            raise NotFoundError("device_unknown", f"{account.number} has no device {device_id}.")
        gone = [device_id] if device_id else list(account.devices)
        for one in gone:
            device = account.devices.pop(one)
            self._core.truth.add("logout", number=account.number, device=one, by=by, reason=reason)
            connection = self.connected(device)
            if connection is not None:
                code = REASON_CODES.get(reason, 0)
                connection.push({"op": "logged_out", "reason": reason, "code": code})
                self._detach(connection)
        self._core.changed()
        return gone

    def supersede(self, connection: Connection) -> None:
        """Tell a logged-in page that another window took its place."""
        if connection.device is not None:
            connection.push({"op": "conflict"})
            self._detach(connection)

    # frames from clients

    def _on_text(self, connection: Connection, text: str) -> None:
        try:
            frame = wire.parse(text)
        except WireError as error:
            self._core.truth.add("bad_frame", connection=connection.id, code=error.code)
            connection.push({"op": "bad_frame", "code": error.code, "message": error.message})
            return
        match frame:
            case wire.Ping():
                connection.push({"op": "pong", "n": frame.n})
            case wire.Hello():
                connection.keys = tuple(frame.keys)
                self.linking.open_window(connection)
            case wire.Login():
                self._login(connection, frame)
            case wire.RefreshQr():
                if connection.device is None:
                    self.linking.open_window(connection)
            case wire.LinkCode():
                self._link_code(connection, frame)
            case wire.Logout() if connection.account and connection.device:
                device_id = connection.device.id
                self.log_out(connection.account, device_id, frame.reason, by="client")
            case _ if connection.account and connection.device:
                self._member.on_frame(connection, connection.account, connection.device, frame)
            case _:
                self._core.truth.add("bad_frame", connection=connection.id, code="not_logged_in")

    def _link_code(self, connection: Connection, frame: wire.LinkCode) -> None:
        try:
            code = self.linking.link_code(connection, frame.phone)
        except NotFoundError as error:
            connection.push(wire.answer(frame.rid, error=error.code))
        else:
            connection.push(wire.answer(frame.rid, code=code))

    def _login(self, connection: Connection, frame: wire.Login) -> None:
        core = self._core
        known = core.world.device(frame.device, frame.secret)
        if known is None:
            self.linking.refuse(connection, frame.device, "unknown_companion")
            return
        account, device = known
        state = self._blocked(account.number)
        if state is not None:
            core.truth.add("login_refused", number=account.number, device=device.id, reason=state)
            connection.push({"op": "blocked", "state": state})
            return
        older = self.connected(device)
        if older is not None and older is not connection:
            self.supersede(older)
        self.linking.admit(connection, account, device)
        self._online[device.id] = connection
        connection.drained = False
        connection.push(login_frame(core.world, account, device, core.options.history_per_chat))
        core.timers.later(core.options.offline_delay, lambda: self._drain(connection, device))
        core.changed()

    def _blocked(self, number: str) -> str | None:
        ban = self._core.faults.find(Ban, number)
        if ban is not None:
            return ban.state
        old = self._core.faults.find(DeprecatedVersion, number)
        return "DEPRECATED_VERSION" if old is not None else None

    def _drain(self, connection: Connection, device: Device) -> None:
        """Send what waited for this device, then let new stanzas through."""
        if self.connected(device) is not connection or connection.drained:
            return
        for stanza in device.queue:
            connection.push({**stanza.frame, "stanza": stanza.id})
        connection.drained = True
        connection.push({"op": "offline_done", "count": len(device.queue)})

    def _detach(self, connection: Connection) -> None:
        """The connection no longer speaks for its device."""
        device = connection.device
        if device is not None and self._online.get(device.id) is connection:
            del self._online[device.id]
        connection.account = connection.device = None
