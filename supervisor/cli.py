"""The command line: `wafleet run | demo | simulate | config`, also as `python -m supervisor`."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from config.errors import SettingsError
from config.logging import configure_logging
from config.settings import Settings, describe, load_settings
from simulator.cli import simulate
from supervisor import program
from supervisor.cli_admin import add_admin_commands
from supervisor.demo import run_demo
from supervisor.simulated import run_simulated, simulator_beside

if TYPE_CHECKING:
    from supervisor.compose import Running

app = typer.Typer(
    name="wafleet",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Keeps a fleet of WhatsApp Web sessions alive, unattended.",
)
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="A TOML file with settings.", show_default=False)
]


@app.command()
def run(
    config: ConfigFile = None,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="Against the built-in simulator, for playing.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Announce the address as one JSON line.")
    ] = False,
) -> None:
    """Run a node until it is told to stop (SIGTERM, Ctrl-C)."""
    if simulated:
        data_dir = Path("data/simulated")
        with simulator_beside(data_dir) as place:
            settings = _settings(config, {"data_dir": data_dir, **place.settings()})
            sys.exit(run_simulated(settings, place, Console()))
    settings = _settings(config, {})
    if as_json:
        sys.exit(program.run(settings, program.announce_json))
    console = Console()
    sys.exit(program.run(settings, partial(_announce, console), partial(_stopping, console)))


@app.command()
def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the data directory and logs, and say where.")
    ] = False,
) -> None:
    """Run the main job against the simulator: QR code, login, messages, restart, clean stop."""
    sys.exit(run_demo(Console(), keep=keep))


@app.command()
def config(config: ConfigFile = None) -> None:
    """Print the effective settings and where each comes from; secrets are masked."""
    table = Table(box=None, pad_edge=False)
    for heading in ("setting", "value", "from", "what it is"):
        table.add_column(heading, overflow="fold")
    for row in describe(_settings(config, {})):
        table.add_row(row.key, row.value, row.source, row.description)
    Console().print(table)


app.command(name="simulate")(simulate)
add_admin_commands(app)


def _settings(config_file: Path | None, overrides: dict[str, Any]) -> Settings:
    """Load the settings and set logging up by them; a bad one ends the program with code 2."""
    try:
        settings = load_settings(config_file, overrides=overrides)
    except SettingsError as error:
        typer.echo(f"wafleet: {error} [{error.code}]", err=True)
        raise typer.Exit(program.SETTINGS_INVALID) from None
    configure_logging(settings.log_level, settings.log_format)
    return settings


def _announce(console: Console, running: Running) -> None:
    console.print(f"wafleet is up: [bold]{running.url}[/bold]")
    if running.key_file is not None:
        console.print(f"API key: in {running.key_file} (Authorization: Bearer …)")
    console.print("Stop it with Ctrl-C.")


def _stopping(console: Console) -> None:
    console.print("Stopping: every session's browser is being closed …")


def main() -> None:
    """Entry point."""
    app()
