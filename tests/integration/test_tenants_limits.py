"""Plans and their limits, numbers and their order of rank."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from storage.sqlite import SqliteStore, open_store
from storage.store import Desired, SessionInactive, SessionStatus, StatusChange, StoreError
from storage.tenants import (
    DEFAULT,
    NameTaken,
    PlanLimitReached,
    PlanLimits,
    PlanNotFound,
    Retention,
    WorkspaceNotFound,
)
from tests.integration.outbox_support import claim_next
from tests.integration.tenant_support import NOW, home_of, new_key, outbound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.integration

DAY = 86_400_000


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with open_store(tmp_path / "wafleet.db", busy_timeout_ms=10_000) as opened:
        yield opened


async def small(store: SqliteStore, **limits: int) -> str:
    await store.create_plan("small", PlanLimits(**limits), NOW)
    return (await store.create_workspace("acme", NOW, "small")).id


async def test_the_default_workspace_has_no_limits(store: SqliteStore) -> None:
    home = await store.workspace_named(DEFAULT)
    assert (home.plan, home.retention) == (DEFAULT, Retention())
    usage = await store.usage(home.id, NOW)
    assert (usage.plan, usage.limits) == (DEFAULT, PlanLimits())
    for number in range(20):
        await store.create_session(home.id, f"s{number}", NOW)
    assert (await store.usage(home.id, NOW)).sessions == 20


async def test_fifty_at_once_with_room_for_ten_make_ten(store: SqliteStore) -> None:
    workspace = await small(store, sessions=10)
    answers = await asyncio.gather(
        *(store.create_session(workspace, f"s{number}", NOW) for number in range(50)),
        return_exceptions=True,
    )
    made = [answer for answer in answers if isinstance(answer, tuple)]
    refused = [answer for answer in answers if isinstance(answer, PlanLimitReached)]
    assert (len(made), len(refused)) == (10, 40)
    assert len(await store.sessions(workspace)) == 10
    error = refused[0]
    assert (error.limit_name, error.limit, error.used, error.plan) == ("sessions", 10, 10, "small")
    assert error.code == "plan_limit_reached"
    for part in ("small", "10", "sessions"):
        assert part in str(error)


async def test_two_programs_that_race_share_the_limit(tmp_path: Path, store: SqliteStore) -> None:
    workspace = await small(store, sessions=10, messages=15)
    async with open_store(tmp_path / "wafleet.db", busy_timeout_ms=10_000) as other:
        answers = await asyncio.gather(
            *(
                each.create_session(workspace, f"{number}-{which}", NOW)
                for number in range(25)
                for which, each in enumerate((store, other))
            ),
            return_exceptions=True,
        )
        assert sum(isinstance(answer, tuple) for answer in answers) == 10
        session = (await store.sessions(workspace))[0].id
        sent = await asyncio.gather(
            *(
                each.accept_message(workspace, outbound(session, f"{number}-{which}"))
                for number in range(25)
                for which, each in enumerate((store, other))
            ),
            return_exceptions=True,
        )
    assert sum(isinstance(answer, PlanLimitReached) for answer in sent) == 35
    assert len(await store.messages(workspace, session, limit=100)) == 15
    assert (await store.usage(workspace, NOW)).messages == 15


async def test_one_that_is_there_is_found_beyond_the_limit(store: SqliteStore) -> None:
    workspace = await small(store, sessions=1)
    first, made = await store.create_session(workspace, "a", NOW)
    assert made
    assert await store.create_session(workspace, "a", NOW) == (first, False)
    with pytest.raises(PlanLimitReached):
        await store.create_session(workspace, "b", NOW)
    await store.deactivate(workspace, first.id, NOW)
    with pytest.raises(PlanLimitReached):
        await store.create_session(workspace, "b", NOW)
    await store.delete_session(first.id, NOW)
    assert (await store.create_session(workspace, "b", NOW))[1], "a deleted one makes room"


async def test_a_days_messages_are_counted_by_utc_days(store: SqliteStore) -> None:
    workspace = await small(store, messages=2)
    session, _ = await store.create_session(workspace, "a", NOW)
    midnight = NOW // DAY * DAY + DAY
    for wa_id in ("A1", "A2"):
        await store.accept_message(workspace, outbound(session.id, wa_id, now_ms=midnight - 1))
    with pytest.raises(PlanLimitReached) as refused:
        await store.accept_message(workspace, outbound(session.id, "A3", now_ms=midnight - 1))
    assert (refused.value.limit_name, refused.value.limit, refused.value.used) == ("messages", 2, 2)
    assert len(await store.messages(workspace, session.id)) == 2, "nothing of it was stored"
    assert (await store.usage(workspace, midnight - 1)).messages == 2
    assert (await store.usage(workspace, midnight)).messages == 0
    await store.accept_message(workspace, outbound(session.id, "A3", now_ms=midnight))
    await store.delete_session(session.id, midnight)
    assert (await store.usage(workspace, midnight)).messages == 1, "an end is no refund"


async def test_a_limit_of_nothing_allows_nothing(store: SqliteStore) -> None:
    workspace = await small(store, sessions=1, messages=0)
    session, _ = await store.create_session(workspace, "a", NOW)
    with pytest.raises(PlanLimitReached) as refused:
        await store.accept_message(workspace, outbound(session.id, "A1"))
    assert refused.value.used == 0


async def test_plans_change_and_are_changed(store: SqliteStore) -> None:
    workspace = await small(store, sessions=0, webhooks=3)
    assert (await store.usage(workspace, NOW)).limits == PlanLimits(sessions=0, webhooks=3)
    changed = await store.set_plan_limits("small", PlanLimits(sessions=1, messages=9), NOW)
    assert changed.limits == PlanLimits(sessions=1, messages=9)
    assert (await store.create_session(workspace, "a", NOW))[1]
    assert (await store.set_plan(workspace, DEFAULT, NOW)).plan == DEFAULT
    assert [plan.name for plan in await store.plans()] == [DEFAULT, "small"]
    for call in (
        store.set_plan(workspace, "none", NOW),
        store.set_plan_limits("none", PlanLimits(), NOW),
        store.create_workspace("new", NOW, "none"),
    ):
        with pytest.raises(PlanNotFound):
            await call
    for taken in (
        store.create_plan("small", PlanLimits(), NOW),
        store.create_workspace("acme", NOW),
    ):
        with pytest.raises(NameTaken):
            await taken
    with pytest.raises(WorkspaceNotFound):
        await store.workspace_named("new")
    assert [w.name for w in await store.workspaces()] == [DEFAULT, "acme"]


async def test_times_to_live_are_kept(store: SqliteStore) -> None:
    home = await home_of(store)
    wanted = Retention(messages_ms=DAY, events_ms=2)
    assert (await store.set_retention(home, wanted, NOW)).retention == wanted
    assert (await store.workspace(home)).retention == wanted
    with pytest.raises(StoreError):
        await store.set_retention(home, Retention(media_ms=0), NOW)
    assert (await store.workspace(home)).retention == wanted


async def test_one_primary_number_at_most(tmp_path: Path, store: SqliteStore) -> None:
    home = await home_of(store)
    first, second = [(await store.create_session(home, name, NOW))[0] for name in ("a", "b")]
    assert not first.is_primary
    assert (await store.set_primary(home, first.id, NOW)).is_primary
    await asyncio.gather(*(store.set_primary(home, s.id, NOW) for s in (first, second) * 10))
    assert sum(row.is_primary for row in await store.sessions(home)) == 1
    await store.set_primary(home, second.id, NOW)
    assert [row.is_primary for row in await store.sessions(home)] == [False, True]
    with (
        closing(sqlite3.connect(tmp_path / "wafleet.db", isolation_level=None)) as plain,
        pytest.raises(sqlite3.IntegrityError),
    ):
        plain.execute("UPDATE whatsapp_sessions SET is_primary = 1")
    await store.delete_session(second.id, NOW)
    left = await store._connections.read("SELECT count(*) FROM whatsapp_sessions WHERE is_primary")
    assert left == [(0,)], "a deleted one is not primary either"
    assert (await store.set_primary(home, first.id, NOW)).is_primary


async def test_a_deactivated_number_neither_runs_nor_sends(store: SqliteStore) -> None:
    home = await home_of(store)
    row, _ = await store.create_session(home, "a", NOW)
    await store.set_desired(home, row.id, Desired.RUNNING, NOW)
    await store.set_primary(home, row.id, NOW)
    waiting = await store.accept_message(home, outbound(row.id, "A1"))
    off = await store.deactivate(home, row.id, NOW)
    assert (off.is_active, off.is_primary, off.desired) == (False, False, Desired.STOPPED)
    for call in (
        store.set_desired(home, row.id, Desired.RUNNING, NOW),
        store.accept_message(home, outbound(row.id, "A2")),
        store.set_primary(home, row.id, NOW),
    ):
        with pytest.raises(SessionInactive):
            await call
    assert (await store.set_desired(home, row.id, Desired.STOPPED, NOW)).desired is Desired.STOPPED
    assert await claim_next(store, row.id, NOW) is None
    on = await store.activate(home, row.id, NOW)
    assert (on.is_active, on.is_primary, on.desired) == (True, False, Desired.STOPPED)
    claimed = await claim_next(store, row.id, NOW)
    assert claimed is not None
    assert claimed.id == waiting.id


async def test_a_code_is_kept_while_it_is_shown(store: SqliteStore) -> None:
    home = await home_of(store)
    row, _ = await store.create_session(home, "a", NOW)

    async def becomes(sequence: int, status: SessionStatus) -> None:
        change = StatusChange(
            session_id=row.id,
            incarnation=1,
            sequence=sequence,
            status=status,
            reason="x",
            detail=None,
            since_ms=NOW,
        )
        assert await store.record_status(change)

    await becomes(1, SessionStatus.QR_SCANNING)
    await store.record_qr_code(row.id, "sealed", NOW)
    await becomes(2, SessionStatus.QR_SCANNING)
    assert await store.qr_code(home, row.id) == "sealed"
    await becomes(3, SessionStatus.AUTHENTICATED)
    assert await store.qr_code(home, row.id) is None
    await store.record_qr_code(row.id, "sealed", NOW)
    await store.settle_after_boot("supervisor_died", (), NOW)
    assert await store.qr_code(home, row.id) is None


async def test_who_made_a_session_is_remembered(store: SqliteStore) -> None:
    home = await home_of(store)
    key = await store.create_key(home, new_key("k1"), NOW)
    row, _ = await store.create_session(home, "a", NOW, key.id)
    assert row.created_by == key.id
    await store.revoke_key(home, key.id, NOW)
    assert (await store.session(home, row.id)).created_by == key.id
