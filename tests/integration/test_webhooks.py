"""Webhooks on a real store and real endpoints: what arrives, in which order, signed by whom."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from actors.net_guard import NetRules
from actors.webhook_plan import RetryRules
from storage.webhooks import Disabled
from tests.integration.tenant_support import inbound
from tests.integration.webhook_support import (
    Got,
    endpoint,
    hang,
    wall_ms,
    world,
)
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.integration


async def test_every_event_arrives_once_in_order_and_signed(tmp_path: Path) -> None:
    """Also what happened while nobody delivered."""
    async with world(tmp_path) as here, endpoint() as there:
        session = await here.session("a")
        hook = await here.webhook(there.url)
        before = await here.happen(session, 5)
        async with here.delivering():
            after = await here.happen(session, 25)
            await here.settled(hook)
        assert there.ids() == before + after
        secret = here.secrets[hook.id]
        for got in there.got:
            assert got.is_signed_with(secret)
            assert got.headers["content-type"] == "application/json"
            assert abs(int(got.headers["webhook-timestamp"]) - wall_ms() / 1000) < 60
        first = there.got[0].body
        assert (first["id"], first["type"]) == (before[0], "session.health")
        assert first["session_id"] == session
        assert first["data"] == {"action": "lost", "n": 0}


async def test_a_forged_body_is_not_signed(tmp_path: Path) -> None:
    """What the test's receiver accepts, it accepts for this body, id and secret only."""
    async with world(tmp_path) as here, endpoint() as there:
        session = await here.session("a")
        hook = await here.webhook(there.url)
        async with here.delivering():
            await here.happen(session)
            await here.settled(hook)
        got, secret = there.got[0], here.secrets[hook.id]
        assert not Got(got.headers, got.raw + b" ", 0.0).is_signed_with(secret)
        assert not Got({**got.headers, "webhook-id": "x"}, got.raw, 0.0).is_signed_with(secret)
        assert not got.is_signed_with("whsec_" + "A" * 44)


async def test_a_message_comes_with_its_text(tmp_path: Path) -> None:
    """The log has no bodies; what is delivered has, unless the webhook is to have none."""
    async with world(tmp_path) as here, endpoint() as there, endpoint() as bare:
        session = await here.session("a")
        hook = await here.webhook(there.url, events=frozenset({"message.received"}))
        plain = await here.webhook(bare.url, messages=False)
        async with here.delivering():
            row = await here.store.record_inbound(inbound(session, "B1", body="hello"))
            assert row is not None
            await here.settled(hook)
            await here.settled(plain)
        message = there.taken[0].body["data"]["message"]
        assert (message["id"], message["text"]) == (row.id, "hello")
        assert message["from"] == row.sender
        assert "message" not in bare.taken[0].body["data"]
        assert b"hello" not in b"".join(got.raw for got in bare.got)


async def test_a_message_that_was_erased_is_not_there(tmp_path: Path) -> None:
    """Null, not an error: the event still tells that something came."""
    async with world(tmp_path) as here, endpoint() as there:
        session = await here.session("a")
        hook = await here.webhook(there.url, events=frozenset({"message.received"}))
        await here.store.record_inbound(inbound(session, "B1"))
        await here.store._connections.write(lambda tx: tx.change("DELETE FROM messages"))
        async with here.delivering():
            await here.settled(hook)
        assert there.taken[0].body["data"]["message"] is None


async def test_filters_leave_out_other_events_and_sessions(tmp_path: Path) -> None:
    async with world(tmp_path) as here, endpoint() as there:
        one, other = await here.session("a"), await here.session("b")
        events = frozenset({"session.health"})
        hook = await here.webhook(there.url, session_id=one, events=events)
        async with here.delivering():
            wanted = await here.happen(one, 3)
            await here.happen(other, 3)
            await here.store.delete_session(one, wall_ms())

            async def come() -> bool:
                return len(there.taken) == 3 and (await here.record(hook)).place != wanted[-1]

            await eventually_async(come)
        assert there.ids() == wanted


