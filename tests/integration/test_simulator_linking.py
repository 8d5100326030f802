"""Linking, logging in and out, over real sockets, by a client without a browser."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from simulator import AccountSeed, ContactSeed, Simulator, SimulatorOptions
from simulator import requests as req
from simulator.client import WireClient
from simulator.errors import SimulatorError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.integration

ALICE, BETA, ANN = "15550100001", "15550100002", "15550100100"
QUICK: dict[str, Any] = {
    "accounts": (AccountSeed(number=ALICE, name="Alice"), AccountSeed(number=BETA)),
    "contacts": (ContactSeed(number=ANN, name="Ann"),),
    "offline_delay": 0.01,
    "ack_delay": 0.0,
}


@asynccontextmanager
async def running(**options: Any) -> AsyncIterator[Simulator]:
    simulator = Simulator(SimulatorOptions(**{**QUICK, **options}))
    await simulator.start()
    try:
        yield simulator
    finally:
        await simulator.stop()


def refused(code: str) -> Any:
    """Expect a SimulatorError whose code this is."""
    return pytest.raises(SimulatorError, check=lambda error: error.code == code)


async def test_scan_links_and_the_device_logs_in_again_without_a_code() -> None:
    async with running() as simulator:
        async with WireClient(simulator.page_port) as client:
            simulator.desk.scan(ALICE, await client.show_code())
            device, secret, frame = await client.log_in_paired()
            assert (frame["wid"], frame["name"]) == (f"{ALICE}@c.us", "Alice")
            assert simulator.desk.account(ALICE)["connected"]
        async with WireClient(simulator.page_port) as client:
            assert (await client.log_in(device, secret))["device"] == device
        kinds = [e["kind"] for e in simulator.truth.read(kinds=["device_linked", "login"])]
        assert kinds == ["device_linked", "login", "login"]


async def test_a_lost_profile_and_a_wrong_secret_need_a_code() -> None:
    async with running() as simulator, WireClient(simulator.page_port) as client:
        await client.push("login", device=f"{ALICE}:1", secret="guess")
        frame = await client.take(op="login_failed")
        assert frame["reason"] == "unknown_companion"


async def test_codes_expire_and_the_page_goes_idle_until_refreshed() -> None:
    async with (
        running(qr_first_ttl=0.12, qr_ttl=0.05, qr_codes=3) as simulator,
        WireClient(simulator.page_port) as client,
    ):
        first = await client.show_code()
        shown = [first, *[client.code_text(await client.take(op="qr")) for _ in range(2)]]
        await client.take(op="qr_idle")
        assert len({text.split(",")[0] for text in shown}) == 3
        for text in shown:
            with refused("qr_expired"):
                simulator.desk.scan(ALICE, text)
        issued = simulator.truth.read(kinds=["qr_issued"])
        assert [e["ttl_ms"] for e in issued] == [120, 50, 50]
        await client.push("refresh_qr")
        simulator.desk.scan(ALICE, client.code_text(await client.take(op="qr")))
        await client.log_in_paired()


async def test_wrong_codes_are_refused_each_with_its_reason() -> None:
    async with running() as simulator:
        async with WireClient(simulator.page_port) as client:
            text = await client.show_code()
            with refused("qr_malformed"):
                simulator.desk.scan(ALICE, "hello")
            with refused("qr_unknown"):
                simulator.desk.scan(ALICE, "2@other,noise,identity,adv")
            with refused("qr_mismatch"):
                simulator.desk.scan(ALICE, text.replace("adv", "other"))
            with refused("account_unknown"):
                simulator.desk.scan(ANN, text)
            simulator.desk.scan(ALICE, text)
            with refused("qr_used"):
                simulator.desk.scan(BETA, text)
        async with WireClient(simulator.page_port) as client:
            text = await client.show_code()
        while len(simulator.truth.read(kinds=["ws_close"])) < 2:
            await simulator.truth.grown(after=simulator.truth.last_seq, timeout=5)
        with refused("qr_expired"):
            simulator.desk.scan(ALICE, text)


async def test_a_linking_code_is_typed_on_the_right_phone() -> None:
    async with running() as simulator, WireClient(simulator.page_port) as client:
        await client.show_code()
        assert (await client.ask("link_code", phone=ANN))["error"] == "account_unknown"
        code = (await client.ask("link_code", phone=ALICE))["code"]
        with refused("link_code_other_number"):
            simulator.desk.type_code(BETA, code)
        simulator.desk.type_code(ALICE, f"{code[:4]}-{code[4:]}".lower())
        _, _, frame = await client.log_in_paired()
        assert frame["wid"] == f"{ALICE}@c.us"


async def test_the_phone_scans_by_itself_once() -> None:
    async with running() as simulator:
        simulator.desk.auto_scan(BETA, req.SetAutoScan(delay_ms=10))
        async with WireClient(simulator.page_port) as client:
            await client.show_code()
            _, _, frame = await client.log_in_paired()
            assert frame["wid"] == f"{BETA}@c.us"
        assert not simulator.desk.account(BETA)["auto_scan"]


async def test_with_auto_scan_every_page_finds_a_phone_of_its_own() -> None:
    async with (
        running(auto_scan=True, auto_scan_delay=0.02) as simulator,
        WireClient(simulator.page_port) as one,
        WireClient(simulator.page_port) as other,
    ):
        await one.show_code()
        await other.show_code()
        wids = {(await c.log_in_paired())[2]["wid"] for c in (one, other)}
        assert wids == {f"{ALICE}@c.us", f"{BETA}@c.us"}


async def test_the_device_limit() -> None:
    async with running(max_devices=1) as simulator, WireClient(simulator.page_port) as client:
        simulator.desk.scan(ALICE, await client.show_code())
        await client.log_in_paired()
        async with WireClient(simulator.page_port) as other:
            with refused("device_limit"):
                simulator.desk.scan(ALICE, await other.show_code())


async def test_logout_by_the_client() -> None:
    async with running() as simulator, WireClient(simulator.page_port) as client:
        simulator.desk.scan(ALICE, await client.show_code())
        device, secret, _ = await client.log_in_paired()
        await client.push("logout")
        assert (await client.take(op="logged_out"))["reason"] == "user_initiated"
        assert simulator.desk.account(ALICE)["devices"] == []
        await client.push("login", device=device, secret=secret)
        await client.take(op="login_failed")
        (entry,) = simulator.truth.read(kinds=["logout"])
        assert (entry["by"], entry["device"]) == ("client", device)


async def test_logout_by_the_phone_even_while_the_client_is_away() -> None:
    async with running() as simulator:
        async with WireClient(simulator.page_port) as client:
            simulator.desk.scan(ALICE, await client.show_code())
            device, secret, _ = await client.log_in_paired()
        with refused("device_unknown"):
            simulator.desk.log_out(ALICE, req.PhoneLogout(device_id="x"))
        assert simulator.desk.log_out(ALICE, req.PhoneLogout(device_id=device)) == [device]
        async with WireClient(simulator.page_port) as client:
            await client.push("login", device=device, secret=secret)
            assert (await client.take(op="login_failed"))["reason"] == "unknown_companion"


async def test_a_second_login_of_a_device_supersedes_the_first() -> None:
    async with running() as simulator, WireClient(simulator.page_port) as first:
        simulator.desk.scan(ALICE, await first.show_code())
        device, secret, _ = await first.log_in_paired()
        async with WireClient(simulator.page_port) as second:
            await second.log_in(device, secret)
            await first.take(op="conflict")
            await first.log_in(device, secret)
            await second.take(op="conflict")


async def test_bad_frames_are_answered_and_logged() -> None:
    async with running() as simulator, WireClient(simulator.page_port) as client:
        await client.push_text("nonsense")
        assert (await client.take(op="bad_frame"))["code"] == "bad_json"
        await client.push("seen", chat=f"{ANN}@c.us")
        await client.push("ping", n=3)
        assert (await client.take(op="pong"))["n"] == 3
        codes = [e["code"] for e in simulator.truth.read(kinds=["bad_frame"])]
        assert codes == ["bad_json", "not_logged_in"]


async def test_the_page_is_served_with_a_strict_policy_and_its_scripts() -> None:
    base = "https://127.0.0.1"
    connector = aiohttp.TCPConnector(ssl=False)
    async with running() as simulator, aiohttp.ClientSession(connector=connector) as session:
        async with session.get(f"{base}:{simulator.page_port}/?post_logout=1") as answer:
            html = await answer.text()
            policy = answer.headers["Content-Security-Policy"]
        nonce = policy.split("'nonce-")[1].split("'")[0]
        assert "unsafe" not in policy
        assert f'nonce="{nonce}"' in html
        assert "{{" not in html
        async with session.get(f"{base}:{simulator.page_port}/assets/main.js") as answer:
            assert answer.content_type == "text/javascript"
        async with session.get(f"{base}:{simulator.page_port}/assets/other.js") as answer:
            assert answer.status == 404
        (entry,) = simulator.truth.read(kinds=["page_served"])
        assert entry["query"] == {"post_logout": "1"}
