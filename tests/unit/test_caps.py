"""When a number may send next: tables, and properties against a reckoning by brute force."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from actors import caps as module
from actors.caps import (
    DAY_MS,
    Caps,
    Line,
    Pace,
    crowd,
    day_at,
    forecast,
    given,
    next_turn,
    taken,
    use,
)
from actors.limiter_plan import Limit

pytestmark = pytest.mark.unit

REAL = Caps(
    minute=Limit(most=20, period_ms=60_000),
    hour=Limit(most=500, period_ms=3_600_000),
    day=Limit(most=5000, period_ms=86_400_000),
)

limits = st.builds(Limit, most=st.integers(1, 4), period_ms=st.integers(1, 30))
small = st.builds(Caps, minute=limits, hour=limits, day=limits)
paces = st.builds(
    Pace,
    delay_ms=st.integers(0, 20),
    growth=st.floats(0, 5),
    jitter_ms=st.integers(0, 20),
    first_contact_ms=st.integers(0, 20),
)


def legal(log: list[int], at: int, caps: Caps) -> bool:
    """By definition: no window of a cap, wherever it lies, holds more than it may."""
    times = [*log, at]
    return all(
        sum(1 for t in times if end - limit.period_ms < t <= end) <= limit.most
        for _, limit in caps.windows()
        for end in times
    )


def longest_day(caps: Caps) -> Caps:
    """The day is the longest window: what is older than it is forgotten."""
    longest = max(limit.period_ms for _, limit in caps.windows())
    return replace(caps, day=replace(caps.day, period_ms=longest))


@settings(max_examples=500)
@drawn(small, st.lists(st.integers(0, 12), max_size=40))
def test_it_allows_exactly_what_is_legal(caps: Caps, gaps: list[int]) -> None:
    """Never one too many in any window, never one refused that would have been legal."""
    caps = replace(
        caps, day=replace(caps.day, period_ms=max(c.period_ms for _, c in caps.windows()))
    )
    line, log, now = Line(), list[int](), 0
    for gap in gaps:
        now += gap
        turn = next_turn(line, caps)
        assert (turn.at <= now) == legal(log, now, caps)
        if turn.at <= now:
            line = given(line, caps, now)
            log.append(now)
        else:
            assert legal(log, turn.at, caps)
            assert not legal(log, turn.at - 1, caps)


@pytest.mark.parametrize(
    ("times", "at", "window"),
    [
        ([0] * 20, 60_000, "minute"),
        ([0] * 19, None, ""),
        ([i * 7000 for i in range(500)], 3_600_000, "hour"),
        ([i * 17_000 for i in range(5000)], 86_400_000, "day"),
        ([i * 7000 for i in range(499)], None, ""),
    ],
)
def test_which_cap_binds_and_until_when(times: list[int], at: int | None, window: str) -> None:
    turn = next_turn(Line(given=times, day=9), REAL)
    if at is None:
        assert turn.at <= max(times)
    else:
        assert turn == (at, window)


def test_a_greedy_sender_reaches_each_cap_and_exceeds_none() -> None:
    line, log = Line(), list[int]()
    for _ in range(5600):
        at = max(next_turn(line, REAL).at, log[-1] if log else 0)
        line = given(line, REAL, at)
        log.append(at)
    for _, limit in REAL.windows():
        fullest = max(bisect_left(log, first + limit.period_ms) - i for i, first in enumerate(log))
        assert fullest == limit.most


# ---- pace ----------------------------------------------------------------------------------------


@settings(max_examples=300)
@drawn(small, paces, st.lists(st.integers(0, 40), max_size=30), st.booleans())
def test_the_pace_only_adds(caps: Caps, pace: Pace, gaps: list[int], first: bool) -> None:
    paced, line, now = replace(caps, pace=pace), Line(), 0
    for gap in gaps:
        now += gap
        bare, least, turn = (
            next_turn(line, caps),
            next_turn(line, paced, first_contact=first, jitter=False),
            next_turn(line, paced, first_contact=first),
        )
        assert bare.at <= least.at <= turn.at <= least.at + pace.jitter_ms
        assert next_turn(line, paced).at <= turn.at
        if turn.at <= now:
            line = given(line, paced, now)


@drawn(st.lists(st.integers(0, 70_000), min_size=1, max_size=40), st.integers(0, 3))
def test_the_fuller_a_cap_is_the_longer_the_pace(times: list[int], growth: int) -> None:
    caps = replace(REAL, pace=Pace(delay_ms=500, growth=growth))
    times = sorted(times)
    fewer = Line(given=times[1:] or times)
    more = Line(given=times)
    last = times[-1]
    assert use(fewer, caps, last) <= use(more, caps, last)
    assert next_turn(fewer, caps).at <= next_turn(more, caps).at


def test_a_first_contact_waits_longer_and_the_jitter_is_no_new_one_each_time() -> None:
    caps = replace(REAL, pace=Pace(delay_ms=500, jitter_ms=1000, first_contact_ms=3000))
    line = Line(given=[1000], day=1)
    turn = next_turn(line, caps)
    assert 1500 <= turn.at < 2500
    assert turn == next_turn(line, caps)
    assert next_turn(line, caps, first_contact=True).at == turn.at + 3000
    jitters = {next_turn(Line(given=[t]), caps).at - t for t in range(100)}
    assert len(jitters) > 50
    assert next_turn(Line(), caps, first_contact=True).at < 0, "nobody waits for nothing"


# ---- warm-up -------------------------------------------------------------------------------------

WARM = replace(REAL, warm_up=(3, 5, 10))


def test_a_new_number_does_a_little_more_each_day() -> None:
    line, done = Line(), list[int]()
    now = 0
    for _ in range(5):
        sent = 0
        while next_turn(line, WARM).at <= now and sent < 40:
            line = given(line, WARM, now)
            sent += 1
            now += 60_000
        done.append(sent)
        now += DAY_MS
    assert done == [3, 5, 10, 40, 40]


def test_only_days_on_which_it_sends_count() -> None:
    line = given(Line(), WARM, 0)
    assert day_at(line, DAY_MS - 1) == (1, 0)
    assert day_at(line, 30 * DAY_MS) == (2, 30 * DAY_MS)
    later = given(line, WARM, 30 * DAY_MS)
    assert (later.day, later.since) == (2, 30 * DAY_MS)


def test_a_day_that_allows_no_more_than_the_one_before_does_not_begin_too_early() -> None:
    """A cap's window is longer than a day, by the margin."""
    caps = replace(WARM, day=replace(REAL.day, period_ms=DAY_MS + 2000))
    line = Line(given=(5,), day=1, since=5)
    assert next_turn(line, replace(caps, warm_up=(1, 1))).at == 5 + DAY_MS + 2000
    assert next_turn(line, replace(caps, warm_up=(1, 2))).at == 5 + DAY_MS


