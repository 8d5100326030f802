"""The report of a run: a table for people, JSON for programs."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil
from rich.markup import escape
from rich.table import Table

from benchmarks.stats import summarize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from benchmarks.rows import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one benchmark gave: rows, or the sentence that says why it could not be measured.

    `load` is the machine's one-minute load average before and after it.
    """

    benchmark: str
    rows: Sequence[Row]
    seconds: float
    load: tuple[float, float]
    failure: str | None = None

    @property
    def held(self) -> bool:
        """Whether it was measured and missed no bar."""
        return self.failure is None and all(row.held is not False for row in self.rows)


def as_json(results: Sequence[Result], *, began: str, chromium: str) -> str:
    """Return the whole run as JSON; `began` is its UTC time."""
    report: dict[str, Any] = {
        "began": began,
        "machine": machine(chromium),
        "held": all(result.held for result in results),
        "benchmarks": [
            {
                "benchmark": result.benchmark,
                "seconds": round(result.seconds, 1),
                "load_average": {"before": result.load[0], "after": result.load[1]},
                "failure": result.failure,
                "rows": [row.as_json() for row in result.rows],
            }
            for result in results
        ],
    }
    return json.dumps(report, indent=2) + "\n"


def machine(chromium: str) -> dict[str, Any]:
    """Return what a figure must be read with."""
    return {
        "cpus": os.cpu_count(),
        "memory_mb": psutil.virtual_memory().total // 1_000_000,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "chromium": chromium,
    }


def print_table(console: Console, results: Sequence[Result], chromium: str) -> None:
    """Print all rows, then what must be known to read them, then what could not be measured."""
    table = Table(box=None, pad_edge=False, show_edge=False)
    table.add_column("name", no_wrap=True)
    table.add_column("what", overflow="fold")
    for name in ("median", "p95", "min", "max"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("unit", "bar", "held"):
        table.add_column(name, no_wrap=True)
    for row in (row for result in results for row in result.rows):
        table.add_row(row.name, row.what, *_figures(row), row.unit, *_verdict(row))
    if table.row_count:
        console.print(table)
    for row in (row for result in results for row in result.rows if row.note):
        console.print(f"[dim]{row.name}: {escape(row.note)}[/dim]", highlight=False)
    for result in results:
        if result.failure is not None:
            console.print(
                f"[red]{result.benchmark}: {escape(result.failure)}[/red]", highlight=False
            )
    _print_machine(console, results, chromium)


def _figures(row: Row) -> tuple[str, str, str, str]:
    found = summarize(row.samples)
    if found.count == 1:
        return _number(found.median), "", "", ""
    return (
        _number(found.median),
        _number(found.p95),
        _number(found.least),
        _number(found.most),
    )


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:#.3g}"


def _verdict(row: Row) -> tuple[str, str]:
    if row.bar is None:
        return "", ""
    return str(row.bar), "[green]yes[/green]" if row.held else "[red]no[/red]"


def _print_machine(console: Console, results: Sequence[Result], chromium: str) -> None:
    facts = machine(chromium)
    loads = [load for result in results for load in result.load]
    console.print(
        f"{facts['cpus']} CPUs, {facts['memory_mb']} MB, Python {facts['python']},"
        f" Chromium {facts['chromium']}, Linux {facts['kernel']};"
        f" load average {min(loads):.2f} to {max(loads):.2f}",
        highlight=False,
        style="dim",
    )
