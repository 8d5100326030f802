"""The report of a run: a table for people, JSON for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from rich.markup import escape
from rich.table import Table

from benchmarks.report import machine
from tests.chaos.faults import FIGURES, SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from tests.chaos.faults import Result

COLUMNS: Final = (
    "detected",
    "recovered",
    "lost",
    "missed",
    "unknown",
    "duplicated",
    "orphans",
    "zombies",
    "descriptors",
)
"""The figures that every row shows; the others stand in its last column."""


def as_json(results: Sequence[Result], *, began: str, chromium: str) -> str:
    """Return the whole run as JSON; `began` is its UTC time."""
    report: dict[str, Any] = {
        "began": began,
        "machine": machine(chromium),
        "held": all(result.held for result in results),
        "figures": dict(FIGURES),
        "faults": [_row(result) for result in results],
    }
    return json.dumps(report, indent=2) + "\n"


def _row(result: Result) -> dict[str, Any]:
    fault = result.fault
    return {
        "fault": fault.name,
        "what": fault.what,
        "scale": fault.scale,
        "seconds": round(result.seconds, 1),
        "figures": {name: round(value, 4) for name, value in result.figures.items()},
        "bars": {
            name: [str(bar) for bar in (wanted if isinstance(wanted, tuple) else (wanted,))]
            for name, wanted in fault.bars.items()
        },
        "held": result.held,
        "missed": list(result.missed),
    }


def print_table(console: Console, results: Sequence[Result]) -> None:
    """Print all rows, then which bars were missed."""
    table = Table(box=None, pad_edge=False, show_edge=False)
    table.add_column("fault", no_wrap=True)
    for name in COLUMNS:
        table.add_column(name, justify="right")
    table.add_column("besides", overflow="fold", min_width=30)
    table.add_column("held", no_wrap=True)
    for result in results:
        figures = result.figures
        table.add_row(
            result.fault.name,
            *(_shown(name, figures.get(name)) for name in COLUMNS),
            ", ".join(
                f"{name} {_shown(name, value)}"
                for name, value in figures.items()
                if name not in COLUMNS and (value or name in result.fault.bars)
            ),
            "[green]yes[/green]" if result.held else "[red]no[/red]",
        )
    console.print(table)
    for result in results:
        for missed in result.missed:
            console.print(f"[red]{result.fault.name}: {escape(missed)}[/red]", highlight=False)


def _shown(name: str, value: float | None) -> str:
    if value is None:
        return "–"  # noqa: RUF001 - the sign for what was not measured
    return f"{value:.2f} s" if name in SECONDS else f"{value:.3g}"
