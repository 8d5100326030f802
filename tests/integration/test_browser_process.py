"""The owner of Chromium's processes, on real Chromium and real signals."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import tempfile
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from actors.browser import process as processes
from actors.browser import procfs
from actors.browser.driver import (
    BrowserExited,
    CallTimedOut,
    ConnectionLost,
    DocumentChanged,
    LaunchFailed,
    PageCrashed,
    PageGone,
)
from actors.browser.launch_args import Deadlines
from actors.browser.launcher import ChromiumDriver
from actors.browser.scratch import PREFIX, sweep_links
from tests.integration.browser_support import (
    OPTIONS,
    Facts,
    browsing,
    launch_in_another_process,
    links,
    members,
    renderer_of,
    session_paths,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _boot_follows(tmp_path: Path) -> Iterator[None]:
    """Do what the next start does for the browsers whose supervisor a test has killed."""
    yield
    sweep_links(tmp_path)


async def test_launch_and_stop_leave_nothing(tmp_path: Path) -> None:
    facts = Facts()
    threads = threading.active_count()
    async with browsing(tmp_path, facts=facts) as browser:
        await browser.open()
        assert threading.active_count() == threads  # none per browser
        assert len(members(browser.pid)) > 1
        pid = browser.pid
        report = await browser.stop(10)
    assert not report.forced
    assert report.returncode == 0
    assert report.survivors == ()
    assert members(pid) == []
    assert facts.all == [DocumentChanged(), BrowserExited(pid=pid, returncode=0)]
    assert list(session_paths(tmp_path).tmp.iterdir()) == []
    assert await browser.stop(10) == report


async def test_browsers_share_no_descriptor(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    with marker.open("w") as ours:
        os.set_inheritable(ours.fileno(), True)
        async with (
            browsing(tmp_path, facts=Facts()) as first,
            browsing(tmp_path, name="s2", facts=Facts()) as second,
        ):
            assert not {str(marker)} & (links(first.pid) | links(second.pid))
            # Nobody else holds an end of the pipes: else they would not break when we die.
            pipes = [
                {link for link in links(pid) if link.startswith("pipe:")}
                for pid in (first.pid, second.pid)
            ]
            assert all(len(ends) >= 3 for ends in pipes)
            assert not pipes[0] & pipes[1]


async def test_private_directories_and_a_raised_oom_score(tmp_path: Path) -> None:
    paths = session_paths(tmp_path)
    paths.tmp.mkdir(parents=True)
    (paths.tmp / "old").write_text("left by a crash")
    (paths.tmp / "dir" / "deep").mkdir(parents=True)
    async with browsing(tmp_path, facts=Facts()) as browser:
        for directory in (paths.profile.parent, paths.profile, paths.tmp):
            assert directory.stat().st_mode & 0o777 == 0o700
        assert not (paths.tmp / "old").exists()
        assert not (paths.tmp / "dir").exists()
        score = int((procfs.PROC / str(browser.pid) / "oom_score_adj").read_text())
        assert score == processes.OOM_SCORE_ADJ


async def test_kill_9_is_noticed_within_a_second(tmp_path: Path) -> None:
    facts = Facts()
    async with browsing(tmp_path, facts=facts) as browser:
        await browser.open()
        pending = asyncio.ensure_future(browser._ask("lookupAck", {"chat": "x"}, 30))
        page = browser._page
        assert page is not None
        never = asyncio.ensure_future(page.evaluate("new Promise(() => 0)", 30))
        await asyncio.sleep(0)
        group = members(browser.pid)
        os.kill(browser.pid, signal.SIGKILL)
        exited = await facts.next(BrowserExited, within=1)
        assert exited.returncode == -signal.SIGKILL
        with pytest.raises(ConnectionLost):
            await never
        await asyncio.gather(pending, return_exceptions=True)
        with pytest.raises(ConnectionLost):
            await browser.lookup_ack(chat="x", wa_id="y")
        with pytest.raises(ConnectionLost):
            await browser.open()
        await until(lambda: not any(procfs.find(pid) for pid in group))
        report = await browser.stop(10)
        assert report.survivors == ()
        assert facts.of(BrowserExited) == [exited]


async def test_kill_from_another_thread(tmp_path: Path) -> None:
    facts = Facts()
    async with browsing(tmp_path, facts=facts) as browser:
        killer = threading.Thread(target=browser.kill)
        killer.start()
        await facts.next(BrowserExited)
        killer.join()
        browser.kill()
        assert (await browser.stop(1)).survivors == ()
        browser.kill()


async def test_a_stopped_browser_times_out_and_is_killed_at_the_deadline(tmp_path: Path) -> None:
    options = replace(OPTIONS, deadlines=Deadlines(call=0.5))
    facts = Facts()
    async with browsing(tmp_path, options, facts=facts) as browser:
        await browser.open()
        os.killpg(browser.pid, signal.SIGSTOP)
        begun = time.monotonic()
        with pytest.raises(CallTimedOut):
            await browser.lookup_ack(chat="x", wa_id="y")
        assert time.monotonic() - begun < 2
        report = await browser.stop(1)
        assert report.forced
        assert report.survivors == ()
        assert 1 <= report.seconds < 4
        assert members(browser.pid) == []
        assert len(facts.of(BrowserExited)) == 1


async def test_calls_to_a_stopped_browser_do_not_block_the_loop(tmp_path: Path) -> None:
    async with browsing(tmp_path, facts=Facts()) as browser:
        os.killpg(browser.pid, signal.SIGSTOP)
        begun = time.monotonic()
        page = browser._page
        assert page is not None
        big = [asyncio.ensure_future(page.evaluate(f"'{'x' * 1_000_000}'", 0.2)) for _ in range(10)]
        results = await asyncio.gather(*big, return_exceptions=True)
        assert all(isinstance(result, CallTimedOut) for result in results)
        assert not page._client.calls  # nothing waits for ever for an answer that nobody wants
        assert time.monotonic() - begun < 3
        # Late answers of a browser that comes back are dropped, and it can be used again.
        os.killpg(browser.pid, signal.SIGCONT)
        assert await page.evaluate("1 + 1", 20) == 2


async def test_a_page_that_never_answers_does_not_hold_a_stop_up(tmp_path: Path) -> None:
    options = replace(OPTIONS, deadlines=Deadlines(call=0.5))
    async with browsing(tmp_path, options, facts=Facts()) as browser:
        await browser.open()
        page = browser._page
        assert page is not None
        with pytest.raises(CallTimedOut):
            await page.evaluate("while (true);", 0.5)
        with pytest.raises(CallTimedOut):
            await browser.lookup_ack(chat="x", wa_id="y")
        report = await browser.stop(5)
        assert report.survivors == ()
        assert report.seconds < 9


async def test_a_second_stop_with_less_time_shortens_the_first(tmp_path: Path) -> None:
    async with browsing(tmp_path, facts=Facts()) as browser:
        os.killpg(browser.pid, signal.SIGSTOP)
        patient = asyncio.ensure_future(browser.stop(60))
        await asyncio.sleep(0)
        begun = time.monotonic()
        report = await browser.stop(0.2)
        assert time.monotonic() - begun < 5
        assert await patient == report
        assert report.survivors == ()


async def test_a_cancelled_stop_goes_on(tmp_path: Path) -> None:
    async with browsing(tmp_path, facts=Facts()) as browser:
        stopping = asyncio.ensure_future(browser.stop(10))
        await asyncio.sleep(0)
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping
        await until(lambda: not members(browser.pid))


async def test_a_child_that_left_the_group_is_killed_too(tmp_path: Path) -> None:
    """A process of the browser's session that has its own group survives killpg, not us."""
    script = tmp_path / "wrapper"
    script.write_text(
        "#!/bin/bash\n"
        "set -m\n"  # job control: each background job gets a group of its own
        "sleep 1000 &\n"
        f'exec {ChromiumDriver(OPTIONS)._find_chromium().executable} "$@"\n'
    )
    script.chmod(0o755)
    options = replace(OPTIONS, executable=script)
    driver = ChromiumDriver(options)
    driver._chromium = replace(ChromiumDriver(OPTIONS)._find_chromium(), executable=script)
    browser = await driver.launch("s1", session_paths(tmp_path), Facts())
    groups = {p.group for p in procfs.processes() if p.session == browser.pid}
    assert len(groups) == 2
    report = await browser.stop(5)
    assert report.survivors == ()
    assert members(browser.pid) == []


