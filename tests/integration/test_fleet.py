"""The root supervisor with real actors, a real store and a real loop; its children fail on cue."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import generate_latest

from actors.base import tell
from actors.messages import (
    ChildExited,
    ChildStable,
    ChildUp,
    Done,
    ExitKind,
    OutboxChanged,
    Refused,
    Shutdown,
    StopKind,
)
from storage.messages import MessageState, NewOutbound
from storage.store import SessionNotFound, SessionStatus, StatusChange
from supervisor.clerk import UNTOLD
from supervisor.parts import now_ms
from supervisor.restarts import FusePolicy, RestartPolicy
from tests.integration.fleet_world import ASK, RULES, Crash, Leave, World, world
from tests.integration.outbox_support import claim_next
from tests.other_writer import other_writer
from tests.waiting import eventually, eventually_async

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pykka import ActorRef

    from actors.live import LiveSession


pytestmark = pytest.mark.integration


async def test_fifty_racing_starts_make_one_child(tmp_path: Path) -> None:
    """Asking for what already is answers Done and starts nothing."""
    async with world(tmp_path) as fleet:
        one = await fleet.session("one")
        answers = await asyncio.gather(*(fleet.start(one) for _ in range(50)))
        assert set(answers) == {Done()}
        await fleet.child(one, 1)
        assert await fleet.end(one, StopKind.STOP) == Done()
        assert fleet.lives(one) == 1


@pytest.mark.parametrize("error", [Crash("x"), asyncio.CancelledError(), SystemExit(3)])
async def test_a_crash_costs_one_restart_of_one_child(tmp_path: Path, error: Any) -> None:
    """The sibling keeps its incarnation; the crashed one gets the next."""
    async with world(tmp_path) as fleet:
        one, two = await fleet.session("one"), await fleet.session("two")
        await fleet.start(one)
        await fleet.start(two)
        sibling = await fleet.child(two, 1)
        tell(await fleet.child(one, 1), error)
        await fleet.child(one, 2)
        assert sibling.is_alive()
        assert fleet.lives(two) == 1
        assert [n for sid, n, _ in fleet.children if sid == one] == [1, 2]


async def test_a_crash_loop_is_quarantined_and_a_person_can_end_that(tmp_path: Path) -> None:
    """One crash more than the intensity: failed/crash_loop, no more restarts, start begins anew."""
    async with world(tmp_path) as fleet:
        one, two = await fleet.session("one"), await fleet.session("two")
        await fleet.start(one)
        await fleet.start(two)
        for life in range(1, 5):
            tell(await fleet.child(one, life), Leave(ExitKind.CRASH, "browser_exited"))
        await fleet.becomes(one, "failed", "crash_loop")
        assert fleet.lives(one) == 4
        assert (await fleet.child(two, 1)).is_alive()
        assert await fleet.start(one) == Done()
        await fleet.child(one, 5)


async def test_a_network_that_is_down_is_no_crash_loop(tmp_path: Path) -> None:
    """However long it lasts: tried again and again, so that all are back when it is."""
    async with world(tmp_path, fuse=FusePolicy(intensity=1, period=60)) as fleet:
        one = await fleet.session("one")
        await fleet.start(one)
        for life in range(1, 9):
            tell(await fleet.child(one, life), Leave(ExitKind.CRASH, "unreachable"))
        await fleet.child(one, 9)
        assert (await fleet.store.any_session(one)).status is SessionStatus.DISCONNECTED


async def test_a_database_that_can_not_be_written_is_no_crash_loop(tmp_path: Path) -> None:
    """What the store can't be told the board says; and once it can be, the session is back."""
    restart = RestartPolicy(intensity=1, period=60, first=0.001, longest=0.01, stable_after=3600)
    async with world(tmp_path, restart=restart) as fleet:
        one = await fleet.session("one")
        await fleet.start(one)
        child = await fleet.child(one, 1)
        async with other_writer(tmp_path / "db", "BEGIN EXCLUSIVE"):
            tell(child, Leave(ExitKind.CRASH, "browser_exited"))
            shown = await eventually_async(lambda: _on_board(fleet, one, "browser_exited"))
            assert shown is not None
            assert (shown.status, shown.phase) == ("disconnected", "backoff")
            await eventually_async(lambda: _failed_to_count(fleet, 3))
            shown = await eventually_async(lambda: _on_board(fleet, one, "storage_failed"))
            assert shown is not None
            assert (shown.status, shown.phase) == ("disconnected", "backoff")
        await fleet.child(one, 2)
        assert fleet.lives(one) == 2


