"""The whole way with a real browser: freeze, copy, archive, lose the profile, restore, log in."""

from __future__ import annotations

import os
import shutil
import signal
import time
from typing import TYPE_CHECKING

import pytest

from actors.browser.driver import QrIssued, SocketChanged
from simulator import AccountSeed, Simulator, SimulatorOptions
from storage.vault import (
    ArchiveContext,
    Keyring,
    copy_profile,
    open_archive,
    pack,
    unpack,
    write_archive,
)
from tests.integration.browser_support import Facts, browsing, session_paths, simulated

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

ME = "15550100001"
RING = Keyring({"k1": b"1" * 32})
CONTEXT = ArchiveContext("w1", "s1", 1)


def connected(state: SocketChanged) -> bool:
    return state.socket == "CONNECTED" and state.mode == "MAIN" and state.synced


async def test_a_lost_profile_comes_back_from_its_archive_without_a_qr_code(tmp_path: Path) -> None:
    profile, archive = session_paths(tmp_path).profile, tmp_path / "archive"
    simulator = Simulator(SimulatorOptions(accounts=(AccountSeed(number=ME, name="Ann"),)))
    await simulator.start()
    try:
        facts = Facts()
        async with browsing(tmp_path, simulated(simulator), facts=facts) as browser:
            await browser.open()
            simulator.desk.scan(ME, (await facts.next(QrIssued)).text)
            await facts.next(SocketChanged, connected)
            os.killpg(browser.pid, signal.SIGSTOP)
            begun = time.perf_counter()
            try:
                copied = copy_profile(profile, tmp_path / "copy")
            finally:
                pause = time.perf_counter() - begun
                os.killpg(browser.pid, signal.SIGCONT)
            assert copied.files > 0
            assert pause < 5
        shutil.rmtree(profile)
        write_archive(pack(tmp_path / "copy"), archive, RING, CONTEXT)
        with open_archive(archive, RING, CONTEXT) as stream:
            assert unpack(stream, profile) == copied

        restored = Facts()
        async with browsing(tmp_path, simulated(simulator), facts=restored) as browser:
            await browser.open()
            state = await restored.next(SocketChanged, connected)
            assert state.me == f"{ME}@c.us"
            assert restored.of(QrIssued) == []
    finally:
        await simulator.stop()
