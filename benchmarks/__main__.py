"""`python -m benchmarks [NAMES…]`: run them, print a table, write JSON, judge the bars."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console

from actors.browser.chromium import find_executable, read_version
from actors.browser.driver import DriverError
from benchmarks import (
    accept_to_page,
    accepting,
    api_latency,
    archives,
    backup,
    comebacks,
    delivery,
    memory,
    million,
    start_to_qr,
    throughput,
    two_at_once,
    webhooks,
)
from benchmarks.report import Result, as_json, print_table
from benchmarks.rows import Options, Row
from benchmarks.stage import LeftBehind
from config.sources import PREFIX
from supervisor.demo_parts import DemoFailed
from supervisor.processes import ProgramFailed

if TYPE_CHECKING:
    from collections.abc import Callable

BENCHMARKS: Final[dict[str, Callable[[Options], list[Row]]]] = {
    "start_to_qr": start_to_qr.run,
    "accept_to_page": accept_to_page.run,
    "accepting": accepting.run,
    "million": million.run,
    "memory": memory.run,
    "two_at_once": two_at_once.run,
    "restart_to_connected": comebacks.restart,
    "kill_to_connected": comebacks.kill,
    "api_latency": api_latency.run,
    "archives": archives.run,
    "backup": backup.run,
    "delivery": delivery.run,
    "throughput": throughput.run,
    "webhooks": webhooks.run,
}
FAILURES: Final = (
    DemoFailed,
    ProgramFailed,
    LeftBehind,
    DriverError,
    OSError,  # also TimeoutError
    RuntimeError,
    subprocess.TimeoutExpired,
)
RESULTS: Final = Path(__file__).parent / "results"
NARROWEST: Final = 120
INTERRUPTED: Final = 130


def main(
    names: Annotated[
        list[str] | None, typer.Argument(help=f"Any of {', '.join(BENCHMARKS)}; none means all.")
    ] = None,
    json_: Annotated[
        str | None, typer.Option("--json", help="File for the JSON; - prints it instead.")
    ] = None,
    runs: Annotated[
        int | None, typer.Option(min=1, help="Samples of each; unset leaves it to each.")
    ] = None,
    sessions: Annotated[int, typer.Option(min=2, help="Most sessions of memory.")] = 5,
) -> None:
    """Measure wafleet on the simulator. Exit code 1 if a bar is missed or nothing was measured."""
    unknown = set(names or ()) - BENCHMARKS.keys()
    if unknown:
        raise typer.BadParameter(f"there is no benchmark {', '.join(sorted(unknown))}")
    console = Console(stderr=json_ == "-")
    if not console.is_terminal:
        console.width = max(console.width, NARROWEST)
    _heed_signals()
    _forget_settings()
    began = datetime.now(UTC)
    options = Options(runs=runs, sessions=sessions)
    results = []
    try:
        chromium = read_version(find_executable(None))
        for name in names or BENCHMARKS:
            with console.status(f"measuring {name}"):
                results.append(_measured(name, options))
    except DriverError as error:
        console.print(f"{error} [{error.code}]", highlight=False, markup=False, style="red")
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        console.print("interrupted; everything that was started is stopped")
        raise typer.Exit(INTERRUPTED) from None
    print_table(console, results, chromium)
    text = as_json(results, began=began.isoformat(timespec="seconds"), chromium=chromium)
    if json_ == "-":
        sys.stdout.write(text)
    else:
        file = Path(json_) if json_ else RESULTS / f"{began:%Y%m%dT%H%M%SZ}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    if not all(result.held for result in results):
        raise typer.Exit(1)


def _heed_signals() -> None:
    """Let SIGTERM and SIGHUP end the run as tidily as Ctrl-C does."""
    # A shell starts its background jobs with SIGINT ignored, and Python leaves it so.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))


def _forget_settings() -> None:
    """Measure the defaults, whatever node this shell is set up for."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]


def _measured(name: str, options: Options) -> Result:
    """Run one benchmark; what fails in it is its result, and the others still run."""
    began, load = time.monotonic(), os.getloadavg()[0]
    rows: list[Row] = []
    failure = None
    try:
        rows = BENCHMARKS[name](options)
    except FAILURES as error:
        failure = f"not measured: {error}" if str(error) else f"not measured: {error!r}"
    return Result(
        benchmark=name,
        rows=rows,
        seconds=time.monotonic() - began,
        load=(load, os.getloadavg()[0]),
        failure=failure,
    )


if __name__ == "__main__":
    typer.run(main)
