"""Webhooks that end, come back, are changed and replayed; and what the store keeps of them."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from actors.webhook_plan import RetryRules
from storage.tenants import Retention
from storage.webhooks import ATTEMPTS_KEPT, NewAttempt, Round, secret_context
from tests.integration.webhook_support import (
    BOX,
    Got,
    endpoint,
    wall_ms,
    world,
)
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from pathlib import Path

    from actors.webhook_desk import WebhookDesk
    from tests.integration.webhook_support import Endpoint

pytestmark = pytest.mark.integration


async def test_dead_letters_are_listed_and_replayed(tmp_path: Path) -> None:
    """A replay holds nobody up, and has the same id."""
    bad: set[str] = set()

    async def some(got: Got) -> web.StreamResponse:
        return web.Response(status=400 if got.id in bad else 200)

    async with world(tmp_path) as here, endpoint(some) as there:
        here.rules = RetryRules(pauses=(0.01, 0.01), first_pause=0.01, failures=50)
        session = await here.session("a")
        hook = await here.webhook(there.url, events=frozenset({"session.health"}))
        happened = await here.happen(session, 4)
        bad.update(happened[:2])
        async with here.delivering() as desk:
            await here.settled(hook)
            assert there.ids() == happened[2:]
            dead = await here.store.dead_letters(here.home, hook.id)
            assert [(d.event_id, d.attempts, d.status) for d in dead] == [
                (happened[0], 3, 400),
                (happened[1], 3, 400),
            ]
            page = await here.store.dead_letters(here.home, hook.id, after=happened[0], limit=1)
            assert [d.event_id for d in page] == [happened[1]]
            bad.discard(happened[0])
            assert await here.store.replay(here.home, hook.id, [happened[0]], wall_ms()) == 1
            desk.changed()
            later = await here.happen(session)
            await here.settled(hook)
            assert sorted(there.ids()[2:]) == [happened[0], *later]
            assert await here.store.replay(here.home, hook.id, None, wall_ms()) == 1
            desk.changed()
            later = await here.happen(session, 3)

            async def dead_again() -> bool:
                return len(await here.store.dead_letters(here.home, hook.id)) == 1

            await eventually_async(dead_again)
            await here.settled(hook)
            assert there.ids()[4:] == later
            assert await here.store.replay(here.home, hook.id, [later[0]], wall_ms()) == 0
        value = here.telemetry.registry.get_sample_value("wafleet_webhook_dead_letters_total")
        assert value == 3


async def test_an_event_that_retention_took_is_a_dead_letter(tmp_path: Path) -> None:
    """There is nothing left to send, and that is told; what comes after it goes on."""
    down = asyncio.Event()

    async def later(_: Got) -> web.StreamResponse:
        return web.Response(status=200 if down.is_set() else 500)

    async with world(tmp_path) as here, endpoint(later) as there:
        session = await here.session("a")
        hook = await here.webhook(there.url, events=frozenset({"session.health"}))
        happened = await here.happen(session, 2)
        async with here.delivering():
            await here.tried(hook, "refused", 1)
        await here.store.set_retention(here.home, Retention(events_ms=1), wall_ms())
        await here.store.purge_expired(wall_ms() + 10_000)
        down.set()
        async with here.delivering():
            await here.settled(hook)
        [dead] = await here.store.dead_letters(here.home, hook.id)
        assert (dead.event_id, dead.code) == (happened[0], "event_gone")
        assert there.ids() == happened[1:], "the newest event is never taken"


async def test_an_endpoint_that_came_back_while_the_node_was_down_gets_all_at_once(
    tmp_path: Path,
) -> None:
    """It does not wait for schedules that were made while it failed."""
    up = asyncio.Event()

    async def later(_: Got) -> web.StreamResponse:
        return web.Response(status=200 if up.is_set() else 500)

    async with world(tmp_path) as here, endpoint(later) as there:
        here.rules = RetryRules(pauses=(3600.0,) * 3, failures=3, first_pause=3600.0)
        sessions = [await here.session(f"s{n}") for n in range(3)]
        hook = await here.webhook(there.url)
        async with here.delivering():
            happened = [i for s in sessions for i in await here.happen(s, 4)]
            await here.tried(hook, "refused", 3)
        up.set()
        async with here.delivering():
            await here.settled(hook)
        assert sorted(there.ids()) == happened
        for session in sessions:
            assert there.ids(session) == sorted(there.ids(session))


async def test_nothing_is_lost_when_delivery_is_broken_off(tmp_path: Path) -> None:
    """Ended again and again in the middle: at least once, in order, with the same ids."""
    async with world(tmp_path) as here, endpoint() as there:
        sessions = [await here.session(f"s{n}") for n in range(5)]
        hook = await here.webhook(there.url, events=frozenset({"session.health"}))
        happened: list[str] = []
        for _ in range(6):
            before = len(there.taken)
            async with here.delivering() as desk:
                for session in sessions:
                    happened += await here.happen(session, 4)
                await came_beyond(there, before)
                for worker, task in desk._workers.values():
                    assert worker.trusted
                    task.cancel()
        async with here.delivering():
            await here.settled(hook)
        assert sorted(set(there.ids())) == sorted(happened)
        for session in sessions:
            ids = there.ids(session)
            assert list(dict.fromkeys(ids)) == sorted(set(ids))


async def came_beyond(there: Endpoint, count: int) -> None:
    async def look() -> bool:
        return len(there.taken) > count

    await eventually_async(look)


async def test_a_rotated_secret_signs_beside_the_one_before(tmp_path: Path) -> None:
    """Until its time is over."""
    async with world(tmp_path) as here, endpoint() as there:
        session = await here.session("a")
        hook = await here.webhook(there.url, events=frozenset({"session.health"}))
        old, new = here.secrets[hook.id], "whsec_" + "QUJD" * 11
        sealed = BOX.seal(new.encode(), secret_context(hook.id))
        async with here.delivering() as desk:
            for until in (wall_ms() + 60_000, wall_ms() - 1):
                await here.store.replace_secret(here.home, hook.id, sealed, until, wall_ms())
                desk.changed()
                await known(desk, until)
                await here.happen(session)
                await here.settled(hook)
        both, one = there.taken
        assert (both.is_signed_with(old), both.is_signed_with(new)) == (True, True)
        assert (one.is_signed_with(old), one.is_signed_with(new)) == (False, True)


async def known(desk: WebhookDesk, until: int) -> None:
    async def look() -> bool:
        workers = desk._workers.values()
        return all(worker.webhook.previous_until_ms == until for worker, _ in workers)

    await eventually_async(look)


async def test_a_deleted_webhook_is_told_nothing_more(tmp_path: Path) -> None:
    async with world(tmp_path) as here, endpoint() as there:
        session = await here.session("a")
        hook = await here.webhook(there.url)
        async with here.delivering() as desk:
            await here.happen(session)
            await here.settled(hook)
            await here.store.delete_webhook(here.home, hook.id)
            desk.changed()

            async def nobody() -> bool:
                return not desk._workers

            await eventually_async(nobody)
            count = len(there.got)
            other = await here.webhook(there.url)
            await here.happen(session)
            await here.settled(other)
        assert len(there.got) == count + 1
        rows = await here.store._connections.read("SELECT count(*) FROM webhook_attempts")
        assert rows[0][0] == 1, "those of the other one"


@pytest.mark.parametrize("seed", range(3))
async def test_a_moody_endpoint_still_gets_everything_once_and_in_order(
    tmp_path: Path, seed: int
) -> None:
    """Failures and slow answers at random, over many sessions, with ends in between."""
    dice = random.Random(seed)  # noqa: S311 - dice, not keys

    async def moody(_: Got) -> web.StreamResponse:
        if dice.random() < 0.3:
            return web.Response(status=dice.choice([400, 429, 500, 503]))
        return web.Response(status=200)

    async with world(tmp_path) as here, endpoint(moody) as there:
        here.rules = RetryRules(
            pauses=(0.005,) * 60, first_pause=0.005, longest_pause=0.02, failures=4
        )
        sessions = [await here.session(f"s{n}") for n in range(6)]
        hook = await here.webhook(there.url, events=frozenset({"session.health"}))
        happened: list[str] = []
        for _ in range(4):
            async with here.delivering():
                for session in dice.sample(sessions, 6):
                    happened += await here.happen(session, dice.randint(1, 6))
        async with here.delivering():
            await here.settled(hook)
        assert sorted(there.ids()) == sorted(happened)
        for session in sessions:
            ids = there.ids(session)
            assert ids == sorted(ids)


async def test_attempts_are_kept_apart_and_bounded(tmp_path: Path) -> None:
    """Many successes do not push the failures out."""
    async with world(tmp_path) as here:
        hook = await here.webhook("http://127.0.0.1:9/")

        def attempts(count: int, *, failed: bool) -> list[NewAttempt]:
            return [
                NewAttempt(
                    event_id=f"E{n}",
                    type="x",
                    number=1,
                    failed=failed,
                    code="refused" if failed else "delivered",
                    status=200,
                    took_ms=1,
                    at_ms=n,
                )
                for n in range(count)
            ]

        await here.store.record_round(hook.id, Round(attempts=attempts(7, failed=True)), 1)
        for _ in range(3):
            done = Round(attempts=attempts(600, failed=False))
            assert await here.store.record_round(hook.id, done, 1)
        store, home = here.store, here.home
        assert len(await store.webhook_attempts(home, hook.id, failed=True, limit=5000)) == 7
        ok = await store.webhook_attempts(home, hook.id, failed=False, limit=5000)
        assert len(ok) == ATTEMPTS_KEPT
        assert [row.id for row in ok] == sorted((row.id for row in ok), reverse=True)
        page = await store.webhook_attempts(home, hook.id, before=ok[10].id, limit=5)
        assert [row.id for row in page] == [row.id for row in ok[11:16]]


async def test_no_query_of_delivery_scans(tmp_path: Path) -> None:
    """However many wait, and however many events there are."""
    async with world(tmp_path) as here:
        seen: list[str] = []
        read = here.store._connections.read

        async def explain(sql: str, parameters: object = ()) -> object:
            if not sql.startswith("EXPLAIN"):
                plan = await read(f"EXPLAIN QUERY PLAN {sql}", parameters)  # type: ignore[arg-type]
                seen.extend(f"{row[3]} :: {sql[:60]}" for row in plan)
            return await read(sql, parameters)  # type: ignore[arg-type]

        hook = await here.webhook("http://127.0.0.1:9/")
        here.store._connections.read = explain  # type: ignore[method-assign, assignment]
        await here.store.lane_heads(hook.id)
        await here.store.lane(hook.id, "a", 10)
        await here.store.messages_by_id(here.home, ["01J9ZS8XQ2N4B6D8F0H2K4M6P8"])
        await here.store.webhook_attempts(here.home, hook.id, before=5, failed=True)
        await here.store.dead_letters(here.home, hook.id)
        await here.store.events(here.home, after=hook.place, limit=10)
        await here.store.newest_event()
        scans = [
            step
            for step in seen
            if step.startswith("SCAN")
            and not step.startswith(("SCAN lanes", "SCAN value", "SCAN json_each", "SCAN CONSTANT"))
            and not step.endswith("ORDER BY id DESC LIMIT 1")
        ]
        assert seen
        assert scans == []


async def test_a_filter_that_matches_nothing_does_not_stop_the_place(tmp_path: Path) -> None:
    """Otherwise each round would read the same events again."""
    async with world(tmp_path) as here, endpoint() as there:
        hook = await here.webhook(there.url, events=frozenset({"message.read"}))
        async with here.delivering():
            await here.happen(await here.session("a"), 250)
            await here.settled(hook)
        assert there.got == []
