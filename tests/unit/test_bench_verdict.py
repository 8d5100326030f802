"""The judge of the delivery benchmark finds each fault there can be, and none where none is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.verdict import RECEIVED, fullest, judge

pytestmark = pytest.mark.unit

ACCEPTED = {"1": ["a", "b", "c"], "2": ["x", "y"]}


def log(*came: tuple[str, str], gap: float = 1.0) -> list[dict[str, Any]]:
    entries = [
        {"kind": RECEIVED, "number": number, "text": text, "mono_ns": int(n * gap * 1e9)}
        for n, (number, text) in enumerate(came)
    ]
    return [{"kind": "ws_open"}, *entries]


ALL = (("1", "a"), ("2", "x"), ("1", "b"), ("2", "y"), ("1", "c"))


@pytest.mark.parametrize(
    ("came", "faults"),
    [
        (ALL, (0, 0, 0)),
        (ALL[:-1], (1, 0, 0)),
        ((*ALL, ("1", "a")), (0, 1, 1)),
        ((*ALL, ("1", "c")), (0, 1, 0)),
        ((ALL[2], *ALL[:2], *ALL[3:]), (0, 0, 1)),
        ((), (5, 0, 0)),
        ((*ALL, ("1", "a note to self")), (0, 0, 0)),
    ],
)
def test_each_fault_is_found(
    came: tuple[tuple[str, str], ...], faults: tuple[int, int, int]
) -> None:
    verdict = judge(ACCEPTED, log(*came))
    assert (verdict.lost, verdict.duplicates, verdict.out_of_order) == faults
    assert verdict.above_cap == 0


def test_a_number_above_its_cap_is_found_and_two_numbers_are_not_one() -> None:
    crowd = [("1", f"m{n}") for n in range(21)]
    over = judge({"1": [text for _, text in crowd]}, log(*crowd, gap=2.9))
    assert (over.worst[60], over.above_cap) == (21, 1)
    fits = judge({"1": [text for _, text in crowd]}, log(*crowd, gap=3.0))
    assert (fits.worst[60], fits.above_cap) == (20, 0)
    shared = [(str(n % 2), f"m{n}") for n in range(40)]
    assert judge({}, log(*shared, gap=0.1)).worst == {60: 20, 3600: 20, 86_400: 20}


@given(st.lists(st.integers(0, 300), max_size=40), st.integers(1, 100))
def test_the_fullest_window_is_that_of_brute_force(times: list[int], seconds: int) -> None:
    brute = max((sum(0 <= end - at < seconds for at in times) for end in times), default=0)
    assert fullest([float(at) for at in times], seconds) == brute
