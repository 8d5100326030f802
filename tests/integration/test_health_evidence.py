"""Evidence from end to end: who is asked for it, who is not, and what follows when there is none.

The scale: a health interval of 3 s (a fortieth of the default), acks within 2 s (a fifteenth).
"""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import pytest

from actors.browser import freezer
from actors.messages import OutboxChanged
from actors.notes import BODY
from simulator import requests as req
from storage.messages import Direction, MessageState
from storage.vault.profile_copy import copy_profile
from supervisor import assembly, parts
from tests.integration.archive_world import ALICE, ME, world
from tests.integration.health_support import (
    BEATS,
    BROWSER_UP,
    PAGE_UP,
    accept,
    health_events,
    linked,
    message_is,
    no_note_is_left,
    one_outage,
    sample,
    statuses,
    truth,
)
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from storage.vault.profile_copy import CopyFacts
    from tests.integration.archive_world import World

pytestmark = pytest.mark.integration

INTERVAL: Final = 3.0
CHECKS: Final[Mapping[str, Any]] = {"health_interval": INTERVAL, **BEATS}
PROBES: Final = 'wafleet_health_probes_total{verdict="acked"}'
MINE: Final = f"{ME}@c.us"


async def probed(here: World, times: int) -> None:
    async def look() -> bool:
        return sample(here, PROBES) >= times

    await eventually_async(look)


