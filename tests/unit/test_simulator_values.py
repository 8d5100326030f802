"""Numbers, addresses, decoding and wire frames of the simulator."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import wire
from simulator.decode import decode
from simulator.errors import InvalidRequestError, WireError
from simulator.jid import check_number, lid_jid, lid_of, pn_jid, split_jid

pytestmark = pytest.mark.unit

numbers = st.from_regex(r"[1-9][0-9]{6,14}", fullmatch=True)


@pytest.mark.parametrize("text", ["", "+15550100001", "0155501", "123456", "1" * 16, "1555o100"])
def test_refuses_what_is_not_a_number(text: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        check_number(text)
    assert caught.value.code == "invalid_number"


@given(numbers)
def test_addresses_lead_back_to_the_number(number: str) -> None:
    assert split_jid(pn_jid(check_number(number))) == (number, "c.us")
    assert split_jid(lid_jid(number)) == (lid_of(number), "lid")
    assert len(lid_of(number)) == 15


@pytest.mark.parametrize(
    ("jid", "parts"),
    [
        ("15550100001@s.whatsapp.net", ("15550100001", "c.us")),
        ("15550100001:4@c.us", ("15550100001", "c.us")),
        ("1203630@g.us", ("1203630", "g.us")),
        ("nonsense", ("", "")),
        ("@c.us", ("", "")),
        ("", ("", "")),
    ],
)
def test_splits_addresses(jid: str, parts: tuple[str, str]) -> None:
    assert split_jid(jid) == parts


@dataclass(frozen=True)
class Sample:
    name: str
    count: int = 0
    ratio: float = 0.0
    on: bool = False
    mode: Literal["a", "b"] = "a"
    tags: list[str] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    maybe: str | None = None


def test_decodes_every_type() -> None:
    data = {
        "name": "n",
        "count": 2,
        "ratio": 1,
        "on": True,
        "mode": "b",
        "tags": ["x"],
        "extra": {"k": 1},
        "maybe": None,
    }
    assert decode(Sample, data) == Sample("n", 2, 1.0, True, "b", ["x"], {"k": 1}, None)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ([], "not_an_object"),
        ({}, "missing_field"),
        ({"name": "n", "other": 1}, "unknown_field"),
        ({"name": 1}, "invalid_field"),
        ({"name": "n", "count": True}, "invalid_field"),
        ({"name": "n", "count": "1"}, "invalid_field"),
        ({"name": "n", "ratio": False}, "invalid_field"),
        ({"name": "n", "on": 1}, "invalid_field"),
        ({"name": "n", "mode": "c"}, "invalid_field"),
        ({"name": "n", "tags": "x"}, "invalid_field"),
        ({"name": "n", "tags": [1]}, "invalid_field"),
        ({"name": "n", "extra": []}, "invalid_field"),
        ({"name": None}, "invalid_field"),
    ],
)
def test_refuses_what_does_not_fit(data: object, code: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        decode(Sample, data)
    assert caught.value.code == code


def test_parses_a_frame() -> None:
    frame = wire.parse('{"op": "send", "id": "A", "chat": "1@c.us", "msg": {"type": "chat"}}')
    assert frame == wire.Send(id="A", chat="1@c.us", msg={"type": "chat"})


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "bad_json"),
        ("[]", "bad_json"),
        ("{}", "unknown_op"),
        ('{"op": "fly"}', "unknown_op"),
        ('{"op": 1}', "unknown_op"),
        ('{"op": "ping"}', "missing_field"),
        ('{"op": "ping", "n": "x"}', "invalid_field"),
        ('{"op": "ping", "n": 1, "m": 2}', "unknown_field"),
    ],
)
def test_refuses_what_is_not_a_frame(text: str, code: str) -> None:
    with pytest.raises(WireError) as caught:
        wire.parse(text)
    assert caught.value.code == code


@given(st.text().filter(lambda text: not text.startswith("{")))
def test_text_that_is_no_object_is_a_wire_error(text: str) -> None:
    with pytest.raises(WireError):
        wire.parse(text)
