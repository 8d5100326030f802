"""Browsers and pages that die or hang under a real supervisor: found, mended, told of once.

At the scale of health_support.BEATS: a fifth of the default heartbeats.
"""

from __future__ import annotations

import os
import signal
from functools import partial
from typing import TYPE_CHECKING

import pytest

from actors.browser.whatsapp import WhatsAppBrowser
from actors.messages import OutboxChanged
from storage.messages import MessageState
from tests.integration.archive_world import ME, world
from tests.integration.browser_support import members, renderer_of
from tests.integration.health_support import (
    BEATS,
    BROWSER_UP,
    FOUND,
    PAGE_UP,
    accept,
    health_events,
    linked,
    message_is,
    one_outage,
    sample,
    statuses,
    truth,
)
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.integration.archive_world import World

pytestmark = pytest.mark.integration


async def test_a_stopped_browser_is_killed_and_started_again(tmp_path: Path) -> None:
    """SIGSTOP: it would not even hear that it is to close, so it is not waited for."""
    async with world(tmp_path, stop_timeout=60, **BEATS) as here:
        pid = await linked(here)
        os.kill(pid, signal.SIGSTOP)
        told = await one_outage(here)
        assert (told.lost["cause"], told.lost["rung"]) == ("browser_unresponsive", "cdp")
        assert told.recovered["repair"] == "restart"
        assert told.detected < FOUND
        assert told.seconds < FOUND + BROWSER_UP
        assert members(pid) == []
        assert sample(here, 'wafleet_session_restarts_total{cause="browser_unresponsive"}') == 1
        assert sample(here, "wafleet_browser_forced_stops_total") == 1


async def test_a_stopped_renderer_is_replaced_in_the_same_browser(tmp_path: Path) -> None:
    """SIGSTOP of the page's process: no JavaScript can be ended there, so the process is."""
    async with world(tmp_path, **BEATS) as here:
        pid = await linked(here)
        os.kill(renderer_of(pid), signal.SIGSTOP)
        told = await one_outage(here)
        assert (told.lost["cause"], told.lost["rung"]) == ("page_unresponsive", "page")
        assert told.recovered["repair"] == "reload"
        assert told.detected < FOUND
        assert told.seconds < FOUND + 0.8 + PAGE_UP
        live = await here.live("ready")
        assert (live.browser_pid, live.incarnation) == (pid, 1)


async def test_a_page_in_a_loop_is_freed(tmp_path: Path) -> None:
    """while(1){}: the loop is ended, the page, its socket and the browser stay."""
    async with world(tmp_path, **BEATS) as here:
        pid = await linked(here)
        sockets = len(truth(here, "ws_open"))
        here.simulator.desk.set_fault("page_hang", ME, {})
        told = await one_outage(here)
        assert (told.lost["cause"], told.recovered["repair"]) == ("page_unresponsive", "free")
        assert told.detected < FOUND
        assert told.seconds < FOUND + 1
        assert (await here.live("ready")).browser_pid == pid
        assert len(truth(here, "ws_open")) == sockets
        message = await accept(here, 1)
        here.fleet.tell(OutboxChanged(session_id=here.session))
        await message_is(here, message, MessageState.DELIVERED, MessageState.READ)
        # it was disconnected for as long as nobody knew
        assert ("disconnected", "page_unresponsive") in await statuses(here)


async def test_a_page_that_hangs_again_is_loaded_anew(tmp_path: Path) -> None:
    """Freeing it was no cure."""
    async with world(tmp_path, **BEATS) as here:
        pid = await linked(here)
        for rounds in (2, 4):
            here.simulator.desk.set_fault("page_hang", ME, {})

            async def over(wanted: int = rounds) -> bool:
                return len(await health_events(here)) == wanted

            await eventually_async(over)
            await here.live("ready")
        repairs = [event["repair"] for event in await health_events(here) if "repair" in event]
        assert repairs == ["free", "reload"]
        assert (await here.live("ready")).browser_pid == pid


