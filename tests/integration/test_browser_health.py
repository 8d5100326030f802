"""Signs of life, notes to self and gentle repairs: the browser port on real Chromium."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from actors.browser import freezer
from actors.browser.driver import (
    AckChanged,
    CallTimedOut,
    DocumentChanged,
    MessageReceived,
    Outgoing,
    PageCrashed,
    PageView,
    ServerHeard,
    SocketChanged,
)
from actors.browser.launch_args import Deadlines
from simulator import requests as req
from storage.vault.profile_copy import copy_profile
from tests.integration.browser_support import OPTIONS, Facts, browsing, renderer_of, until
from tests.integration.media_samples import png
from tests.integration.whatsapp_support import (
    BOB,
    ME,
    connected,
    linked,
    outgoing,
    refused,
    simulating,
    truth,
    wa_id,
)

if TYPE_CHECKING:
    from pathlib import Path

    from actors.browser.whatsapp import WhatsAppBrowser
    from simulator import Simulator
    from storage.vault.profile_copy import CopyFacts

pytestmark = pytest.mark.integration

BODY: Final = "wafleet checks this connection"
SHORT: Final = Deadlines(beat=1, note=1)
MINE: Final = f"{ME}@c.us"


def chat_with_self(simulator: Simulator) -> list[str]:
    """What WhatsApp's server keeps of it."""
    messages = simulator.desk.account(ME)["messages"]
    return [message["body"] for message in messages if message["chat"] == MINE]


async def hang(simulator: Simulator, browser: WhatsAppBrowser) -> None:
    """Let the page spin, and wait until it does."""
    simulator.desk.set_fault("page_hang", ME, {})
    while True:  # it may answer once more before it hears of its hang
        try:
            await browser.look()
        except CallTimedOut:
            return


async def test_a_healthy_page_tells_what_it_is(tmp_path: Path) -> None:
    """Also how long a message has been waiting for its ack, until it has it."""
    facts = Facts()
    async with simulating() as simulator, linked(tmp_path, simulator, facts) as browser:
        await browser.beat()
        assert await browser.look() == PageView(socket="CONNECTED", mode="MAIN")
        simulator.desk.set_fault("drop_acks", ME, {})
        call = browser.send(outgoing(f"{BOB}@c.us", wa_id(1), "waits"))
        sending = asyncio.create_task(call)

        async def unacked() -> float | None:
            view = await browser.look()
            assert view is not None
            return view.unacked_seconds

        while (first := await unacked()) is None:
            assert not sending.done()
        while (later := await unacked()) == first:
            assert not sending.done()
        assert later is not None
        assert first < later < 10
        simulator.desk.clear_faults(None)
        simulator.desk.set_fault("disconnect", ME, {})  # WhatsApp Web sends again by itself
        assert (await sending).ack >= 1
        assert await unacked() is None


async def test_a_file_may_be_uploading_before_it_waits_for_its_ack(tmp_path: Path) -> None:
    facts = Facts()
    file = tmp_path / "outgoing"
    file.write_bytes(png(padding=bytes(4 * 1024 * 1024)))  # may take 32 seconds
    async with simulating() as simulator, linked(tmp_path, simulator, facts) as browser:
        simulator.desk.set_fault("drop_acks", ME, {})
        named = {"mimetype": "image/png", "filename": "a.png"}
        picture = Outgoing(
            chat=f"{BOB}@c.us", wa_id=wa_id(1), kind="image", body="", content=named, media=file
        )

        async def unacked() -> float | None:
            view = await browser.look()
            assert view is not None
            return view.unacked_seconds

        first = asyncio.create_task(browser.send(picture))
        while (waited := await unacked()) is None:
            assert not first.done()
        assert waited == 0
        second = asyncio.create_task(browser.send(outgoing(f"{BOB}@c.us", wa_id(2), "waits")))
        async with asyncio.timeout(10):
            while not await unacked():  # the text came later, and waits longer
                assert not second.done()
        simulator.desk.clear_faults(None)
        simulator.desk.set_fault("disconnect", ME, {})
        assert all(one.ack >= 1 for one in await asyncio.gather(first, second))


