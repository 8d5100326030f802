"""What a fault is, the figures that its run gives, and the bars they are held against. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from benchmarks.rows import Bar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from tests.chaos.stage import Stage

FIGURES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "detected": "seconds from the fault until the API first told of it",
        "recovered": "seconds from the fault until the session was connected again",
        "stopped": "seconds from asking for a stop until it was done",
        "answered": "the longest that a call took to be answered, in seconds",
        "delayed": "the longest until a healthy endpoint was told of an event, in seconds",
        "booted": "seconds from starting the program until its API was up",
        "lost": "messages accepted that neither arrived, nor wait, nor are shown as unknown",
        "missed": "messages written to us that the API never shows",
        "accepted": "messages that the API accepted",
        "waiting": "messages accepted that wait for their session to be connected",
        "unknown": "messages shown as unknown: handed over, and WhatsApp's answer never heard",
        "doubted": "messages that were shown as unknown at some time",
        "duplicated": "messages that somebody saw twice",
        "disordered": "messages that arrived before one that was accepted earlier",
        "orphans": "processes left that no running wafleet answers for",
        "zombies": "dead children that wafleet has not reaped",
        "descriptors": "descriptors more than before, once all is quiet",
        "threads": "threads more than before, once all is quiet",
        "neighbours": "sessions beside it whose browser or status changed",
        "codes": "QR codes asked for by a session that has a login",
        "events": "events that told of the fault",
        "restarts": "browsers started for the session after the fault",
        "twins": "most browsers seen at once on one profile",
        "launching": "most browsers seen at once that had not opened their page",
        "steps": "steps that there are",
        "survived": "rounds in which the step was not reached",
        "reaped": "orphans that wafleet has reaped",
        "rounds": "times the fault was injected",
        "wrong": "looks at which wafleet was not what it should be",
        "half": "messages stored without having been accepted",
        "windows": "QR windows opened",
        "sessions": "sessions connected in the end",
        "grown": "resident memory more than before, in per cent",
        "tasks": "asyncio tasks more than before",
        "stragglers": "calls that missed their deadline and never ended",
        "directories": "temporary directories more than before",
    }
)
"""Every figure, and what it says; all but the seconds are counts."""

SECONDS: Final = frozenset({"detected", "recovered", "stopped", "answered", "booted"})

NONE: Final = Bar(relation="<=", limit=0)
ONE: Final = Bar(relation="<=", limit=1)

UNHARMED: Final[Mapping[str, Bar]] = MappingProxyType(
    dict.fromkeys(
        ("lost", "duplicated", "disordered", "orphans", "zombies", "descriptors", "neighbours"),
        NONE,
    )
)
"""What no fault may do, wherever it can be measured."""

Figures = dict[str, float]


def below(limit: float) -> Bar:
    """The figure must be smaller."""
    return Bar(relation="<", limit=limit)


def exactly(count: int) -> tuple[Bar, Bar]:
    """The figure must be this number; for `Fault.bars`, which takes several of one figure."""
    return Bar(relation="<=", limit=count), AtLeast(relation="<=", limit=count)


@dataclass(frozen=True, slots=True, kw_only=True)
class AtLeast(Bar):
    """The other direction: what must not be missing."""

    def holds(self, value: float) -> bool:
        return value >= self.limit

    def __str__(self) -> str:
        return f">= {self.limit:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`quick` is what fits into `make test`; else all rounds and sessions that are promised."""

    quick: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One row: what is done, on which time scale, and what must come of it.

    `scale` says which times were shortened and by how much, so that a figure can be read. `run`
    does it on a stage and returns the figures; a bar on a figure that it did not return is a missed
    bar. `quick` faults are also run by pytest; `full_bars` hold for the others' run only.
    """

    name: str
    what: str
    scale: str
    run: Callable[[Stage, Options], Coroutine[Any, Any, Figures]]
    bars: Mapping[str, Bar | tuple[Bar, ...]]
    full_bars: Mapping[str, Bar] = field(default_factory=dict)
    quick: bool = True

    def judge(self, figures: Mapping[str, float], *, quick: bool = False) -> list[str]:
        """Say which bars were missed, each in a few words; none is a pass."""
        missed = []
        for name, wanted in {**self.bars, **({} if quick else self.full_bars)}.items():
            for bar in wanted if isinstance(wanted, tuple) else (wanted,):
                value = figures.get(name)
                if value is None:
                    missed.append(f"{name} was not measured")
                elif not bar.holds(value):
                    missed.append(f"{name} is {value:g}, must be {bar}")
        return missed


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a fault went: its figures, the bars it missed, or the sentence that says what broke."""

    fault: Fault
    figures: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    failure: str | None = None
    quick: bool = False

    @property
    def missed(self) -> Sequence[str]:
        if self.failure is not None:
            return [self.failure]
        return self.fault.judge(self.figures, quick=self.quick)

    @property
    def held(self) -> bool:
        return not self.missed