@settings(max_examples=300)
@drawn(st.lists(st.integers(0, DAY_MS // 2), max_size=80), st.lists(st.integers(1, 6), max_size=5))
def test_a_warm_up_holds_in_any_24_hours(gaps: list[int], steps: list[int]) -> None:
    steps = sorted(steps)
    caps = replace(REAL, warm_up=tuple(steps))
    line, log, now = Line(), list[tuple[int, int]](), 0
    for gap in gaps:
        now += gap
        if next_turn(line, caps).at <= now:
            line = given(line, caps, now)
            log.append((now, line.day))
    for at, day in log:
        within = sum(1 for t, _ in log if at - DAY_MS < t <= at)
        assert within <= caps.of_day(day)
    for (_, before), (_, after) in pairwise(log):
        assert after in {before, before + 1}


@drawn(st.lists(st.integers(0, DAY_MS // 2), min_size=1, max_size=40))
def test_the_day_after_is_not_missed(gaps: list[int]) -> None:
    """What it is told to wait is exact: not a moment earlier, and not later than need be."""
    line, now = Line(), 0
    for gap in gaps:
        now += gap
        if next_turn(line, WARM).at <= now:
            line = given(line, WARM, now)
    turn = next_turn(line, WARM)
    if turn.at > now:
        day, _ = day_at(line, turn.at)
        before, _ = day_at(line, turn.at - 1)

        def room(at: int, day: int) -> bool:
            return sum(1 for t in line.given if t > at - DAY_MS) < WARM.of_day(day)

        assert room(turn.at, day) or turn.window != "warm_up"
        assert not room(turn.at - 1, before) or turn.window != "warm_up"


# ---- the line ------------------------------------------------------------------------------------


@drawn(st.lists(st.integers(0, 9), min_size=1, max_size=9), st.integers(0, 9))
def test_taking_one_back_takes_that_one(times: list[int], at: int) -> None:
    line = Line(given=tuple(sorted(times)), day=1)
    left = list(taken(line, at).given)
    expected = sorted(times)
    if at in expected:
        expected.remove(at)
    assert left == expected


def test_what_counts_no_more_is_left_out() -> None:
    line = Line(given=(0, 1, 86_400_000), day=1)
    assert given(line, REAL, 86_400_000).given == (1, 86_400_000, 86_400_000)


# ---- forecast ------------------------------------------------------------------------------------


def walk(line: Line, caps: Caps, now: int, count: int) -> list[int]:
    times = []
    for _ in range(count):
        now = max(now, next_turn(line, caps, jitter=False).at)
        line = given(line, caps, now)
        times.append(now)
    return times


@settings(max_examples=200)
@drawn(
    small,
    st.lists(st.integers(0, 60), max_size=20),
    st.integers(0, 25),
    st.integers(1, 10),
    st.integers(1, 40),
)
def test_a_forecast_is_exact_near_by_and_never_late(
    caps: Caps, times: list[int], ahead: int, count: int, steps: int
) -> None:
    caps = replace(
        caps, day=replace(caps.day, period_ms=max(c.period_ms for _, c in caps.windows()))
    )
    line, now = Line(), 0
    for gap in times:
        now += gap
        if next_turn(line, caps).at <= now:
            line = given(line, caps, now)
    expected = walk(line, caps, now, ahead + count)[ahead:]
    patch = pytest.MonkeyPatch()
    with patch.context() as patched:
        patched.setattr(module, "STEPS", steps)
        turns = forecast(line, caps, now, ahead, count)
    assert len(turns) == count
    for number, (turn, exact) in enumerate(zip(turns, expected, strict=True), ahead):
        assert turn.at <= exact
        if number < steps:
            assert turn.at == exact


def test_a_long_queue_is_told_which_cap_binds() -> None:
    [turn] = forecast(Line(), REAL, 0, 0, 1)
    assert turn.at == 0
    [turn] = forecast(Line(), REAL, 0, 20, 1)
    assert turn == (60_000, "minute")
    [turn] = forecast(Line(), REAL, 0, 500, 1)
    assert turn == (3_600_000, "hour")
    [turn] = forecast(Line(), REAL, 0, 2000, 1)
    assert turn == (4 * 3_600_000, "hour")
    [turn] = forecast(Line(), REAL, 0, 5000, 1)
    assert turn == (86_400_000, "day")
    [turn] = forecast(Line(), REAL, 0, 1_000_000, 1)
    assert turn == (200 * 86_400_000, "day")
    [turn] = forecast(Line(), WARM, 0, 3, 1)
    assert turn == (86_400_000, "warm_up")


@settings(max_examples=300)
@drawn(
    st.integers(0, 400_000),
    st.lists(st.integers(0, 30_000), max_size=60),
    st.tuples(st.integers(1, 4), st.integers(1, 8), st.integers(1, 16)),
)
def test_nothing_legal_is_later_than_the_crowd(
    span: int, gaps: list[int], most: tuple[int, int, int]
) -> None:
    """Whoever sent something within a span: each was no later than one of the crowd's."""
    periods = (10_000, 60_000, 300_000)
    minute, hour, day = (Limit(most=m, period_ms=p) for m, p in zip(most, periods, strict=True))
    caps = Caps(minute=minute, hour=hour, day=day)
    line, at, sent = Line(), 0, []
    for gap in gaps:
        at = max(at + gap, next_turn(line, caps).at)
        if at > span:
            break
        line = given(line, caps, at)
        sent.append(at)
    counted = [at for at in sent if at > span - day.period_ms]
    crowded = crowd(caps, span, span)
    assert len(counted) <= len(crowded)
    for was, most_late in zip(reversed(counted), reversed(crowded), strict=False):
        assert was <= most_late
    assert crowded == sorted(crowded)
    for limit in (minute, hour, day):  # and it is legal itself: not more than it has to be
        for first, last in zip(crowded, crowded[limit.most :], strict=False):
            assert last - first >= limit.period_ms