async def test_a_page_without_the_adapter_lives_all_the_same(tmp_path: Path) -> None:
    async with browsing(tmp_path, OPTIONS, facts=Facts()) as browser:
        assert await browser.look() is None


async def test_a_note_reaches_the_server_and_nothing_is_left_of_it(tmp_path: Path) -> None:
    """No fact, no message on the server, none in the page; nobody else hears of it."""
    facts = Facts()
    async with simulating() as simulator, linked(tmp_path, simulator, facts) as browser:
        before = len(facts.all)
        result = await browser.send_note(wa_id=wa_id(1), body=BODY)
        assert (result.ack >= 1, result.deleted) == (True, True)
        await until(lambda: bool(truth(simulator, "deleted_by_client")))
        assert truth(simulator, "deleted_by_client")[0]["known"]
        assert chat_with_self(simulator) == []
        # a message of a contact comes after whatever the note may have caused
        simulator.desk.contact_sends(BOB, req.ContactSends(to=ME, text="hi"))
        received = await facts.next(MessageReceived)
        assert received.sender == f"{BOB}@c.us"
        told = [fact for fact in facts.all[before:] if not isinstance(fact, SocketChanged)]
        assert told == [received]


async def test_a_note_is_not_written_twice_and_clears_up_after_earlier_lives(
    tmp_path: Path,
) -> None:
    """Its ack was lost with the page; the next page finds it, and what else is left of its kind."""
    facts = Facts()
    async with (
        simulating() as simulator,
        linked(tmp_path, simulator, facts, deadlines=SHORT) as browser,
    ):
        simulator.desk.phone_sends(ME, req.PhoneSends(to=ME, text=BODY))
        simulator.desk.phone_sends(ME, req.PhoneSends(to=ME, text="mine"))
        simulator.desk.set_fault("drop_acks", ME, {})
        with pytest.raises(CallTimedOut):
            await browser.send_note(wa_id=wa_id(1), body=BODY)
        simulator.desk.clear_faults(None)
        await browser.reload(fresh=False)
        await facts.next(DocumentChanged)
        await facts.next(SocketChanged, connected)
        result = await browser.send_note(wa_id=wa_id(1), body=BODY, again=True)
        assert (result.ack >= 1, result.deleted, result.old) == (True, True, True)
        await until(lambda: chat_with_self(simulator) == ["mine"])
        shown = [e for e in truth(simulator, "message_received_from_client") if not e["duplicate"]]
        assert [event["id"] for event in shown] == [wa_id(1)]
        assert facts.of(MessageReceived) == []


async def test_a_note_that_the_server_refuses_is_an_answer(tmp_path: Path) -> None:
    """And one that can't be deleted again is not written at all."""
    facts = Facts()
    async with simulating() as simulator, linked(tmp_path, simulator, facts) as browser:
        simulator.desk.set_fault("reject_sends", ME, {})
        assert await refused(browser.send_note(wa_id=wa_id(1), body=BODY)) == "send_refused"
        simulator.desk.clear_faults(None)
        page = browser._ready_page()
        await page.evaluate("WPP.whatsapp.Cmd.sendDeleteMsgs = undefined", 5)
        assert await refused(browser.send_note(wa_id=wa_id(2), body=BODY)) == "binding_missing"


async def test_what_comes_in_the_chat_with_oneself_is_nobodys_message(tmp_path: Path) -> None:
    """Not even what looks as if it came from somebody else: nobody else can write there."""
    facts = Facts()
    async with simulating() as simulator, linked(tmp_path, simulator, facts) as browser:
        hub = simulator._hub
        assert hub is not None
        hub.delivery.inbound(simulator._world.account(ME), ME, "to myself")
        await facts.next(ServerHeard)
        simulator.desk.contact_sends(BOB, req.ContactSends(to=ME, text="hi"))
        assert (await facts.next(MessageReceived)).body == "hi"
        assert len(facts.of(MessageReceived)) == 1
        assert browser.pid


