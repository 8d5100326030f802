"""What every session actor is given, and the slot that holds its browser."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.archive_plan import ArchiveTimes
    from actors.bridge import Bridge
    from actors.browser.driver import Browser, BrowserDriver, SessionPaths
    from actors.browser.profile_care import ProfileCare
    from actors.delivery import DeliveryRules
    from actors.fetching import MediaDesk
    from actors.health_book import HealthBook
    from actors.health_state import HealthRules
    from actors.limiter_door import LimiterDoor
    from actors.live import LiveBoard
    from actors.outbox_bells import OutboxBells
    from actors.outgoing import OutgoingDesk
    from actors.state import Limits
    from actors.telemetry import Telemetry
    from storage.archives import Archives
    from storage.grants import MessageGrantLog
    from storage.secrets import Secrets
    from storage.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionTimeouts:
    """Seconds; each bounds one call of the browser port, over and above its own deadlines."""

    launch: float
    open: float
    call: float
    send: float
    stop: float
    beat: float
    note: float


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundRules:
    """What is done with what comes in.

    Whether files are fetched, up to which size, how many at once in the whole node, and after how
    many seconds one is tried again; whether calls are rejected.
    """

    fetch: bool
    most_bytes: int
    at_once: int
    retry_after: float
    reject_calls: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionDeps:
    """What every session actor is given; one for the whole fleet."""

    main: Bridge
    browsers: Bridge
    store: Store
    grants: MessageGrantLog
    limiter: LimiterDoor
    bells: OutboxBells
    outgoing: OutgoingDesk
    secrets: Secrets
    archives: Archives
    archive_times: ArchiveTimes
    profiles: ProfileCare
    inbound: InboundRules
    desk: MediaDesk
    health: HealthBook
    health_rules: HealthRules
    driver: BrowserDriver
    board: LiveBoard
    telemetry: Telemetry
    limits: Limits
    delivery: DeliveryRules
    timeouts: SessionTimeouts
    paths: Callable[[str], SessionPaths]
    new_wa_id: Callable[[], str]
    now_ms: Callable[[], int]
    monotonic: Callable[[], float]
    uniform: Callable[[float, float], float]


class BrowserSlot:
    """Holds the one browser of an actor, so that a launch that ends late still finds an owner."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._browser: Browser | None = None
        self._closed = False

    def offer(self, browser: Browser) -> bool:
        """Take the browser, from the browser loop; False if the actor has ended meanwhile."""
        with self._lock:
            if self._closed:
                return False
            self._browser = browser
            return True

    @property
    def browser(self) -> Browser | None:
        return self._browser

    def close(self) -> Browser | None:
        """Take no browser any more and give back the one held."""
        with self._lock:
            self._closed = True
            return self._browser
