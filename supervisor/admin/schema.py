"""`wafleet migrate`: the schema's versions, forward, back, shown and checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage.sqlite import migrations
from storage.sqlite.files import prepare_file
from supervisor.recovery import require_not_lost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storage.sqlite.migrations import MigrationStatus
    from storage.sqlite.schema import Finding
    from supervisor.admin.place import Place


def up(place: Place) -> Sequence[str]:
    """Make the database if there is none, bring it to the newest version; return what was applied.

    Only while no node runs. Raises DataDirInUse, DataDirUnusable, StoreErrors; DatabaseLost where
    there was one.
    """
    with place.stopped():
        require_not_lost(place.data, place.busy_timeout_ms)
        prepare_file(place.data.database, place.busy_timeout_ms)
        return migrations.apply(place.data.database, busy_timeout_ms=place.busy_timeout_ms)


def down(place: Place, steps: int) -> Sequence[str]:
    """Take back the newest versions, with what only they could hold; return their ids.

    Only while no node runs. Raises DatabaseMissing, DataDirInUse, StoreErrors.
    """
    place.require_database()
    with place.stopped():
        return migrations.rollback(
            place.data.database, steps, busy_timeout_ms=place.busy_timeout_ms
        )


def status(place: Place) -> Sequence[MigrationStatus]:
    """Return every version; at any time. Raises DatabaseMissing, StoreErrors."""
    place.require_database()
    return migrations.status(place.data.database, busy_timeout_ms=place.busy_timeout_ms)


def verify(place: Place) -> Sequence[Finding]:
    """Return how the database differs from what it should be; at any time.

    Raises DatabaseMissing, StoreErrors.
    """
    place.require_database()
    return migrations.verify(place.data.database, busy_timeout_ms=place.busy_timeout_ms)
