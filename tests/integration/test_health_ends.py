"""What ends a login, or another window takes: told once, with the right state, and not fought."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from actors.messages import StopKind
from tests.integration.archive_world import ME, world
from tests.integration.health_support import (
    first_event,
    health_events,
    linked,
    one_outage,
    sample,
    statuses,
    truth,
)
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.integration.archive_world import World

pytestmark = pytest.mark.integration

TAKE_OVER: Final[Mapping[str, Any]] = {"conflict_policy": "take_over", "conflict_take_overs": 2}


async def settled(here: World, reason: str) -> None:
    """Wait until it is written, and the actor is gone."""
    await here.becomes(reason)

    async def gone() -> bool:
        return here.board.get(here.session) is None

    await eventually_async(gone)


@pytest.mark.parametrize(
    ("fault", "params", "status", "reason"),
    [
        ("logout", {}, "disconnected", "logged_out"),
        ("ban", {}, "failed", "banned"),
        ("ban", {"state": "SMB_TOS_BLOCK"}, "failed", "banned"),
        ("deprecated_version", {}, "failed", "deprecated_version"),
        ("conflict", {}, "failed", "conflict"),
    ],
)
async def test_what_a_person_has_to_mend_is_told_once_and_not_restarted(
    tmp_path: Path, fault: str, params: dict[str, Any], status: str, reason: str
) -> None:
    """One event, the right state and reason, 0 restarts; a conflict is yielded to by default."""
    async with world(tmp_path) as here:
        await linked(here)
        here.simulator.desk.set_fault(fault, ME, params)
        event = await first_event(here)
        await settled(here, reason)
        assert (event["action"], event["cause"], event["rung"]) == ("lost", reason, "socket")
        assert len(await health_events(here)) == 1
        assert (await statuses(here))[-1] == (status, reason)
        assert len(here.driver.browsers) == 1
        assert sample(here, f'wafleet_session_restarts_total{{cause="{reason}"}}') == 0


async def test_a_login_that_is_to_be_kept_is_taken_back(tmp_path: Path) -> None:
    """By the page itself: the same browser, and shown as lost until it is back."""
    async with world(tmp_path, **TAKE_OVER) as here:
        pid = await linked(here)
        here.simulator.desk.set_fault("conflict", ME, {})
        told = await one_outage(here)
        assert (told.lost["cause"], told.lost["rung"]) == ("conflict", "socket")
        assert told.recovered["repair"] == "take_over"
        assert told.seconds < 5
        assert (await here.live("ready")).browser_pid == pid
        assert ("disconnected", "taking_over") in await statuses(here)
        assert len(truth(here, "login")) == 2


async def test_a_fight_over_a_login_is_given_up(tmp_path: Path) -> None:
    """The third time within the hour the other window may have it: failed, and nothing more."""
    async with world(tmp_path, **TAKE_OVER) as here:
        await linked(here)
        for rounds in (2, 4):
            here.simulator.desk.set_fault("conflict", ME, {})

            async def over(wanted: int = rounds) -> bool:
                return len(await health_events(here)) == wanted

            await eventually_async(over)
            await here.live("ready")
        here.simulator.desk.set_fault("conflict", ME, {})
        await settled(here, "conflict")
        assert (await statuses(here))[-1] == ("failed", "conflict")
        assert [event["action"] for event in await health_events(here)] == [
            *("lost", "recovered", "lost", "recovered", "lost")
        ]
        assert len(here.driver.browsers) == 1


async def test_an_outage_that_nobody_waits_for_any_more_is_ended(tmp_path: Path) -> None:
    """Stopped while it was trying to come back."""
    async with world(tmp_path) as here:
        await linked(here)
        here.simulator.desk.set_fault("refuse_connections", None, {})
        here.simulator.desk.set_fault("disconnect", ME, {})
        await here.live("socket_lost")
        await here.end(StopKind.STOP)
        here.simulator.desk.clear_faults(None)
        events = await health_events(here)
        assert [event["action"] for event in events] == ["lost", "ended"]
        assert {event["cause"] for event in events} == {"socket_lost"}
        # and the next start begins anew
        await here.start()
        await here.live("ready")
        assert len(await health_events(here)) == 2


async def test_a_socket_that_does_not_come_back_is_given_a_new_page_first(tmp_path: Path) -> None:
    """Then a new browser, for as long as it takes; one outage, whatever its causes."""
    async with world(tmp_path, socket_timeout=1.0) as here:
        pid = await linked(here)
        here.simulator.desk.set_fault("refuse_connections", None, {})
        here.simulator.desk.set_fault("disconnect", ME, {})

        async def restarted() -> bool:
            return bool(sample(here, 'wafleet_session_restarts_total{cause="socket_timeout"}'))

        await eventually_async(restarted)
        reload = 'wafleet_health_repairs_total{cause="socket_timeout",repair="reload"}'
        assert sample(here, reload) == 1
        here.simulator.desk.clear_faults(None)
        told = await one_outage(here)
        assert (told.lost["cause"], told.recovered["repair"]) == ("socket_lost", "restart")
        assert (await here.live("ready")).browser_pid != pid


async def test_a_restart_on_request_is_no_outage(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await linked(here)
        await here.end(StopKind.RESTART)
        await here.live("ready")
        assert await health_events(here) == []