async def test_what_fails_is_tried_again_and_order_is_kept_by_session(tmp_path: Path) -> None:
    """Behind an event that fails its session waits, and no other one."""
    async with world(tmp_path) as here:
        one, other = await here.session("a"), await here.session("b")
        bad: set[str] = set()

        async def some(got: Got) -> web.StreamResponse:
            stuck = got.body["session_id"] == one and got.id in bad
            return web.Response(status=503 if stuck else 200)

        async with endpoint(some) as there:
            hook = await here.webhook(there.url)
            ours = await here.happen(one, 4)
            bad.add(ours[1])
            theirs = await here.happen(other, 4)
            async with here.delivering():

                async def passed() -> bool:
                    return set(theirs) <= set(there.ids()) and await here.waiting(hook) == 1

                await eventually_async(passed)
                assert [i for i in there.ids() if i in theirs] == theirs
                assert [i for i in there.ids() if i in ours] == ours[:1]
                bad.clear()
                await here.settled(hook)
            assert [i for i in there.ids() if i in ours] == ours
        tried = [code for event, _, code in await here.attempts(hook) if event == ours[1]]
        assert tried[-1] == "delivered"
        assert set(tried[:-1]) == {"refused"}


async def test_an_endpoint_that_hangs_delays_no_other(tmp_path: Path) -> None:
    """Nor does it hold many requests once its breaker has opened."""
    async with world(tmp_path, timeout=0.3) as here, endpoint(hang) as stuck, endpoint() as there:
        sessions = [await here.session(f"s{n}") for n in range(12)]
        slow = await here.webhook(stuck.url)
        hook = await here.webhook(there.url)
        async with here.delivering():
            happened = [i for s in sessions for i in await here.happen(s, 5)]
            await here.settled(hook)
            assert sorted(there.ids()) == happened
            await here.tried(slow, "timed_out", 6)
            assert stuck.busiest <= 8

            async def free() -> bool:
                return not stuck.busy

            await eventually_async(free)
            stuck.busiest = 0
            await here.tried(slow, "timed_out", len(await here.attempts(slow)) + 3)
            assert stuck.busiest == 1, "one probe at a time"
            value = here.telemetry.registry.get_sample_value("wafleet_webhook_breakers_open")
            assert value == 1
        assert (await here.record(slow)).failing_since_ms is not None


async def test_an_endpoint_that_fails_is_not_asked_by_every_session(tmp_path: Path) -> None:
    """Once the breaker has opened, those whose turn it is not yet wait, too."""

    async def never(_: Got) -> web.StreamResponse:
        return web.Response(status=500)

    async with world(tmp_path) as here, endpoint(never) as there:
        here.rules = RetryRules(pauses=(3600.0,), failures=5, first_pause=3600.0)
        sessions = [await here.session(f"s{n}") for n in range(40)]
        hook = await here.webhook(there.url)
        for session in sessions:
            await here.happen(session)
        async with here.delivering():

            async def all_wait() -> bool:
                return await here.waiting(hook) == 40

            await eventually_async(all_wait)
        assert 5 <= len(there.got) <= 5 + 8


async def test_an_endpoint_that_comes_back_gets_everything_in_order(tmp_path: Path) -> None:
    """At once, whatever the schedules of the events say."""
    up = asyncio.Event()

    async def later(_: Got) -> web.StreamResponse:
        return web.Response(status=200 if up.is_set() else 500)

    async with world(tmp_path) as here, endpoint(later) as there:
        here.rules = RetryRules(
            pauses=(3600.0,) * 3, failures=3, first_pause=0.02, longest_pause=0.05
        )
        sessions = [await here.session(f"s{n}") for n in range(4)]
        hook = await here.webhook(there.url)
        async with here.delivering():
            happened = [i for s in sessions for i in await here.happen(s, 6)]
            await here.tried(hook, "refused", 12)
            up.set()
            await here.settled(hook)
        for session in sessions:
            ids = there.ids(session)
            assert ids == sorted(ids)
        assert sorted(there.ids()) == happened
        assert (await here.record(hook)).failing_since_ms is None


