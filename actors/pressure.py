"""Whether the machine can take one more browser: what was read, what is needed, the rules. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Cause(StrEnum):
    """What keeps browsers from being launched; the first that applies is named."""

    FLEET_CRASHES = "fleet_crashes"
    DISK_FULL = "disk_full"
    GATE_CLOSED = "gate_closed"
    DESCRIPTORS = "descriptors"
    MEMORY = "memory"
    MEMORY_PRESSURE = "memory_pressure"
    MEMORY_USED = "memory_used"
    CPU_PRESSURE = "cpu_pressure"
    LOAD = "load"


SENTENCES: Final = {
    Cause.FLEET_CRASHES: "Too many sessions crashed in a short time: nothing is launched for now.",
    Cause.DISK_FULL: "The disk is full: nothing is launched until there is room.",
    Cause.GATE_CLOSED: "Nothing may be launched for now; the reason of those that wait says why.",
    Cause.DESCRIPTORS: "Too few file descriptors are left; raise the limit of open files.",
    Cause.MEMORY: "Too little memory is available for one more browser.",
    Cause.MEMORY_PRESSURE: "The machine waits for memory too much to launch a browser.",
    Cause.MEMORY_USED: "Too much of the memory is in use to launch a browser.",
    Cause.CPU_PRESSURE: "The processors are too busy to launch a browser.",
    Cause.LOAD: "The load is too high to launch a browser.",
}


HELD: Final = frozenset({Cause.FLEET_CRASHES, Cause.DISK_FULL, Cause.GATE_CLOSED})
"""Causes of the root's, which go when it says so; all others when the machine does."""


def gate_cause(reason: str) -> Cause:
    """Return the cause that stands for a reason of the LaunchGate."""
    return Cause.DISK_FULL if reason == Cause.DISK_FULL else Cause.GATE_CLOSED


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """What the machine tells, None where it does not.

    Memory is in bytes, the tightest of the machine's and our cgroups'. The limit of descriptors is
    the soft one, None if there is none. Pressures are PSI's percentages of the last ten seconds in
    which some work waited; `load` is that of a minute, per processor.
    """

    memory_available: int | None = None
    memory_total: int | None = None
    descriptors_used: int | None = None
    descriptors_limit: int | None = None
    cpu_pressure: float | None = None
    memory_pressure: float | None = None
    load: float | None = None

    @property
    def memory_used(self) -> float | None:
        """The percentage of memory that is not available."""
        if self.memory_available is None or not self.memory_total:
            return None
        return 100.0 * (1.0 - self.memory_available / self.memory_total)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Above `high` it is too much, until it is below `low`."""

    high: float
    low: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """The marks of each gauge; the latter two count only where the kernel has no PSI."""

    cpu_pressure: Mark
    memory_pressure: Mark
    load: Mark
    memory_used: Mark


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What one more browser takes, and what has to be left for everything else.

    `browser_descriptors` is what a browser needs of the limit that it inherits.
    """

    browser_bytes: int
    reserve_bytes: int
    session_descriptors: int
    reserve_descriptors: int
    browser_descriptors: int


def too_high(before: frozenset[Cause], readings: Readings, marks: Marks) -> frozenset[Cause]:
    """Return which gauges are too high, given which were `before`."""
    gauges = (
        (Cause.CPU_PRESSURE, readings.cpu_pressure, marks.cpu_pressure),
        (Cause.MEMORY_PRESSURE, readings.memory_pressure, marks.memory_pressure),
        (Cause.LOAD, _unless(readings.cpu_pressure, readings.load), marks.load),
        (
            Cause.MEMORY_USED,
            _unless(readings.memory_pressure, readings.memory_used),
            marks.memory_used,
        ),
    )
    return frozenset(
        cause
        for cause, value, mark in gauges
        if value is not None and (value > mark.high or (cause in before and value >= mark.low))
    )


def shortage(readings: Readings, needs: Needs, launching: int) -> Cause | None:
    """Tell what is too short for one browser more than the `launching` ones.

    A browser that is being launched has not taken yet what it will: it counts in full.
    """
    browsers = launching + 1
    limit, used = readings.descriptors_limit, readings.descriptors_used
    if limit is not None and used is not None:
        left = limit - used - needs.reserve_descriptors
        if limit < needs.browser_descriptors or left < browsers * needs.session_descriptors:
            return Cause.DESCRIPTORS
    available = readings.memory_available
    wanted = needs.reserve_bytes + browsers * needs.browser_bytes
    return Cause.MEMORY if available is not None and available < wanted else None


def _unless(better: float | None, other: float | None) -> float | None:
    return other if better is None else None
