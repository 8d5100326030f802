"""The main job through the real programs: the demo, sessions side by side, and the ways to end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.conftest import Node, account, connect, contact
from tests.waiting import eventually, eventually_async

if TYPE_CHECKING:
    from pathlib import Path

    from supervisor.demo_parts import Api

pytestmark = pytest.mark.acceptance


def test_the_demo_runs_to_its_end_unattended(tmp_path: Path) -> None:
    """Exit code 0 in under a minute, every step told, nothing left in its scratch directory."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "supervisor", "demo"],
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(tmp_path), "COLUMNS": "160"},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert time.monotonic() - began < 60
    for seen in (
        "qr_scanning → authenticated → connected",
        "sent → delivered → read",
        "not_on_whatsapp",
        "received once",
        "disconnected → ",
        "no process, no lock, no port",
    ):
        assert seen in done.stdout
    assert list(tmp_path.iterdir()) == []


async def test_two_sessions_started_at_once_are_both_up_and_apart(node: Node) -> None:
    """Each has its own browser, number and messages."""
    async with node.api() as api:
        numbers = await asyncio.gather(connect(api, "one"), connect(api, "two"))
        assert len(node.browsers()) == 2
        alice = await contact(api)
        for name in ("one", "two"):
            sent = await api.post(f"/v1/sessions/{name}/messages", {"to": alice, "text": name})
            await api.message_states(f"/v1/sessions/{name}/messages/{sent['id']}", "read")
        entries = [e for e in await api.log("message_received_from_client") if alice in e["chat"]]
        assert sorted((e["number"], e["text"]) for e in entries) == sorted(
            zip(numbers, ("one", "two"), strict=True)
        )


async def test_fifty_racing_starts_launch_one_browser(node: Node) -> None:
    """The launch counter and the process list both say one."""
    async with node.api() as api:
        await api.post("/v1/sessions", {"name": "one"})
        answers = await asyncio.gather(*(api.post("/v1/sessions/one/start", {}) for _ in range(50)))
        assert {a["name"] for a in answers} == {"one"}
        await api.session_becomes("one", "qr_scanning", "qr_shown")
        assert len(node.browsers()) == 1
        metrics = await api.text("/metrics")
        assert 'wafleet_browser_launches_total{result="ok"} 1.0' in metrics


async def test_start_stop_restart_and_delete_are_idempotent(node: Node) -> None:
    """The whole life of a session without a login, each verb twice."""
    async with node.api() as api:
        first = await api.post("/v1/sessions", {"name": "one"})
        assert (await api.post("/v1/sessions", {"name": "one"}))["id"] == first["id"]
        for _ in range(2):
            await api.post("/v1/sessions/one/start", {})
        await api.session_becomes("one", "qr_scanning", "qr_shown")
        await api.post("/v1/sessions/one/restart", {})
        await api.session_becomes("one", "qr_scanning", "qr_shown")
        for _ in range(2):
            stopped = await api.post("/v1/sessions/one/stop", {})
            assert (stopped["status"], stopped["reason"]) == ("disconnected", "stopped")
            assert node.browsers() == []
        assert (node.data / "sessions" / first["id"]).exists()
        assert await api.delete("/v1/sessions/one") == 204
        assert await api.delete("/v1/sessions/one") == 404
        assert not (node.data / "sessions" / first["id"]).exists()


async def test_a_logout_unlinks_the_device_and_the_next_start_asks_for_a_code(node: Node) -> None:
    """The phone's list of devices is the judge."""
    async with node.api() as api:
        number = await connect(api, "one")
        out = await api.post("/v1/sessions/one/logout", {})
        assert (out["status"], out["reason"], out["detail"]) == (
            "disconnected",
            "logged_out",
            None,
        )
        assert await devices(api, number) == []
        assert node.browsers() == []
        await api.post("/v1/sessions/one/start", {})
        await api.session_becomes("one", "qr_scanning", "qr_shown")


