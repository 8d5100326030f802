"""The parts that a node is put together from, once they exist; and its clocks and its dice."""

from __future__ import annotations

import random
import secrets
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from actors.gate import LaunchGate
from actors.limiter_door import LimiterDoor
from actors.limiter_plan import Instant
from actors.outbox_bells import OutboxBells
from actors.usage import UsageBoard
from storage.grants import Forgotten
from storage.space import Space

if TYPE_CHECKING:
    from actors.bridge import Bridge
    from actors.browser.driver import BrowserDriver
    from actors.live import LiveBoard
    from actors.outgoing import OutgoingDesk
    from actors.telemetry import Telemetry
    from config.settings import Settings
    from storage.archives import Archives
    from storage.grants import GrantLog
    from storage.media import MediaStore
    from storage.privacy import Privacy
    from storage.secrets import Secrets
    from storage.store import Store
    from supervisor.datadir import DataDir

uniform: Final = random.SystemRandom().uniform


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the composition root has made; `supervisor.assembly` says who gets which."""

    settings: Settings
    data: DataDir
    driver: BrowserDriver
    store: Store
    grants: GrantLog
    privacy: Privacy
    secrets: Secrets
    archives: Archives
    media: MediaStore
    outgoing: OutgoingDesk
    telemetry: Telemetry
    board: LiveBoard
    main: Bridge
    browsers: Bridge
    space: Space = field(default_factory=Space)
    gate: LaunchGate = field(default_factory=LaunchGate)
    usage: UsageBoard = field(default_factory=UsageBoard)
    limiter: LimiterDoor = field(default_factory=LimiterDoor)
    bells: OutboxBells = field(default_factory=OutboxBells)


def now_ms() -> int:
    """Return wall-clock milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def instant() -> Instant:
    """Return this moment by the clock of the machine's boot, and by the wall clock."""
    boot_ms = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
    return Instant(boot_id=_boot_id(), boot_ms=boot_ms, wall_ms=now_ms())


def forgotten_since(ms: int) -> Forgotten:
    """Return what a database that is put back now, and was copied then, does not know."""
    now = instant()
    return Forgotten(since_ms=ms, boot_id=now.boot_id, boot_ms=now.boot_ms, wall_ms=now.wall_ms)


@cache
def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()


def new_wa_id() -> str:
    """Return a fresh WhatsApp message id, as WhatsApp Web makes them: 3EB0 and 18 hex digits."""
    return "3EB0" + secrets.token_hex(9).upper()