def stored(here: World, table: str) -> int:
    with closing(sqlite3.connect(here.data.database)) as connection:
        (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
    return int(count)


async def test_a_healthy_idle_session_proves_itself_and_leaves_no_trace(tmp_path: Path) -> None:
    """Asked within each interval; connected throughout; no message, chat or contact of it."""
    async with world(tmp_path, **CHECKS) as here:
        live = await here.link()
        begun = time.monotonic()
        before = live.evidence_ms
        await probed(here, 2)
        assert 2 * 0.6 * INTERVAL * 0.8 < time.monotonic() - begun < 2 * INTERVAL
        after = await here.live("ready")
        assert before is not None
        assert after.evidence_ms is not None
        assert after.evidence_ms > before
        assert await health_events(here) == []
        assert (await statuses(here))[-1] == ("connected", "ready")
        await no_note_is_left(here)
        notes = [e for e in truth(here, "message_received_from_client") if e["text"] == BODY]
        assert len({note["id"] for note in notes}) == 2
        assert {note["chat"] for note in notes} == {MINE}
        deleted = [event["id"] for event in truth(here, "deleted_by_client")]
        assert deleted == [note["id"] for note in notes]
        assert sample(here, "wafleet_health_notes_left_total") == 0
        for table in ("messages", "chats", "contacts", "contact_sessions"):
            assert stored(here, table) == 0, table
        assert await here.store.messages(here.workspace, here.session) == []


async def test_a_busy_session_is_never_asked(tmp_path: Path) -> None:
    """For three intervals somebody writes: that is evidence enough."""
    async with world(tmp_path, **CHECKS) as here:
        await here.link()
        until, count = time.monotonic() + 3 * INTERVAL, 0
        while time.monotonic() < until:
            here.simulator.desk.contact_sends(ALICE, req.ContactSends(to=ME, text="hello"))
            count += 1

            async def arrived(wanted: int = count) -> bool:
                found = await here.store.messages(
                    here.workspace, here.session, direction=Direction.INBOUND, limit=1000
                )
                return len(found) >= wanted

            await eventually_async(arrived, within=INTERVAL)
        assert truth(here, "message_received_from_client") == []
        assert await health_events(here) == []


async def test_a_silent_socket_is_found_within_an_interval_and_mended_without_a_code(
    tmp_path: Path,
) -> None:
    """Frames vanish both ways, everything else is healthy; what was sent meanwhile is not lost."""
    async with world(tmp_path, **CHECKS) as here:
        pid = await linked(here)
        begun = time.monotonic()
        here.simulator.desk.set_fault("silent_socket", ME, {})
        message = await accept(here, 1)
        here.fleet.tell(OutboxChanged(session_id=here.session))

        async def noticed() -> bool:
            return bool(await health_events(here))

        await eventually_async(noticed)
        assert time.monotonic() - begun < INTERVAL
        told = await one_outage(here)
        assert (told.lost["cause"], told.lost["rung"]) == ("evidence_missing", "end_to_end")
        assert told.recovered["repair"] == "reload"
        assert told.detected <= INTERVAL
        assert told.seconds < INTERVAL + PAGE_UP
        assert (await here.live("ready")).browser_pid == pid
        shown = await statuses(here)
        assert shown[shown.index(("disconnected", "evidence_missing")) :] == [
            ("disconnected", "evidence_missing"),
            ("connected", "evidence_missing"),  # until it is proven from end to end
            ("connected", "ready"),
        ]
        # handed to a page that could not even ask for the chat: looked up, and sent again
        await message_is(here, message, MessageState.DELIVERED, MessageState.READ)


async def test_swallowed_acks_degrade_a_session_and_restart_its_browser(tmp_path: Path) -> None:
    """Never ticked: degraded after the limit, restarted after twice that, and nothing is lost."""
    limits = {"ack_timeout": 2.0, "health_interval": 12.0, **BEATS}
    async with world(tmp_path, **limits) as here:
        pid = await linked(here)
        here.simulator.desk.set_fault("drop_acks", ME, {})
        begun = time.monotonic()
        message = await accept(here, 1)
        here.fleet.tell(OutboxChanged(session_id=here.session))
        await here.live("acks_missing")
        assert time.monotonic() - begun < 2 + 2 * 1.0 + 1
        second = await accept(here, 2)
        here.fleet.tell(OutboxChanged(session_id=here.session))

        async def restarted() -> bool:
            return bool(sample(here, 'wafleet_session_restarts_total{cause="acks_missing"}'))

        await eventually_async(restarted)
        await message_is(here, message, MessageState.UNKNOWN)
        await message_is(here, second, MessageState.ACCEPTED)  # it was not sent into the void
        here.simulator.desk.clear_faults(None)
        told = await one_outage(here)
        assert (told.lost["cause"], told.lost["rung"]) == ("acks_missing", "end_to_end")
        assert told.recovered["repair"] == "restart"
        assert told.seconds < 2 * 2 + 3 + BROWSER_UP
        assert (await here.live("ready")).browser_pid != pid
        for each in (message, second):
            await message_is(here, each, MessageState.DELIVERED, MessageState.READ)
        sent = [e for e in truth(here, "message_received_from_client") if e["text"] == "hello"]
        assert len({event["id"] for event in sent if not event["duplicate"]}) == 2
        shown = await statuses(here)
        assert shown[shown.index(("connected", "acks_missing")) :] == [
            ("connected", "acks_missing"),
            ("disconnected", "acks_missing"),
            ("connected", "acks_missing"),
            ("connected", "ready"),
        ]


async def test_a_session_without_acks_is_not_restarted_for_ever(tmp_path: Path) -> None:
    """Only notes are silent: reload, restart, then longer pauses, and it says that it is sick."""
    async with world(tmp_path, health_interval=3.0, **BEATS) as here:
        await linked(here)
        here.simulator.desk.set_fault("drop_acks", ME, {})

        async def tried() -> bool:
            return sample(here, 'wafleet_health_probes_total{verdict="silent"}') >= 4

        await eventually_async(tried)
        await here.live("evidence_missing")
        restarts = sample(here, 'wafleet_session_restarts_total{cause="evidence_missing"}')
        assert 1 <= restarts <= 2
        assert [event["action"] for event in await health_events(here)] == ["lost"]
        here.simulator.desk.clear_faults(None)
        told = await one_outage(here)
        assert told.recovered["repair"] == "restart"
        await no_note_is_left(here)


async def test_what_cannot_be_proven_is_not_called_proven(tmp_path: Path) -> None:
    """A note that could not be deleted again is not written: connected, but said to be unproven."""
    async with world(tmp_path, **CHECKS) as here:
        await here.link()
        await here.evaluate("WPP.whatsapp.Cmd.sendDeleteMsgs = null")
        await here.live("unproven")
        assert truth(here, "message_received_from_client") == []
        assert await health_events(here) == []
        here.simulator.desk.contact_sends(ALICE, req.ContactSends(to=ME, text="hello"))
        await here.live("ready")


async def test_a_frozen_browser_is_not_taken_for_a_hung_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy that takes as long as five missed beats and a silent interval: nothing is found."""
    reached, opened = threading.Event(), threading.Event()

    def slow(source: Path, target: Path) -> CopyFacts:
        reached.set()
        assert opened.wait(30)
        return copy_profile(source, target)

    monkeypatch.setattr(freezer, "copy_profile", slow)
    async with world(tmp_path, health_interval=3.0, **BEATS) as here:
        live = await here.link()
        threading.Timer(6.0, opened.set).start()
        answer = await here.archive()
        assert reached.is_set()
        assert getattr(answer, "pause_seconds", 0) > 5
        await probed(here, 1)
        after = await here.live("ready")
        assert (after.browser_pid, after.incarnation) == (live.browser_pid, 1)
        assert await health_events(here) == []
        assert sample(here, 'wafleet_health_missed_beats_total{rung="page"}') == 0
        assert sample(here, 'wafleet_health_missed_beats_total{rung="cdp"}') == 0


async def test_jumps_of_the_wall_clock_are_no_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All intervals are counted in monotonic time: the session stays connected, and is asked."""
    shift = [0]
    monkeypatch.setattr(assembly, "now_ms", lambda: parts.now_ms() + shift[0] * 1000)
    async with world(tmp_path, health_interval=2.0, **BEATS) as here:
        live = await here.link()
        for jump in (3600, -3600, 86400, -86400):
            shift[0] = jump
            await probed(here, int(sample(here, PROBES)) + 1)
        after = await here.live("ready")
        assert (after.browser_pid, after.incarnation) == (live.browser_pid, 1)
        assert await health_events(here) == []
