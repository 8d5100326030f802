"""The guard at the socket: a real client, a real server on loopback that must not be reached."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from actors.net_guard import NetRules, guarded_connector, refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.integration

LOOPBACK = (ipaddress.IPv4Network("127.0.0.0/8"), ipaddress.IPv6Network("::1/128"))


class Inner:
    """What only this machine can reach; it counts who came."""

    def __init__(self) -> None:
        self.visits = 0
        self.port = 0

    async def answer(self, _: web.Request) -> web.Response:
        self.visits += 1
        return web.Response(text="inner")


@pytest.fixture
async def inner() -> AsyncIterator[Inner]:
    place = Inner()
    app = web.Application()
    app.router.add_get("/", place.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    place.port = runner.addresses[0][1]
    yield place
    await runner.cleanup()


async def visit(url: str, connector: aiohttp.TCPConnector) -> int:
    async with (
        aiohttp.ClientSession(connector=connector, trust_env=False) as session,
        session.get(url, allow_redirects=False) as response,
    ):
        return response.status


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "0", "[::ffff:127.0.0.1]", "[::1]"],
)
async def test_no_spelling_of_this_machine_gets_through(inner: Inner, host: str) -> None:
    """Names, numbers, short forms: the socket is what counts."""
    with pytest.raises(aiohttp.ClientError) as caught:
        await visit(f"http://{host}:{inner.port}/", guarded_connector(NetRules(plain_http=True)))
    # aiohttp itself refuses some short forms; whatever it lets pass, the guard does not
    assert refused(caught.value) or isinstance(caught.value, aiohttp.InvalidURL)
    assert "127.0.0.1" not in str(getattr(caught.value, "os_error", ""))
    assert inner.visits == 0


async def test_names_that_are_never_answered_keep_nobody_waiting(
    inner: Inner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither other names nor the loop's own threads."""
    answered, real = threading.Event(), socket.getaddrinfo

    def slow(host: str, *more: Any, **options: Any) -> Any:
        if host.endswith(".slow"):
            answered.wait(30)
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return real(host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    connector = guarded_connector(NetRules(private=LOOPBACK))
    async with aiohttp.ClientSession(connector=connector) as session:

        async def get(host: str) -> int:
            async with session.get(f"http://{host}:{inner.port}/") as response:
                return response.status

        stuck = [asyncio.create_task(get(f"n{number % 20}.slow")) for number in range(60)]
        assert await get("localhost") == 200
        assert await asyncio.to_thread(lambda: 1) == 1
        assert not any(task.done() for task in stuck)
        answered.set()
        ends = await asyncio.gather(*stuck, return_exceptions=True)
        assert all(isinstance(end, aiohttp.ClientConnectorDNSError) for end in ends)


class Rebinding(AbstractResolver):
    """A name server that says something else the second time."""

    def __init__(self) -> None:
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked += 1
        address = "8.8.8.8" if self.asked == 1 else "127.0.0.1"
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
        ]

    async def close(self) -> None:
        pass


async def test_a_name_that_leads_elsewhere_later_is_refused(inner: Inner) -> None:
    """What was public when it was looked at does not help: the address is the connection's own."""
    resolver = Rebinding()
    await resolver.resolve("rebound.example")
    connector = guarded_connector(NetRules(plain_http=True), names=resolver)
    with pytest.raises(aiohttp.ClientConnectorError) as caught:
        await visit(f"http://rebound.example:{inner.port}/", connector)
    assert refused(caught.value), "by the guard, not for want of a connection"
    assert resolver.asked == 2
    assert inner.visits == 0


async def test_an_operators_own_network_is_reached(inner: Inner) -> None:
    """The same server, with its network permitted."""
    rules = NetRules(private=LOOPBACK)
    assert await visit(f"http://127.0.0.1:{inner.port}/", guarded_connector(rules)) == 200
    assert inner.visits == 1


async def test_a_closed_port_is_not_called_refused(free_port: int) -> None:
    """Only what the guard forbade is: the rest is the network's trouble."""
    connector = guarded_connector(NetRules(private=LOOPBACK))
    with pytest.raises(aiohttp.ClientConnectorError) as caught:
        await visit(f"http://127.0.0.1:{free_port}/", connector)
    assert not refused(caught.value)
