"""`wafleet keys`: API keys, and the keys that encrypt what is stored."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from api.keys import DEFAULT_ENV
from storage.tenants import DEFAULT
from supervisor.admin import rotation, tenancy
from supervisor.admin.console import (
    FOUND_BAD,
    ConfigFile,
    WorkspaceName,
    print_table,
    problems,
    progress,
    settings_or_exit,
    time_text,
    with_store,
)
from supervisor.admin.place import Place, now_ms
from supervisor.keyring import open_keyring

if TYPE_CHECKING:
    from storage.vault import Keyring
    from supervisor.admin.place import Tick

keys = typer.Typer(no_args_is_help=True, help="API keys, and the keys that encrypt what is stored.")


@keys.command("create")
def keys_create(
    workspace: WorkspaceName,
    scopes: Annotated[str, typer.Option(help="all, or a comma-separated list.")],
    name: Annotated[str, typer.Option(help="What it is for.")] = "key",
    expires: Annotated[
        str | None, typer.Option(help="How long it lasts, such as 90d; unset is for ever.")
    ] = None,
    session: Annotated[
        list[str] | None, typer.Option(help="Only for this session (id or name); repeatable.")
    ] = None,
    env: Annotated[str, typer.Option(help="A word that shows in the key.")] = DEFAULT_ENV,
    config: ConfigFile = None,
) -> None:
    """Make an API key and print it, this once."""
    with problems():
        wanted = tenancy.parse_scopes(scopes)
        lasts = None if expires is None else tenancy.parse_duration(expires, name="--expires")
        made = with_store(
            settings_or_exit(config),
            lambda store: tenancy.create_key(
                store,
                workspace=workspace,
                name=name,
                scopes=wanted,
                sessions=session or (),
                lasts_ms=lasts,
                env=env,
            ),
        )
    typer.echo(f"The key {made.record.id} is shown once; keep it safe:", err=True)
    typer.echo(made.text)


@keys.command("list")
def keys_list(workspace: WorkspaceName, config: ConfigFile = None) -> None:
    """Show the keys of a workspace, revoked and expired ones too."""
    with problems():
        records = with_store(
            settings_or_exit(config), lambda store: tenancy.list_keys(store, workspace)
        )
    now = now_ms()
    print_table(
        ("id", "key id", "name", "state", "scopes", "expires", "last used"),
        [
            (
                record.id,
                record.key_id,
                record.name,
                tenancy.key_state(record, now),
                tenancy.key_scopes(record),
                time_text(record.expires_ms, "never"),
                time_text(record.last_used_ms, "never"),
            )
            for record in records
        ],
    )


@keys.command("revoke")
def keys_revoke(
    key: Annotated[str, typer.Argument(help="The key's id or key id.")],
    workspace: WorkspaceName,
    config: ConfigFile = None,
) -> None:
    """Make a key useless for ever; a running node refuses it within five seconds."""
    with problems():
        record = with_store(
            settings_or_exit(config), lambda store: tenancy.revoke_key(store, workspace, key)
        )
    typer.echo(f"The key {record.id} is revoked.")


@keys.command("rotate")
def keys_rotate(
    rewrap_only: Annotated[
        bool, typer.Option("--rewrap-only", help="Make no new key; finish an earlier rotation.")
    ] = False,
    config: ConfigFile = None,
) -> None:
    """Make a new key-encryption key and move all that is sealed to it; only while no node runs."""
    with problems():
        settings = settings_or_exit(config)
        place = Place.of(settings)
        place.require_database()
        with place.stopped(), progress("rewrapping") as tick:
            get = open_keyring if rewrap_only else rotation.add_key
            report = asyncio.run(_rewrap(place, get(settings, place.data), tick))
            if not report.failed:
                rotation.renew_check(settings, place.data)
    typer.echo(
        f"The current key is {report.kid}. Moved to it: {report.tokens} access tokens, "
        f"{report.webhooks} webhook secrets, {report.archives} archives, {report.media} media "
        "files. Older keys stay on the ring."
    )
    for what, sentence in report.failed:
        typer.echo(f"Not moved: {what}: {sentence}", err=True)
    if report.failed:
        raise typer.Exit(FOUND_BAD)


async def _rewrap(place: Place, keyring: Keyring, tick: Tick) -> rotation.RotationReport:
    async with place.store() as store:  # proves that the database is whole and of this version
        report = await rotation.rewrap_everything(place, keyring, tick)
        home = await store.workspace_named(DEFAULT)
        await tenancy.note(store, home.id, "kek.rotate", kid=report.kid)
        return report
