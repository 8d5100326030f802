"""A node that is lost and goes on elsewhere from its backup: no QR code, nothing twice."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from actors.browser.profile import sweep_orphans
from tests.acceptance.conftest import Node, connect, contact
from tests.acceptance.test_admin_programs import wafleet
from tests.waiting import PATIENCE, eventually, eventually_async

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from supervisor.demo_parts import Api
    from supervisor.processes import SimulatorPlace

pytestmark = pytest.mark.acceptance

SENT = {"sent", "delivered", "read"}


async def accepted(api: Api, session: str, to: str, texts: Sequence[str]) -> list[dict[str, Any]]:
    path = f"/v1/sessions/{session}/messages"
    return [await api.post(path, {"to": to, "text": text}) for text in texts]


RESTORED: float = 62 + PATIENCE
"""Seconds; at first a minute's cap counts as used up, by what may have been sent since."""


async def are_sent(
    api: Api, session: str, messages: Sequence[dict[str, Any]], within: float = PATIENCE
) -> None:
    async def look() -> bool:
        path = f"/v1/sessions/{session}/messages"
        states = [(await api.get(f"{path}/{message['id']}"))["state"] for message in messages]
        return set(states) <= SENT

    await eventually_async(look, within)


async def visible(api: Api, number: str) -> Counter[str]:
    """Return how often the contact was shown each text, by the simulator's own log."""
    entries = await api.log("contact_received")
    return Counter(entry["text"] for entry in entries if entry["contact"] == number)


def run(data: Path, *args: str) -> str:
    """Run a command that must go well; return what it said."""
    done = wafleet(data, *args)
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass(frozen=True)
class Lived:
    """What the first node did: messages by what became of them, and whom they were for."""

    contact: str
    before: list[dict[str, Any]]
    left_meanwhile: list[dict[str, Any]]
    never_left: list[dict[str, Any]]
    after: list[dict[str, Any]]

    @property
    def texts(self) -> Counter[str]:
        groups = (self.before, self.left_meanwhile, self.never_left, self.after)
        return Counter(message["text"] for group in groups for message in group)


async def live(node: Node, backup: Path) -> Lived:
    """Send, be backed up with messages waiting in both sessions, send those of one and more."""
    async with node.api() as api:
        for name in ("one", "two"):
            await connect(api, name)
        eventually(lambda: len({path.parent for path in node.data.glob("archives/*/*/*.wfa")}) == 2)
        eventually(lambda: node.log.count('"session_archived"') >= 2)
        alice = await contact(api)
        before = await accepted(api, "one", alice, [f"before {n}" for n in range(3)])
        await are_sent(api, "one", before)

        await api.simulator("/faults", {"kind": "refuse_connections"})
        await api.simulator("/faults", {"kind": "disconnect"})
        for name in ("one", "two"):
            await api.session_becomes(name, "disconnected", "socket_lost")
        left_meanwhile = await accepted(api, "one", alice, [f"waiting {n}" for n in range(4)])
        never_left = await accepted(api, "two", alice, [f"never left {n}" for n in range(3)])
        assert {m["state"] for m in (*left_meanwhile, *never_left)} == {"accepted"}
        browsers = [process.pid for process in node.browsers()]
        said = await asyncio.to_thread(run, node.data, "backup", str(backup))
        assert said.startswith(f"Backed up to {backup}: the database of ")
        assert [process.pid for process in node.browsers()] == browsers

        await api.post("/v1/sessions/two/stop", {})
        await api.session_becomes("two", "disconnected", "stopped")
        await api.simulator_delete("/faults")
        await api.session_becomes("one", "connected", "ready")
        await are_sent(api, "one", left_meanwhile)
        after = await accepted(api, "one", alice, [f"after {n}" for n in range(2)])
        await are_sent(api, "one", after)
        lived = Lived(alice, before, left_meanwhile, never_left, after)
        unsent = Counter(message["text"] for message in never_left)
        assert await visible(api, alice) == lived.texts - unsent
    return lived


async def live_on(node: Node, lived: Lived) -> None:
    """Both sessions come back by themselves, and everything that was accepted has been sent."""
    async with node.api() as api:
        for name, messages in (("one", lived.left_meanwhile), ("two", lived.never_left)):
            await api.session_becomes(name, "connected", "ready")
            await are_sent(api, name, messages, RESTORED)
        assert node.log.count('"profile_restored"') == 2
        assert '"qr_scanning"' not in node.log
        assert await visible(api, lived.contact) == lived.texts
        entries = await api.log("contact_received")
        ids = [entry["id"] for entry in entries if entry["contact"] == lived.contact]
        assert len(set(ids)) == len(ids) == lived.texts.total()
        later = await accepted(api, "one", lived.contact, ["and on it goes"])
        await are_sent(api, "one", later)


async def test_a_node_killed_after_its_backup_goes_on_from_it_in_a_new_directory(
    make_node: Callable[..., Node], place: SimulatorPlace, tmp_path: Path
) -> None:
    """Sessions come back without a QR code; every accepted message is sent, none is shown twice.

    Session one's waiting messages leave between the backup and the kill, and more after them; those
    of session two never left.
    """
    backup = tmp_path / "backup"
    first = make_node(place, WAFLEET_ARCHIVE_DELAY="0")
    first.start()
    lived = await live(first, backup)
    first.program.kill()
    eventually(lambda: not first.left())
    sweep_orphans(first.data / "sessions")  # what its next start would do: it has none here

    second = make_node(place)
    (second.data / "keys").mkdir(parents=True, mode=0o700)
    shutil.copy2(first.data / "keys" / "kek", second.data / "keys" / "kek")
    said = await asyncio.to_thread(run, second.data, "restore", str(backup))
    assert "7 messages wait to be sent" in said
    second.start()
    await live_on(second, lived)
    second.program.stop()
    for node in (first, second):
        assert "whole" in await asyncio.to_thread(run, node.data, "audit", "verify")
