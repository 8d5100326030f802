"""The administration commands: `wafleet doctor | keys | workspaces | plans | migrate | backup | …`.

All work on the data directory's database of a stopped node. Beside a running node these work too,
and safely: doctor; keys create, list, revoke; workspaces; plans; audit; gdpr; migrate status,
verify; import-meta without --apply; backup; restore --verify. The others refuse while a node runs:
keys rotate, migrate up and down, import-meta --apply, restore.

Tables and results are on standard output, progress and remarks on standard error; `keys create`
prints nothing but the key on standard output.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from supervisor.admin.cli_backup import backup, restore
from supervisor.admin.cli_data import audit, gdpr, import_meta, migrate
from supervisor.admin.cli_doctor import doctor
from supervisor.admin.cli_keys import keys
from supervisor.admin.cli_tenants import plans, workspaces

if TYPE_CHECKING:
    import typer


def add_admin_commands(app: typer.Typer) -> None:
    """Add every administration command to the program's."""
    for name, group in (
        ("keys", keys),
        ("workspaces", workspaces),
        ("plans", plans),
        ("migrate", migrate),
        ("audit", audit),
        ("gdpr", gdpr),
    ):
        app.add_typer(group, name=name)
    app.command(name="import-meta")(import_meta)
    app.command(name="backup")(backup)
    app.command(name="restore")(restore)
    app.command(name="doctor")(doctor)