async def test_a_renderer_kill_is_a_page_crash_and_the_page_can_be_opened_again(
    tmp_path: Path,
) -> None:
    facts = Facts()
    async with browsing(tmp_path, facts=facts) as browser:
        await browser.open()
        page = browser._page
        assert page is not None
        waiting = asyncio.ensure_future(page.evaluate("new Promise(() => 0)", 30))
        await asyncio.sleep(0)
        begun = time.monotonic()
        os.kill(renderer_of(browser.pid), signal.SIGKILL)
        await facts.next(PageCrashed, within=2)
        with pytest.raises(PageGone):
            await waiting
        assert time.monotonic() - begun < 2
        with pytest.raises(PageGone):
            await browser.lookup_ack(chat="x", wa_id="y")
        await browser.open()
        assert await page.evaluate("typeof WPP", 5) == "object"
        assert facts.of(BrowserExited) == []


async def test_a_closed_page_is_gone(tmp_path: Path) -> None:
    facts = Facts()
    async with browsing(tmp_path, facts=facts) as browser:
        await browser.open()
        page = browser._page
        assert page is not None
        waiting = asyncio.ensure_future(page.evaluate("new Promise(() => 0)", 30))
        targets = await browser._connection.send("Target.getTargets")
        target = next(t for t in targets["targetInfos"] if t["type"] == "page")
        await browser._connection.send("Target.closeTarget", {"targetId": target["targetId"]})
        with pytest.raises(PageGone):
            await waiting
        await facts.next(PageCrashed)
        with pytest.raises(PageGone):
            await browser.open()


