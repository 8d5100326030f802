"""Messages, acks, receipts, queues and faults, over real sockets."""

from __future__ import annotations

import json
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from simulator import AccountSeed, ContactSeed, Simulator, SimulatorOptions
from simulator import requests as req
from simulator.client import WireClient
from simulator.errors import InvalidRequestError
from simulator.jid import lid_jid, pn_jid
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.integration

ALICE, BETA, ANN, BOB = "15550100001", "15550100002", "15550100100", "15550100101"
OPTIONS = SimulatorOptions(
    accounts=(AccountSeed(number=ALICE), AccountSeed(number=BETA)),
    contacts=(ContactSeed(number=ANN), ContactSeed(number=BOB, reply="echo", addressing="lid")),
    offline_delay=0.01,
    ack_delay=0.0,
    delivered_delay=0.01,
    read_delay=0.02,
    reply_delay=0.01,
)


@asynccontextmanager
async def running(**options: Any) -> AsyncIterator[Simulator]:
    simulator = Simulator(replace(OPTIONS, **options))
    await simulator.start()
    try:
        yield simulator
    finally:
        await simulator.stop()


async def link(simulator: Simulator, client: WireClient, number: str = ALICE) -> tuple[str, str]:
    """Link and wait until the queue is open."""
    simulator.desk.scan(number, await client.show_code())
    device, secret, _ = await client.log_in_paired()
    await client.take(op="offline_done")
    return device, secret


async def acks_of(client: WireClient, message_id: str, count: int) -> list[tuple[str, int]]:
    """Take that many acks and receipts of a message, in the order of arrival."""
    found = []
    for _ in range(count):
        frame = await client.take(id=message_id)
        found.append((frame["op"], frame["ack"]))
    return found


def kinds(simulator: Simulator, *wanted: str) -> list[str]:
    return [e["kind"] for e in simulator.truth.read(kinds=wanted)]


async def test_a_message_is_acked_delivered_and_read() -> None:
    async with running() as simulator, WireClient(simulator.page_port) as client:
        await link(simulator, client)
        await client.send_text(pn_jid(ANN), "hello", "M1")
        assert await acks_of(client, "M1", 3) == [("ack", 1), ("receipt", 2), ("receipt", 3)]
        (shown,) = simulator.desk.shown(ANN)
        assert (shown["id"], shown["body"], shown["from"]) == ("M1", "hello", ALICE)
        entry = simulator.truth.read(kinds=["message_received_from_client"])[0]
        assert (entry["id"], entry["text"], entry["duplicate"]) == ("M1", "hello", False)


async def test_the_same_id_again_is_acked_but_shown_once() -> None:
    async with running() as simulator, WireClient(simulator.page_port) as client:
        await link(simulator, client)
        for _ in range(3):
            await client.send_text(pn_jid(ANN), "once", "M1")
            await client.take(op="ack", id="M1")
        assert len(simulator.desk.shown(ANN)) == 1
        assert kinds(simulator, "message_received_from_client", "duplicate_suppressed") == [
            "message_received_from_client",
            *["message_received_from_client", "duplicate_suppressed"] * 2,
        ]


@pytest.mark.parametrize(
    ("receipts", "expected"), [("none", []), ("delivered", [2]), ("read", [2, 3])]
)
async def test_contacts_give_the_receipts_they_are_told(receipts: Any, expected: list[int]) -> None:
    async with running() as simulator, WireClient(simulator.page_port) as client:
        simulator.desk.add_contact(req.NewContact(number="15550100109", receipts=receipts))
        await link(simulator, client)
        await client.send_text("15550100109@c.us", "x", "M1")
        assert (await client.take(op="ack"))["ack"] == 1
        # the receipts of a later note to self come after all that the contact would give
        await client.send_text(pn_jid(ALICE), "x", "M2")
        await acks_of(client, "M2", 3)
        assert [f["ack"] for f in client.frames if f.get("id") == "M1"] == expected


async def test_a_contact_behind_a_lid_echoes() -> None:
    async with running() as simulator, WireClient(simulator.page_port) as client:
        await link(simulator, client)
        found = await client.ask("exists", wid=pn_jid(BOB))
        assert (found["exists"], found["chat"], found["lid"]) == (True, lid_jid(BOB), lid_jid(BOB))
        await client.send_text(lid_jid(BOB), "ping", "M1")
        frame = await client.take(op="message")
        assert (frame["msg"]["chat"], frame["msg"]["body"]) == (lid_jid(BOB), "ping")
        assert not frame["msg"]["from_me"]


