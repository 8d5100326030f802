"""A note to self is a message: it counts, and is left out where a cap would not allow it.

The scale is that of test_health_evidence: a health interval of 3 s.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from actors.limiter_messages import SendGranted, SendWanted
from actors.messages import Service, ToService
from actors.notes import BODY
from actors.send_plan import NOTE
from storage.events import EventType
from tests.integration.archive_world import ASK, ME, world
from tests.integration.health_support import health_events, sample, truth
from tests.integration.test_health_evidence import CHECKS, probed
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from pathlib import Path

    from actors.messages import Reply
    from tests.integration.archive_world import World

pytestmark = pytest.mark.integration


async def skipped(here: World, verdict: str, times: int = 1) -> None:
    async def look() -> bool:
        return sample(here, f'wafleet_health_probes_total{{verdict="{verdict}"}}') >= times

    await eventually_async(look)


def notes(here: World) -> list[str]:
    """Return the ids of the notes that reached the server."""
    sent = truth(here, "message_received_from_client")
    return [event["id"] for event in sent if event["text"] == BODY]


async def test_a_note_counts_and_is_on_the_disk_before_it_is_written(tmp_path: Path) -> None:
    async with world(tmp_path, **CHECKS) as here:
        await here.link()
        await probed(here, 2)
        [log] = await here.store.number_logs()
        assert log.number == ME
        counted = {grant.key.removeprefix(NOTE).partition(".")[0] for grant in log.grants}
        assert set(notes(here)) <= counted
        assert len(counted) >= 2
        granted = f'wafleet_sends_total{{result="granted",session="{here.session}"}}'
        assert sample(here, granted) >= 2
        await eventually_async(partial(may_send, here), within=5)


async def may_send(here: World) -> bool:
    """Tell whether a message could be handed over now: no note holds the number."""

    def wanted(reply: Reply) -> ToService:
        asked = SendWanted(
            session_id=here.session,
            number=ME,
            key="message.1",
            first_contact=False,
            lease_seconds=60,
            reply=reply,
        )
        return ToService(service=Service.LIMITER, message=asked)

    return isinstance(await here.fleet.ask(wanted, ASK), SendGranted)


async def test_a_cap_that_lasts_makes_a_session_unproven_and_is_told(tmp_path: Path) -> None:
    async with world(tmp_path, **CHECKS, send_per_hour=1) as here:
        await here.link()
        await probed(here, 1)
        await here.live("unproven")
        await skipped(here, "impossible", 2)
        assert len(notes(here)) == 1
        rows = await here.store.events(here.workspace, types=[EventType.LIMITER])
        [event] = [dict(row.payload) for row in rows]
        assert (event["action"], event["cause"]) == ("capped", "hour")
        assert 3500 < event["seconds"] <= 3602


async def test_a_note_that_has_to_wait_a_little_is_asked_for_again(tmp_path: Path) -> None:
    """Its number has just sent something: within the interval it may."""
    async with world(tmp_path, **CHECKS, send_delay=2.9) as here:
        await here.link()
        await skipped(here, "later")
        await probed(here, 2)
        assert len(notes(here)) >= 2
        assert await health_events(here) == []
