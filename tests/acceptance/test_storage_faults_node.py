"""A node whose disk is full, or whose database another program locks: said so, and over when it is.

The scale: the lock is held three times the busy time-out (half a second instead of five).
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.acceptance.conftest import Node, connect, contact
from tests.acceptance.test_backup_node import are_sent, visible
from tests.integration.test_sqlite_faults import HOLD_THE_LOCK
from tests.integration.tiny_disk import tiny_disk
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from supervisor.demo_parts import Api
    from supervisor.processes import SimulatorPlace

pytestmark = pytest.mark.acceptance

BUSY = 0.5
MESSAGES = "/v1/sessions/one/messages"


class Caller:
    """Accepts messages and looks at the whole answer, whatever it is."""

    def __init__(self, node: Node, to: str) -> None:
        key = (node.data / "api.key").read_text().strip()
        self._url = node.program.ready["url"] + MESSAGES
        self._headers = {"Authorization": f"Bearer {key}"}
        self._to = to
        self.accepted: list[dict[str, Any]] = []

    async def accept(self, text: str) -> tuple[int, str | None, dict[str, Any], float]:
        """Return status, Retry-After, the answer, and how long it took."""
        began = time.monotonic()
        body = {"to": self._to, "text": text}
        async with (
            aiohttp.ClientSession() as http,
            http.post(self._url, headers=self._headers, json=body) as answer,
        ):
            found = await answer.json()
            if answer.status < 400:
                self.accepted.append(found)
            seconds = time.monotonic() - began
            return answer.status, answer.headers.get("Retry-After"), found, seconds


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Let another process hold the database as long as the block runs."""
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD_THE_LOCK, str(database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        yield
    finally:
        other.communicate("done\n", timeout=30)


async def reads_go_on(api: Api) -> None:
    assert (await api.get("/v1/sessions/one"))["status"] == "connected"
    assert (await api.get("/v1/sessions"))["sessions"]
    assert (await api.get(MESSAGES))["messages"]
    assert await api.get("/healthz")
    assert "wafleet_store_up 1.0" in await api.text("/metrics")


async def inbound(api: Api, text: str) -> list[dict[str, Any]]:
    found = (await api.get(f"{MESSAGES}?direction=inbound"))["messages"]
    return [message for message in found if message["text"] == text]


async def over(api: Api, caller: Caller, alice: str) -> None:
    """What was accepted was sent, once each; what came in is there; nothing was half-accepted."""
    status, _, answer, _ = await caller.accept("after")
    assert status == 202, answer
    await are_sent(api, "one", caller.accepted)
    stored = (await api.get(f"{MESSAGES}?direction=outbound"))["messages"]
    assert {m["id"] for m in stored} == {m["id"] for m in caller.accepted}
    assert await visible(api, alice) == {m["text"]: 1 for m in caller.accepted}
    await eventually_async(lambda: inbound(api, "meanwhile"))
    assert len(await inbound(api, "meanwhile")) == 1
    session = await api.get("/v1/sessions/one")
    assert (session["status"], session["reason"]) == ("connected", "ready")
    metrics = await api.text("/metrics")
    assert 'wafleet_browser_launches_total{result="ok"} 1.0' in metrics


async def test_a_locked_database_is_told_in_time_and_costs_nothing(
    make_node: Callable[..., Node], place: SimulatorPlace
) -> None:
    """503 storage_busy after the time-out, with Retry-After; reads go on; what came in is kept."""
    node = make_node(place, WAFLEET_BUSY_TIMEOUT=str(BUSY))
    node.start()
    async with node.api() as api:
        number = await connect(api, "one")
        alice = await contact(api)
        caller = Caller(node, alice)
        assert (await caller.accept("before"))[0] == 202
        await are_sent(api, "one", caller.accepted)
        with locked(node.data / "wafleet.db"):
            began = time.monotonic()
            await api.simulator(f"/contacts/{alice}/messages", {"to": number, "text": "meanwhile"})
            while time.monotonic() - began < 3 * BUSY:
                answers = await asyncio.gather(*(caller.accept(f"refused {n}") for n in range(5)))
                for status, retry_after, answer, seconds in answers:
                    assert (status, answer["code"]) == (503, "storage_busy")
                    assert retry_after == "1"
                    assert seconds < 2 * BUSY + 1
                await reads_go_on(api)
            assert await inbound(api, "meanwhile") == []
        await over(api, caller, alice)
    node.program.stop()


async def test_a_message_that_was_accepted_before_the_lock_is_sent_after_it(
    make_node: Callable[..., Node], place: SimulatorPlace
) -> None:
    """Nothing can be written for a while, so nothing is claimed; nothing is lost or sent twice."""
    node = make_node(place, WAFLEET_BUSY_TIMEOUT=str(BUSY))
    node.start()
    async with node.api() as api:
        await connect(api, "one")
        alice = await contact(api)
        caller = Caller(node, alice)
        await api.simulator("/faults", {"kind": "refuse_connections"})
        await api.simulator("/faults", {"kind": "disconnect"})
        await api.session_becomes("one", "disconnected", "socket_lost")
        for n in range(3):
            assert (await caller.accept(f"waiting {n}"))[0] == 202
        with locked(node.data / "wafleet.db"):
            await api.simulator_delete("/faults")
            await eventually_async(lambda: asyncio.sleep(0, '"write_postponed"' in node.log))
            assert await visible(api, alice) == {}
        await api.session_becomes("one", "connected", "ready")
        await are_sent(api, "one", caller.accepted)
        assert await visible(api, alice) == {f"waiting {n}": 1 for n in range(3)}
    node.program.stop()


def fill(disk: Path) -> Path:
    """Take all the space that is left; return what takes it."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for piece in (65536, 4096, 1):
            try:
                while True:
                    file.write(bytes(piece))
            except OSError:
                continue
    assert os.statvfs(disk).f_bavail == 0
    return ballast


async def test_a_full_disk_is_told_and_over_when_there_is_space(
    make_node: Callable[..., Node], place: SimulatorPlace, tmp_path: Path
) -> None:
    """507 storage_full; reads go on; snapshots fail and say so; nothing is half-accepted.

    Only the database is on the full disk: what a browser does on one is another matter. The marks
    of low space are off, so that it really fills up.
    """
    marks = {f"WAFLEET_DISK_{mark}_MB": "0" for mark in ("FULL", "LOW", "MARGIN")}
    node = make_node(place, WAFLEET_SNAPSHOT_INTERVAL="1", **marks)
    with tiny_disk(node.data, "size=24m") as disk:
        for name in ("sessions", "archives"):
            (tmp_path / name).mkdir(mode=0o700)
            (disk / name).symlink_to(tmp_path / name)
        try:
            node.start()
            await on_a_full_disk(node, disk)
            assert node.program.stop() == 0
        finally:
            node.program.kill()


async def on_a_full_disk(node: Node, disk: Path) -> None:
    async with node.api() as api:
        number = await connect(api, "one")
        alice = await contact(api)
        caller = Caller(node, alice)
        assert (await caller.accept("before"))[0] == 202
        await are_sent(api, "one", caller.accepted)
        ballast = fill(disk)

        async def refused() -> dict[str, Any] | None:
            status, _, answer, _ = await caller.accept(f"perhaps {len(caller.accepted)}")
            assert status in {202, 507}, answer
            return answer if status == 507 else None

        answer = await eventually_async(refused)  # at first the log may still have room
        assert answer is not None
        assert answer["code"] == "storage_full"
        await api.simulator(f"/contacts/{alice}/messages", {"to": number, "text": "meanwhile"})
        for _ in range(5):
            assert await refused() is not None
            await reads_go_on(api)
        await eventually_async(lambda: asyncio.sleep(0, '"write_postponed"' in node.log))
        metric = 'wafleet_snapshots_total{result="full"}'
        lines = (await api.text("/metrics")).splitlines()
        assert next(float(x.split()[1]) for x in lines if x.startswith(metric)) >= 1
        ballast.unlink()
        await over(api, caller, alice)
        assert (await api.get("/v1/sessions/one"))["statistics"]["messages_received"] == 1