async def test_nobody_has_an_unknown_number() -> None:
    async with running() as simulator, WireClient(simulator.page_port) as client:
        await link(simulator, client)
        assert not (await client.ask("exists", wid="15550109999@c.us"))["exists"]
        await client.send_text("15550109999@c.us", "x", "M1")
        assert (await client.take(op="nack"))["error"] == "ERROR_UNKNOWN"


async def test_two_accounts_write_to_each_other() -> None:
    async with (
        running() as simulator,
        WireClient(simulator.page_port) as alice,
        WireClient(simulator.page_port) as beta,
    ):
        await link(simulator, alice)
        await link(simulator, beta, BETA)
        await alice.send_text(pn_jid(BETA), "hi", "M1")
        assert await acks_of(alice, "M1", 2) == [("ack", 1), ("receipt", 2)]
        frame = await beta.take(op="message")
        assert (frame["msg"]["id"], frame["msg"]["chat"]) == ("M1", pn_jid(ALICE))
        await beta.push("seen", chat=pn_jid(ALICE))
        assert await acks_of(alice, "M1", 1) == [("receipt", 3)]


async def test_a_group_counts_who_is_still_waiting() -> None:
    async with running() as simulator, WireClient(simulator.page_port) as client:
        group = simulator.desk.add_group(req.NewGroup(name="Team", participants=[ALICE, BETA, ANN]))
        await link(simulator, client)
        await client.send_text(group["jid"], "all", "M1")
        receipts = []
        for _ in range(3):
            frame = await client.take(op="receipt", id="M1")
            receipts.append((frame["ack"], frame["participant"], frame["remaining"]))
        assert sorted(r[0] for r in receipts) == [2, 2, 3]
        assert {r[2] for r in receipts if r[0] == 2} == {1, 0}
        assert (3, lid_jid(ANN), 1) in receipts
        (message,) = simulator.desk.account(ALICE)["messages"]
        assert message["ack"] == 2
        simulator.desk.group_sends(group["id"], req.GroupSends(sender=ANN, text="yes"))
        frame = await client.take(op="message")
        assert (frame["msg"]["chat"], frame["msg"]["author"]) == (group["jid"], lid_jid(ANN))


async def test_what_the_phone_sends_reaches_the_devices_as_own() -> None:
    async with running() as simulator, WireClient(simulator.page_port) as client:
        await link(simulator, client)
        sent = simulator.desk.phone_sends(ALICE, req.PhoneSends(to=ANN, text="by hand"))
        frame = await client.take(op="message")
        assert (frame["msg"]["id"], frame["msg"]["from_me"]) == (sent, True)
        assert [m["id"] for m in simulator.desk.shown(ANN)] == [sent]


async def test_messages_wait_for_a_device_that_is_away_until_it_confirms() -> None:
    async with running() as simulator:
        async with WireClient(simulator.page_port) as client:
            device, secret = await link(simulator, client)
        await eventually_async(lambda: _disconnected(simulator))
        body = req.ContactSends(to=ALICE, text="later")
        sent = simulator.desk.contact_sends(ANN, body)
        for _ in range(2):  # unconfirmed, it comes again
            async with WireClient(simulator.page_port) as client:
                frame = await client.log_in(device, secret)
                assert frame["offline"] == 1
                assert (await client.take(op="message"))["msg"]["id"] == sent
                assert (await client.take(op="offline_done"))["count"] == 1
        async with WireClient(simulator.page_port) as client:
            await client.log_in(device, secret)
            stanza = (await client.take(op="message"))["stanza"]
            await client.push("confirm", stanzas=[stanza])
            await client.push("ping", n=1)
            await client.take(op="pong")
        async with WireClient(simulator.page_port) as client:
            frame = await client.log_in(device, secret)
            assert frame["offline"] == 0
            (chat,) = frame["chats"]
            assert ([m["id"] for m in chat["msgs"]], chat["unread"]) == ([sent], 1)
        assert kinds(simulator, "inbound_queued", "inbound_delivered") == [
            "inbound_queued",
            "inbound_delivered",
        ]


async def _disconnected(simulator: Simulator) -> bool:
    return not simulator.desk.account(ALICE)["connected"]


