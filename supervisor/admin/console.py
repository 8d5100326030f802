"""What the commands share: settings, the store, errors as sentences, tables and progress."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from api.times import rfc3339
from config.errors import SettingsError
from config.logging import configure_logging
from config.settings import load_settings
from storage.keys import KeyNotFound
from storage.privacy import ContactNotFound
from storage.store import SessionNotFound, StoreError
from storage.tenants import NameTaken, PlanNotFound, WorkspaceNotFound
from storage.vault.errors import VaultError
from supervisor.admin.errors import AdminError
from supervisor.admin.place import Place
from supervisor.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence

    from config.settings import Settings
    from storage.sqlite.store import SqliteStore
    from supervisor.admin.place import Tick

SETTINGS_INVALID: Final = 2
STORE_UNUSABLE: Final = 5
VAULT_UNUSABLE: Final = 7
FOUND_BAD: Final = 1
_NOT_THERE: Final = (
    SessionNotFound,
    KeyNotFound,
    ContactNotFound,
    WorkspaceNotFound,
    PlanNotFound,
    NameTaken,
)

T = TypeVar("T")
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="A TOML file with settings.", show_default=False)
]
WorkspaceName = Annotated[str, typer.Option("--workspace", help="The workspace's name.")]


@contextmanager
def problems() -> Iterator[None]:
    """End the program with a sentence and a code instead of a traceback."""
    try:
        yield
    except (AdminError, StartError) as error:
        _complain(error.code, error, error.exit_code)
    except _NOT_THERE as error:
        _complain(error.code, error, 1)
    except StoreError as error:
        _complain(error.code, error, STORE_UNUSABLE)
    except VaultError as error:
        _complain(error.code, error, VAULT_UNUSABLE)


def _complain(code: str, error: Exception, exit_code: int) -> NoReturn:
    typer.echo(f"wafleet: {error} [{code}]", err=True)
    raise typer.Exit(exit_code) from None


def settings_or_exit(config_file: Path | None) -> Settings:
    try:
        settings = load_settings(config_file)
    except SettingsError as error:
        typer.echo(f"wafleet: {error} [{error.code}]", err=True)
        raise typer.Exit(SETTINGS_INVALID) from None
    configure_logging(settings.log_level, settings.log_format)
    return settings


def with_store(settings: Settings, work: Callable[[SqliteStore], Coroutine[Any, Any, T]]) -> T:
    return asyncio.run(in_store(Place.of(settings), work))


async def in_store(place: Place, work: Callable[[SqliteStore], Coroutine[Any, Any, T]]) -> T:
    async with place.store() as store:
        return await work(store)


@contextmanager
def progress(what: str, *, in_bytes: bool = False) -> Iterator[Tick]:
    """Show a bar on a terminal while the block runs; nothing elsewhere."""
    count = DownloadColumn() if in_bytes else MofNCompleteColumn()
    columns = (TextColumn(what), BarColumn(), count)
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*map(plain, row))
    Console(highlight=False, markup=False).print(table)


def time_text(ms: int | None, otherwise: str) -> str:
    return otherwise if ms is None else rfc3339(ms)


def plain(text: str) -> str:
    """Return text without what could steer a terminal: some of it comes from files of others."""
    return "".join(character if character.isprintable() else "?" for character in text)
