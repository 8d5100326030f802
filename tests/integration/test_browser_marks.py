"""What the other side of a chat is shown of us: read, typing, recording; by the real page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from actors.browser.driver import MessageReceived
from actors.browser.reading import Marked, MarkRead, MarkTyping
from simulator import requests as req
from tests.integration.browser_support import Facts, until
from tests.integration.whatsapp_support import (
    BOB,
    CAROL,
    ME,
    UNKNOWN,
    linked,
    refused,
    simulating,
    truth,
)

if TYPE_CHECKING:
    from pathlib import Path

    from simulator import Simulator

pytestmark = pytest.mark.integration


def states(simulator: Simulator) -> list[str]:
    return [entry["state"] for entry in truth(simulator, "presence")]


async def test_read_typing_and_recording_are_shown(tmp_path: Path) -> None:
    """Carol's chat goes by her lid; it is named by her number."""
    facts = Facts()
    async with simulating() as simulator, linked(tmp_path, simulator, facts) as browser:
        for contact in (BOB, CAROL):
            simulator.desk.contact_sends(contact, req.ContactSends(to=ME, text="hello"))
            await facts.next(MessageReceived)
            jid = f"{contact}@c.us"
            assert await browser.read(MarkRead(jid=jid)) == Marked()
            read = await browser.read(MarkRead(jid=jid))  # again changes nothing
            assert read == Marked()
        await until(lambda: len(truth(simulator, "read_by_client")) == 2)

        bob = f"{BOB}@c.us"
        await browser.read(MarkTyping(jid=bob, seconds=1))
        await until(lambda: states(simulator) == ["composing", "paused"])
        await browser.read(MarkTyping(jid=bob, seconds=60, recording=True))
        await browser.read(MarkTyping(jid=bob, seconds=0))
        await until(lambda: states(simulator)[2:] == ["recording", "paused"])

        for query in (MarkRead(jid=f"{UNKNOWN}@c.us"), MarkTyping(jid="1@g.us", seconds=5)):
            assert await refused(browser.read(query)) == "chat_unknown"
