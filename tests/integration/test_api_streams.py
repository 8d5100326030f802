"""Streams of events: nothing missing, nothing twice, in order, and only what the key may see."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from api.app import build_app
from api.event_stream import StreamRules
from api.feed import BEGINNING, PAGE
from api.keys import Scope
from api.server import serving
from storage.events import EventType
from storage.store import SessionStatus
from tests.integration.stream_support import (
    EVENT_STREAM,
    frames,
    happen,
    sse,
    websocket,
    words_of,
)
from tests.integration.test_api_server import KEY, UNKNOWN_ID, Api, running_api
from tests.integration.test_api_tenants import made_key, tenant
from tests.waiting import PATIENCE, eventually_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.integration

QUICK = StreamRules(heartbeat=0.05, write=0.5, goodbye=0.5, shutdown=0.5)
BIG = 60_000


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


async def log_of(api: Api) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    page: dict[str, Any] = {"more": True, "next_after": BEGINNING}
    while page["more"]:
        page = (await api.get(f"/v1/events?after={page['next_after']}&limit=500")).json
        events += page["events"]
    return events


async def fill(api: Api, session_id: str, events: int, *, size: int = BIG) -> None:
    payload = {"action": "x" * size}
    for _ in range(events):
        await api.store.record_event(session_id, EventType.MEMORY, payload, api.deps.now_ms())


async def end_of(ws: aiohttp.ClientWebSocketResponse) -> tuple[int | None, str | None]:
    """Read to the close frame; return its code and reason."""
    while True:
        message = await ws.receive(timeout=PATIENCE)
        if message.type in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED}:
            return ws.close_code, message.extra


# ---- what is told --------------------------------------------------------------------------------


async def test_a_stream_begins_now_and_tells_what_the_page_tells(api: Api) -> None:
    session = await api.new_session("a")
    await happen(api, session, "before")
    async with sse(api) as stream, websocket(api) as (ws, hello):
        newest = (await log_of(api))[-1]["id"]
        assert stream.last_id == hello["after"] == newest
        await happen(api, session, "one", "two")
        await api.set_status(session, SessionStatus.CONNECTED, "ready")
        told = await stream.events(3)
        assert told == (await log_of(api))[-3:]
        assert [frame["event"] for frame in await frames(ws, 3)] == told
        assert words_of(told[:2]) == ["one", "two"]


async def test_an_empty_log_has_a_place_too(api: Api) -> None:
    """Whoever connects before anything has happened, and is cut, does not miss the first event."""
    async with sse(api) as stream:
        assert stream.last_id == BEGINNING
    await api.new_session("a")
    async with sse(api, last=stream.last_id) as stream:
        [event] = await stream.events(1)
        assert event["type"] == "session.created"


@pytest.mark.parametrize("count", [1, 500, 1001])
async def test_who_comes_back_gets_all_that_was_missed(api: Api, count: int) -> None:
    session = await api.new_session("a")
    await happen(api, session, "seen")
    seen = (await log_of(api))[-1]["id"]
    wanted = [str(number) for number in range(count)]
    await happen(api, session, *wanted)
    async with (
        sse(api, last=seen) as stream,
        websocket(api, f"?after={seen}") as (ws, hello),
    ):
        assert hello["after"] == seen
        await happen(api, session, "live")
        assert words_of(await stream.events(count + 1)) == [*wanted, "live"]
        heard = [frame["event"] for frame in await frames(ws, count + 1)]
        assert words_of(heard) == [*wanted, "live"]


async def test_the_header_counts_more_than_the_address(api: Api) -> None:
    """A browser comes back to the address it was given, with the header of where it was."""
    session = await api.new_session("a")
    await happen(api, session, "one", "two")
    first, second = (await log_of(api))[-2:]
    async with sse(api, f"?after={first['id']}", last=second["id"]) as stream:
        await happen(api, session, "three")
        assert words_of(await stream.events(1)) == ["three"]
    async with sse(api, f"?after={first['id']}", last="") as stream:
        assert words_of(await stream.events(2)) == ["two", "three"]


async def test_a_place_that_the_log_never_reached_is_its_end(api: Api) -> None:
    """A node that was restored from a backup tells who was ahead of it what happens from now on."""
    session = await api.new_session("a")
    async with sse(api, last="7ZZZZZZZZZZZZZZZZZZZZZZZZZ") as stream:
        await happen(api, session, "new")
        assert words_of(await stream.events(1)) == ["new"]


async def test_cut_at_random_nothing_is_lost_and_nothing_comes_twice(tmp_path: Path) -> None:
    """Clients that come and go while events happen, each resuming with the last id it has seen."""
    rules = StreamRules(heartbeat=0.01)
    async with running_api(tmp_path, streams=rules) as api:
        session = await api.new_session("a")
        start = (await log_of(api))[-1]["id"]
        wanted = [str(number) for number in range(400)]

        async def client(seed: int) -> list[str]:
            dice, last = random.Random(seed), start  # noqa: S311 - a test's dice
            heard: list[str] = []
            while len(heard) < len(wanted):
                async with sse(api, last=last) as stream:
                    most = min(dice.randint(1, 60), len(wanted) - len(heard))
                    heard += words_of(await stream.events(most))
                    last = str(stream.last_id)
            return heard

        happening = asyncio.create_task(happen(api, session, *wanted))
        heard = await asyncio.gather(*map(client, range(6)))
        await happening
        assert heard == [wanted] * 6


# ---- who is told what ----------------------------------------------------------------------------


async def test_types_and_session_choose(api: Api) -> None:
    one, other = await api.new_session("a"), await api.new_session("b")
    query = "?types=memory,session.status&session=a"
    async with sse(api, query) as stream, websocket(api, query) as (ws, _):
        await happen(api, other, "other")
        await happen(api, one, "storage", kind=EventType.STORAGE)
        await happen(api, one, "memory")
        await api.set_status(one, SessionStatus.CONNECTED, "ready")
        told = await stream.events(2)
        assert [event["type"] for event in told] == ["memory", "session.status"]
        assert {event["session_id"] for event in told} == {one}
        assert [frame["event"] for frame in await frames(ws, 2)] == told
    async with sse(api, query, last=BEGINNING) as stream:
        assert await stream.events(2) == told
    async with sse(api, f"?session={other}", last=BEGINNING) as stream:
        assert {event["session_id"] for event in await stream.events(2)} == {other}


async def test_a_key_for_certain_sessions_hears_of_no_other(api: Api) -> None:
    one, other = await api.new_session("a"), await api.new_session("b")
    key, _ = await made_key(api, api.deps.workspace_id, [Scope.SESSION_READ], [one])
    start = (await log_of(api))[-1]["id"]
    async with sse(api, last=start, key=key) as live:
        await happen(api, other, "hidden")
        await happen(api, one, "shown")
        assert words_of(await live.events(1)) == ["shown"]
    async with sse(api, last=start, key=key) as late:
        assert words_of(await late.events(1)) == ["shown"]
    answer = await api.call(
        "GET",
        "/v1/events?session=b",
        headers={"Authorization": f"Bearer {key}", "Accept": EVENT_STREAM},
    )
    assert (answer.status, answer.code) == (404, "session_not_found")


async def test_a_tenant_hears_of_nobody_else(api: Api) -> None:
    theirs = await tenant(api, "other")
    mine = await api.new_session("a")
    start = BEGINNING
    async with sse(api, last=start, key=theirs.key) as stream:
        await happen(api, mine, "mine")
        await happen(api, theirs.session, "theirs")
        heard: list[dict[str, Any]] = []
        while not heard or heard[-1]["type"] != "memory":
            heard += await stream.events(1)
        assert words_of(heard[-1:]) == ["theirs"]
        assert mine not in {event["session_id"] for event in heard}


@pytest.mark.parametrize(
    ("path", "headers", "status", "code"),
    [
        ("/v1/events", {"Last-Event-ID": "x"}, 422, "fields_invalid"),
        ("/v1/events?limit=5", {}, 422, "fields_invalid"),
        ("/v1/events?types=nothing", {}, 422, "fields_invalid"),
        ("/v1/events?session=nobody", {}, 404, "session_not_found"),
        (f"/v1/events?session={UNKNOWN_ID}", {}, 404, "session_not_found"),
        ("/v1/events", {"Authorization": "Bearer no"}, 401, "unauthorized"),
        ("/v1/events/ws", {}, 426, "upgrade_required"),
    ],
)
async def test_what_can_t_be_is_refused_before_it_begins(
    api: Api, path: str, headers: dict[str, str], status: int, code: str
) -> None:
    headers = {"Authorization": f"Bearer {KEY}", "Accept": EVENT_STREAM, **headers}
    answer = await api.call("GET", path, headers=headers)
    assert (answer.status, answer.code) == (status, code)


@pytest.mark.parametrize(
    ("accept", "streams"),
    [
        ("text/event-stream", True),
        ("text/html, Text/Event-Stream;q=0.9", True),
        ("application/json", False),
        ("*/*", False),
    ],
)
async def test_a_stream_is_for_who_asks_for_one(api: Api, accept: str, *, streams: bool) -> None:
    headers = {"Authorization": f"Bearer {KEY}", "Accept": accept}
    async with api.client.get("/v1/events", headers=headers) as response:
        assert (response.content_type == EVENT_STREAM) is streams
    async with api.client.head("/v1/events", headers=headers) as response:
        assert response.content_type == "application/json"


async def test_pages_of_other_hosts_get_no_websocket(api: Api) -> None:
    own = f"http://{api.host}:{api.port}"
    async with websocket(api, headers={"Origin": own}):
        pass
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with websocket(api, headers={"Origin": "http://elsewhere.example"}):
            pass
    assert refused.value.status == 403


# ---- living on -----------------------------------------------------------------------------------


async def test_heartbeats_move_the_place_past_what_was_not_wanted(tmp_path: Path) -> None:
    async with running_api(tmp_path, streams=QUICK) as api:
        session = await api.new_session("a")
        async with (
            sse(api, "?types=storage") as stream,
            websocket(api, "?types=storage") as (ws, hello),
        ):
            assert hello["heartbeat_seconds"] == QUICK.heartbeat
            await happen(api, session, "unwanted")
            newest = (await log_of(api))[-1]["id"]

            async def reached() -> bool:
                block = await stream.block()
                return block is not None and block.data is None and block.id == newest

            await eventually_async(reached)
            positions = [hello["after"]]
            while positions[-1] != newest:
                positions += [f["after"] for f in await frames(ws, 1, kind="position")]
            assert positions == sorted(positions)


async def test_a_key_that_is_revoked_ends_its_streams(tmp_path: Path) -> None:
    async with running_api(tmp_path, streams=QUICK) as api:
        key, key_id = await made_key(api, api.deps.workspace_id, [Scope.SESSION_READ])
        async with sse(api, key=key) as stream, websocket(api, key=key) as (ws, _):
            assert (await api.call("DELETE", f"/v1/keys/{key_id}")).status == 204
            assert await stream.end() == "key_refused"
            assert await end_of(ws) == (4001, "key_refused")


async def test_streams_end_when_the_node_does(tmp_path: Path) -> None:
    """They are told why, and the node need not wait for its time-out."""
    async with AsyncExitStack() as stack:
        logs = stack.enter_context(capture_logs())
        api = await stack.enter_async_context(running_api(tmp_path))
        deps = replace(api.deps, telemetry=CollectorRegistry())
        async with serving(build_app(deps), "127.0.0.1", 0) as (host, port):
            client = aiohttp.ClientSession(f"http://{host}:{port}")
            other = replace(api, client=await stack.enter_async_context(client))
            stream = await stack.enter_async_context(sse(other))
            ws, _ = await stack.enter_async_context(websocket(other))
            ends = asyncio.gather(stream.end(), end_of(ws))
        of_stream, of_socket = await ends
        assert (of_stream, of_socket) == ("shutdown", (1001, "shutdown"))
        codes = [entry["code"] for entry in logs if entry["event"] == "stream_ended"]
        assert codes == ["shutdown"] * 2
        assert not [entry for entry in logs if entry["event"] == "streams_aborted"]


async def test_a_client_that_says_something_is_told_not_to(api: Api) -> None:
    async with websocket(api) as (ws, _):
        await ws.send_str("hello")
        assert await end_of(ws) == (1003, "unexpected_data")


async def test_a_database_that_fails_ends_the_stream_with_a_word(tmp_path: Path) -> None:
    """The place is kept: whoever comes back later misses nothing."""
    async with running_api(tmp_path) as api:
        await fill(api, await api.new_session("a"), PAGE + 1, size=20_000)
        async with sse(api, last=BEGINNING) as stream:
            await stream.events(1)
            # The rest of the first page is on its way, and the connection is full of it.
            await api.deps.store._connections.shut()  # type: ignore[attr-defined]
            assert await stream.end() == "failed"
