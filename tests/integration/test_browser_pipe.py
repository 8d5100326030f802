"""PipeConnection against a fake CDP peer on real pipes: everything stock pyppeteer dies of."""

from __future__ import annotations

import asyncio
import gc
import json
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from actors.browser.cdp_errors import ConnectionClosed, ProtocolFailed, TargetLost
from actors.browser.pipe import PipeConnection, PipeSession

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pyppeteer.errors import NetworkError

from tests.waiting import PATIENCE

pytestmark = pytest.mark.integration


@dataclass
class Peer:
    """The browser's end: reads requests, writes whatever a test wants."""

    connection: PipeConnection
    read_fd: int
    write_fd: int
    ended: asyncio.Event
    complaints: list[dict[str, Any]]
    _buffer: bytearray = field(default_factory=bytearray)

    async def request(self) -> dict[str, Any]:
        """Read the next request."""
        loop = asyncio.get_running_loop()
        while b"\0" not in self._buffer:
            readable = asyncio.Event()
            loop.add_reader(self.read_fd, readable.set)
            try:
                await asyncio.wait_for(readable.wait(), PATIENCE)
            finally:
                loop.remove_reader(self.read_fd)
            data = os.read(self.read_fd, 1 << 20)
            assert data, "the connection closed its end"
            self._buffer += data
        frame, _, rest = bytes(self._buffer).partition(b"\0")
        self._buffer = bytearray(rest)
        message: dict[str, Any] = json.loads(frame)
        return message

    def say(self, message: object) -> None:
        self.say_raw(json.dumps(message).encode() + b"\0")

    def say_raw(self, data: bytes) -> None:
        while data:
            data = data[os.write(self.write_fd, data) :]

    def hang_up(self) -> None:
        os.close(self.write_fd)
        self.write_fd = -1

    async def answered(self) -> None:
        """Wait until the connection has seen everything said so far."""
        probe = self.connection.send("Probe")
        while (request := await self.request())["method"] != "Probe":
            pass
        self.say({"id": request["id"], "result": {}})
        async with asyncio.timeout(PATIENCE):
            await probe

    async def session(self, session_id: str = "S") -> PipeSession:
        attaching = asyncio.ensure_future(
            self.connection.createSession({"targetId": "T", "type": "page"})
        )
        request = await self.request()
        assert request["params"] == {"targetId": "T", "flatten": True}
        self.say({"id": request["id"], "result": {"sessionId": session_id}})
        return await attaching


@asynccontextmanager
async def peering(**limits: int) -> AsyncIterator[Peer]:
    loop = asyncio.get_running_loop()
    complaints: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    commands_out, commands_in = os.pipe()
    answers_out, answers_in = os.pipe()
    ended = asyncio.Event()
    connection = PipeConnection(
        loop, read_fd=answers_out, write_fd=commands_in, closed=ended.set, **limits
    )
    peer = Peer(connection, commands_out, answers_in, ended, complaints)
    try:
        yield peer
    finally:
        connection.close()
        os.close(commands_out)
        if peer.write_fd >= 0:
            os.close(peer.write_fd)
    gc.collect()  # a future with an error that nobody looked at complains here
    await asyncio.sleep(0)
    assert complaints == []


async def fails_with(future: asyncio.Future[Any], kind: type[NetworkError]) -> str:
    with pytest.raises(kind) as caught:
        async with asyncio.timeout(PATIENCE):
            await future
    return str(caught.value)


async def test_calls_and_events_on_both_levels() -> None:
    async with peering() as peer:
        session = await peer.session()
        events: list[Any] = []
        peer.connection.on("Browser.event", lambda p: events.append(("browser", p)))
        session.on("Page.event", lambda p: events.append(("page", p)))
        browser_call, page_call = peer.connection.send("A"), session.send("B", {"x": 1})
        first, second = await peer.request(), await peer.request()
        assert (first["method"], second["method"]) == ("A", "B")  # in the order of the calls
        assert second["sessionId"] == "S"
        peer.say({"method": "Browser.event", "params": {"n": 1}})
        peer.say({"method": "Page.event", "params": {"n": 2}, "sessionId": "S"})
        peer.say({"id": second["id"], "result": {"page": True}, "sessionId": "S"})
        peer.say({"id": first["id"], "result": {"browser": True}})
        assert await browser_call == {"browser": True}
        assert await page_call == {"page": True}
        assert events == [("browser", {"n": 1}), ("page", {"n": 2})]


async def test_an_error_is_an_error() -> None:
    async with peering() as peer:
        call = peer.connection.send("A")
        request = await peer.request()
        peer.say({"id": request["id"], "error": {"code": -32000, "message": "No such target"}})
        assert await fails_with(call, ProtocolFailed) == "A: No such target"


@pytest.mark.parametrize("late", [{"result": {}}, {"error": {"message": "too late"}}])
@pytest.mark.parametrize("on_page", [False, True])
async def test_a_late_answer_to_a_call_that_was_given_up_is_dropped(
    late: dict[str, Any], *, on_page: bool
) -> None:
    async with peering() as peer:
        session = await peer.session()
        call = session.send("Slow") if on_page else peer.connection.send("Slow")
        request = await peer.request()
        call.cancel()
        await asyncio.sleep(0)
        peer.say({"id": request["id"], **({"sessionId": "S"} if on_page else {}), **late})
        await peer.answered()
        assert peer.connection.late_replies == 1
        assert not peer.connection._callbacks
        assert not session.calls


