"""Public ids grow, whatever the clock does and wherever the last process stopped."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ulid import ULID

from storage.sqlite.ids import MonotonicIds

pytestmark = pytest.mark.unit

TIMES = st.integers(min_value=0, max_value=2**47)


@given(st.lists(TIMES, min_size=2, max_size=50))
def test_ids_always_grow(times: list[int]) -> None:
    ids = MonotonicIds()
    made = [ids.next(time) for time in times]
    assert all(earlier < later for earlier, later in pairwise(made))


@given(TIMES, TIMES)
def test_a_new_process_goes_on_after_the_last_id(before: int, now: int) -> None:
    last = MonotonicIds().next(before)
    assert MonotonicIds(last).next(now) > last


def test_an_id_tells_its_time() -> None:
    assert ULID.from_str(MonotonicIds().next(1_700_000_000_123)).milliseconds == 1_700_000_000_123


def test_ids_of_two_stores_differ() -> None:
    assert MonotonicIds().next(5) != MonotonicIds().next(5)


@given(TIMES, TIMES)
def test_two_programs_that_go_on_after_the_same_id_differ(before: int, now: int) -> None:
    last = MonotonicIds().next(before)
    assert MonotonicIds(last).next(now) != MonotonicIds(last).next(now)
