"""One owner per profile: locks, stale Chromium locks and orphans, on real files and processes."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from actors.browser.driver import LaunchFailed, ProfileInUse
from actors.browser.launcher import ChromiumDriver
from actors.browser.profile import ProfileLock, sweep_orphans, take
from actors.browser.scratch import sweep_links
from tests.integration.browser_support import (
    OPTIONS,
    Facts,
    browsing,
    launch_in_another_process,
    members,
    session_paths,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _boot_follows(tmp_path: Path) -> Iterator[None]:
    """Do what the next start does for the browsers whose supervisor a test has killed."""
    yield
    sweep_links(tmp_path)


def lock_as(paths_profile: Path, host: str, pid: int) -> None:
    """Leave the three links that a Chromium leaves when it is killed."""
    paths_profile.mkdir(parents=True, exist_ok=True)
    (paths_profile / "SingletonLock").symlink_to(f"{host}-{pid}")
    (paths_profile / "SingletonCookie").symlink_to("123456789")
    (paths_profile / "SingletonSocket").symlink_to(paths_profile / "gone" / "SingletonSocket")


def dead_pid() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def foreign_program(profile: Path) -> subprocess.Popen[bytes]:
    """A program that names our profile, but was not started by us; it ends when it is left."""
    return subprocess.Popen(
        ["/bin/bash", "-c", "read", "program", f"--user-data-dir={profile}", "--x"],
        stdin=subprocess.PIPE,
    )


async def test_a_second_owner_is_refused_and_the_first_lives_on(tmp_path: Path) -> None:
    async with browsing(tmp_path, facts=Facts()) as browser:
        with pytest.raises(ProfileInUse, match="stop that one first") as refused:
            await ChromiumDriver(OPTIONS).launch("s1", session_paths(tmp_path), Facts())
        assert refused.value.code == "profile_in_use"
        await browser.open()
    async with browsing(tmp_path, facts=Facts()):
        pass


async def test_another_process_is_an_owner_too(tmp_path: Path) -> None:
    parent, pid = launch_in_another_process(tmp_path)
    with parent:
        with pytest.raises(ProfileInUse):
            await ChromiumDriver(OPTIONS).launch("s1", session_paths(tmp_path), Facts())
        parent.kill()
        parent.wait()
        async with browsing(tmp_path, facts=Facts()) as browser:
            await browser.open()
        await until(lambda: not members(pid))


async def test_the_lock_is_free_again_once_the_browser_is_gone(tmp_path: Path) -> None:
    async with browsing(tmp_path, facts=Facts()) as browser:
        browser.kill()

        def free() -> bool:
            try:
                ProfileLock.acquire(session_paths(tmp_path).profile.parent).release()
            except ProfileInUse:
                return False
            return True

        await until(free)  # without anybody calling stop
        assert members(browser.pid) == []


@pytest.mark.parametrize(
    "holder",
    [
        lambda: ("another-container", 17),
        lambda: ("another-container", os.getpid()),
        lambda: (socket.gethostname(), dead_pid()),
        lambda: (socket.gethostname(), os.getpid()),  # alive, but no browser
        lambda: ("", 0),
    ],
)
async def test_a_stale_chromium_lock_does_not_keep_us_out(
    tmp_path: Path, holder: Callable[[], tuple[str, int]]
) -> None:
    lock_as(session_paths(tmp_path).profile, *holder())
    lock = session_paths(tmp_path).profile / "SingletonLock"
    stale = lock.readlink()
    async with browsing(tmp_path, facts=Facts()) as browser:
        await browser.open()
        # Chromium makes its own, the headless shell makes none (and minds none).
        assert not lock.is_symlink() or lock.readlink() != stale


def test_the_lock_of_a_live_browser_is_not_touched(tmp_path: Path) -> None:
    """A browser that somebody started by hand on our profile."""
    paths = session_paths(tmp_path)
    with foreign_program(paths.profile) as foreign:
        lock_as(paths.profile, socket.gethostname(), foreign.pid)
        with pytest.raises(ProfileInUse, match=str(foreign.pid)):
            take(paths)
        assert (paths.profile / "SingletonLock").is_symlink()
        assert foreign.poll() is None
    take(paths).release()
    assert not (paths.profile / "SingletonLock").is_symlink()


async def test_a_browser_that_made_no_lock_keeps_us_out_too(tmp_path: Path) -> None:
    """The headless shell makes none: a second one on its profile would ruin the login."""
    paths = session_paths(tmp_path)
    paths.profile.mkdir(parents=True)
    with foreign_program(paths.profile) as foreign:
        with pytest.raises(ProfileInUse, match=str(foreign.pid)):
            take(paths)
        assert foreign.poll() is None
    with foreign_program(paths.profile.with_name("profile2")):
        take(paths).release()


@pytest.mark.parametrize("frozen", [False, True])
async def test_an_orphan_on_the_profile_is_killed_before_a_launch(
    tmp_path: Path, *, frozen: bool
) -> None:
    parent, orphan = launch_in_another_process(tmp_path)
    with parent:
        if frozen:  # it does not notice that its owner died
            os.killpg(orphan, signal.SIGSTOP)
        parent.kill()
        parent.wait()
        async with browsing(tmp_path, facts=Facts()) as browser:
            await browser.open()
            assert members(orphan) == []


async def test_the_sweep_kills_what_a_dead_supervisor_left_and_nothing_else(
    tmp_path: Path,
) -> None:
    ours, theirs = tmp_path / "data", tmp_path / "data2"
    parent, orphan = launch_in_another_process(ours)
    with parent:
        os.killpg(orphan, signal.SIGSTOP)
        parent.kill()
        parent.wait()
        async with browsing(theirs, facts=Facts()) as neighbour:
            with foreign_program(ours / "s1" / "profile") as bystander:
                killed = sweep_orphans(ours)
                assert orphan in killed
                assert members(orphan) == []
                assert bystander.poll() is None
            await neighbour.open()
        assert sweep_orphans(ours) == []
        assert sweep_orphans(tmp_path / "nothing") == []


async def test_a_thousand_races_have_one_winner_each(tmp_path: Path) -> None:
    directory = tmp_path / "s1"
    directory.mkdir()

    def race() -> ProfileLock | None:
        try:
            return ProfileLock.acquire(directory)
        except ProfileInUse:
            return None

    loop = asyncio.get_running_loop()
    for _ in range(1000):
        winners = [
            lock
            for lock in await asyncio.gather(loop.run_in_executor(None, race), _now(race))
            if lock is not None
        ]
        assert len(winners) == 1
        winners[0].release()
    await loop.shutdown_default_executor()


async def _now(race: Callable[[], ProfileLock | None]) -> ProfileLock | None:
    return race()


def test_a_lock_file_that_is_a_link_is_refused(tmp_path: Path) -> None:
    paths = session_paths(tmp_path)
    paths.profile.parent.mkdir()
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (paths.profile.parent / "owner.lock").symlink_to(victim)
    with pytest.raises(LaunchFailed):
        take(paths)
    assert victim.read_text() == "precious"


def test_emptying_the_temporary_folder_follows_no_link(tmp_path: Path) -> None:
    paths = session_paths(tmp_path)
    paths.tmp.mkdir(parents=True)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("keep")
    (paths.tmp / "link").symlink_to(precious)
    take(paths).release()
    assert list(paths.tmp.iterdir()) == []
    assert (precious / "file").read_text() == "keep"


def test_a_directory_that_can_not_be_made_is_a_failed_launch(tmp_path: Path) -> None:
    (tmp_path / "s1").write_text("a file")
    with pytest.raises(LaunchFailed, match="s1"):
        take(session_paths(tmp_path))
