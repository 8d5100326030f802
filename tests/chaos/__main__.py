"""`python -m tests.chaos [NAMES…]`: run the faults, print a table, write JSON, judge the bars."""

from __future__ import annotations

import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from actors.browser.chromium import find_executable, read_version
from config.sources import PREFIX
from tests.chaos.catalogue import FAULTS
from tests.chaos.faults import Options, Result
from tests.chaos.report import as_json, print_table
from tests.chaos.runner import run_fault
from tests.chaos.stage import stage

RESULTS: Final = Path(__file__).parent / "results"
NARROWEST: Final = 150
INTERRUPTED: Final = 130
NAMES: Final = tuple(fault.name for fault in FAULTS)


def main(
    names: Annotated[
        list[str] | None, typer.Argument(help=f"Any of {', '.join(NAMES)}; none means all.")
    ] = None,
    json_: Annotated[
        str | None, typer.Option("--json", help="File for the JSON; - prints it instead.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="What `make test` runs of them.")] = False,
) -> None:
    """Break wafleet on the simulator. Exit code 1 if a bar is missed or a fault was not run."""
    unknown = set(names or ()) - set(NAMES)
    if unknown:
        raise typer.BadParameter(f"there is no fault {', '.join(sorted(unknown))}")
    console = Console(stderr=json_ == "-")
    if not console.is_terminal:
        console.width = max(console.width, NARROWEST)
    _heed_signals()
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]  # what is broken is the default, whatever this shell is set up for
    began = datetime.now(UTC)
    chosen = [f for f in FAULTS if (f.name in names if names else f.quick or not quick)]
    results: list[Result] = []
    try:
        with stage() as scene:
            for fault in chosen:
                with console.status(f"{fault.name}: {fault.what}"):
                    results.append(run_fault(fault, scene, Options(quick=quick)))
                _tell(console, results[-1])
    except KeyboardInterrupt:
        console.print("interrupted; everything that was started is stopped")
        raise typer.Exit(INTERRUPTED) from None
    print_table(console, results)
    chromium = read_version(find_executable(None))
    text = as_json(results, began=began.isoformat(timespec="seconds"), chromium=chromium)
    if json_ == "-":
        sys.stdout.write(text)
    else:
        file = Path(json_) if json_ else RESULTS / f"{began:%Y%m%dT%H%M%SZ}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    if not all(result.held for result in results):
        raise typer.Exit(1)


def _tell(console: Console, result: Result) -> None:
    mark = "[green]✓[/green]" if result.held else "[red]✗[/red]"
    what = f"{result.fault.what} [dim]({result.seconds:.1f} s)[/dim]"
    console.print(f"{mark} {result.fault.name}: {what}", highlight=False)


def _heed_signals() -> None:
    """Let SIGTERM and SIGHUP end the run as tidily as Ctrl-C does."""
    # A shell starts its background jobs with SIGINT ignored, and Python leaves it so.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))


if __name__ == "__main__":
    typer.run(main)
