"""Reading streams of events as clients do, and making the events that they read."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from storage.events import EventType
from tests.integration.test_api_server import KEY
from tests.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    import aiohttp

    from tests.integration.test_api_server import Api

EVENT_STREAM: Final = "text/event-stream"


@dataclass(frozen=True, kw_only=True)
class Block:
    """One block of server-sent events; what a block does not have is None."""

    id: str | None = None
    event: str | None = None
    data: str | None = None

    @property
    def json(self) -> Any:
        assert self.data is not None
        return json.loads(self.data)


@dataclass
class Sse:
    """An open stream, read block by block as the standard says."""

    response: aiohttp.ClientResponse
    heard: list[Block] = field(default_factory=list)
    last_id: str | None = None

    async def block(self) -> Block | None:
        """Return the next block, None at the end of the stream."""
        found: dict[str, str] = {}
        while True:
            async with asyncio.timeout(PATIENCE):
                line = (await self.response.content.readline()).decode()
            if not line:
                assert not found, "the stream ended within a block"
                return None
            line = line.rstrip("\n")
            if line:
                name, _, value = line.partition(": ")
                found[name] = value
            elif found:
                break
        block = Block(id=found.get("id"), event=found.get("event"), data=found.get("data"))
        self.last_id = block.id or self.last_id
        self.heard.append(block)
        return block

    async def events(self, count: int) -> list[dict[str, Any]]:
        """Return the next events, passing over heartbeats."""
        events: list[dict[str, Any]] = []
        while len(events) < count:
            block = await self.block()
            assert block is not None, f"ended after {events}"
            if block.data is not None:
                assert block.event != "end", block
                event = block.json
                assert (block.id, block.event) == (event["id"], event["type"])
                events.append(event)
        return events

    async def end(self) -> str:
        """Return the code of the end, passing over everything before it."""
        while (block := await self.block()) is not None:
            if block.event == "end":
                assert await self.block() is None
                assert block.json["detail"]
                return str(block.json["code"])
        return "none"


@asynccontextmanager
async def sse(
    api: Api, query: str = "", *, last: str | None = None, key: str = KEY
) -> AsyncIterator[Sse]:
    """Open server-sent events; the first block, which only has an id, is read already."""
    headers = {"Authorization": f"Bearer {key}", "Accept": EVENT_STREAM}
    if last is not None:
        headers["Last-Event-ID"] = last
    async with api.client.get(f"/v1/events{query}", headers=headers) as response:
        assert response.status == 200, await response.text()
        assert response.headers["Content-Type"] == f"{EVENT_STREAM}; charset=utf-8"
        stream = Sse(response)
        first = await stream.block()
        assert first is not None
        assert (first.event, first.data) == (None, None)
        yield stream


@asynccontextmanager
async def websocket(
    api: Api, query: str = "", *, key: str = KEY, **options: Any
) -> AsyncIterator[tuple[aiohttp.ClientWebSocketResponse, Mapping[str, Any]]]:
    """Open the WebSocket; yields it with its first frame."""
    headers = {"Authorization": f"Bearer {key}", **options.pop("headers", {})}
    async with api.client.ws_connect(f"/v1/events/ws{query}", headers=headers, **options) as ws:
        hello = await ws.receive_json(timeout=PATIENCE)
        assert hello["frame"] == "hello"
        yield ws, hello


async def frames(
    ws: aiohttp.ClientWebSocketResponse, count: int, kind: str = "event"
) -> list[dict[str, Any]]:
    """Return the next frames of a kind, passing over others."""
    found: list[dict[str, Any]] = []
    while len(found) < count:
        frame = await ws.receive_json(timeout=PATIENCE)
        if frame["frame"] == kind:
            found.append(frame)
    return found


async def happen(
    api: Api, session_id: str, *words: str, kind: EventType = EventType.MEMORY
) -> None:
    """Let events happen to a session, one for each word."""
    for word in words:
        payload = {"action": "collect", "cause": word, "before": 1}
        await api.store.record_event(session_id, kind, payload, api.deps.now_ms())


def words_of(events: Sequence[Mapping[str, Any]]) -> list[str]:
    return [event["payload"]["cause"] for event in events]