async def test_a_new_life_doubts_what_the_last_one_could_not_write(tmp_path: Path) -> None:
    """It died between hand-over and answer without a word: the message is not sending any more."""
    async with world(tmp_path) as fleet:
        one = await fleet.session("one")
        await fleet.start(one)
        child = await fleet.child(one, 1)
        new = NewOutbound(session_id=one, chat="1@c.us", wa_id="A1", body="x", now_ms=now_ms())
        row = await fleet.store.accept_message(fleet.workspace_id, new)
        await claim_next(fleet.store, one, now_ms())
        tell(child, Leave(ExitKind.CRASH, "browser_exited"))
        await fleet.child(one, 2)
        now = await fleet.store.message(fleet.workspace_id, one, row.id)
        assert (now.state, now.error_code) == (MessageState.UNKNOWN, "session_ended")


async def _on_board(fleet: World, session_id: str, reason: str) -> LiveSession | None:
    live = fleet.board.get(session_id)
    return live if live is not None and live.reason == reason else None


async def _failed_to_count(fleet: World, times: int) -> bool:
    """Tell whether that many restarts were planned because the store failed."""
    line = f'wafleet_session_restarts_total{{cause="storage_failed"}} {times}.0'
    return line in generate_latest(fleet.telemetry.registry).decode()


async def test_a_quarantine_ends_by_itself(tmp_path: Path) -> None:
    """After the long pause it is tried again with a clean slate."""
    async with world(tmp_path, quarantine=0.05) as fleet:
        one = await fleet.session("one")
        await fleet.start(one)
        for life in range(1, 6):
            tell(await fleet.child(one, life), Leave(ExitKind.CRASH, "browser_exited"))
        await fleet.child(one, 6)


@pytest.mark.parametrize("cause", ["logged_out", "banned", "qr_timeout"])
async def test_a_permanent_cause_is_not_restarted(tmp_path: Path, cause: str) -> None:
    """Nothing is started until someone asks."""
    async with world(tmp_path) as fleet:
        one = await fleet.session("one")
        await fleet.start(one)
        tell(await fleet.child(one, 1), Leave(ExitKind.PERMANENT, cause))
        await eventually_async(lambda: _gone(fleet, one))
        assert fleet.lives(one) == 1
        assert await fleet.start(one) == Done()
        await fleet.child(one, 2)


async def _dead(ref: ActorRef[Any]) -> bool:
    return not ref.is_alive()


async def _gone(fleet: World, session_id: str) -> bool:
    """Tell whether the supervisor has forgotten the session: a stop has nothing to wait for."""
    alive = any(ref.is_alive() for sid, _, ref in fleet.children if sid == session_id)
    return not alive and await fleet.end(session_id, StopKind.STOP) == Done()


async def test_stale_exits_are_dropped(tmp_path: Path) -> None:
    """An exit of an older incarnation, or of nobody, changes nothing."""
    async with world(tmp_path) as fleet:
        one = await fleet.session("one")
        await fleet.start(one)
        child = await fleet.child(one, 1)
        for child_id, number in ((one, 0), (one, 2), ("nobody", 1)):
            tell(
                fleet.ref,
                ChildExited(
                    child_id=child_id, incarnation=number, kind=ExitKind.CRASH, cause="stale"
                ),
            )
        await fleet.start(one)  # answered after the stale ones were handled
        assert child.is_alive()
        assert fleet.lives(one) == 1


