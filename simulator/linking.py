"""Linking a page to a phone: QR windows, linking codes, scripted scans, logins and logouts."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from simulator.errors import ConflictError, GoneError, InvalidRequestError, NotFoundError
from simulator.jid import lid_jid, pn_jid
from simulator.pairing import (
    CODE_ALPHABET,
    CODE_LENGTH,
    IssuedCodes,
    WindowPlan,
    normalise_code,
    parse_qr,
)

if TYPE_CHECKING:
    import asyncio

    from simulator.connection import Connection
    from simulator.core import Core
    from simulator.entities import Account, AutoScan, Device

REASON_CODES = {"user_initiated": 0, "unknown_companion": 0, "account_locked": 3}


class Linking:
    """Everything between an unpaired page and a linked device."""

    def __init__(self, core: Core) -> None:
        self._world = core.world
        self._truth = core.truth
        self._timers = core.timers
        self._clock = core.clock
        self._options = options = core.options
        self._plan = WindowPlan(
            int(options.qr_first_ttl * 1000), int(options.qr_ttl * 1000), options.qr_codes
        )
        self._refs = IssuedCodes("qr", lambda: "2@" + secrets.token_urlsafe(24))
        self._codes = IssuedCodes("link_code", _code)
        self._unpaired: dict[int, Connection] = {}
        self._expiry: dict[int, asyncio.TimerHandle] = {}
        self._scanning: set[str] = set()

    def open_window(self, connection: Connection) -> None:
        """Show a fresh window of codes on an unpaired page."""
        self._unpaired[connection.id] = connection
        self._show(connection, 0)

    def forget(self, connection: Connection) -> None:
        """The page is gone or logged in: what it showed cannot be scanned any more."""
        self._unpaired.pop(connection.id, None)
        self._stop_timer(connection)
        now = self._clock.now_ms()
        self._refs.withdraw(connection.id, now)
        self._codes.withdraw(connection.id, now)

    def link_code(self, connection: Connection, phone: str) -> str:
        """Issue an 8-character code to type on the phone of this number."""
        account = self._world.account(phone)
        ttl = int(self._options.link_code_ttl * 1000)
        code = self._codes.issue(connection.id, self._clock.now_ms(), ttl, account.number).text
        self._truth.add("link_code_issued", number=phone, connection=connection.id, code=code)
        return code

    def scan(self, number: str, text: str) -> Device:
        """The phone scans a QR code: checks it and links the page that shows it."""
        account = self._world.account(number)
        qr = parse_qr(text)
        issued = self._refs.issued.get(qr.ref)
        shown_by = self._unpaired.get(issued.connection) if issued else None
        if shown_by is not None and tuple(shown_by.keys) != qr.keys:
            raise InvalidRequestError(
                "qr_mismatch", "The keys in this text are not those that the page shows."
            )
        self._check_room(account)
        issued = self._refs.claim(qr.ref, self._clock.now_ms(), number)
        self._truth.add("qr_scanned", number=number, ref=qr.ref, connection=issued.connection)
        return self._link(account, issued.connection)

    def type_code(self, number: str, text: str) -> Device:
        """The phone types a linking code."""
        account = self._world.account(number)
        self._check_room(account)
        issued = self._codes.claim(normalise_code(text), self._clock.now_ms(), number)
        self._truth.add("link_code_used", number=number, connection=issued.connection)
        return self._link(account, issued.connection)

    def arm(self, account: Account, auto_scan: AutoScan | None) -> None:
        """Let the phone scan by itself, or stop that; a code on show counts as the next one."""
        account.auto_scan = auto_scan
        if auto_scan is not None:
            for connection_id in list(self._refs.current):
                self._offer(self._unpaired[connection_id])

    def admit(self, connection: Connection, account: Account, device: Device) -> None:
        """A page has logged in: bind the connection to its device."""
        self.forget(connection)
        connection.account, connection.device = account, device
        self._truth.add("login", number=account.number, device=device.id, connection=connection.id)

    def refuse(self, connection: Connection, device_id: str, reason: str) -> None:
        number = device_id.partition(":")[0]
        self._truth.add("login_refused", number=number, device=device_id, reason=reason)
        connection.push({"op": "login_failed", "reason": reason, "code": REASON_CODES[reason]})

    def _show(self, connection: Connection, nth: int) -> None:
        self._stop_timer(connection)
        ttl = self._plan.ttl_of(nth)
        if ttl is None:
            self._refs.withdraw(connection.id, self._clock.now_ms())
            self._truth.add("qr_idle", connection=connection.id)
            connection.push({"op": "qr_idle"})
            return
        ref = self._refs.issue(connection.id, self._clock.now_ms(), ttl).text
        self._truth.add("qr_issued", connection=connection.id, ref=ref, ttl_ms=ttl)
        connection.push({"op": "qr", "ref": ref, "ttl_ms": ttl})
        self._expiry[connection.id] = self._timers.later(
            ttl / 1000, lambda: self._expired(connection, ref, nth)
        )
        self._offer(connection)

    def _expired(self, connection: Connection, ref: str, nth: int) -> None:
        self._truth.add("qr_expired", connection=connection.id, ref=ref)
        self._show(connection, nth + 1)

    def _stop_timer(self, connection: Connection) -> None:
        handle = self._expiry.pop(connection.id, None)
        if handle is not None:
            handle.cancel()

    def _offer(self, connection: Connection) -> None:
        """Let the first armed phone scan what this connection shows, after its delay."""
        shown = self._refs.current.get(connection.id)
        account = next((a for a in self._world.accounts.values() if self._wants(a)), None)
        if shown is None or account is None or account.auto_scan is None:
            return
        armed = account.auto_scan
        self._scanning.add(account.number)
        text = ",".join((shown.text, *connection.keys))
        self._timers.later(armed.delay_ms / 1000, lambda: self._auto_scan(account, armed, text))

    def _auto_scan(self, account: Account, armed: AutoScan, text: str) -> None:
        self._scanning.discard(account.number)
        if account.auto_scan is not armed:
            return
        try:
            self.scan(account.number, text)
        except (GoneError, NotFoundError, ConflictError) as error:
            # the code went away before the phone read it: it waits for the next one
            self._truth.add("auto_scan_missed", number=account.number, code=error.code)
            return
        if not armed.repeat:
            account.auto_scan = None

    def _wants(self, account: Account) -> bool:
        armed = account.auto_scan
        if armed is None or account.number in self._scanning:
            return False
        return not (armed.repeat and account.devices)

    def _check_room(self, account: Account) -> None:
        if len(account.devices) >= self._options.max_devices:
            raise ConflictError(
                "device_limit",
                f"{account.number} has {len(account.devices)} linked devices; log one out first.",
            )

    def _link(self, account: Account, connection_id: int) -> Device:
        connection = self._unpaired.get(connection_id)
        if connection is None:
            raise GoneError("page_gone", "The page that showed this code is gone; read a new one.")
        now = self._clock.now_ms()
        device = self._world.link(
            account, secrets.token_urlsafe(32), now, self._options.max_devices
        )
        self._stop_timer(connection)
        self._truth.add(
            "device_linked", number=account.number, device=device.id, connection=connection_id
        )
        connection.push(
            {
                "op": "paired",
                "device": device.id,
                "secret": device.secret,
                "wid": pn_jid(account.number),
                "lid": lid_jid(account.number),
                "name": account.name,
            }
        )
        return device


def _code() -> str:
    return "".join(secrets.choice(CODE_ALPHABET) for _ in range(CODE_LENGTH))