async def crash_by_signal(here: World, pid: int) -> None:
    assert here
    os.kill(renderer_of(pid), signal.SIGKILL)


async def crash_by_page_crash(here: World, _pid: int) -> None:
    await send(here, "Page.crash", {})


async def crash_by_address(here: World, _pid: int) -> None:
    await send(here, "Page.navigate", {"url": "chrome://crash"})


async def send(here: World, method: str, params: dict[str, str]) -> None:
    """Send a CDP command to the page; a crash leaves it without an answer."""
    browser = here.driver.browsers[-1]
    assert isinstance(browser, WhatsAppBrowser)
    client = browser._ready_page()._client

    async def work() -> None:
        client.send(method, params)

    here.bridge.run(partial(work), 5)


@pytest.mark.parametrize("crash", [crash_by_signal, crash_by_page_crash, crash_by_address])
async def test_a_crashed_page_is_loaded_anew_in_its_browser(
    tmp_path: Path, crash: Callable[[World, int], Awaitable[None]]
) -> None:
    """Told at once by Chromium: no scale, less than 5 s until it is connected again."""
    async with world(tmp_path) as here:
        pid = await linked(here)
        await crash(here, pid)
        told = await one_outage(here)
        assert (told.lost["cause"], told.recovered["repair"]) == ("page_crashed", "reload")
        assert told.seconds < 5
        live = await here.live("ready")
        assert (live.browser_pid, live.incarnation) == (pid, 1)
        assert (await statuses(here))[-2:] == [
            ("disconnected", "page_crashed"),
            ("connected", "ready"),
        ]
        assert sample(here, 'wafleet_health_repairs_total{cause="page_crashed",repair="reload"}')
        assert sample(here, 'wafleet_health_recovery_seconds_count{cause="page_crashed"}') == 1


async def test_a_page_that_crashes_too_often_becomes_a_crash_of_its_browser(
    tmp_path: Path,
) -> None:
    """A reload loop has an end: the supervisor counts what comes after it."""
    async with world(tmp_path, page_reloads=1) as here:
        pid = await linked(here)
        os.kill(renderer_of(pid), signal.SIGKILL)
        await one_outage(here)
        os.kill(renderer_of(pid), signal.SIGKILL)

        async def restarted() -> bool:
            return len(await health_events(here)) == 4

        await eventually_async(restarted)
        assert (await here.live("ready")).browser_pid != pid
        assert [event.get("repair") for event in await health_events(here)] == [
            *(None, "reload"),
            *(None, "restart"),
        ]
        assert sample(here, 'wafleet_session_restarts_total{cause="page_crashed"}') == 1
        repairs = 'wafleet_health_repairs_total{cause="page_crashed",repair="restart"}'
        assert sample(here, repairs) == 1
        assert "qr_scanning" not in here.seen


async def test_a_killed_browser_is_one_outage_over_two_incarnations(tmp_path: Path) -> None:
    """Found by the end of its pipe; the next incarnation tells of the recovery."""
    async with world(tmp_path) as here:
        pid = await linked(here)
        os.kill(pid, signal.SIGKILL)
        told = await one_outage(here)
        assert (told.lost["cause"], told.lost["rung"]) == ("browser_exited", "process")
        assert told.recovered["repair"] == "restart"
        assert told.seconds < 5
        assert (await here.live("ready")).incarnation == 2
        # the cause is shown all the way up
        shown = await statuses(here)
        assert shown[shown.index(("disconnected", "browser_exited")) :] == [
            ("disconnected", "browser_exited"),
            ("connected", "ready"),
        ]


async def test_a_crash_of_our_own_code_is_told_by_the_next_incarnation(tmp_path: Path) -> None:
    """The actor that died could not write any more."""
    async with world(tmp_path) as here:
        await linked(here)
        fleet = here.fleet._ref._actor_weakref()
        assert fleet is not None
        fleet._children[here.session].ref.tell("no message of ours")
        told = await one_outage(here)
        assert (told.lost["cause"], told.recovered["repair"]) == ("actor_crashed", "restart")
        assert (await here.live("ready")).incarnation == 2
