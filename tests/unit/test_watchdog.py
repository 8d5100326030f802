"""When an alarm is raised: once for each handler that does not come back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.base import Busy
from supervisor.watchdog import Alarms, judge

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.unit


def busy(handling: int, since: float) -> Busy:
    return Busy(actor="A", message_type="M", thread=1, since=since, handling=handling)


def test_one_alarm_for_each_stuck_handler() -> None:
    stuck, fresh = busy(1, 0.0), busy(2, 9.5)
    alarms, new = judge(Alarms(), [stuck, fresh], 10.0, 10.0)
    assert new == [stuck]
    alarms, new = judge(alarms, [stuck, fresh], 11.0, 10.0)
    assert new == []
    alarms, new = judge(alarms, [stuck, fresh], 19.5, 10.0)
    assert new == [fresh]
    alarms, new = judge(alarms, [], 20.0, 10.0)
    assert (alarms, new) == (Alarms(), [])


@given(st.lists(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 20))), max_size=10))
def test_an_alarm_is_never_repeated_and_stands_as_long_as_its_cause(
    looks: Sequence[Sequence[tuple[int, float]]],
) -> None:
    alarms, now = Alarms(), 0.0
    for look in looks:
        now += 1.0
        there = {handling: busy(handling, since) for handling, since in look}
        before = alarms
        alarms, new = judge(before, there.values(), now, 10.0)
        stuck = {h for h, each in there.items() if now - each.since >= 10.0}
        assert alarms.raised == stuck
        assert {each.handling for each in new} == stuck - before.raised
