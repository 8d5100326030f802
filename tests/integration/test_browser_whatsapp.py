"""The driver on the simulated WhatsApp: real Chromium, real wa-js, every call and every fact."""

from __future__ import annotations

import os
import signal
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from actors.browser.driver import (
    AckChanged,
    BrowserExited,
    CallTimedOut,
    LoggedOut,
    MessageReceived,
    PageCrashed,
    PageGone,
    PageLoaded,
    PageRefused,
    QrIssued,
    SendResult,
    SocketChanged,
    UpdateRequired,
)
from actors.browser.launch_args import Deadlines
from simulator import AccountSeed, ContactSeed, Simulator, SimulatorOptions
from simulator import requests as req
from tests.integration.browser_support import (
    OPTIONS,
    Facts,
    browsing,
    renderer_of,
    simulated,
    until,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from actors.browser.whatsapp import WhatsAppBrowser

pytestmark = pytest.mark.integration

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


def truth(simulator: Simulator, *kinds: str) -> list[dict[str, Any]]:
    return simulator.truth.read(after=0, kinds=list(kinds), number="", limit=10_000)


async def refused(call: Any) -> str:
    with pytest.raises(PageRefused) as caught:
        await call
    return caught.value.reason


async def test_from_the_qr_code_to_the_logout(tmp_path: Path) -> None:
    facts = Facts()
    async with simulating() as simulator:
        options = simulated(simulator)
        async with browsing(tmp_path, options, facts=facts) as browser:
            await browser.open()
            loaded = await facts.next(PageLoaded)
            assert (loaded.missing, loaded.critical) == ((), ())
            assert loaded.whatsapp_version == simulator.options.wa_version
            assert loaded.wajs_version == "4.6.0"
            state = await facts.next(SocketChanged)
            assert (state.socket, state.mode, state.registered) == ("UNPAIRED", "QR", False)

            code = (await facts.next(QrIssued)).text
            assert len(code.split(",")) >= 4
            simulator.desk.scan(ME, code)
            state = await facts.next(SocketChanged, connected)
            assert state.me == f"{ME}@c.us"

            sent = await browser.send_text(chat=f"{BOB}@c.us", wa_id=wa_id(1), body="hello ✓")
            assert sent == SendResult(wa_id=wa_id(1), ack=sent.ack)
            assert sent.ack >= 1
            answer = await facts.next(MessageReceived)
            assert (answer.chat, answer.sender) == (f"{BOB}@c.us", f"{BOB}@c.us")
            assert (answer.kind, answer.body) == ("chat", "hello ✓")
            assert abs(answer.sent_ms / 1000 - time.time()) < 60
            await until(lambda: any(a.ack == 3 for a in facts.of(AckChanged)))
            assert [a.ack for a in facts.of(AckChanged)] == [1, 2, 3]
            assert await browser.lookup_ack(chat=f"{BOB}@c.us", wa_id=wa_id(1)) == 3
            assert await browser.lookup_ack(chat=f"{BOB}@c.us", wa_id=wa_id(2)) is None
            assert not (await browser.stop(10)).forced

        restarted = Facts()
        async with browsing(tmp_path, options, facts=restarted) as browser:
            await browser.open()
            await restarted.next(PageLoaded)
            state = await restarted.next(SocketChanged, connected)
            assert state.me == f"{ME}@c.us"
            assert restarted.of(QrIssued) == []
            assert await browser.lookup_ack(chat=f"{BOB}@c.us", wa_id=wa_id(1)) == 3

            await browser.logout()
            await restarted.next(LoggedOut)
            await restarted.next(QrIssued)
            assert len(restarted.of(LoggedOut)) == 1
            assert simulator.desk.account(ME)["devices"] == []
    messages = truth(simulator, "message_received_from_client")
    assert [event["id"] for event in messages] == [wa_id(1)]
    assert len(facts.of(BrowserExited)) == 1


async def test_what_can_not_be_sent_is_refused_and_not_handed_over(tmp_path: Path) -> None:
    facts = Facts()
    async with simulating() as simulator:
        options = simulated(simulator)
        async with browsing(tmp_path, options, facts=facts) as browser:
            send = browser.send_text
            bob = f"{BOB}@c.us"
            assert await refused(send(chat=bob, wa_id=wa_id(1), body="x")) == "not_connected"
            await browser.open()
            assert await refused(send(chat=bob, wa_id=wa_id(1), body="x")) == "not_connected"
            code = (await facts.next(QrIssued)).text
            assert await refused(send(chat=bob, wa_id=wa_id(1), body="x")) == "not_connected"
            simulator.desk.scan(ME, code)
            await facts.next(SocketChanged, connected)
            unknown = send(chat=f"{UNKNOWN}@c.us", wa_id=wa_id(1), body="x")
            assert await refused(unknown) == "not_on_whatsapp"
            for jid in ("", "bob", "1@c.us", "status@broadcast", f"{BOB}@s.whatsapp.net", "x@g.us"):
                reason = await refused(send(chat=jid, wa_id=wa_id(1), body="x"))
                assert reason == "invalid_jid", jid
        assert truth(simulator, "message_received_from_client") == []


async def test_the_same_id_is_handed_over_once(tmp_path: Path) -> None:
    facts = Facts()
    async with simulating() as simulator:
        async with linked(tmp_path, simulator, facts) as browser:
            for _ in range(3):
                sent = await browser.send_text(chat=f"{BOB}@c.us", wa_id=wa_id(7), body="once")
                assert sent.ack >= 1
        assert len(truth(simulator, "message_received_from_client")) == 1


async def test_a_note_to_self_a_group_and_a_contact_known_by_lid(tmp_path: Path) -> None:
    facts = Facts()
    async with simulating() as simulator:
        group = simulator.desk.add_group(req.NewGroup(name="Team", participants=[ME, BOB, CAROL]))
        async with linked(tmp_path, simulator, facts) as browser:
            for number, chat in enumerate((f"{ME}@c.us", group["jid"], f"{CAROL}@c.us")):
                sent = await browser.send_text(chat=chat, wa_id=wa_id(number), body="hi")
                assert sent.ack >= 1, chat
                ack = await browser.lookup_ack(chat=chat, wa_id=wa_id(number))
                assert ack is not None, chat
                assert ack >= 1, chat
            simulator.desk.contact_sends(CAROL, req.ContactSends(to=ME, text="from a lid"))
            got = await facts.next(MessageReceived, lambda m: m.body == "from a lid")
            assert got.sender == got.chat == f"{CAROL}@c.us"
            sends = req.GroupSends(sender=BOB, text="in the group")
            simulator.desk.group_sends(group["id"], sends)
            got = await facts.next(MessageReceived, lambda m: m.body == "in the group")
            assert (got.chat, got.sender) == (group["jid"], f"{BOB}@c.us")
        ids = [e["id"] for e in truth(simulator, "message_received_from_client")]
        assert ids == [wa_id(0), wa_id(1), wa_id(2)]


async def test_messages_that_came_while_we_were_away_are_not_lost(tmp_path: Path) -> None:
    facts = Facts()
    async with simulating() as simulator:
        async with linked(tmp_path, simulator, facts):
            pass
        texts = [f"while away {number}" for number in range(3)]
        for text in texts:
            simulator.desk.contact_sends(BOB, req.ContactSends(to=ME, text=text))
        later = Facts()
        async with linked(tmp_path, simulator, later):
            await until(lambda: len(later.of(MessageReceived)) >= len(texts))
            assert [message.body for message in later.of(MessageReceived)] == texts


async def test_qr_codes_change_run_out_and_can_be_asked_for(tmp_path: Path) -> None:
    facts = Facts()
    async with (
        simulating(qr_first_ttl=3.0, qr_ttl=0.5, qr_codes=2) as simulator,
        browsing(tmp_path, simulated(simulator), facts=facts) as browser,
    ):
        await browser.open()
        first = await facts.next(QrIssued)
        second = await facts.next(QrIssued)
        await facts.next(SocketChanged, lambda s: s.socket == "UNPAIRED_IDLE")
        await browser.refresh_qr()
        third = await facts.next(QrIssued)
        assert len({first.text, second.text, third.text}) == 3
        simulator.desk.scan(ME, third.text)
        await facts.next(SocketChanged, connected)


async def test_a_logout_on_the_phone_is_told_once(tmp_path: Path) -> None:
    facts = Facts()
    async with simulating() as simulator, linked(tmp_path, simulator, facts):
        simulator.desk.log_out(ME, req.PhoneLogout())
        await facts.next(LoggedOut)
        await facts.next(QrIssued)
        assert len(facts.of(LoggedOut)) == 1


async def test_a_logout_without_a_login_is_answered(tmp_path: Path) -> None:
    facts = Facts()
    async with simulating() as simulator:
        options = simulated(simulator, deadlines=Deadlines(call=1))
        async with browsing(tmp_path, options, facts=facts) as browser:
            assert await refused(browser.logout()) == "not_connected"


def a_ban(simulator: Simulator) -> None:
    simulator.desk.set_fault("ban", ME, {})


def a_conflict(simulator: Simulator) -> None:
    simulator.desk.set_fault("conflict", ME, {})


def a_new_version(simulator: Simulator) -> None:
    simulator.desk.set_fault("needs_update", ME, {})


@pytest.mark.parametrize(("happens", "state"), [(a_ban, "TOS_BLOCK"), (a_conflict, "CONFLICT")])
async def test_the_socket_tells_what_whatsapp_did(
    tmp_path: Path, happens: Callable[[Simulator], None], state: str
) -> None:
    facts = Facts()
    async with simulating() as simulator, linked(tmp_path, simulator, facts) as browser:
        happens(simulator)
        await facts.next(SocketChanged, lambda s: s.socket == state)
        reason = await refused(browser.send_text(chat=f"{BOB}@c.us", wa_id=wa_id(1), body="x"))
        assert reason == "not_connected"


async def test_an_update_that_whatsapp_wants_is_told(tmp_path: Path) -> None:
    facts = Facts()
    async with simulating() as simulator, linked(tmp_path, simulator, facts):
        a_new_version(simulator)
        await facts.next(UpdateRequired)


async def test_a_lost_connection_is_told_and_so_is_its_return(tmp_path: Path) -> None:
    facts = Facts()
    async with simulating() as simulator, linked(tmp_path, simulator, facts):
        block = simulator.desk.set_fault("refuse_connections", None, {})
        simulator.desk.set_fault("disconnect", ME, {})
        await facts.next(SocketChanged, lambda s: s.socket != "CONNECTED")
        simulator.desk.clear_faults(block["id"])
        await facts.next(SocketChanged, connected)


async def test_a_send_into_silence_times_out_with_an_unknown_fate(tmp_path: Path) -> None:
    facts = Facts()
    deadlines = Deadlines(send=1)
    async with (
        simulating() as simulator,
        linked(tmp_path, simulator, facts, deadlines=deadlines) as browser,
    ):
        simulator.desk.set_fault("silent_socket", ME, {})
        with pytest.raises(CallTimedOut):
            await browser.send_text(chat=f"{ME}@c.us", wa_id=wa_id(1), body="x")
        assert (await browser.lookup_ack(chat=f"{ME}@c.us", wa_id=wa_id(1)) or 0) == 0


async def test_a_message_that_the_server_refuses_is_no_success(tmp_path: Path) -> None:
    facts = Facts()
    async with simulating() as simulator, linked(tmp_path, simulator, facts) as browser:
        simulator.desk.set_fault("reject_sends", ME, {})
        reason = await refused(browser.send_text(chat=f"{BOB}@c.us", wa_id=wa_id(1), body="x"))
        assert reason in {"send_refused", "send_unconfirmed"}


async def test_a_crashed_page_comes_back_with_its_login(tmp_path: Path) -> None:
    facts = Facts()
    async with simulating() as simulator, linked(tmp_path, simulator, facts) as browser:
        os.kill(renderer_of(browser.pid), signal.SIGKILL)
        await facts.next(PageCrashed)
        await browser.open()
        await facts.next(PageLoaded)
        await facts.next(SocketChanged, connected)
        sent = await browser.send_text(chat=f"{BOB}@c.us", wa_id=wa_id(1), body="back")
        assert sent.ack >= 1


async def test_a_reload_runs_one_adapter(tmp_path: Path) -> None:
    facts = Facts()
    async with simulating() as simulator, linked(tmp_path, simulator, facts) as browser:
        for _ in range(2):
            await browser.open()
            await facts.next(SocketChanged, connected)
        simulator.desk.contact_sends(BOB, req.ContactSends(to=ME, text="once"))
        await facts.next(MessageReceived)
        await browser.send_text(chat=f"{ME}@c.us", wa_id=wa_id(1), body="flush")
        assert len(facts.of(MessageReceived)) == 1


async def test_a_hanging_page_times_out_and_can_be_stopped(tmp_path: Path) -> None:
    facts = Facts()
    deadlines = Deadlines(call=1)
    async with (
        simulating() as simulator,
        linked(tmp_path, simulator, facts, deadlines=deadlines) as browser,
    ):
        simulator.desk.set_fault("page_hang", ME, {})
        begun = time.monotonic()
        while True:  # the page may answer once more before it hears of its hang
            try:
                await browser.lookup_ack(chat=f"{BOB}@c.us", wa_id=wa_id(1))
            except CallTimedOut:
                break
            assert time.monotonic() - begun < 10
        assert (await browser.stop(5)).survivors == ()


async def test_a_page_that_comes_too_late_is_a_timeout(tmp_path: Path) -> None:
    async with simulating() as simulator:
        simulator.desk.set_fault("slow_page", None, {"ms": 60_000})
        options = simulated(simulator, deadlines=Deadlines(open=1))
        async with browsing(tmp_path, options, facts=Facts()) as browser:
            begun = time.monotonic()
            with pytest.raises(CallTimedOut):
                await browser.open()
            assert time.monotonic() - begun < 3
            simulator.desk.clear_faults(None)


async def test_a_host_that_is_not_there_and_a_wrong_certificate(tmp_path: Path) -> None:
    async with simulating() as simulator:
        options = simulated(simulator)
        for wrong in (
            replace(options, host_resolver_rules="MAP * ~NOTFOUND"),
            replace(options, trusted_spki=None),
        ):
            async with browsing(tmp_path, wrong, facts=Facts()) as browser:
                with pytest.raises(PageGone, match="net::ERR_"):
                    await browser.open()


async def test_a_page_that_is_not_whatsapp_is_noticed(tmp_path: Path) -> None:
    """A captive portal: wa-js itself says nothing, for ever."""
    facts = Facts()
    options = replace(OPTIONS, deadlines=Deadlines(inject=0.2))
    async with browsing(tmp_path, options, facts=facts) as browser:
        await browser.open()
        loaded = await facts.next(PageLoaded, within=5)
        assert loaded.critical[0] == "loader"
        assert facts.of(SocketChanged) == []


async def test_nothing_says_headless_and_nobody_but_whatsapp_is_asked(tmp_path: Path) -> None:
    """By itself wa-js reports to Google Analytics and sends links to its authors' servers."""
    facts = Facts()
    asked: list[str] = []
    headers: list[str] = []
    look = """(async () => JSON.stringify([
      navigator.userAgent, navigator.appVersion, navigator.userAgentData,
      await navigator.userAgentData.getHighEntropyValues(
        ['fullVersionList', 'platformVersion', 'architecture', 'model', 'bitness'])]))()"""
    async with (
        simulating() as simulator,
        browsing(tmp_path, simulated(simulator), facts=facts) as browser,
    ):
        page = browser._page
        assert page is not None
        page.on("Network.requestWillBeSent", lambda p: asked.append(p["request"]["url"]))
        page.on("Network.requestWillBeSentExtraInfo", lambda p: headers.append(str(p["headers"])))
        await page.call("Network.enable", {}, 5)
        await page.call("Page.setBypassCSP", {"enabled": True}, 5)  # which would hide what is tried
        await browser.open()
        simulator.desk.scan(ME, (await facts.next(QrIssued)).text)
        await facts.next(SocketChanged, connected)
        body = "look at https://example.com/secret?token=1"
        await browser.send_text(chat=f"{BOB}@c.us", wa_id=wa_id(1), body=body)
        await facts.next(MessageReceived)
        seen = await page.evaluate(look, 5)
        # wa-js reports a second after the last event; timers of one page fire in their order.
        await page.evaluate("new Promise((resolve) => setTimeout(resolve, 1100))", 5)
        # A service worker would have client hints of its own, out of our reach.
        register = "navigator.serviceWorker.register('/').then(() => 'yes', (e) => e.name)"
        assert await page.evaluate(register, 5) == "SecurityError"
    assert "Google Chrome" in seen
    assert "Headless" not in seen
    assert any("Google Chrome" in each for each in headers)  # sec-ch-ua
    assert not any("Headless" in each for each in headers)
    assert asked
    assert [url for url in asked if not url.startswith("https://web.whatsapp.com/")] == []


MISSING_MODULES = [
    # what WhatsApp moved, the binding that is named, and whether the state can still be told
    ("WAWebSocketModel", "Socket.state", False),
    ("WAWebStreamModel", "Stream", False),
    ("WAWebConnModel", "Conn", False),
    ("WAWebCmd", "Cmd.on", False),
    ("WAWebUserPrefsMeUser", "UserPrefs", False),
    ("WAWebIsRegistered", "functions.isRegistered", False),
    ("WAWebBuildConstants", "loader.ready", False),  # wa-js never says that it is ready
    ("WAWebSendMsgChatAction", "functions.addAndSendMsgToChat", True),
    ("WAWebMsgCollection", "MsgStore.on", True),
    ("WAWebWidFactory", "WidFactory", True),
    ("WAWebHandleChatReceipt", "functions.handleChatSimpleReceipt", True),
    ("WAWebMsgSearchContext", "functions.getSearchContext", True),
]


async def test_no_missing_binding_goes_unnoticed(tmp_path: Path) -> None:
    """wa-js itself stays silent about each of these."""
    facts = Facts()
    deadlines = Deadlines(inject=2, ready=1)
    async with (
        simulating() as simulator,
        linked(tmp_path, simulator, facts, deadlines=deadlines) as browser,
    ):
        for number, (module, name, told) in enumerate(MISSING_MODULES):
            simulator.desk.clear_faults(None)
            simulator.desk.set_fault("missing_module", None, {"name": module})
            await browser.open()
            loaded = await facts.next(PageLoaded, lambda fact: bool(fact.missing))
            assert name in loaded.missing, module
            if told:  # only then is it said to be able to send
                await facts.next(SocketChanged, connected)
            assert (name not in loaded.critical) == told, module
            call = browser.send_text(chat=f"{BOB}@c.us", wa_id=wa_id(number), body="x")
            if not told:
                assert await refused(call) == "not_connected", module
            elif "Receipt" in module or "Search" in module:
                assert (await call).ack >= 1, module
            else:
                assert await refused(call) == "binding_missing", module
