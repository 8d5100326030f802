"""Stories that the tests of the session state machine begin with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.browser.driver import PageLoaded, QrIssued, SocketChanged
from actors.events import Began, Launched, QrGranted
from actors.state import Limits, State, step

if TYPE_CHECKING:
    from actors.events import Effect, Event

LIMITS = Limits(
    open_timeout=60,
    sync_timeout=120,
    socket_timeout=60,
    qr_code_timeout=90,
    qr_codes_per_window=5,
)
ME = "15550100001"


def loaded(*critical: str, missing: tuple[str, ...] = ()) -> PageLoaded:
    return PageLoaded(
        whatsapp_version="2.3000", wajs_version="4.6.0", missing=missing, critical=critical
    )


def socket(
    state: str, mode: str | None = None, *, registered: bool = False, synced: bool = False
) -> SocketChanged:
    me = f"{ME}:3@c.us" if registered else None
    return SocketChanged(socket=state, mode=mode, registered=registered, synced=synced, me=me)


UNPAIRED = socket("UNPAIRED", "QR")
PAIRED = socket("PAIRING", "QR", registered=True)
SYNCING = socket("CONNECTED", "SYNCING", registered=True)
READY = socket("CONNECTED", "MAIN", registered=True, synced=True)
DOWN = socket("TIMEOUT", "OFFLINE", registered=True, synced=True)


def run(*events: Event, state: State | None = None) -> tuple[State, list[Effect]]:
    """Feed events; return the last state and the effects of the last event."""
    current = state or State()
    effects: tuple[Effect, ...] = ()
    for event in events:
        current, effects = step(current, event, LIMITS)
    return current, list(effects)


TO_QR = (Began(), Launched(), loaded(), UNPAIRED, QrGranted(number=1), QrIssued(text="a"))
TO_CONNECTED = (*TO_QR, PAIRED, SYNCING, READY)
RESTORED = (Began(), Launched(), loaded(), socket("OPENING", None, registered=True))
