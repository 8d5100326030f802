"""`wafleet migrate`, `audit`, `gdpr` and `import-meta`: what is in the database."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from storage.vault import SecretBox
from supervisor.admin import chains, contacts, meta_import, schema
from supervisor.admin.console import (
    FOUND_BAD,
    ConfigFile,
    WorkspaceName,
    in_store,
    print_table,
    problems,
    progress,
    settings_or_exit,
    with_store,
)
from supervisor.admin.errors import ArgumentInvalid
from supervisor.admin.meta_source import read_rows
from supervisor.admin.place import Place
from supervisor.keyring import open_keyring

if TYPE_CHECKING:
    from collections.abc import Sequence

    from supervisor.admin.meta_source import SourceRow
    from supervisor.admin.place import Tick

migrate = typer.Typer(no_args_is_help=True, help="The versions of the database's schema.")
audit = typer.Typer(no_args_is_help=True, help="The access log: who did what.")
gdpr = typer.Typer(no_args_is_help=True, help="One contact's data across all sessions.")


@migrate.command("up")
def migrate_up(config: ConfigFile = None) -> None:
    """Bring the database to the newest version, made if there is none; only while no node runs."""
    with problems():
        applied = schema.up(Place.of(settings_or_exit(config)))
    typer.echo(f"Applied: {', '.join(applied)}" if applied else "The database is the newest.")


@migrate.command("down")
def migrate_down(
    steps: Annotated[int, typer.Option(min=1, help="How many versions to take back.")] = 1,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigFile = None,
) -> None:
    """Take the newest versions back, with what only they can hold; only while no node runs."""
    with problems():
        place = Place.of(settings_or_exit(config))
        place.require_database()
        if not yes:
            typer.confirm(
                f"This takes back {steps} version(s) of the schema, with the data that only they "
                "can hold. Is there a backup, and shall it be done?",
                abort=True,
            )
        taken = schema.down(place, steps)
    typer.echo(f"Taken back: {', '.join(taken)}" if taken else "There was nothing to take back.")


@migrate.command("status")
def migrate_status(config: ConfigFile = None) -> None:
    """Show which versions the database has."""
    with problems():
        states = schema.status(Place.of(settings_or_exit(config)))
    words = {(True, True): "applied", (False, True): "pending", (True, False): "of a newer wafleet"}
    print_table(
        ("version", "state"), [(s.id, words.get((s.applied, s.known), "?")) for s in states]
    )


@migrate.command("verify")
def migrate_verify(config: ConfigFile = None) -> None:
    """Check tables, columns, keys and indexes; exit code 1 if anything is not as expected."""
    with problems():
        findings = schema.verify(Place.of(settings_or_exit(config)))
    for finding in findings:
        typer.echo(str(finding))
    if findings:
        raise typer.Exit(FOUND_BAD)
    typer.echo("The database is as its versions make it.")


@audit.command("verify")
def audit_verify(
    workspace: Annotated[
        str | None, typer.Option("--workspace", help="The workspace's name; unset is all.")
    ] = None,
    noted: Annotated[
        Path | None, typer.Option(help="A file of heads that --note wrote before.")
    ] = None,
    note: Annotated[
        Path | None, typer.Option(help="A file to write the heads to; keep it elsewhere.")
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Check that no entry was changed or taken out; exit code 1 if one was."""
    with problems():
        heads = {} if noted is None else chains.read_heads(noted)
        with progress("verifying") as tick:
            reports = with_store(
                settings_or_exit(config),
                lambda store: chains.verify_chains(store, heads, workspace, tick),
            )
        if note is not None:
            with contacts.private_file(note) as file:
                file.write(chains.heads_text(reports))
    print_table(
        ("workspace", "entries", "head", "verdict"),
        [
            (
                one.name if one.name != "?" else one.workspace_id,
                str(one.head.number),
                one.head.hash,
                "whole" if one.bad is None else f"BAD at {one.bad}",
            )
            for one in reports
        ],
    )
    if any(one.bad is not None for one in reports):
        raise typer.Exit(FOUND_BAD)


