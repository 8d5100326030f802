"""Freezing a real browser for a copy of its profile: still while it lasts, always let go."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from actors.browser import freezer, procfs
from actors.browser.driver import CopyFailed
from actors.browser.launch_args import Deadlines
from storage.vault.profile_copy import CopyFacts, copy_profile
from tests.integration.browser_support import (
    OPTIONS,
    Facts,
    browsing,
    members,
    session_paths,
    until,
)

if TYPE_CHECKING:
    from pathlib import Path

    from actors.browser.whatsapp import WhatsAppBrowser

pytestmark = pytest.mark.integration

SLOW = replace(OPTIONS, deadlines=Deadlines(copy=0.3))


def still(pid: int) -> bool:
    """Whether a browser has processes, and every thread of each is stopped."""
    return all(procfs.stands_still(member) for member in members(pid))


def running(pid: int) -> bool:
    """Whether no process of a browser is stopped."""
    return not any(process.state == "T" for process in map(procfs.get, members(pid)))


async def answers(browser: WhatsAppBrowser) -> bool:
    """Whether the page still computes."""
    return bool(await browser._ready_page().evaluate("1 + 1", 10) == 2)


class Gate:
    """Stands in front of the copying: says when the browser is frozen, and waits to be opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()
        monkeypatch.setattr(freezer, "copy_profile", self._copy)

    def _copy(self, source: Path, target: Path) -> CopyFacts:
        self.reached.set()
        assert self.opened.wait(30)
        return copy_profile(source, target)


async def test_a_copy_stops_all_processes_and_lets_them_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it copies, no thread of the browser runs; afterwards all do, and the page computes."""
    async with browsing(tmp_path, facts=Facts()) as browser:
        await browser.open()
        gate = Gate(monkeypatch)
        copying = asyncio.create_task(browser.freeze_copy(tmp_path / "copy"))
        await until(gate.reached.is_set)
        assert len(members(browser.pid)) >= 3
        assert still(browser.pid)
        gate.opened.set()
        report = await copying
        assert report.files > 0
        assert report.bytes > 0
        assert 0 < report.pause_seconds < 5
        assert running(browser.pid)
        assert await answers(browser)
        assert not list((tmp_path / "copy").glob("Singleton*"))


async def test_a_second_copy_replaces_the_first_and_waits_for_nobody(tmp_path: Path) -> None:
    """What a dead node left under the name is no obstacle."""
    target = tmp_path / "copy"
    async with browsing(tmp_path, facts=Facts()) as browser:
        await browser.open()
        target.mkdir()
        (target / "rubbish").write_text("x")
        for _ in range(2):
            await browser.freeze_copy(target)
            assert not (target / "rubbish").exists()
            assert (target / "Default").is_dir()


async def test_two_copies_at_once_are_one_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second is refused at once; the first is not disturbed."""
    async with browsing(tmp_path, facts=Facts()) as browser:
        gate = Gate(monkeypatch)
        copying = asyncio.create_task(browser.freeze_copy(tmp_path / "copy"))
        await until(gate.reached.is_set)
        with pytest.raises(CopyFailed):
            await browser.freeze_copy(tmp_path / "other")
        assert still(browser.pid)
        gate.opened.set()
        assert (await copying).files > 0


async def test_a_failing_copy_lets_the_browser_go(tmp_path: Path) -> None:
    """A target that can't be made is the copy's problem, not the browser's."""
    async with browsing(tmp_path, facts=Facts()) as browser:
        await browser.open()
        with pytest.raises(CopyFailed):
            await browser.freeze_copy(tmp_path / "no such directory" / "copy")
        assert running(browser.pid)
        assert await answers(browser)