async def test_end_of_file_fails_what_waits_on_both_levels() -> None:
    async with peering() as peer:
        session = await peer.session()
        calls = [peer.connection.send("A"), session.send("B"), session.send("C")]
        given_up = session.send("D")
        given_up.cancel()
        peer.hang_up()
        for call in calls:
            await fails_with(call, ConnectionClosed)
        assert peer.ended.is_set()
        await fails_with(peer.connection.send("E"), ConnectionClosed)
        await fails_with(session.send("F"), ConnectionClosed)


async def test_nobody_needs_to_look_at_a_failed_call() -> None:
    async with peering() as peer:
        session = await peer.session()
        session.send("Dropped")  # as pyppeteer does in its event handlers
        peer.connection.send("Dropped")
        peer.hang_up()
        await asyncio.wait_for(peer.ended.wait(), PATIENCE)
        session.send("Dropped too")


async def test_a_peer_that_does_not_read_never_blocks_the_loop() -> None:
    async with peering(max_unsent=8 << 20) as peer:
        payload = "x" * (1 << 20)
        calls = [peer.connection.send("A", {"p": payload}) for _ in range(6)]
        assert not peer.ended.is_set()
        got = [len((await peer.request())["params"]["p"]) for _ in calls]
        assert got == [1 << 20] * 6
        peer.say({"id": 6, "result": {"ok": True}})
        assert await calls[-1] == {"ok": True}


async def test_too_much_unsent_gives_the_connection_up() -> None:
    async with peering(max_unsent=1 << 20) as peer:
        calls = [peer.connection.send("A", {"p": "x" * (1 << 18)}) for _ in range(6)]
        await asyncio.wait_for(peer.ended.wait(), PATIENCE)
        for call in calls:
            await fails_with(call, ConnectionClosed)


@pytest.mark.parametrize(
    "garbage", [b"{not json\0", b"[1,2]\0", b"\xff\xfe\0", b"[" * 9999 + b"\0"]
)
async def test_garbage_ends_the_connection(garbage: bytes) -> None:
    async with peering() as peer:
        call = peer.connection.send("A")
        peer.say_raw(garbage)
        await fails_with(call, ConnectionClosed)


async def test_a_frame_without_an_end_ends_the_connection() -> None:
    async with peering(max_frame=1000) as peer:
        call = peer.connection.send("A")
        peer.say_raw(b"x" * 2000)
        await fails_with(call, ConnectionClosed)


@pytest.mark.parametrize(
    "strange",
    [
        {"id": 999_999, "result": {}},
        {"id": "one", "result": {}},
        {"id": 1, "result": {}, "sessionId": "unknown"},
        {"method": 5, "params": {}},
        {"method": "A.b"},
        {"method": "A.b", "params": {}, "sessionId": "unknown"},
        {"method": "Target.detachedFromTarget", "params": {}},
        {},
    ],
)
async def test_strange_but_harmless_messages_are_ignored(strange: object) -> None:
    async with peering() as peer:
        peer.say(strange)
        await peer.answered()


async def test_a_big_message_comes_whole() -> None:
    async with peering() as peer:
        call = peer.connection.send("A")
        request = await peer.request()
        big = json.dumps({"id": request["id"], "result": {"text": "y" * (20 << 20)}}).encode()
        writing = asyncio.get_running_loop().run_in_executor(None, peer.say_raw, big + b"\0")
        answer = await asyncio.wait_for(call, 30)
        await writing
        assert len(answer["text"]) == 20 << 20
        await asyncio.get_running_loop().shutdown_default_executor()


async def test_a_failing_event_handler_does_not_end_the_connection() -> None:
    async with peering() as peer:

        def fail(_params: object) -> None:
            raise KeyError("a target that pyppeteer does not know")

        peer.connection.on("Target.odd", fail)
        peer.say({"method": "Target.odd", "params": {}})
        await peer.answered()


async def test_a_detached_session_fails_its_calls_only() -> None:
    async with peering() as peer:
        session = await peer.session()
        other = peer.connection.send("Other")
        call = session.send("A")
        peer.say({"method": "Target.detachedFromTarget", "params": {"sessionId": "S"}})
        await fails_with(call, TargetLost)
        await fails_with(session.send("B"), TargetLost)
        assert not other.done()


async def test_a_crash_fails_what_waits_and_the_session_lives_on() -> None:
    async with peering() as peer:
        session = await peer.session()
        call = session.send("A")
        session.fail_pending(TargetLost("the page crashed"))
        await fails_with(call, TargetLost)
        await peer.request()
        later = session.send("B")
        request = await peer.request()
        peer.say({"id": request["id"], "result": {"alive": True}, "sessionId": "S"})
        assert await later == {"alive": True}


async def test_close_and_dispose_are_idempotent() -> None:
    async with peering() as peer:
        peer.connection.close()
        await peer.connection.dispose()
        peer.connection.close()
        assert peer.ended.is_set()