async def test_a_browser_ends_when_its_owner_is_killed(tmp_path: Path) -> None:
    parent, pid = launch_in_another_process(tmp_path)
    with parent:
        assert members(pid)
        parent.kill()
        parent.wait()
        took = await until(lambda: not members(pid), within=2)
        assert took < 2


async def test_two_launches_at_once(tmp_path: Path) -> None:
    driver = ChromiumDriver(OPTIONS)
    first, second = await asyncio.gather(
        driver.launch("s1", session_paths(tmp_path, "s1"), Facts()),
        driver.launch("s2", session_paths(tmp_path, "s2"), Facts()),
    )
    await asyncio.gather(first.open(), second.open())
    reports = await asyncio.gather(first.stop(10), second.stop(10))
    assert [report.forced for report in reports] == [False, False]
    assert members(first.pid) == members(second.pid) == []


async def test_a_cancelled_launch_leaves_nothing(tmp_path: Path) -> None:
    driver = ChromiumDriver(OPTIONS)
    facts = Facts()
    marker = f"--user-data-dir={session_paths(tmp_path).profile}"
    launching = asyncio.ensure_future(driver.launch("s1", session_paths(tmp_path), facts))
    await until(lambda: _running_with(marker))
    launching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await launching
    assert not _running_with(marker)
    assert facts.all == []
    async with browsing(tmp_path, facts=facts):  # and the profile is free
        pass


@pytest.mark.parametrize("when", [0.0, 0.02, 0.05, 0.1])
async def test_a_process_can_be_stopped_while_it_comes_up(tmp_path: Path, when: float) -> None:
    """Whatever stop finds, however early, nothing is left."""
    driver = ChromiumDriver(OPTIONS)
    browser, _ = driver._start("s1", session_paths(tmp_path), Facts())
    await asyncio.sleep(when)
    report = await browser.stop(5)
    assert report.survivors == ()
    assert members(browser.pid) == []


async def test_a_program_that_is_no_chromium_fails_the_launch_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "fake"
    fake.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo "Chromium 1.2.3.4" && exit 0\n'
        'env > "${0%/*}/environment"\n'
        "echo 'cannot open display for 15550100001' >&2\nexit 7\n"
    )
    fake.chmod(0o755)
    monkeypatch.setenv("WAFLEET_KEY", "secret")
    facts = Facts()
    driver = ChromiumDriver(replace(OPTIONS, executable=fake))
    assert driver.missing() == []
    with pytest.raises(LaunchFailed, match="cannot open display") as failed:
        await driver.launch("s1", session_paths(tmp_path), facts)
    assert "15550100001" not in str(failed.value)
    assert facts.all == []
    environment = (tmp_path / "environment").read_text()
    short = re.escape(f"{tempfile.gettempdir()}/{PREFIX}")
    assert re.search(rf"^TMPDIR={short}\w+/t$", environment, re.MULTILINE)
    assert "secret" not in environment


async def test_a_program_that_never_answers_fails_the_launch_at_the_deadline(
    tmp_path: Path,
) -> None:
    fake = tmp_path / "fake"
    fake.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo "Chromium 1.2.3.4" && exit 0\nexec sleep 1000\n'
    )
    fake.chmod(0o755)
    options = replace(OPTIONS, executable=fake, deadlines=Deadlines(launch=0.5))
    begun = time.monotonic()
    with pytest.raises(LaunchFailed, match="in time"):
        await ChromiumDriver(options).launch("s1", session_paths(tmp_path), Facts())
    assert time.monotonic() - begun < 5


async def test_missing_names_everything_that_is_missing(tmp_path: Path) -> None:
    options = replace(OPTIONS, executable=tmp_path / "none", bundle_path=tmp_path / "none.js")
    codes = [error.code for error in ChromiumDriver(options).missing()]
    assert codes == ["chromium_missing", "bundle_missing"]


def _running_with(argument: str) -> bool:
    return any(argument in (procfs.command_line(p.pid) or "") for p in procfs.processes())