async def test_a_copy_that_takes_too_long_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the deadline the browser goes on; the late copy is worthless and removed."""
    async with browsing(tmp_path, SLOW, facts=Facts()) as browser:
        await browser.open()
        gate = Gate(monkeypatch)
        copying = asyncio.create_task(browser.freeze_copy(tmp_path / "copy"))
        await until(gate.reached.is_set)
        await until(lambda: running(browser.pid), within=5)
        assert await answers(browser)
        gate.opened.set()
        with pytest.raises(CopyFailed):
            await copying
        assert not (tmp_path / "copy").exists()


async def test_a_cancelled_copy_lets_the_browser_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread can't be cancelled: it finds out by itself and removes its copy."""
    async with browsing(tmp_path, facts=Facts()) as browser:
        await browser.open()
        gate = Gate(monkeypatch)
        copying = asyncio.create_task(browser.freeze_copy(tmp_path / "copy"))
        await until(gate.reached.is_set)
        copying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await copying
        assert running(browser.pid)
        gate.opened.set()
        assert await answers(browser)
    assert not (tmp_path / "copy").exists()


async def test_a_copy_of_a_browser_that_somebody_woke_is_worthless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another SIGCONT in the middle: the copy may be torn, so there is none."""
    async with browsing(tmp_path, facts=Facts()) as browser:
        await browser.open()
        gate = Gate(monkeypatch)
        copying = asyncio.create_task(browser.freeze_copy(tmp_path / "copy"))
        await until(gate.reached.is_set)
        os.killpg(browser.pid, signal.SIGCONT)
        await until(lambda: running(browser.pid))
        gate.opened.set()
        with pytest.raises(CopyFailed):
            await copying
        assert not (tmp_path / "copy").exists()


async def test_a_stop_does_not_wait_for_a_frozen_browser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pause ends first, so that the browser hears the close and need not be killed."""
    async with browsing(tmp_path, facts=Facts()) as browser:
        await browser.open()
        gate = Gate(monkeypatch)
        copying = asyncio.create_task(browser.freeze_copy(tmp_path / "copy"))
        await until(gate.reached.is_set)
        stopping = asyncio.create_task(browser.stop(15))
        await until(lambda: not members(browser.pid), within=5)  # half of the copy's own deadline
        gate.opened.set()
        report = await stopping
        assert (report.forced, report.survivors) == (False, ())
        with pytest.raises(CopyFailed):
            await copying
        with pytest.raises(CopyFailed):
            await browser.freeze_copy(tmp_path / "copy")
        assert not (tmp_path / "copy").exists()


async def test_a_kill_reaches_a_frozen_browser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is left, and the copy fails."""
    async with browsing(tmp_path, facts=Facts()) as browser:
        gate = Gate(monkeypatch)
        copying = asyncio.create_task(browser.freeze_copy(tmp_path / "copy"))
        await until(gate.reached.is_set)
        browser.kill()
        await until(lambda: not members(browser.pid))
        gate.opened.set()
        with pytest.raises(CopyFailed):
            await copying


async def test_a_call_is_not_charged_for_the_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that stood still for longer than the call's deadline has not missed it."""
    async with browsing(tmp_path, facts=Facts()) as browser:
        await browser.open()
        gate = Gate(monkeypatch)
        copying = asyncio.create_task(browser.freeze_copy(tmp_path / "copy"))
        await until(gate.reached.is_set)
        call = asyncio.create_task(browser._ready_page().evaluate("40 + 2", 0.3))
        begun = time.monotonic()
        await until(lambda: time.monotonic() - begun > 0.6)
        assert not call.done()
        gate.opened.set()
        await copying
        assert await call == 42


async def test_the_loop_turns_while_it_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All other sessions share the browser loop."""
    async with browsing(tmp_path, facts=Facts()) as browser:
        gate = Gate(monkeypatch)
        copying = asyncio.create_task(browser.freeze_copy(tmp_path / "copy"))
        await until(gate.reached.is_set)
        turned = asyncio.Event()
        asyncio.get_running_loop().call_later(0.01, turned.set)
        await asyncio.wait_for(turned.wait(), 2)
        assert session_paths(tmp_path).profile.is_dir()
        gate.opened.set()
        await copying