async def test_dropped_acks_hide_a_message_that_did_go_out() -> None:
    async with running() as simulator, WireClient(simulator.page_port) as client:
        await link(simulator, client)
        fault = simulator.desk.set_fault("drop_acks", ALICE, {})
        await client.send_text(pn_jid(ANN), "x", "M1")
        await eventually_async(lambda: _logged(simulator, "ack_dropped", 3))
        assert len(simulator.desk.shown(ANN)) == 1
        simulator.desk.clear_faults(fault["id"])
        await client.send_text(pn_jid(ANN), "y", "M2")
        assert await acks_of(client, "M2", 3) == [("ack", 1), ("receipt", 2), ("receipt", 3)]
        assert not [f for f in client.frames if f.get("id") == "M1"]


async def _logged(simulator: Simulator, kind: str, count: int) -> bool:
    return len(kinds(simulator, kind)) >= count


async def test_a_silent_socket_swallows_both_ways_until_it_is_mended() -> None:
    async with running() as simulator, WireClient(simulator.page_port) as client:
        device, secret = await link(simulator, client)
        fault = simulator.desk.set_fault("silent_socket", ALICE, {})
        await client.send_text(pn_jid(ANN), "x", "M1")
        simulator.desk.contact_sends(ANN, req.ContactSends(to=ALICE, text="in"))
        with pytest.raises(TimeoutError):
            await client.take(deadline=0.1, op="ack")
        assert simulator.desk.shown(ANN) == []
        assert client.frames == []
        assert not client.closed
        swallowed = simulator.truth.read(kinds=["frame_swallowed"])
        assert {e["direction"] for e in swallowed} == {"in", "out"}
        async with WireClient(simulator.page_port) as fresh:  # a new connection is not affected
            await fresh.log_in(device, secret)
            assert (await fresh.take(op="message"))["msg"]["body"] == "in"
        simulator.desk.clear_faults(fault["id"])
        await client.log_in(device, secret)
        simulator.desk.set_fault("silent_socket", None, {"new_connections": True})
        async with WireClient(simulator.page_port) as fresh:
            await fresh.push("ping", n=1)
            with pytest.raises(TimeoutError):
                await fresh.take(deadline=0.1, op="pong")


async def test_latency_delays_each_way() -> None:
    async with running() as simulator, WireClient(simulator.page_port) as client:
        await link(simulator, client)
        simulator.desk.set_fault("latency", ALICE, {"ms": 60})
        started = time.monotonic()
        for n in range(5):
            await client.push("ping", n=n)
        assert [(await client.take(op="pong"))["n"] for _ in range(5)] == list(range(5))
        assert 0.12 <= time.monotonic() - started < 0.5


async def test_media_from_a_contact_can_be_fetched() -> None:
    async with running() as simulator, WireClient(simulator.page_port) as client:
        await link(simulator, client)
        body = req.ContactSends(to=ALICE, type="image", media="aGk=", mimetype="image/png")
        simulator.desk.contact_sends(ANN, body)
        message = (await client.take(op="message"))["msg"]
        data = message["mediaData"]
        assert (message["type"], data["mimetype"], data["size"]) == ("image", "image/png", 2)
        assert (await client.ask("media_get", filehash=data["filehash"]))["data"] == "aGk="
        assert (await client.ask("media_get", filehash="other"))["error"] == "media_unknown"
        await client.ask("media_put", filehash="mine", data="eA==")
        assert (await client.ask("media_get", filehash="mine"))["data"] == "eA=="
        with pytest.raises(InvalidRequestError):
            simulator.desk.contact_sends(ANN, replace(body, media="not base64"))


async def test_an_ack_for_a_client_that_is_gone_is_lost() -> None:
    async with running(ack_delay=0.2) as simulator:
        async with WireClient(simulator.page_port) as client:
            await link(simulator, client)
            await client.send_text(pn_jid(ANN), "x", "M1")
            await eventually_async(lambda: _logged(simulator, "contact_received", 1))
        await eventually_async(lambda: _logged(simulator, "ack_lost", 1))
        assert kinds(simulator, "ack_sent") == []


async def test_rejected_sends_say_why() -> None:
    async with running() as simulator, WireClient(simulator.page_port) as client:
        await link(simulator, client)
        simulator.desk.set_fault("reject_sends", ALICE, {"error": "ERROR_EXPIRED"})
        await client.send_text(pn_jid(ANN), "x", "M1")
        assert (await client.take(op="nack"))["error"] == "ERROR_EXPIRED"
        assert simulator.desk.shown(ANN) == []


