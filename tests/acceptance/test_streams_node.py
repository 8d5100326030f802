"""A whole node tells what happens: to a stream over its restart, and to front ends by broadcast."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.acceptance.conftest import Node, account
from tests.integration.stream_support import EVENT_STREAM, Sse
from tests.integration.test_api_broadcast import SECRET, pusher_server
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from supervisor.processes import SimulatorPlace

pytestmark = pytest.mark.acceptance


@asynccontextmanager
async def events_of(node: Node, last: str | None = None) -> AsyncIterator[Sse]:
    key = Path(node.program.ready["key_file"]).read_text("ascii").strip()  # noqa: ASYNC240 - once
    headers = {"Authorization": f"Bearer {key}", "Accept": EVENT_STREAM}
    if last is not None:
        headers["Last-Event-ID"] = last
    url = f"{node.program.ready['url']}/v1/events"
    async with aiohttp.ClientSession() as client, client.get(url, headers=headers) as response:
        assert response.status == 200
        yield Sse(response)


async def test_a_restart_is_in_the_stream_and_front_ends_see_the_code(
    make_node: Callable[..., Node], place: SimulatorPlace
) -> None:
    async with pusher_server() as server:
        node = make_node(
            place,
            WAFLEET_BROADCAST_DRIVER="pusher",
            WAFLEET_PUSHER_URL=server.url,
            WAFLEET_PUSHER_APP_ID="shop-1",
            WAFLEET_PUSHER_KEY="k1",
            WAFLEET_PUSHER_SECRET=SECRET,
        )
        await asyncio.to_thread(node.start)
        async with node.api() as api, events_of(node) as stream:
            number = await account(api)
            made = await api.post("/v1/sessions", {"name": "a", "start": True})
            assert await stream.events(1)
            await api.session_becomes("a", "qr_scanning", "qr_shown")
            code = await api.text("/v1/sessions/a/qr.txt")

            async def shown() -> Any:
                sent = [json.loads(e["data"]) for e in server.taken if "qr_code" in e["name"]]
                return [data for data in sent if data["text"] == code]

            [told] = await eventually_async(shown)
            assert told["session_id"] == made["id"]
            await api.simulator(f"/phones/{number}/scan", {"qr": code})
            await api.session_becomes("a", "connected", "ready")

            async def connected() -> bool:
                states = [json.loads(e["data"]) for e in server.taken if "status" in e["name"]]
                return bool(states) and states[-1]["payload"]["status"] == "connected"

            await eventually_async(connected)
            stopping = asyncio.create_task(asyncio.to_thread(node.program.stop))
            assert await stream.end() == "shutdown"
            await stopping
        assert node.left() == []
        await asyncio.to_thread(node.start)
        async with node.api() as api, events_of(node, stream.last_id) as again:
            await api.session_becomes("a", "connected", "ready")
            log = (await api.get("/v1/events?limit=500"))["events"]
            first = [block.json for block in stream.heard if block.data and block.event != "end"]
            rest = await again.events(len(log) - len(first))
            assert first + rest == log
            assert any(event["payload"].get("status") == "disconnected" for event in rest)
        assert SECRET not in node.log
        assert code not in node.log


async def test_what_streams_are_held_to_is_set(
    make_node: Callable[..., Node], place: SimulatorPlace
) -> None:
    """How often they show that they live, and how many of them a workspace may have."""
    node = make_node(
        place,
        WAFLEET_STREAM_HEARTBEAT="0.2",
        WAFLEET_MAX_WORKSPACE_STREAMS="1",
    )
    await asyncio.to_thread(node.start)
    key = Path(node.program.ready["key_file"]).read_text("ascii").strip()  # noqa: ASYNC240 - once
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        aiohttp.ClientSession(node.program.ready["url"], headers=headers) as client,
        client.ws_connect("/v1/events/ws") as ws,
    ):
        hello = await ws.receive_json()
        assert (hello["frame"], hello["heartbeat_seconds"]) == ("hello", 0.2)
        assert (await ws.receive_json())["frame"] == "position"
        async with client.get("/v1/events", headers={"Accept": EVENT_STREAM}) as refused:
            problem = await refused.json(content_type=None)
            assert (refused.status, problem["limit"]) == (429, 1)
