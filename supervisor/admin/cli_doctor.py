"""`wafleet doctor`: what it found, as a table or as JSON."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from config.errors import SettingsError
from config.logging import configure_logging
from config.settings import load_settings
from supervisor.admin.console import FOUND_BAD, ConfigFile, print_table, progress
from supervisor.admin.doctor import examine, examine_without
from supervisor.admin.doctor_judge import Verdict, worst
from supervisor.wiring import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from supervisor.admin.doctor_judge import Finding


def doctor(
    deep: Annotated[
        bool, typer.Option("--deep", help="Also read and decrypt every archive and media file.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the findings as one JSON object.")
    ] = False,
    config: ConfigFile = None,
) -> None:
    """Check settings, data, keys, limits, Chromium and clock; changes nothing, at any time.

    Exit code 1 if anything is bad.
    """
    findings = _findings(config, deep=deep)
    verdict = worst(findings)
    if as_json:
        rows = [asdict(finding) for finding in findings]
        typer.echo(json.dumps({"version": VERSION, "verdict": verdict, "findings": rows}))
    else:
        print_table(
            ("check", "verdict", "what was found, and what to do"),
            [(finding.check, finding.verdict, finding.text) for finding in findings],
        )
        counts = Counter(finding.verdict for finding in findings)
        typer.echo(f"{counts[Verdict.BAD]} bad, {counts[Verdict.WARNING]} warnings.")
    if verdict is Verdict.BAD:
        raise typer.Exit(FOUND_BAD)


def _findings(config: Path | None, *, deep: bool) -> Sequence[Finding]:
    try:
        settings = load_settings(config)
    except SettingsError as error:
        return examine_without(error)
    configure_logging(settings.log_level, settings.log_format)
    with progress("checking") as tick:
        return examine(settings, deep=deep, tick=tick)
