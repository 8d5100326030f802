"""The control API over HTTP, and the command line as a real process."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from simulator import AccountSeed, ContactSeed, Simulator, SimulatorOptions
from simulator.client import WireClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.integration

ALICE, ANN = "15550100001", "15550100100"


class Api:
    """A control client that returns status and body."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def __call__(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        async with self._session.request(method, path, json=body) as answer:
            return answer.status, await answer.json()


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    options = SimulatorOptions(
        accounts=(AccountSeed(number=ALICE, name="Alice"),),
        contacts=(ContactSeed(number=ANN, name="Ann"),),
        offline_delay=0.01,
    )
    one = Simulator(options)
    await one.start()
    yield one
    await one.stop()


@pytest.fixture
async def api(simulator: Simulator) -> AsyncIterator[Api]:
    async with aiohttp.ClientSession(simulator.control_url) as session:
        yield Api(session)


async def test_info_tells_how_to_get_here(simulator: Simulator, api: Api) -> None:
    status, info = await api("GET", "/")
    assert status == 200
    assert info == simulator.info()
    assert info["origin"] == "https://web.whatsapp.com"
    assert f"127.0.0.1:{simulator.page_port}" in info["host_resolver_rules"]
    assert info["spki_hash"] in info["chromium_flags"][1]


async def test_a_whole_story(simulator: Simulator, api: Api) -> None:
    assert (await api("POST", "/accounts"))[1]["number"] == "15550100002"
    status, contact = await api(
        "POST", "/contacts", {"number": "15550100101", "reply": "fixed", "reply_text": "ok"}
    )
    assert (status, contact["receipts"]) == (201, "read")
    async with WireClient(simulator.page_port) as client:
        status, device = await api(
            "POST", f"/phones/{ALICE}/scan", {"qr": await client.show_code()}
        )
        assert (status, device["connected"]) == (200, False)
        await client.log_in_paired()
        status, sent = await api(
            "POST", f"/contacts/{ANN}/messages", {"to": ALICE, "text": "hello"}
        )
        assert (await client.take(op="message"))["msg"]["id"] == sent["id"]
        status, group = await api("POST", "/groups", {"name": "Team", "participants": [ALICE, ANN]})
        path = f"/groups/{group['id']}/messages"
        assert (await api("POST", path, {"from": ANN, "text": "all"}))[0] == 201
        assert (await client.take(op="message"))["msg"]["body"] == "all"
        assert (await api("POST", f"/phones/{ALICE}/messages", {"to": ANN, "text": "me"}))[0] == 201
        _, account = await api("GET", f"/accounts/{ALICE}")
        assert account["connected"]
        assert [m["body"] for m in account["messages"]] == ["hello", "me", "all"]
        assert [m["body"] for m in (await api("GET", f"/contacts/{ANN}/messages"))[1]["messages"]]
        assert len((await api("GET", "/contacts"))[1]["contacts"]) == 2
        assert len((await api("GET", "/groups"))[1]["groups"]) == 1
        assert await api("POST", f"/phones/{ALICE}/logout") == (200, {"devices": [device["id"]]})
        await client.take(op="logged_out")
    assert [a["devices"] for a in (await api("GET", "/accounts"))[1]["accounts"]] == [[], []]


async def test_faults_are_set_listed_and_cleared(api: Api) -> None:
    body = {"kind": "latency", "number": "all", "ms": 5}
    status, fault = await api("POST", "/faults", body)
    assert (status, fault["number"], fault["ms"]) == (201, None, 5)
    assert (await api("GET", "/faults"))[1] == {"faults": [fault]}
    assert await api("DELETE", f"/faults/{fault['id']}") == (200, {"cleared": [fault["id"]]})
    assert await api("DELETE", "/faults") == (200, {"cleared": []})
    kinds = (await api("GET", "/log?kind=fault_set,fault_cleared"))[1]["events"]
    assert [e["kind"] for e in kinds] == ["fault_set", "fault_cleared"]