async def test_the_server_is_heard_by_what_no_other_fact_tells(tmp_path: Path) -> None:
    """What the phone itself writes shows that the connection works; what we send does not."""
    facts = Facts()
    async with simulating() as simulator, linked(tmp_path, simulator, facts) as browser:
        await browser.send(outgoing(f"{BOB}@c.us", wa_id(1), "out"))
        await facts.next(AckChanged, lambda fact: fact.ack == 3)
        assert facts.of(ServerHeard) == []
        simulator.desk.phone_sends(ME, req.PhoneSends(to=BOB, text="from the phone"))
        await facts.next(ServerHeard)


async def test_a_busy_page_is_freed_and_goes_on(tmp_path: Path) -> None:
    """The loop is ended, not the page: the same document, its socket still open."""
    facts = Facts()
    async with (
        simulating() as simulator,
        linked(tmp_path, simulator, facts, deadlines=SHORT) as browser,
    ):
        await hang(simulator, browser)
        await browser.beat()
        documents = len(facts.of(DocumentChanged))
        await browser.free()
        await facts.next(SocketChanged, connected)
        assert (await browser.send(outgoing(f"{BOB}@c.us", wa_id(1), "on"))).ack >= 1
        assert len(facts.of(DocumentChanged)) == documents


async def test_a_stopped_renderer_is_replaced_and_the_browser_kept(tmp_path: Path) -> None:
    """A page that hangs can't be loaded anew: its process is killed, and that is no crash."""
    facts = Facts()
    async with (
        simulating() as simulator,
        linked(tmp_path, simulator, facts, deadlines=SHORT) as browser,
    ):
        os.kill(renderer_of(browser.pid), signal.SIGSTOP)
        await browser.beat()
        with pytest.raises(CallTimedOut):
            await browser.look()
        with pytest.raises(CallTimedOut):
            await browser.free()
        pid = browser.pid
        await browser.reload(fresh=True)
        await facts.next(DocumentChanged)
        await facts.next(SocketChanged, connected)
        assert browser.pid == pid
        assert facts.of(PageCrashed) == []


async def test_a_stopped_browser_misses_its_beat(tmp_path: Path) -> None:
    options = replace(OPTIONS, deadlines=SHORT)
    async with browsing(tmp_path, options, facts=Facts()) as browser:
        os.kill(browser.pid, signal.SIGSTOP)
        with pytest.raises(CallTimedOut):
            await browser.beat()
        os.kill(browser.pid, signal.SIGCONT)
        await browser.beat()


async def test_a_browser_that_stands_still_for_a_copy_misses_no_beat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the copy takes: its clock stands still, too."""
    reached, opened = threading.Event(), threading.Event()

    def slow(source: Path, target: Path) -> CopyFacts:
        reached.set()
        assert opened.wait(30)
        return copy_profile(source, target)

    monkeypatch.setattr(freezer, "copy_profile", slow)
    facts = Facts()
    deadlines = Deadlines(beat=0.3, copy=20)
    async with (
        simulating() as simulator,
        linked(tmp_path, simulator, facts, deadlines=deadlines) as browser,
    ):
        copying = asyncio.create_task(browser.freeze_copy(tmp_path / "copy"))
        await until(reached.is_set)
        signs = [asyncio.create_task(browser.beat()), asyncio.create_task(browser.look())]
        done, _ = await asyncio.wait(signs, timeout=1.5)
        assert done == set()
        opened.set()
        await asyncio.gather(copying, *signs)


async def test_a_login_is_claimed_back_from_another_window(tmp_path: Path) -> None:
    facts = Facts()
    async with simulating() as simulator, linked(tmp_path, simulator, facts) as browser:
        simulator.desk.set_fault("conflict", ME, {})
        await facts.next(SocketChanged, lambda fact: fact.socket == "CONFLICT")
        await browser.take_over()
        await facts.next(SocketChanged, connected)
        assert (await browser.send(outgoing(f"{BOB}@c.us", wa_id(1), "back"))).ack >= 1
