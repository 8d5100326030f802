"""A migrated data directory, and a look at all that is in it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from supervisor.admin import schema
from supervisor.admin.place import Place
from supervisor.datadir import DataDir

if TYPE_CHECKING:
    from pathlib import Path


def migrated(directory: Path) -> Place:
    """Make the database of a data directory."""
    place = Place(DataDir(directory), 500)
    assert schema.up(place)
    return place


def dump(place: Place) -> str:
    """Return all that the database holds, as text."""
    with closing(sqlite3.connect(place.data.database)) as plain:
        return "\n".join(plain.iterdump())