async def test_an_exit_that_is_told_twice_counts_once(tmp_path: Path) -> None:
    """A child can only end once; its echo must not push it into quarantine."""
    policy = RestartPolicy(intensity=3, period=60, first=3600, longest=3600, stable_after=3600)
    async with world(tmp_path, restart=policy) as fleet:
        one = await fleet.session("one")
        await fleet.start(one)
        tell(await fleet.child(one, 1), Leave(ExitKind.CRASH, "browser_exited"))
        echo = ChildExited(child_id=one, incarnation=1, kind=ExitKind.CRASH, cause="browser_exited")
        await eventually_async(lambda: _backing_off(fleet))
        for _ in range(5):
            tell(fleet.ref, echo)
        assert await fleet.start(one) == Done()  # handled after the echoes
        await fleet.child(one, 2)
        assert (await fleet.store.any_session(one)).status is not SessionStatus.FAILED


async def _backing_off(fleet: World) -> bool:
    return 'cause="browser_exited"' in generate_latest(fleet.telemetry.registry).decode()


async def test_crashes_are_forgiven_after_a_stable_time(tmp_path: Path) -> None:
    """With stable_after 0, being connected once clears the count: no quarantine, however often."""
    policy = RestartPolicy(intensity=1, period=60, first=0.001, longest=0.01, stable_after=0.0)
    async with world(tmp_path, restart=policy) as fleet:
        one = await fleet.session("one")
        await fleet.start(one)
        for life in range(1, 8):
            child = await fleet.child(one, life)
            tell(fleet.ref, ChildStable(child_id=one, incarnation=life))
            tell(child, Leave(ExitKind.CRASH, "browser_exited"))
        await fleet.child(one, 8)


async def test_launch_slots_bound_what_starts_at_once(tmp_path: Path) -> None:
    """The third waits, shown as queued, until one of the first two is up."""
    async with world(tmp_path, rules=replace(RULES, slots=2)) as fleet:
        fleet.up = False
        ids = [await fleet.session(name) for name in ("one", "two", "three")]
        for session_id in ids:
            await fleet.start(session_id)
        await fleet.child(ids[1], 1)

        async def queued() -> bool:
            live = fleet.board.get(ids[2])
            return live is not None and live.reason == "queued"

        await eventually_async(queued)
        assert fleet.lives(ids[2]) == 0
        tell(fleet.ref, ChildUp(child_id=ids[0], incarnation=1))
        await fleet.child(ids[2], 1)


async def test_an_open_fuse_stops_starting_and_keeps_what_runs(tmp_path: Path) -> None:
    """A fleet-wide breach is not answered with more launches, and closes by itself."""
    fuse = FusePolicy(intensity=1, period=0.5)
    async with world(tmp_path, fuse=fuse) as fleet:
        ids = [await fleet.session(name) for name in ("one", "two", "three")]
        for session_id in ids[:2]:
            await fleet.start(session_id)
        survivor = await fleet.child(ids[1], 1)
        began = time.monotonic()
        tell(await fleet.child(ids[0], 1), Leave(ExitKind.CRASH, "browser_exited"))
        tell(await fleet.child(ids[0], 2), Leave(ExitKind.CRASH, "browser_exited"))
        await fleet.child(ids[0], 3)
        assert time.monotonic() - began >= 0.4
        assert survivor.is_alive()


async def test_stop_restart_and_start_in_every_order(tmp_path: Path) -> None:
    """Restart gives a new incarnation; a start during a stop starts again; stops are repeatable."""
    async with world(tmp_path) as fleet:
        one = await fleet.session("one")
        assert await fleet.end(one, StopKind.STOP) == Done()
        assert await fleet.end(one, StopKind.RESTART) == Done()
        await fleet.child(one, 1)
        assert await fleet.end(one, StopKind.RESTART) == Done()
        await fleet.child(one, 2)
        stop = asyncio.create_task(fleet.end(one, StopKind.STOP))
        await asyncio.sleep(0)
        assert await fleet.start(one) == Done()
        assert await stop == Done()
        await fleet.child(one, 3)
        stops = [fleet.end(one, StopKind.STOP) for _ in range(10)]
        assert set(await asyncio.gather(*stops)) == {Done()}