@pytest.mark.parametrize(
    ("kind", "frame"),
    [
        ("logout", {"op": "logged_out", "reason": "unknown_companion"}),
        ("conflict", {"op": "conflict"}),
        ("ban", {"op": "blocked", "state": "TOS_BLOCK"}),
        ("deprecated_version", {"op": "blocked", "state": "DEPRECATED_VERSION"}),
        ("needs_update", {"op": "needs_update"}),
        ("page_hang", {"op": "hang", "duration_ms": 0}),
    ],
)
async def test_faults_strike_the_right_account_only(kind: str, frame: dict[str, Any]) -> None:
    async with (
        running() as simulator,
        WireClient(simulator.page_port) as alice,
        WireClient(simulator.page_port) as beta,
    ):
        await link(simulator, alice)
        await link(simulator, beta, BETA)
        simulator.desk.set_fault(kind, ALICE, {})
        await alice.take(**frame)
        await beta.push("ping", n=1)
        await beta.take(op="pong")
        assert not [f for f in beta.frames if f["op"] == frame["op"]]


async def test_a_ban_refuses_logins_until_it_is_lifted() -> None:
    async with running() as simulator, WireClient(simulator.page_port) as client:
        device, secret = await link(simulator, client)
        fault = simulator.desk.set_fault("ban", ALICE, {})
        await client.take(op="blocked")
        await client.push("login", device=device, secret=secret)
        await client.take(op="blocked")
        simulator.desk.clear_faults(fault["id"])
        await client.log_in(device, secret)


async def test_a_disconnect_closes_and_refusal_keeps_out() -> None:
    async with running() as simulator, WireClient(simulator.page_port) as client:
        await link(simulator, client)
        simulator.desk.set_fault("refuse_connections", None, {})
        simulator.desk.set_fault("disconnect", ALICE, {})
        with pytest.raises(ConnectionError):
            await client.take(op="nothing")
        with pytest.raises(Exception, match="503"):
            await WireClient(simulator.page_port).__aenter__()
        simulator.desk.clear_faults(None)
        async with WireClient(simulator.page_port) as fresh:
            await fresh.show_code()


async def test_state_and_identity_survive_a_restart(tmp_path: Path) -> None:
    state, log = tmp_path / "deep" / "state.json", tmp_path / "truth.jsonl"
    async with running(state_file=state, log_file=log) as simulator:
        spki = simulator.spki_hash
        async with WireClient(simulator.page_port) as client:
            device, secret = await link(simulator, client)
            await client.send_text(pn_jid(ANN), "before", "M1")
            await client.take(op="ack")
        await eventually_async(lambda: _disconnected(simulator))
        body = req.ContactSends(to=ALICE, text="queued")
        simulator.desk.contact_sends(ANN, body)
    files = {p.name: p.stat().st_mode & 0o777 for p in state.parent.iterdir()}
    assert files == {"state.json": 0o600, "state.json.key.pem": 0o600}
    async with running(state_file=state, log_file=log) as simulator:
        assert simulator.spki_hash == spki
        async with WireClient(simulator.page_port) as client:
            await client.log_in(device, secret)
            assert (await client.take(op="message"))["msg"]["body"] == "queued"
            await client.send_text(pn_jid(ANN), "again", "M1")
            await client.take(op="ack", id="M1")
        assert [m["body"] for m in simulator.desk.shown(ANN)] == ["before"]
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert [e["kind"] for e in lines].count("login") == 2


async def test_a_message_deleted_by_its_account_is_gone_for_it_alone() -> None:
    async with running() as simulator, WireClient(simulator.page_port) as client:
        await link(simulator, client)
        await client.send_text(pn_jid(ANN), "hello", "M1")
        await acks_of(client, "M1", 3)
        await client.push("delete", id="M1", chat=pn_jid(ANN))
        await client.push("delete", id="M2", chat=pn_jid(ANN))

        async def noted() -> bool:
            return len(kinds(simulator, "deleted_by_client")) == 2

        await eventually_async(noted)
        known = [e["known"] for e in simulator.truth.read(kinds=["deleted_by_client"])]
        assert known == [True, False]
        assert simulator.desk.account(ALICE)["messages"] == []
        assert [shown["id"] for shown in simulator.desk.shown(ANN)] == ["M1"]
