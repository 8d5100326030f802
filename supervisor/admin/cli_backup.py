"""`wafleet backup` and `restore`: everything that a node needs to go on elsewhere, but its keys."""

from __future__ import annotations

import asyncio
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Final

import typer

from storage.tenants import DEFAULT
from supervisor.admin.backup import make_backup
from supervisor.admin.console import (
    FOUND_BAD,
    ConfigFile,
    in_store,
    plain,
    problems,
    progress,
    settings_or_exit,
)
from supervisor.admin.errors import MigrationPending
from supervisor.admin.place import Place
from supervisor.admin.restore import put_back, require_free
from supervisor.admin.tenancy import note
from supervisor.admin.verification import open_backup, verify_backup
from supervisor.datadir import ARCHIVES, MEDIA
from supervisor.keyring import given_keyring, node_keyring

if TYPE_CHECKING:
    from storage.sqlite.store import SqliteStore
    from supervisor.admin.manifest import Contents

_KEYS: Final = (
    "The keys that it is encrypted and sealed with (keys/kek in the data directory, or what "
    "WAFLEET_KEK or WAFLEET_KEK_FILE gives) and api.key are not in it: keep a copy of the keys "
    "elsewhere, without them it can't be restored."
)
_WHY: Final = {
    "missing": "the database points to it, but it is not there",
    "unreadable": "it can't be read",
    "hash_differs": "it is damaged: not as it was written",
    "path_refused": "no file of a backup can be there",
    "key_missing": "the keyring lacks the key that it was encrypted with",
    "key_wrong": "it was encrypted with another key of the same id",
}


def backup(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="A new directory; the one above it must exist.")
    ],
    config: ConfigFile = None,
) -> None:
    """Copy database, archives and media to DIR, also while the node runs.

    DIR is there only once it is whole. The keys are not in it. Exit code 1 if a file had to be left
    out; all the rest is good then. Check a backup with wafleet restore DIR --verify.
    """
    with problems():
        settings = settings_or_exit(config)
        place = Place.of(settings)
        place.require_database()
        keyring = node_keyring(settings, place.data)
        with progress("backing up", in_bytes=True) as tick:
            report = make_backup(place, keyring, directory, tick=tick)
        contents = report.contents
        typer.echo(f"Backed up to {report.target}: {_summary(contents)}, {report.seconds:.1f} s.")
        typer.echo(_KEYS, err=True)
        _tell_left_out(contents)
        _note(place, contents)
    if contents.left_out:
        raise typer.Exit(FOUND_BAD)


def restore(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="What wafleet backup has made.")],
    verify: Annotated[
        bool, typer.Option("--verify", help="Only check the backup; nothing is written.")
    ] = False,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Move the data that is there to replaced/ first."),
    ] = False,
    config: ConfigFile = None,
) -> None:
    """Put a backup into the data directory; only while no node runs. Everything is checked first.

    The node's keys must be there already: keys/kek in the data directory (mode 0600), or the
    settings kek or kek_file. Exit code 1 if the backup is not whole or was changed, 7 if these are
    not its keys.
    """
    with problems():
        settings = settings_or_exit(config)
        place = Place.of(settings)
        keyring = given_keyring(settings, place.data)
        opened = open_backup(directory, keyring)
        if verify:
            with progress("verifying", in_bytes=True) as tick:
                verify_backup(opened, keyring, tick)
            typer.echo(f"The backup {directory} is good: {_summary(opened.contents)}.")
            _tell_left_out(opened.contents)
            return
        with place.stopped():
            require_free(place.data, replace=replace)
            with progress("verifying", in_bytes=True) as tick:
                verified = verify_backup(opened, keyring, tick)
            with progress("restoring", in_bytes=True) as tick:
                report = asyncio.run(put_back(place, keyring, verified, replace=replace, tick=tick))
    typer.echo(
        f"Restored to {place.data.root}: {_summary(report.contents)}, {report.seconds:.1f} s. "
        f"{report.waiting} messages wait to be sent; start wafleet to go on."
    )
    if report.replaced is not None:
        typer.echo(f"What was there is in {report.replaced}.")
    _tell_left_out(report.contents)


def _summary(contents: Contents) -> str:
    archives, media = len(contents.below(ARCHIVES)), len(contents.below(MEDIA))
    return (
        f"the database of {contents.created_at}, {archives} archives, {media} media files, "
        f"{contents.bytes} bytes"
    )


def _tell_left_out(contents: Contents) -> None:
    for one in contents.left_out:
        why = _WHY.get(one.reason, "it can't be used")
        typer.echo(f"Left out: {plain(one.path)}: {why} [{one.reason}]", err=True)
    if contents.left_out:
        typer.echo("All the rest is good.", err=True)


def _note(place: Place, contents: Contents) -> None:
    async def append(store: SqliteStore) -> None:
        home = await store.workspace_named(DEFAULT)
        left_out = str(len(contents.left_out))
        await note(store, home.id, "backup.create", manifest=contents.digest(), left_out=left_out)

    try:
        asyncio.run(in_store(place, append))
    except MigrationPending:
        typer.echo("Not noted in the access log: the database is of an earlier version.", err=True)
