"""The driver on the simulated WhatsApp: real Chromium, real wa-js, every call and every fact."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from actors.browser.driver import (
    AckChanged,
    BrowserExited,
    CallTimedOut,
    LoggedOut,
    MessageReceived,
    PageLoaded,
    QrIssued,
    SendResult,
    SocketChanged,
    UpdateRequired,
)
from actors.browser.launch_args import Deadlines
from simulator import Simulator
from simulator import requests as req
from tests.integration.browser_support import (
    Facts,
    browsing,
    simulated,
    until,
)
from tests.integration.whatsapp_support import (
    BOB,
    CAROL,
    ME,
    UNKNOWN,
    connected,
    linked,
    outgoing,
    refused,
    simulating,
    truth,
    wa_id,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


pytestmark = pytest.mark.integration


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

            sent = await browser.send(outgoing(f"{BOB}@c.us", wa_id(1), "hello ✓"))
            assert sent == SendResult(wa_id=wa_id(1), ack=sent.ack)
            assert sent.ack >= 1
            answer = await facts.next(MessageReceived)
            assert (answer.chat, answer.sender) == (f"{BOB}@c.us", f"{BOB}@c.us")
            assert (answer.kind, answer.body) == ("text", "hello ✓")
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
            send = browser.send
            bob = f"{BOB}@c.us"
            assert await refused(send(outgoing(bob, wa_id(1), "x"))) == "not_connected"
            await browser.open()
            assert await refused(send(outgoing(bob, wa_id(1), "x"))) == "not_connected"
            code = (await facts.next(QrIssued)).text
            assert await refused(send(outgoing(bob, wa_id(1), "x"))) == "not_connected"
            simulator.desk.scan(ME, code)
            await facts.next(SocketChanged, connected)
            unknown = send(outgoing(f"{UNKNOWN}@c.us", wa_id(1), "x"))
            assert await refused(unknown) == "not_on_whatsapp"
            for jid in ("", "bob", "1@c.us", "status@broadcast", f"{BOB}@s.whatsapp.net", "x@g.us"):
                reason = await refused(send(outgoing(jid, wa_id(1), "x")))
                assert reason == "invalid_jid", jid
        assert truth(simulator, "message_received_from_client") == []


async def test_the_same_id_is_handed_over_once(tmp_path: Path) -> None:
    facts = Facts()
    async with simulating() as simulator:
        async with linked(tmp_path, simulator, facts) as browser:
            for _ in range(3):
                sent = await browser.send(outgoing(f"{BOB}@c.us", wa_id(7), "once"))
                assert sent.ack >= 1
        assert len(truth(simulator, "message_received_from_client")) == 1


async def test_what_another_browser_handed_over_is_not_sent_again(tmp_path: Path) -> None:
    """Its page has not loaded the message; only `again` makes it look further."""
    chat, text = f"{BOB}@c.us", "once"
    async with simulating() as simulator:
        async with linked(tmp_path, simulator, Facts()) as browser:
            await browser.send(outgoing(chat, wa_id(8), text))
        async with linked(tmp_path, simulator, Facts()) as browser:
            unload = f"WPP.whatsapp.MsgStore.remove('true_{chat}_{wa_id(8)}')"
            assert await browser._ready_page().evaluate(f"!!{unload}", 10)
            sent = await browser.send(outgoing(chat, wa_id(8), text), again=True)
            assert sent.ack >= 1
            sent = await browser.send(outgoing(chat, wa_id(9), text), again=True)
            assert sent.ack >= 1
        received = truth(simulator, "message_received_from_client")
        assert [event["id"] for event in received] == [wa_id(8), wa_id(9)]


async def test_a_note_to_self_a_group_and_a_contact_known_by_lid(tmp_path: Path) -> None:
    facts = Facts()
    async with simulating() as simulator:
        group = simulator.desk.add_group(req.NewGroup(name="Team", participants=[ME, BOB, CAROL]))
        async with linked(tmp_path, simulator, facts) as browser:
            for number, chat in enumerate((f"{ME}@c.us", group["jid"], f"{CAROL}@c.us")):
                sent = await browser.send(outgoing(chat, wa_id(number), "hi"))
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
        reason = await refused(browser.send(outgoing(f"{BOB}@c.us", wa_id(1), "x")))
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
            await browser.send(outgoing(f"{ME}@c.us", wa_id(1), "x"))
        assert (await browser.lookup_ack(chat=f"{ME}@c.us", wa_id=wa_id(1)) or 0) == 0


async def test_a_message_that_the_server_refuses_is_no_success(tmp_path: Path) -> None:
    facts = Facts()
    async with simulating() as simulator, linked(tmp_path, simulator, facts) as browser:
        simulator.desk.set_fault("reject_sends", ME, {})
        reason = await refused(browser.send(outgoing(f"{BOB}@c.us", wa_id(1), "x")))
        assert reason in {"send_refused", "send_unconfirmed"}
