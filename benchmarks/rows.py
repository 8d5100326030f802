"""One line of the report: what was measured, and the bar that it is held against. Pure."""

from __future__ import annotations

import operator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from benchmarks.stats import summarize

if TYPE_CHECKING:
    from collections.abc import Callable

Relation = Literal["<", "<="]

_HOLDS: Final[dict[Relation, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """What the median must be."""

    relation: Relation
    limit: float

    def holds(self, value: float) -> bool:
        return _HOLDS[self.relation](value, self.limit)

    def __str__(self) -> str:
        return f"{self.relation} {self.limit:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measured quantity with all its samples, in `unit`.

    `what` says in a few words what it is, `note` what one must know to read it. A row without a
    bar informs only.
    """

    name: str
    what: str
    unit: str
    samples: tuple[float, ...]
    bar: Bar | None = None
    note: str = ""

    @property
    def held(self) -> bool | None:
        """Whether the bar holds; None without one."""
        return None if self.bar is None else self.bar.holds(summarize(self.samples).median)

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "what": self.what,
            "unit": self.unit,
            **asdict(summarize(self.samples)),
            "bar": None if self.bar is None else str(self.bar),
            "held": self.held,
            "note": self.note,
            "samples": self.samples,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says to every benchmark; None leaves the number to the benchmark."""

    runs: int | None = None
    sessions: int = 5

    def runs_or(self, default: int) -> int:
        return default if self.runs is None else self.runs
