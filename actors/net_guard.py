"""What wafleet connects to for a user: webhooks' endpoints, and media that are named by an address.

A user's address must not reach what only this machine can reach: itself, its network, a cloud's
metadata. Names prove nothing (they resolve to anything, and to something else the next time) and
neither do texts of addresses (0x7f.1, ::ffff:127.0.0.1). So the guard stands where the connection
is made: it sees the final address of every socket, before the first packet.

    url_problem           says what is wrong with a user's address before anything is connected
    guarded_connector     an aiohttp connector whose sockets go to permitted addresses only
    refused               tells whether an error of aiohttp's was the guard's

Use `ClientSession(connector=guarded_connector(rules), trust_env=False)`, never follow redirects
(`allow_redirects=False`), bound time and size: the guard does none of that.

    AddressRefused        an OSError, as sockets raise; aiohttp wraps it in a ClientConnectorError
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aiohappyeyeballs import AddrInfoType

    Address = ipaddress.IPv4Address | ipaddress.IPv6Address
    Network = ipaddress.IPv4Network | ipaddress.IPv6Network

HTTPS_PORTS: Final = frozenset({443, 8443})
HTTP_PORTS: Final = frozenset({80, 8080})
LONGEST_URL: Final = 2048
LOOKUPS: Final = 64
"""How many names may be looked up at the same time."""
REMEMBERED: Final = 10
"""Seconds for which a name's addresses are remembered."""

# What ipaddress calls global, though it is not the Internet at large.
_NOT_PUBLIC_4: Final = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "192.0.0.0/24",  # IETF protocol assignments
        "192.88.99.0/24",  # relays of 6to4
        "168.63.129.16/32",  # Azure's host, from inside
    )
)
_GLOBAL_6: Final = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_6: Final = tuple(
    ipaddress.IPv6Network(text)
    for text in (
        "2001::/23",  # IETF protocol assignments, Teredo's tunnels among them
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address in disguise
        "3fff::/20",  # documentation
    )
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_IPV4_MASK: Final = 0xFFFFFFFF


class AddressRefused(OSError):  # noqa: N818 - it says what happened, as the ports' errors do
    """The address is none that users may have us connect to. It does not say which one it was."""

    def __init__(self) -> None:
        super().__init__("the address is not public, or its port is not permitted")


@dataclass(frozen=True, slots=True, kw_only=True)
class NetRules:
    """What users may have us connect to.

    Public addresses: https on HTTPS_PORTS, and with `plain_http` http on HTTP_PORTS. The networks
    in `private` are permitted whatever they are, on any port, with http too: an operator's own.
    """

    private: tuple[Network, ...] = ()
    plain_http: bool = False

    def permits(self, address: str, port: int) -> bool:
        """Tell whether a socket may go there; `address` is numeric, as sockets have it."""
        real = _unwrapped(ipaddress.ip_address(address))
        if any(real in network for network in self.private if network.version == real.version):
            return True
        ports = HTTPS_PORTS | HTTP_PORTS if self.plain_http else HTTPS_PORTS
        return _is_public(real) and port in ports


def url_problem(text: str, rules: NetRules) -> str | None:
    """Return what is wrong with an address that a user has given, as a sentence; None: nothing.

    Where the name leads is seen when it is connected to, not here.
    """
    if len(text) > LONGEST_URL:
        return f"The address is longer than {LONGEST_URL} characters."
    if not text.isascii() or not text.isprintable() or " " in text:
        return "The address holds spaces, or characters that have to be escaped."
    try:
        url = URL(text)
        problems = _problems(url, url.host or "", url.port or 0, rules)
    except ValueError:
        return "It is not an address."
    return next((sentence for wrong, sentence in problems if wrong), None)


def _problems(url: URL, host: str, port: int, rules: NetRules) -> Iterator[tuple[bool, str]]:
    plain = rules.plain_http or bool(rules.private)
    schemes = {"https", "http"} if plain else {"https"}
    yield url.scheme not in schemes, "The address has to begin with https://."
    yield not host or not port, "The address names no host, or not a port that there is."
    named = url.user is not None or url.password is not None
    yield named, "The address holds a user or a password; leave them out."
    forbidden = _is_numeric(host) and not rules.permits(host, port)
    yield forbidden, str(AddressRefused()).capitalize() + "."


class GuardedConnector(aiohttp.TCPConnector):
    """A connector that owns its resolver: it closes it with itself, as aiohttp does its own."""

    def __init__(self, names: AbstractResolver, **options: Any) -> None:
        super().__init__(resolver=names, **options)
        self._names = names

    async def close(self, *, abort_ssl: bool = False) -> None:
        """Close all connections, then let go of the names' threads."""
        await super().close(abort_ssl=abort_ssl)
        await self._names.close()


class Names(AbstractResolver):
    """Looks names up in threads of its own.

    A name server that does not answer holds a thread for half a minute. In the loop's own few
    threads, a handful of such names would keep all others waiting, and whatever else needs one.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(LOOKUPS, thread_name_prefix="names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, _look_up, host, port, family
        )
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        """Let go of the threads; one that still waits for an answer ends when it has it."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int, family: int) -> Sequence[AddrInfoType]:
    return socket.getaddrinfo(
        host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
    )


def guarded_connector(
    rules: NetRules, *, limit: int = 100, names: AbstractResolver | None = None
) -> aiohttp.TCPConnector:
    """Return a connector that refuses, socket by socket, what the rules do not permit.

    `limit` bounds the connections that are open at once; `names` looks names up, and is closed
    with the connector. To be made while a loop runs.
    """

    def guarded(info: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = info
        if not rules.permits(str(address[0]), int(address[1])):
            raise AddressRefused
        return socket.socket(family, kind, protocol)

    # The cache makes lookups of one name share one thread; what it remembers is guarded like all.
    return GuardedConnector(
        names or Names(), socket_factory=guarded, ttl_dns_cache=REMEMBERED, limit=limit
    )


def refused(error: BaseException) -> bool:
    """Tell whether aiohttp could not connect because the guard forbade it."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return isinstance(cause, AddressRefused)


def _unwrapped(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one stands for, where it stands for one."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & _IPV4_MASK)
    return address


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        return address in _GLOBAL_6 and not any(address in network for network in _NOT_PUBLIC_6)
    return (
        address.is_global
        and not address.is_multicast
        and not any(address in network for network in _NOT_PUBLIC_4)
    )


def _is_numeric(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