async def test_a_redirect_is_a_failure_and_is_not_followed(tmp_path: Path) -> None:
    async with world(tmp_path) as here, endpoint() as elsewhere:

        async def move(_: Got) -> web.StreamResponse:
            return web.Response(status=307, headers={"Location": elsewhere.url})

        async with endpoint(move) as there:
            hook = await here.webhook(there.url)
            async with here.delivering():
                await here.happen(await here.session("a"))
                await here.tried(hook, "redirected", 2)
        assert elsewhere.got == []


async def test_410_disables_and_enabling_goes_on_where_it_was(tmp_path: Path) -> None:
    """Nothing is lost meanwhile, nothing is sent meanwhile."""
    gone = asyncio.Event()
    gone.set()

    async def leave(_: Got) -> web.StreamResponse:
        return web.Response(status=410 if gone.is_set() else 200)

    async with world(tmp_path) as here, endpoint(leave) as there:
        session = await here.session("a")
        hook = await here.webhook(there.url)
        async with here.delivering():
            happened = await here.happen(session, 3)
            await here.disabled(hook, Disabled.GONE)
            assert len(there.got) == 1
            happened += await here.happen(session, 3)
            gone.clear()
            await here.change(hook, enabled=True)
            await here.settled(hook)
        assert there.ids() == happened


async def test_an_endpoint_that_fails_for_too_long_is_disabled(tmp_path: Path) -> None:
    async def never(_: Got) -> web.StreamResponse:
        return web.Response(status=500)

    async with world(tmp_path) as here, endpoint(never) as there:
        here.rules = RetryRules(pauses=(0.02,) * 500, patience=0.3, longest_pause=0.05)
        hook = await here.webhook(there.url, events=frozenset({"session.health"}))
        async with here.delivering():
            happened = await here.happen(await here.session("a"), 3)
            await here.disabled(hook, Disabled.FAILING)
        [head] = await here.store.lane_heads(hook.id)
        assert head.event_id == happened[0], "kept for the day when it is enabled again"


async def test_retry_after_is_honoured(tmp_path: Path) -> None:
    """Not one request before it, from whichever session."""
    calls = []

    async def busy(got: Got) -> web.StreamResponse:
        calls.append(got.at)
        if len(calls) == 1:
            return web.Response(status=429, headers={"Retry-After": "1"})
        return web.Response(status=200)

    async with world(tmp_path) as here, endpoint(busy) as there:
        one, other = await here.session("a"), await here.session("b")
        hook = await here.webhook(there.url, events=frozenset({"session.health"}))
        async with here.delivering():
            await here.happen(one)
            await here.tried(hook, "refused", 1)
            await here.happen(other)
            await here.settled(hook)
        assert len(calls) == 3
        assert calls[1] - calls[0] >= 0.95


async def test_an_address_that_is_not_public_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path, net=NetRules(plain_http=True)) as here, endpoint() as there:
        hook = await here.webhook(there.url)
        async with here.delivering():
            await here.happen(await here.session("a"))
            await here.tried(hook, "address_refused", 1)
        assert there.got == []


async def test_an_endless_answer_is_cut_off(tmp_path: Path) -> None:
    """The status has come; what follows it is nobody's business."""
    async with world(tmp_path) as here:
        sent = 0

        async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            try:
                while True:
                    writer.write(b"x" * 65536)
                    sent += 65536
                    await writer.drain()
            except ConnectionError:
                writer.close()

        server = await asyncio.start_server(flood, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        hook = await here.webhook(f"http://127.0.0.1:{port}/")
        async with here.delivering():
            await here.happen(await here.session("a"), 3)
            await here.settled(hook)
        server.close()
        await server.wait_closed()
        assert sent < 200_000_000
        assert {code for _, _, code in await here.attempts(hook)} == {"delivered"}
