"""Streams of events that are too slow, too many, or too long."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from api.event_stream import StreamRules
from tests.integration.stream_support import (
    EVENT_STREAM,
    happen,
    sse,
    websocket,
    words_of,
)
from tests.integration.test_api_server import KEY, Api, running_api
from tests.integration.test_api_tenants import tenant
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
from tests.integration.test_api_streams import QUICK, end_of, fill

pytestmark = pytest.mark.integration


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


def deaf_client(api: Api) -> socket.socket:
    """Return a connected socket with little room, for a client that never reads."""
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.connect((api.host, api.port))
    deaf.sendall(
        f"GET /v1/events HTTP/1.1\r\nHost: x\r\nAccept: {EVENT_STREAM}\r\n"
        f"Authorization: Bearer {KEY}\r\n\r\n".encode()
    )
    return deaf


async def open_streams(api: Api, kind: str) -> float | None:
    return api.deps.telemetry.get_sample_value("wafleet_event_streams", {"kind": kind})


async def ended(api: Api, kind: str, code: str) -> float | None:
    labels = {"kind": kind, "code": code}
    return api.deps.telemetry.get_sample_value("wafleet_event_streams_ended_total", labels)


async def test_who_does_not_read_is_cut_off_and_delays_nobody(tmp_path: Path) -> None:
    rules = replace(QUICK, heartbeat=30.0, room=10)
    async with running_api(tmp_path, streams=rules) as api:
        session = await api.new_session("a")
        deaf = deaf_client(api)
        try:
            async with sse(api) as stream:

                async def both_open() -> bool:
                    return await open_streams(api, "sse") == 2

                await eventually_async(both_open)
                with capture_logs() as logs:
                    for _ in range(120):
                        await fill(api, session, 1)
                        await stream.events(1)  # at once, however little the deaf one reads

                    async def cut_off() -> bool:
                        return await ended(api, "sse", "too_slow") == 1

                    await eventually_async(cut_off)
                [told] = [entry for entry in logs if entry["event"] == "stream_ended"]
                assert (told["code"], told["log_level"]) == ("too_slow", "info")
                assert await open_streams(api, "sse") == 1
                await fill(api, session, 1)
                await stream.events(1)
        finally:
            deaf.close()


async def test_who_is_too_far_behind_is_told_so_and_misses_nothing(tmp_path: Path) -> None:
    """More events in one commit than there is room for: cut off, and back for them."""
    rules = replace(QUICK, room=5)
    async with running_api(tmp_path, streams=rules) as api:
        session = await api.new_session("a")
        for number in range(10):
            sent = await api.post("/v1/sessions/a/messages", {"to": "+15550100002", "text": "x"})
            assert sent.status == 202, number
        async with sse(api) as stream, websocket(api) as (ws, hello):
            await api.store.delete_session(session, api.deps.now_ms())
            assert await stream.end() == "too_slow"
            assert await end_of(ws) == (4008, "too_slow")
        assert stream.last_id == hello["after"]
        async with sse(api, last=stream.last_id) as again:
            told = [event["type"] for event in await again.events(11)]
        assert told == ["message.failed"] * 10 + ["session.deleted"]


async def test_so_many_streams_and_no_more(tmp_path: Path) -> None:
    rules = StreamRules(most=3, most_per_workspace=2, glance=0.05)
    async with running_api(tmp_path, streams=rules) as api:
        theirs, third = await tenant(api, "other"), await tenant(api, "third")

        async def refused(key: str) -> tuple[int, str, int]:
            headers = {"Authorization": f"Bearer {key}", "Accept": EVENT_STREAM}
            answer = await api.call("GET", "/v1/events", headers=headers)
            assert answer.headers["Retry-After"]
            return answer.status, answer.code, answer.json["limit"]

        async with sse(api), websocket(api):
            assert await refused(KEY) == (429, "too_many_streams", 2)
            async with sse(api, key=theirs.key):
                assert await refused(third.key) == (429, "too_many_streams", 3)

        async def all_ended() -> bool:
            return [await open_streams(api, kind) for kind in ("sse", "websocket")] == [0, 0]

        await eventually_async(all_ended)
        async with sse(api):
            pass


async def test_a_hundred_readers_are_one_reader_of_the_log(api: Api) -> None:
    """What the database is asked does not depend on how many listen."""
    session = await api.new_session("a")
    reads = []
    connections = api.deps.store._connections  # type: ignore[attr-defined]
    for _ in range(2):
        reader = connections._readers.get_nowait()
        await reader.set_trace_callback(lambda sql: reads.append(sql) if "events" in sql else None)
        connections._readers.put_nowait(reader)
    streams = [sse(api) for _ in range(100)]
    opened = [await stream.__aenter__() for stream in streams]
    reads.clear()
    await happen(api, session, *map(str, range(20)))
    heard = await asyncio.gather(*(stream.events(20) for stream in opened))
    assert [words_of(events) for events in heard] == [[str(n) for n in range(20)]] * 100
    assert 1 <= len(reads) <= 2 * 20, "some for each event, and none for each reader"
    for stream in streams:
        await stream.__aexit__(None, None, None)


async def test_a_stream_s_length_is_no_request_s_time(tmp_path: Path) -> None:
    async with running_api(tmp_path, streams=QUICK) as api:
        session = await api.new_session("a")
        with capture_logs() as logs:
            async with sse(api, key=KEY) as stream:
                for _ in range(10):
                    await stream.block()  # ten heartbeats: half a second
            await happen(api, session, "one")

            async def served() -> bool:
                return any(entry["event"] == "request_served" for entry in logs)

            await eventually_async(served)
        [told] = [entry for entry in logs if entry["event"] == "request_served"]
        [ended_] = [entry for entry in logs if entry["event"] == "stream_ended"]
        assert told["seconds"] < ended_["seconds"] / 2
        assert (ended_["code"], ended_["kind"]) == ("left", "sse")