async def test_the_log_can_be_followed(simulator: Simulator, api: Api) -> None:
    last = (await api("GET", "/log"))[1]["last_seq"]
    waiting = asyncio.create_task(api("GET", f"/log?after={last}&wait_ms=5000"))
    await asyncio.sleep(0)
    simulator.truth.add("presence", number=ALICE)
    _, answer = await waiting
    assert [e["kind"] for e in answer["events"]] == ["presence"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/accounts/15550109999", None, 404, "account_unknown"),
        ("POST", "/accounts", {"number": "abc"}, 400, "invalid_number"),
        ("POST", "/accounts", {"number": ALICE}, 409, "number_taken"),
        ("POST", "/accounts", {"nummer": "1"}, 400, "unknown_field"),
        ("POST", "/accounts", [], 400, "not_an_object"),
        ("POST", f"/phones/{ALICE}/scan", {}, 400, "missing_field"),
        ("POST", f"/phones/{ALICE}/scan", {"qr": "x"}, 400, "qr_malformed"),
        ("POST", f"/phones/{ALICE}/link-code", {"code": "ABCD1234"}, 404, "link_code_unknown"),
        ("POST", f"/phones/{ALICE}/auto-scan", {"delay_ms": "x"}, 400, "invalid_field"),
        ("POST", f"/phones/{ALICE}/logout", {"device_id": "x"}, 404, "device_unknown"),
        ("POST", "/contacts", {"number": "15550100105", "reply": "sing"}, 400, "invalid_field"),
        ("POST", "/contacts", {"number": "15550100105", "reply": "fixed"}, 400, "missing_field"),
        ("POST", f"/contacts/{ANN}/messages", {"to": ANN, "text": ""}, 404, "account_unknown"),
        ("POST", "/contacts/1/messages", {"to": ALICE, "text": "x"}, 404, "contact_unknown"),
        ("POST", "/groups", {"name": "g", "participants": [ANN]}, 400, "no_account"),
        ("POST", "/groups/1/messages", {"from": ANN, "text": "x"}, 404, "group_unknown"),
        ("POST", "/faults", {"ms": 1}, 400, "missing_field"),
        ("POST", "/faults", {"kind": "storm"}, 400, "fault_unknown"),
        ("POST", "/faults", {"kind": "latency", "number": "1", "ms": 1}, 404, "account_unknown"),
        ("POST", "/faults", {"kind": "latency", "number": 1, "ms": 1}, 400, "invalid_field"),
        ("DELETE", "/faults/fault-9", None, 404, "fault_not_set"),
        ("GET", "/log?after=x", None, 400, "invalid_field"),
        ("GET", "/nothing", None, 404, "not_found"),
        ("DELETE", "/accounts", None, 405, "method_not_allowed"),
    ],
)
async def test_errors_have_a_code_and_a_sentence(
    api: Api, method: str, path: str, body: object, status: int, code: str
) -> None:
    answered, error = await api(method, path, body)
    assert (answered, error["code"]) == (status, code)
    assert error["message"].endswith(".")


async def test_bad_json_is_told_apart(simulator: Simulator) -> None:
    async with (
        aiohttp.ClientSession(simulator.control_url) as session,
        session.post("/accounts", data="{") as answer,
    ):
        assert (answer.status, (await answer.json())["code"]) == (400, "bad_json")


async def test_a_taken_port_is_an_error_that_leaves_nothing(simulator: Simulator) -> None:
    other = Simulator(SimulatorOptions(control_port=simulator.control_port))
    with pytest.raises(OSError, match="address already in use"):
        await other.start()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_command_runs_until_it_is_told_to_stop(
    tmp_path: Path, number: signal.Signals
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "simulator", "--json", "--state", str(tmp_path / "state.json")),
        *("--account", f"{ALICE}:Alice", "--contact", f"{ANN}:Ann:echo"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        info = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))
        async with aiohttp.ClientSession(info["control_url"]) as session:
            async with session.get("/") as answer:
                assert await answer.json() == info
            async with session.get("/contacts") as answer:
                assert (await answer.json())["contacts"][0]["reply"] == "echo"
        async with WireClient(info["page_port"]) as client:
            await client.show_code()
            process.send_signal(number)
            assert await asyncio.wait_for(process.wait(), 10) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert json.loads((tmp_path / "state.json").read_text(encoding="utf-8"))["accounts"]


@pytest.mark.parametrize("arguments", [["--account", "abc"], ["--contact", f"{ANN}:Ann:sing"]])
async def test_the_command_refuses_what_it_cannot_do(arguments: list[str]) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "simulator", *arguments, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 2
    assert b"simulator: " in errors