async def test_a_delete_wins_over_starts_and_removes_everything(tmp_path: Path) -> None:
    """Whatever races with it, no child runs for a deleted session and its directory is gone."""
    async with world(tmp_path) as fleet:
        for round_ in range(10):
            one = await fleet.session(f"s{round_}")
            (fleet.directory / one).mkdir()
            await fleet.start(one)
            results = await asyncio.gather(
                fleet.end(one, StopKind.DELETE),
                fleet.start(one),
                fleet.end(one, StopKind.RESTART),
                fleet.end(one, StopKind.DELETE),
                fleet.start(one),
            )
            assert results[0] == Done()
            assert results[3] == Done()
            assert isinstance(results[1], Refused)
            assert results[1].code == "session_not_found"
            with pytest.raises(SessionNotFound):
                await fleet.store.any_session(one)
            assert not (fleet.directory / one).exists()
            running = [r for sid, _, r in fleet.children if sid == one]
            assert not any(ref.is_alive() for ref in running)


async def test_a_logout_of_a_stopped_session_forgets_the_login_and_says_what_is_left_to_do(
    tmp_path: Path,
) -> None:
    """WhatsApp can't be told without a browser: the profile goes, the sentence says so."""
    async with world(tmp_path) as fleet:
        one, linked = await fleet.session("one"), await fleet.session("linked")
        await fleet.store.record_status(
            StatusChange(
                session_id=linked,
                incarnation=0,
                sequence=1,
                status=SessionStatus.DISCONNECTED,
                reason="stopped",
                detail=None,
                since_ms=now_ms(),
                phone_number="15550100001",
            )
        )
        for session_id, detail in ((one, None), (linked, UNTOLD)):
            (fleet.directory / session_id).mkdir()
            for _ in range(2):
                assert await fleet.end(session_id, StopKind.LOGOUT) == Done()
                row = await fleet.store.any_session(session_id)
                assert (row.reason, row.detail) == ("logged_out", detail)
            assert not (fleet.directory / session_id).exists()
        await fleet.start(one)
        await fleet.child(one, 1)


async def test_an_unknown_session_is_answered_and_leaves_no_trace(tmp_path: Path) -> None:
    """The supervisor does not invent sessions that the store does not know."""
    async with world(tmp_path) as fleet:
        await fleet.start("01ARZ3NDEKTSV4RRFFQ69G5FAV")
        await eventually_async(lambda: _gone(fleet, "01ARZ3NDEKTSV4RRFFQ69G5FAV"))
        assert fleet.children == []
        assert fleet.board.all() == ()


async def test_shutdown_refuses_new_work_and_has_one_deadline(tmp_path: Path) -> None:
    """A child that does not stop costs the deadline once, and is told of."""
    async with world(tmp_path) as fleet:
        one, two = await fleet.session("one"), await fleet.session("two")
        await fleet.start(one)
        await fleet.child(one, 1)
        fleet.deaf = True
        await fleet.start(two)
        deaf = await fleet.child(two, 1)
        shutdown = asyncio.create_task(
            fleet.port.ask(lambda r: Shutdown(deadline=2.0, reply=r), ASK)
        )
        await asyncio.sleep(0)
        refused = await fleet.start(one)
        assert isinstance(refused, Refused)
        assert refused.code == "shutting_down"
        answer = await shutdown
        assert answer == Refused(code="stop_timed_out", message="1 left")
        late = await fleet.start(one)
        assert isinstance(late, Refused)
        assert late.code == "fleet_down"
        deaf.stop()
        await eventually_async(lambda: _dead(fleet.ref))


async def test_a_message_for_a_session_that_does_not_run_is_harmless(tmp_path: Path) -> None:
    """The store has it; the session reads it when it connects."""
    async with world(tmp_path) as fleet:
        assert fleet.port.tell(OutboxChanged(session_id="nobody"))
        assert fleet.port.alive()


@pytest.fixture(autouse=True)
def _no_actor_is_left() -> Iterator[None]:
    yield
    from pykka import ActorRegistry  # noqa: PLC0415

    eventually(lambda: ActorRegistry.get_all() == [])  # the last one ends just after it told so
