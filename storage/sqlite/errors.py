"""What SQLite and the file system report, told as the port's errors, each with what to do."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from storage.store import StoreBusy, StoreDamaged, StoreError, StoreFull, StoreUnusable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PRIMARY: Final = 0xFF  # extended result codes keep the primary one in the low byte
_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})
_DAMAGED: Final[dict[int, str]] = {
    sqlite3.SQLITE_NOTADB: "is not a SQLite database",
    sqlite3.SQLITE_CORRUPT: "is damaged",
}
_ADVICE: Final[dict[int, str]] = {
    sqlite3.SQLITE_CANTOPEN: (
        "can't be opened; make sure that it is a file, and that this user may write its directory"
    ),
    sqlite3.SQLITE_PERM: "may not be opened by this user; correct the file's owner",
    sqlite3.SQLITE_READONLY: (
        "can't be written by this user; correct the owner and mode of the file and its directory"
    ),
    sqlite3.SQLITE_AUTH: "refused the access; correct the file's owner",
    sqlite3.SQLITE_IOERR: "can't be read or written; check the disk and the system's log",
}


def unusable(path: Path, advice: str) -> StoreUnusable:
    """Make the error that says what is wrong with the database file and what to do."""
    return StoreUnusable(f"The database {path} {advice}.")


def damaged(path: Path, what: str) -> StoreDamaged:
    """Make the error of a database that is there and no sound one; `what` completes "It …"."""
    return StoreDamaged(
        f"The database {path} {what}",
        "start wafleet again: it keeps this file and goes on with the last good snapshot of it, or "
        "tells how to put the last backup in its place",
    )


def translate(error: sqlite3.Error, path: Path) -> StoreError:
    """Return the port's error for a failure of SQLite. It never holds a value of a row."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & _PRIMARY if isinstance(code, int) else None
    if primary in _BUSY:
        return StoreBusy(
            f"Another program keeps the database {path} locked; nothing was changed, try again."
        )
    if primary == sqlite3.SQLITE_FULL:
        return StoreFull(
            f"No space is left for the database {path}; nothing was changed. Free space on its "
            "disk, then try again."
        )
    if primary in _DAMAGED:
        return damaged(path, f"{_DAMAGED[primary]} ({error})")
    if primary in _ADVICE:
        return unusable(path, f"{_ADVICE[primary]} ({error})")
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return StoreError(
        f"The database {path} refused an operation ({name}); nothing was changed. This is a defect "
        "of wafleet: please report it with the log."
    )


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Let only the port's errors out of the block."""
    try:
        yield
    except sqlite3.Error as error:
        raise translate(error, path) from error
    except (OverflowError, UnicodeError) as error:
        # Raised by the sqlite3 module for a value that SQLite can't hold.
        raise StoreError(
            f"A value can't be stored in the database {path} ({type(error).__name__}); nothing was "
            "changed."
        ) from error
