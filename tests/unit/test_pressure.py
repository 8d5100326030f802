"""Whether the machine can take one more browser: tables and properties."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.pressure import (
    SENTENCES,
    Cause,
    Mark,
    Marks,
    Needs,
    Readings,
    shortage,
    too_high,
)

pytestmark = pytest.mark.unit

MARK = Mark(high=90, low=60)
MARKS = Marks(
    cpu_pressure=MARK,
    memory_pressure=Mark(high=20, low=5),
    load=Mark(high=8, low=4),
    memory_used=Mark(high=95, low=90),
)
NEEDS = Needs(
    browser_bytes=300,
    reserve_bytes=500,
    session_descriptors=16,
    reserve_descriptors=64,
    browser_descriptors=512,
)
NONE: frozenset[Cause] = frozenset()
CPU = frozenset({Cause.CPU_PRESSURE})


@pytest.mark.parametrize(
    ("before", "percent", "after"),
    [
        (NONE, 0.0, NONE),
        (NONE, 60.0, NONE),
        (NONE, 90.0, NONE),
        (NONE, 90.1, CPU),
        (CPU, 100.0, CPU),
        (CPU, 75.0, CPU),
        (CPU, 60.0, CPU),
        (CPU, 59.9, NONE),
        (CPU, None, NONE),
    ],
)
def test_pressure_has_two_marks(
    before: frozenset[Cause], percent: float | None, after: frozenset[Cause]
) -> None:
    """Too high above the high one, until below the low one."""
    assert too_high(before, Readings(cpu_pressure=percent), MARKS) == after


@pytest.mark.parametrize(
    ("readings", "causes"),
    [
        ({"cpu_pressure": 91}, {Cause.CPU_PRESSURE}),
        ({"memory_pressure": 21}, {Cause.MEMORY_PRESSURE}),
        ({"load": 9}, {Cause.LOAD}),
        ({"load": 9, "cpu_pressure": 1}, set()),
        ({"memory_available": 4, "memory_total": 100}, {Cause.MEMORY_USED}),
        ({"memory_available": 4, "memory_total": 100, "memory_pressure": 0}, set()),
        ({"memory_available": 6, "memory_total": 100}, set()),
        ({"memory_available": 4}, set()),
        (
            {"memory_available": 4, "memory_total": 100, "load": 9},
            {Cause.MEMORY_USED, Cause.LOAD},
        ),
    ],
)
def test_load_and_used_memory_count_only_where_there_is_no_psi(
    readings: dict[str, Any], causes: set[Cause]
) -> None:
    assert too_high(NONE, Readings(**readings), MARKS) == causes


@given(st.lists(st.floats(0, 100), min_size=1))
def test_hysteresis_equals_its_definition(percents: list[float]) -> None:
    """Too high means: since the last time above the high mark it has not been below the low one."""
    causes = NONE
    for number, percent in enumerate(percents):
        causes = too_high(causes, Readings(cpu_pressure=percent), MARKS)
        seen = percents[: number + 1]
        last_high = max((n for n, p in enumerate(seen) if p > MARK.high), default=None)
        expected = last_high is not None and all(p >= MARK.low for p in seen[last_high:])
        assert bool(causes) == expected


ROOMY = Readings(
    memory_available=800, memory_total=10_000, descriptors_used=100, descriptors_limit=1024
)


@pytest.mark.parametrize(
    ("changes", "launching", "cause"),
    [
        ({}, 0, None),
        ({"memory_available": 799}, 0, Cause.MEMORY),
        ({}, 1, Cause.MEMORY),
        ({"memory_available": 1100}, 1, None),
        ({"memory_available": 1099}, 1, Cause.MEMORY),
        ({"memory_available": None}, 9, None),
        ({"descriptors_used": 944}, 0, None),
        ({"descriptors_used": 945}, 0, Cause.DESCRIPTORS),
        ({"descriptors_used": 944, "memory_available": 9999}, 1, Cause.DESCRIPTORS),
        ({"descriptors_limit": 511, "descriptors_used": 0}, 0, Cause.DESCRIPTORS),
        ({"descriptors_limit": 512, "descriptors_used": 0}, 0, None),
        ({"descriptors_limit": None, "descriptors_used": 10**6}, 0, None),
    ],
)
def test_what_is_left_must_hold_one_more_browser(
    changes: dict[str, Any], launching: int, cause: Cause | None
) -> None:
    """Beside the reserve, and beside those that are being launched and have not taken it yet."""
    assert shortage(replace(ROOMY, **changes), NEEDS, launching) is cause


@given(st.integers(0, 10_000), st.integers(0, 2000), st.integers(512, 4096), st.integers(0, 5))
def test_whoever_is_let_in_fits(memory: int, used: int, limit: int, launching: int) -> None:
    readings = Readings(memory_available=memory, descriptors_used=used, descriptors_limit=limit)
    fits = shortage(readings, NEEDS, launching) is None
    memory_after = memory - (launching + 1) * NEEDS.browser_bytes
    descriptors_after = limit - used - (launching + 1) * NEEDS.session_descriptors
    assert fits == (
        memory_after >= NEEDS.reserve_bytes and descriptors_after >= NEEDS.reserve_descriptors
    )


def test_every_cause_has_a_sentence() -> None:
    assert set(SENTENCES) == set(Cause)
    assert all(text.endswith(".") for text in SENTENCES.values())
