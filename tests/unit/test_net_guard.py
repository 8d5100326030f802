"""Which addresses users may have us connect to: tables and properties."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.net_guard import NetRules, url_problem

pytestmark = pytest.mark.unit

STRICT = NetRules()
PLAIN = NetRules(plain_http=True)
OFFICE = NetRules(
    private=(ipaddress.IPv4Network("10.1.0.0/16"), ipaddress.IPv6Network("fd00:1::/64"))
)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",  # noqa: S104 - to be refused, not to be bound
        "10.0.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::7f00:1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:808:808::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
    ],
)
def test_what_is_not_the_internet_is_refused(address: str) -> None:
    """However it is written, and whether or not http is allowed."""
    assert not STRICT.permits(address, 443)
    assert not PLAIN.permits(address, 80)


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::808:808", "2606:4700:4700::1111", "2a00:1450::1"],
)
def test_the_internet_is_permitted_on_the_ports_of_the_web(address: str) -> None:
    """An IPv4 address in an IPv6 one counts as what it is."""
    ports = {port for port in (22, 25, 80, 443, 6379, 8080, 8443) if STRICT.permits(address, port)}
    plain = {port for port in (22, 25, 80, 443, 6379, 8080, 8443) if PLAIN.permits(address, port)}
    assert ports == {443, 8443}
    assert plain == {80, 443, 8080, 8443}


def test_an_operators_own_networks_are_permitted_and_nothing_beside_them() -> None:
    """On any port: what listens there is the operator's."""
    assert OFFICE.permits("10.1.2.3", 3000)
    assert OFFICE.permits("::ffff:10.1.2.3", 3000)
    assert OFFICE.permits("fd00:1::5", 3000)
    assert not OFFICE.permits("10.2.0.1", 443)
    assert not OFFICE.permits("127.0.0.1", 443)
    assert not OFFICE.permits("8.8.8.8", 3000)


@given(st.ip_addresses(v=4))
def test_no_disguise_makes_an_ipv4_address_better(address: ipaddress.IPv4Address) -> None:
    """Mapped and translated ones are judged as the address that they end at."""
    number = int(address)
    mapped = ipaddress.IPv6Address(0xFFFF << 32 | number)
    translated = ipaddress.IPv6Address((0x64FF9B << 96) | number)
    verdict = STRICT.permits(str(address), 443)
    assert STRICT.permits(str(mapped), 443) == verdict
    assert STRICT.permits(str(translated), 443) == verdict
    assert not verdict or address.is_global


@given(st.ip_addresses(v=6))
def test_ipv6_is_public_only_where_the_internet_is(address: ipaddress.IPv6Address) -> None:
    """All else in the address space is refused, also what is not assigned yet."""
    if STRICT.permits(str(address), 443) and address.ipv4_mapped is None:
        inside = address in ipaddress.IPv6Network("2000::/3")
        assert inside or address in ipaddress.IPv6Network("64:ff9b::/96")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("http://hooks.example/in", "begin with https"),
        ("ftp://hooks.example/in", "begin with https"),
        ("file:///etc/passwd", "begin with https"),
        ("hooks.example/in", "begin with https"),
        ("", "begin with https"),
        ("https:///in", "names no host"),
        ("https://hooks.example:0/in", "names no host"),
        ("https://hooks.example:99999/in", "not an address"),
        ("https://[::1/in", "not an address"),
        ("https://me@hooks.example/in", "user or a password"),
        ("https://me:secret@hooks.example/in", "user or a password"),
        ("https://127.0.0.1/in", "not public"),
        ("https://[::ffff:127.0.0.1]/in", "not public"),
        ("https://8.8.8.8:22/in", "not public"),
        ("https://hooks.example/a b", "spaces"),
        ("https://hooks.example/\u00fc", "escaped"),
        ("https://hooks.example/\r\nX: y", "escaped"),
        ("https://hooks.example/" + "a" * 2048, "longer than 2048"),
    ],
)
def test_a_users_address_is_told_what_is_wrong_with_it(text: str, part: str) -> None:
    """A sentence each; where a name leads is not asked here."""
    problem = url_problem(text, STRICT)
    assert problem is not None
    assert part in problem


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("https://hooks.example/in?x=1", STRICT),
        ("https://8.8.8.8/in", STRICT),
        ("http://hooks.example/in", PLAIN),
        ("http://10.1.2.3:3000/in", OFFICE),
    ],
)
def test_a_good_address_has_no_problem(text: str, rules: NetRules) -> None:
    """With the rules that permit it."""
    assert url_problem(text, rules) is None
