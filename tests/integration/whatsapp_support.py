"""A linked browser on a simulator, for the tests of the WhatsApp page."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from actors.browser.driver import (
    Outgoing,
    PageRefused,
    QrIssued,
    SocketChanged,
)
from simulator import AccountSeed, ContactSeed, Simulator, SimulatorOptions
from tests.integration.browser_support import (
    Facts,
    browsing,
    simulated,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from actors.browser.whatsapp import WhatsAppBrowser

ME = "15550100001"
BOB = "15550100002"
CAROL = "15550100003"
UNKNOWN = "15550199999"
SEEDS = {
    "accounts": (AccountSeed(number=ME, name="Ann"),),
    "contacts": (
        ContactSeed(number=BOB, name="Bob", reply="echo"),
        ContactSeed(number=CAROL, name="Carol", addressing="lid"),
    ),
}


@asynccontextmanager
async def simulating(**options: Any) -> AsyncIterator[Simulator]:
    simulator = Simulator(SimulatorOptions(**{**SEEDS, **options}))
    await simulator.start()
    try:
        yield simulator
    finally:
        await simulator.stop()


@asynccontextmanager
async def linked(
    directory: Path, simulator: Simulator, facts: Facts, **options: Any
) -> AsyncIterator[WhatsAppBrowser]:
    """A browser that is logged in as ME, by a scanned QR code if need be."""
    async with browsing(directory, simulated(simulator, **options), facts=facts) as browser:
        await browser.open()
        state = await facts.next(SocketChanged)
        if not state.registered:
            simulator.desk.scan(ME, (await facts.next(QrIssued)).text)
            await facts.next(SocketChanged, connected)
        yield browser


def connected(state: SocketChanged) -> bool:
    return state.socket == "CONNECTED" and state.mode == "MAIN" and state.synced


def wa_id(number: int) -> str:
    return f"3EB0{number:018X}"


def outgoing(chat: str, wa_id: str, body: str) -> Outgoing:
    """Return a text to send."""
    return Outgoing(chat=chat, wa_id=wa_id, kind="text", body=body)


def truth(simulator: Simulator, *kinds: str) -> list[dict[str, Any]]:
    return simulator.truth.read(after=0, kinds=list(kinds), number="", limit=10_000)


async def refused(call: Any) -> str:
    with pytest.raises(PageRefused) as caught:
        await call
    return caught.value.reason