async def devices(api: Api, number: str) -> list[str]:
    found = await api.control(f"/accounts/{number}")
    return [d["id"] for d in found["devices"]]


async def test_a_killed_supervisor_leaves_no_browser_and_loses_nothing(node: Node) -> None:
    """SIGKILL: browsers end by themselves; the next life connects without a QR and sends on."""
    async with node.api() as api:
        await connect(api, "one")
        alice = await contact(api)
        group = [p.pid for p in node.browsers()]
        assert len(group) == 1
        node.program.kill()
        eventually(lambda: not node.browsers())
        assert [left for left in node.left() if not left.endswith("SingletonLock")] == []
    node.start()
    async with node.api() as api:
        # accepted at once, while the session is on its way back
        sent = await api.post("/v1/sessions/one/messages", {"to": alice, "text": "after"})
        seen = await api.statuses_until("one", "connected")
        assert "qr_scanning" not in seen
        await api.message_states(f"/v1/sessions/one/messages/{sent['id']}", "read")
        entries = [e for e in await api.log("message_received_from_client") if alice in e["chat"]]
        assert [e["text"] for e in entries] == ["after"]


async def test_a_killed_supervisor_in_the_middle_of_a_launch_leaves_nothing(node: Node) -> None:
    """Whatever the browser was doing when its supervisor died."""
    async with node.api() as api:
        await api.post("/v1/sessions", {"name": "one", "start": True})
        eventually(node.browsers)
        node.program.kill()
    eventually(lambda: not node.browsers())
    node.start()
    async with node.api() as api:
        await api.session_becomes("one", "qr_scanning", "qr_shown")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stopped_supervisor_leaves_nothing(node: Node, number: signal.Signals) -> None:
    """Exit code 0, no process, no lock, no port, and the sessions say why they are down."""
    async with node.api() as api:
        await api.post("/v1/sessions", {"name": "one", "start": True})
        await api.session_becomes("one", "qr_scanning", "qr_shown")
    assert node.program.stop(number) == 0
    assert node.left() == []
    node.start(WAFLEET_LAUNCH_SLOTS="1")
    async with node.api() as api:
        await api.session_becomes("one", "qr_scanning", "qr_shown")


async def test_a_killed_browser_is_replaced_and_the_session_comes_back(node: Node) -> None:
    """The neighbour's browser is not touched."""
    async with node.api() as api:
        await connect(api, "one")
        await connect(api, "two")
        before = {p.pid for p in node.browsers()}
        victim = await _browser_of(node, api, "one")
        os.kill(victim, signal.SIGKILL)

        async def replaced() -> bool:
            after = {p.pid for p in node.browsers()}
            return len(after) == 2 and victim not in after

        await eventually_async(replaced)
        await api.session_becomes("one", "connected", "ready")
        after = {p.pid for p in node.browsers()}
        assert len(before & after) == 1
        metrics = await api.text("/metrics")
        assert 'wafleet_session_restarts_total{cause="browser_exited"} 1.0' in metrics


async def _browser_of(node: Node, api: Api, name: str) -> int:
    session = await api.get(f"/v1/sessions/{name}")
    for process in node.browsers():
        if any(session["id"] in part for part in process.cmdline()):
            return int(process.pid)
    raise AssertionError(f"no browser of {name}")


async def test_the_account_needs_a_phone_of_its_own(node: Node) -> None:
    """A code that was used once does not link a second time."""
    async with node.api() as api:
        number = await account(api)
        await api.post("/v1/sessions", {"name": "one", "start": True})
        await api.session_becomes("one", "qr_scanning", "qr_shown")
        qr = await api.text("/v1/sessions/one/qr.txt")
        await api.simulator(f"/phones/{number}/scan", {"qr": qr})
        assert await api.simulator_status(f"/phones/{number}/scan", {"qr": qr}) >= 400
