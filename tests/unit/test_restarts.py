"""Restart policy, the fleet's fuse, launch slots and child rules: tables and properties."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.messages import ExitKind, StopKind
from supervisor.child import STRENGTH, RestartType, restarts, stronger
from supervisor.restarts import (
    FusePolicy,
    RestartPolicy,
    backoff,
    fuse_closes_in,
    fuse_is_open,
    fuse_opens,
    is_stable,
    note_crash,
)

pytestmark = pytest.mark.unit

POLICY = RestartPolicy(intensity=5, period=300, first=1, longest=60, stable_after=300)
gaps = st.lists(st.floats(0, 400, allow_nan=False), max_size=40)


def test_the_crash_after_the_intensity_is_a_breach() -> None:
    """Five crashes in the period are borne, the sixth is one too many."""
    crashes: deque[float] = deque()
    assert [note_crash(crashes, float(t), POLICY) for t in range(6)] == [False] * 5 + [True]


@given(gaps)
def test_a_breach_is_exactly_more_than_the_intensity_within_the_period(gaps: list[float]) -> None:
    """Equal to counting by hand, whatever the times."""
    crashes: deque[float] = deque()
    times: list[float] = []
    now = 0.0
    for gap in gaps:
        now += gap
        times.append(now)
        breach = note_crash(crashes, now, POLICY)
        assert breach == (sum(t > now - POLICY.period for t in times) > POLICY.intensity)


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_the_backoff_is_full_jitter_below_a_doubling_ceiling(crashes: int, dice: float) -> None:
    """Between zero and first * 2^(n-1), never above the longest."""
    ceiling = backoff(crashes, POLICY, lambda _low, high: high)
    assert ceiling == min(POLICY.longest, POLICY.first * 2 ** min(crashes - 1, 63))
    assert 0 <= backoff(crashes, POLICY, lambda low, high: low + dice * (high - low)) <= ceiling


@pytest.mark.parametrize(
    ("since", "now", "stable"), [(None, 1e9, False), (0.0, 299.9, False), (0.0, 300.0, True)]
)
def test_crashes_are_forgiven_after_a_stable_time(
    since: float | None, now: float, stable: bool
) -> None:
    """Only being connected for long counts."""
    assert is_stable(since, now, POLICY) is stable


@given(st.lists(st.floats(0, 30, allow_nan=False), min_size=1, max_size=40))
def test_the_fuse_closes_by_itself_when_it_says(gaps: list[float]) -> None:
    """If nothing else crashes, it is open before that moment and closed at it."""
    policy = FusePolicy(intensity=3, period=60)
    crashes: deque[float] = deque()
    now = 0.0
    for gap in gaps:
        now += gap
        is_open = fuse_opens(crashes, now, policy)
        wait = fuse_closes_in(crashes, now, policy)
        assert is_open == (wait > 0)
    if wait > 0.001:
        assert fuse_is_open(deque(crashes), now + wait - 0.001, policy)
    assert not fuse_is_open(deque(crashes), now + wait + 0.001, policy)


@pytest.mark.parametrize(
    ("restart", "kind", "again"),
    [
        (RestartType.PERMANENT, ExitKind.NORMAL, True),
        (RestartType.PERMANENT, ExitKind.CRASH, True),
        (RestartType.TRANSIENT, ExitKind.CRASH, True),
        (RestartType.TRANSIENT, ExitKind.NORMAL, False),
        (RestartType.TRANSIENT, ExitKind.PERMANENT, False),
        (RestartType.TEMPORARY, ExitKind.CRASH, False),
    ],
)
def test_restart_types_are_those_of_otp(restart: RestartType, kind: ExitKind, again: bool) -> None:
    """A transient child, as every session is, is started again after a crash only."""
    assert restarts(restart, kind) is again


@given(st.sampled_from(StopKind), st.sampled_from(StopKind))
def test_a_stronger_wish_wins_whatever_the_order(one: StopKind, two: StopKind) -> None:
    """A session that is being deleted can't be talked back to life by a later stop."""
    assert stronger(one, two) is stronger(two, one)
    assert stronger(None, one) is one
    assert stronger(one, StopKind.DELETE) is StopKind.DELETE
    assert set(STRENGTH) == set(StopKind)
