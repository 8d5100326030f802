"""The memory actor on real Chromium: garbage is collected, leaks end in restarts, neighbours live.

Scales: memory is looked at every 0.3 s instead of 15 s; limits are a few hundred MB, near what a
browser takes that has just connected (some 150 MB); a browser may be restarted at once.
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from actors.bridge import FutureReply
from actors.browser import procfs
from actors.browser.footprint import Shares, footprints
from actors.browser.whatsapp import WhatsAppBrowser
from actors.messages import Done, OutboxChanged, RecycleSession, Refused, Service, ToService
from storage.messages import MessageState, NewOutbound
from supervisor.parts import new_wa_id
from tests.integration.archive_world import ALICE, ASK, ME, world
from tests.integration.browser_support import members
from tests.integration.care_world import (
    MB,
    evaluate,
    garbage,
    neighbour,
    shows,
    telling,
    told,
    value,
)
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from pathlib import Path

    from actors.live import LiveSession
    from tests.integration.archive_world import World

pytestmark = pytest.mark.integration

LIMITS: dict[str, Any] = {
    "memory_interval": 0.3,
    "memory_soft_mb": 300,
    "memory_hard_mb": 5000,
    "memory_kill_mb": 6000,
    "memory_recycle_pause": 0,
    "restart_backoff_first": 0.05,
    "restart_backoff_max": 0.1,
    "profile_interval": 3600,
}


def limits(**changes: Any) -> dict[str, Any]:
    return {**LIMITS, **changes}


def leak(here: World, mb: int, number: str = ME) -> None:
    """Let the page of this number take so many MB that it never gives back."""
    here.simulator.desk.set_fault("memory_growth", number, {"mb_per_s": 400, "limit_mb": mb})


async def unharmed(here: World, session: str, before: LiveSession) -> None:
    """A neighbour: the same browser, connected, and nobody has done anything to it."""
    live = await shows(here, session, "ready")
    assert live == before or live.browser_pid == before.browser_pid
    assert await told(here, "memory", session) == []
    assert await told(here, "storage", session) == []


async def test_above_the_soft_limit_garbage_is_collected_and_that_is_all(tmp_path: Path) -> None:
    """Real garbage: 390 MB of objects that the page has let go of and the browser still has."""
    async with world(tmp_path, **limits()) as here:
        live = await here.link()
        await evaluate(here, live.browser_pid, garbage(150))
        (began,) = await telling(here, "memory", "collect", here.session)
        assert began["before"] >= 300 * MB
        (collected,) = await telling(here, "memory", "collected", here.session)
        assert collected["cause"] == "soft_limit"
        assert collected["before"] >= 300 * MB
        assert collected["after"] < 300 * MB
        assert collected["before"] - collected["after"] > 100 * MB
        assert 0 < collected["seconds"] < 10
        assert (await here.live("ready")).browser_pid == live.browser_pid
        assert [e["action"] for e in await told(here, "memory")] == ["collect", "collected"]
        assert value(here, "wafleet_memory_collections_total", cause="soft_limit") == 1
        for cause in ("hard_limit", "total_limit", "max_age", "storage"):
            assert value(here, "wafleet_session_recycles_total", cause=cause) == 0


async def test_above_the_hard_limit_it_is_restarted_without_a_qr_code(tmp_path: Path) -> None:
    """A leak is nothing that a collection helps against: it is tried, archived, restarted."""
    quick = limits(memory_soft_mb=340, memory_hard_mb=400, memory_collect_pause=5)
    async with world(tmp_path, **quick) as here:
        first = await here.link()
        other = await neighbour(here)
        beside = await shows(here, other, "ready")
        leak(here, 400)
        again = await shows(here, here.session, "ready", after=first.incarnation)
        (recycled,) = await telling(here, "memory", "recycled", here.session)
        assert recycled["cause"] == "hard_limit"
        assert recycled["before"] >= 400 * MB
        assert recycled["after"] < 340 * MB
        assert recycled["seconds"] > 0
        actions = [e["action"] for e in await told(here, "memory", here.session)]
        assert actions.index("collected") < actions.index("recycle") < actions.index("recycled")
        assert actions.count("recycle") == 1
        assert again.browser_pid != first.browser_pid
        assert await here.generations() == [1]
        statuses = await told(here, "session.status", here.session)
        assert [e["status"] for e in statuses].count("qr_scanning") == 2  # before it was linked
        assert [e["detail"] for e in statuses if e["reason"] == "recycling"] == ["hard_limit"]
        assert value(here, "wafleet_session_recycles_total", cause="hard_limit") == 1
        await unharmed(here, other, beside)


async def test_above_the_kill_limit_the_browser_is_killed_and_comes_back(tmp_path: Path) -> None:
    """It grows faster than anything milder helps: gone at once, with all of its processes."""
    quick = limits(memory_hard_mb=450, memory_kill_mb=450, memory_recycle_pause=3600)
    async with world(tmp_path, **quick) as here:
        first = await here.link()
        other = await neighbour(here)
        beside = await shows(here, other, "ready")
        pid = first.browser_pid
        assert pid is not None
        leak(here, 1000)
        again = await shows(here, here.session, "ready", after=first.incarnation)
        (kill,) = await telling(here, "memory", "kill", here.session)
        assert kill["before"] >= 450 * MB
        (back,) = await telling(here, "memory", "recovered", here.session)
        assert back["after"] < 450 * MB
        assert members(pid) == []
        (killed,) = [each for each in here.driver.browsers if each.pid == pid]
        assert isinstance(killed, WhatsAppBrowser)
        assert killed._process.returncode == -signal.SIGKILL  # not asked to close
        assert again.browser_pid != pid
        statuses = await told(here, "session.status", here.session)
        (why,) = [e for e in statuses if e["reason"] == "memory_exceeded"]
        assert "memory_kill_mb" in why["detail"]
        assert [e["status"] for e in statuses].count("qr_scanning") == 2
        assert value(here, "wafleet_memory_kills_total") == 1
        assert value(here, "wafleet_session_restarts_total", cause="memory_exceeded") == 1
        await unharmed(here, other, beside)


async def test_when_all_together_take_too_much_the_largest_pays(tmp_path: Path) -> None:
    quick = limits(memory_soft_mb=4000, memory_budget_mb=600, memory_total_percent=90)
    async with world(tmp_path, **quick) as here:
        first = await here.link()
        other = await neighbour(here)
        beside = await shows(here, other, "ready")
        assert await told(here, "memory") == []
        leak(here, 350)
        await shows(here, here.session, "ready", after=first.incarnation)
        (recycled,) = await telling(here, "memory", "recycled", here.session)
        assert recycled["cause"] == "total_limit"
        actions = [e["action"] for e in await told(here, "memory")]
        assert actions == ["collect", "collected", "recycle", "recycled"]
        await unharmed(here, other, beside)
        assert value(here, "wafleet_memory_limit_bytes") == 600 * MB


async def test_old_browsers_are_restarted_one_after_the_other(tmp_path: Path) -> None:
    """Two sessions ripe at once: in any order, never both at a time, each with its login."""
    quick = limits(session_max_age=6, session_quiet=0.5, memory_soft_mb=4000)
    async with world(tmp_path, **quick) as here:
        await here.link()
        for session in (here.session, await neighbour(here)):
            await telling(here, "memory", "recycled", session)
        rows = await here.store.events(here.workspace, types=["memory"], limit=100)
        under_way: set[str | None] = set()
        for row in rows:
            if row.payload["action"] == "recycle":
                assert not under_way
                under_way.add(row.session_id)
            else:
                assert row.payload["action"] == "recycled"
                assert row.payload["cause"] == "max_age"
                under_way.remove(row.session_id)
        statuses = [e["status"] for e in await told(here, "session.status")]
        assert statuses.count("qr_scanning") == 4  # expected and shown, before each was linked


async def test_no_restart_while_a_message_is_on_its_way(tmp_path: Path) -> None:
    """The acks are lost, so the send lasts: a planned restart waits, an urgent one does not."""
    async with world(tmp_path, **limits()) as here:
        live = await here.link()
        fault = here.simulator.desk.set_fault("drop_acks", ME, {})
        new = NewOutbound(
            session_id=here.session, chat=f"{ALICE}@c.us", wa_id=new_wa_id(), body="x", now_ms=1
        )
        message = await here.store.accept_message(here.workspace, new)
        here.fleet.tell(OutboxChanged(session_id=here.session))

        async def sending() -> bool:
            row = await here.store.message(here.workspace, here.session, message.id)
            return row.state is MessageState.SENDING

        await eventually_async(sending)

        async def ask(quiet: float | None, incarnation: int = live.incarnation) -> Any:
            reply = FutureReply()
            here.fleet.tell(
                RecycleSession(
                    session_id=here.session,
                    incarnation=incarnation,
                    cause="max_age",
                    quiet=quiet,
                    reply=reply,
                )
            )
            return await reply.wait(ASK)

        for quiet in (0.0, 5.0):
            answer = await ask(quiet)
            assert isinstance(answer, Refused)
            assert answer.code == "not_quiet"
        assert (await here.live("ready")).browser_pid == live.browser_pid
        assert (await ask(None, incarnation=live.incarnation + 1)).code == "not_running"
        here.simulator.desk.clear_faults(fault["id"])
        assert await ask(None) == Done()
        assert (await ask(None)).code in {"not_running", "recycle_under_way"}
        await shows(here, here.session, "ready", after=live.incarnation)

        async def went() -> bool:
            row = await here.store.message(here.workspace, here.session, message.id)
            return row.state in {MessageState.SENT, MessageState.DELIVERED, MessageState.READ}

        await eventually_async(went)
        received = here.simulator.truth.read(
            after=0, kinds=["message_received_from_client"], number="", limit=10
        )
        assert [event["id"] for event in received] == [message.wa_id]


async def test_a_page_that_hangs_while_it_should_collect_is_told(tmp_path: Path) -> None:
    """The collection gets no answer in time; nothing is held up by it, and nothing is restarted."""
    async with world(tmp_path, **limits(call_timeout=1)) as here:
        live = await here.link()
        busy = evaluate(here, live.browser_pid, garbage(150, hang_ms=4000))
        hanging = asyncio.create_task(busy)
        (failed,) = await telling(here, "memory", "collect_failed", here.session)
        assert failed["code"] == "call_timed_out"
        assert failed["before"] >= 300 * MB
        assert await hanging == 150
        assert (await here.live("ready")).browser_pid == live.browser_pid


async def test_a_memory_actor_that_crashes_starts_again_and_goes_on(tmp_path: Path) -> None:
    async with world(tmp_path, **limits()) as here:
        live = await here.link()
        nonsense: Any = object()
        here.fleet.tell(ToService(service=Service.MEMORY, message=nonsense))

        async def restarted() -> bool:
            return value(here, "wafleet_service_restarts_total", service="memory") == 1

        await eventually_async(restarted)
        await evaluate(here, live.browser_pid, garbage(150))
        await telling(here, "memory", "collected", here.session)
        assert (await here.live("ready")).browser_pid == live.browser_pid


async def test_a_look_at_browsers_counts_all_of_their_processes(tmp_path: Path) -> None:
    async with world(tmp_path, **limits(memory_interval=3600)) as here:
        pid = (await here.link()).browser_pid
        assert pid is not None
        found = await asyncio.to_thread(footprints, [pid, 1, 2**22, os.getpid()], Shares())
        mine = found[pid]
        assert mine.processes == len(members(pid)) >= 3
        assert mine.descriptors > 100
        assert 50 * MB < mine.pss < 400 * MB
        assert 0 < mine.age < 60
        assert 2**22 not in found
        leader = procfs.get(pid)
        assert leader.session == pid
        os.kill(pid, signal.SIGKILL)
        await shows(here, here.session, "ready", after=1)
        assert pid not in await asyncio.to_thread(footprints, [pid], Shares())
