"""Where a profile keeps its login, and whether there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path


COPY: Final = "copy"
ASIDE: Final = "profile.broken"


def copy_place(profile: Path) -> Path:
    """Return where a profile is copied to: beside it, on the same file system."""
    return profile.with_name(COPY)


def aside_place(profile: Path) -> Path:
    """Return where a profile is put aside for an older state of it."""
    return profile.with_name(ASIDE)


def may_hold_login(profile: Path) -> bool:
    """Tell whether a profile has the database that WhatsApp Web keeps its login in.

    It may be an empty one: of a login only WhatsApp Web itself can tell. A missing, empty or
    gutted profile certainly holds none. Blocks for a moment. Raises OSError.
    """
    return any((profile / "Default" / "IndexedDB").glob("https_*.indexeddb.leveldb/CURRENT"))