@gdpr.command("export")
def gdpr_export(
    contact: Annotated[str, typer.Argument(help="A phone number, a jid or a contact's id.")],
    workspace: WorkspaceName,
    out: Annotated[
        Path | None, typer.Option(help="A new file; unset writes to standard output.")
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Write all that is stored of a contact as JSON."""
    with problems(), progress("exporting") as tick:
        settings = settings_or_exit(config)
        if out is None:
            count = with_store(
                settings,
                lambda store: contacts.export_contact(store, workspace, contact, sys.stdout, tick),
            )
        else:
            with contacts.private_file(out) as file:
                count = with_store(
                    settings,
                    lambda store: contacts.export_contact(store, workspace, contact, file, tick),
                )
    typer.echo(f"Exported: {count} messages.", err=True)


@gdpr.command("erase")
def gdpr_erase(
    contact: Annotated[str, typer.Argument(help="A phone number, a jid or a contact's id.")],
    workspace: WorkspaceName,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigFile = None,
) -> None:
    """Take a contact's name, number, texts and files for good; leave a pseudonym."""
    with problems():
        place = Place.of(settings_or_exit(config))
        place.require_database()
        if not yes:
            typer.confirm("This can't be undone. Erase the contact's data?", abort=True)
        report = asyncio.run(
            in_store(
                place,
                lambda store: contacts.erase_contact(store, place.data.root, workspace, contact),
            )
        )
    typer.echo(
        f"Erased: {report.messages} messages, {report.files} files. The contact's pseudonym is "
        f"{report.contact_id}."
    )
    for path in report.left:
        typer.echo(f"Not removed, do it by hand: {path}", err=True)
    if report.left:
        raise typer.Exit(FOUND_BAD)


def import_meta(
    file: Annotated[Path, typer.Argument(help="The workspaces table as JSON or CSV.")],
    apply: Annotated[bool, typer.Option("--apply", help="Write; without it, only tell.")] = False,
    config: ConfigFile = None,
) -> None:
    """Move Cloud API credentials from workspaces.metadata into sessions; tell first, then --apply.

    With --apply only while no node runs. The file is not changed. Exit code 1 if a row with
    credentials could not be moved.
    """
    with problems():
        settings = settings_or_exit(config)
        place = Place.of(settings)
        place.require_database()
        try:
            rows = read_rows(file.read_bytes())
        except OSError as error:
            raise ArgumentInvalid(f"{file} can't be read ({error.strerror}).") from None
        with progress("importing") as tick:
            if apply:
                with place.stopped():
                    keyring = open_keyring(settings, place.data)
                    reports = asyncio.run(_import(place, rows, SecretBox(keyring), tick))
            else:
                reports = asyncio.run(_import(place, rows, None, tick))
    print_table(
        ("row", "source", "workspace", "outcome", "primary", "notes"),
        [
            (
                str(one.line),
                one.source_id or "",
                f"{one.workspace}{' (new)' if one.new_workspace else ''}",
                one.outcome,
                "yes" if one.is_primary else "",
                " ".join(filter(None, (one.detail, _others(one.others)))),
            )
            for one in reports
        ],
    )
    moved = sum(one.outcome in meta_import.MOVED for one in reports)
    left = sum(one.outcome not in meta_import.WELL for one in reports)
    verb = "moved" if apply else "to be moved with --apply"
    typer.echo(f"{moved} {verb}, {left} with credentials not movable, of {len(reports)} rows.")
    if left:
        raise typer.Exit(FOUND_BAD)


async def _import(
    place: Place, rows: Sequence[SourceRow], box: SecretBox | None, tick: Tick
) -> Sequence[meta_import.RowReport]:
    async with place.store() as store:
        return await meta_import.import_meta(place, store, rows, box, tick)


def _others(count: int) -> str:
    return f"{count} other member(s) of its metadata stay in the file." if count else ""
