"""What a simulator can be told at its start; times are seconds unless the name says otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

Receipts = Literal["none", "delivered", "read"]
Reply = Literal["none", "echo", "fixed"]
Addressing = Literal["pn", "lid"]

DEFAULT_VERSION = "2.3000.1045220589"
ORIGIN = "https://web.whatsapp.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSeed:
    """An account that exists from the start, unless the state file already has it."""

    number: str
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactSeed:
    """A contact that exists from the start, unless the state file already has it."""

    number: str
    name: str = ""
    receipts: Receipts = "read"
    reply: Reply = "none"
    reply_text: str = ""
    addressing: Addressing = "pn"


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorOptions:
    """Every knob of one simulator.

    ``port`` and ``control_port`` 0 mean any free port. ``qr_first_ttl`` and ``qr_ttl`` are how
    long the first and the following codes of a window live, ``qr_codes`` how many a window has
    before the page goes idle. ``offline_delay`` is how long after a login the queued messages
    wait, which leaves the client time to hook in; 0 makes it race. ``dead_socket`` is after how
    long without a frame the page gives its socket up; 0 means never, the worst case that real
    pages show. ``wave_gap`` is the pause between two waves of module registration.
    """

    host: str = "127.0.0.1"
    port: int = 0
    control_port: int = 0
    state_file: Path | None = None
    log_file: Path | None = None
    accounts: tuple[AccountSeed, ...] = ()
    contacts: tuple[ContactSeed, ...] = ()

    qr_first_ttl: float = 60.0
    qr_ttl: float = 20.0
    qr_codes: int = 6
    link_code_ttl: float = 180.0
    auto_scan: bool = False
    auto_scan_delay: float = 0.5
    max_devices: int = 4

    ack_delay: float = 0.05
    delivered_delay: float = 0.1
    read_delay: float = 0.2
    reply_delay: float = 0.3

    sync_delay: float = 0.15
    offline_delay: float = 1.0
    history_per_chat: int = 50

    heartbeat: float = 10.0
    dead_socket: float = 0.0
    reconnect_min: float = 0.25
    reconnect_max: float = 10.0
    waves: int = 3
    wave_gap: float = 0.08
    logout_navigation_delay: float = 0.1
    wa_version: str = DEFAULT_VERSION
    log_limit: int = 500_000

    def __post_init__(self) -> None:
        """Refuse what would make the simulator reachable or impossible."""
        if self.host not in {"127.0.0.1", "::1", "localhost"}:
            raise ValueError("The simulator listens on loopback only; use host 127.0.0.1.")
        if self.qr_codes < 1 or self.waves < 1 or self.max_devices < 1:
            raise ValueError("qr_codes, waves and max_devices must be at least 1.")
