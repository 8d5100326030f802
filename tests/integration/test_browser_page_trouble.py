"""The WhatsApp page in trouble: crashed, hung, late, foreign, or with parts missing."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from actors.browser.driver import (
    CallTimedOut,
    MessageReceived,
    PageCrashed,
    PageLoaded,
    PageUnreachable,
    QrIssued,
    SocketChanged,
)
from actors.browser.launch_args import Deadlines
from simulator import requests as req
from tests.integration.browser_support import (
    OPTIONS,
    Facts,
    browsing,
    renderer_of,
    simulated,
)
from tests.integration.whatsapp_support import (
    BOB,
    ME,
    connected,
    linked,
    outgoing,
    refused,
    simulating,
    wa_id,
)

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.integration


async def test_a_crashed_page_comes_back_with_its_login(tmp_path: Path) -> None:
    facts = Facts()
    async with simulating() as simulator, linked(tmp_path, simulator, facts) as browser:
        os.kill(renderer_of(browser.pid), signal.SIGKILL)
        await facts.next(PageCrashed)
        await browser.open()
        await facts.next(PageLoaded)
        await facts.next(SocketChanged, connected)
        sent = await browser.send(outgoing(f"{BOB}@c.us", wa_id(1), "back"))
        assert sent.ack >= 1


async def test_a_reload_runs_one_adapter(tmp_path: Path) -> None:
    facts = Facts()
    async with simulating() as simulator, linked(tmp_path, simulator, facts) as browser:
        for _ in range(2):
            await browser.open()
            await facts.next(SocketChanged, connected)
        simulator.desk.contact_sends(BOB, req.ContactSends(to=ME, text="once"))
        await facts.next(MessageReceived)
        await browser.send(outgoing(f"{ME}@c.us", wa_id(1), "flush"))
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
                with pytest.raises(PageUnreachable, match="net::ERR_"):
                    await browser.open()


async def test_a_page_that_is_not_whatsapp_is_noticed(tmp_path: Path) -> None:
    """A captive portal: wa-js itself says nothing, for ever."""
    facts = Facts()
    options = replace(OPTIONS, deadlines=Deadlines(inject=0.2))
    async with browsing(tmp_path, options, facts=facts) as browser:
        await browser.open()
        loaded = await facts.next(PageLoaded)
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
        await browser.send(outgoing(f"{BOB}@c.us", wa_id(1), body))
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


EVERYWHERE = """(async () => {
  const look = `(async () => JSON.stringify([
    navigator.userAgent, navigator.appVersion, navigator.userAgentData,
    await navigator.userAgentData.getHighEntropyValues(
      ['architecture', 'bitness', 'formFactors', 'fullVersionList', 'model', 'platformVersion',
       'uaFullVersion', 'wow64'])]))()`;
  const frame = document.body.appendChild(document.createElement('iframe'));
  const source = new Blob([`${look}.then((seen) => postMessage(seen))`]);
  const worker = new Worker(URL.createObjectURL(source));
  return JSON.stringify({
    page: await eval(look),
    frame: await frame.contentWindow.eval(look),
    worker: await new Promise((seen) => { worker.onmessage = ({ data }) => seen(data); }),
    webdriver: [navigator.webdriver, frame.contentWindow.navigator.webdriver],
  });
})()"""


async def test_no_place_where_a_page_can_look_says_headless_or_webdriver(tmp_path: Path) -> None:
    """The page, a frame and a worker: each has a navigator of its own."""
    async with (
        simulating() as simulator,
        browsing(tmp_path, simulated(simulator), facts=Facts()) as browser,
    ):
        page = browser._page
        assert page is not None
        await page.call("Page.setBypassCSP", {"enabled": True}, 5)  # which would hide what is tried
        await browser.open()
        seen = json.loads(await page.evaluate(EVERYWHERE, 10))
    for place in ("page", "frame", "worker"):
        assert "Google Chrome" in seen[place], place
        assert "headless" not in seen[place].lower(), place
    assert seen["webdriver"] == [False, False]


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
            call = browser.send(outgoing(f"{BOB}@c.us", wa_id(number), "x"))
            if not told:
                assert await refused(call) == "not_connected", module
            elif "Receipt" in module or "Search" in module:
                assert (await call).ack >= 1, module
            else:
                assert await refused(call) == "binding_missing", module
