"""The database copied while others write to it: one committed state, in bounded steps.

SQLite's online backup begins again whenever another connection has changed the database between
two steps. Here the source has an open read transaction: with a write-ahead log that pins one state,
which nobody's writes change and for which nobody waits, so that no step is ever taken twice. The
price is that the log is not reset meanwhile: it grows by what is written during the copy.

Everything here blocks. Raises StoreBusy, StoreFull, StoreUnusable; OSError for the copy's own file.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from storage.archives_index import ArchiveRecord
from storage.privacy import MediaPointer
from storage.sqlite.errors import translated, unusable
from storage.sqlite.files import (
    check_ours,
    check_sound,
    connect,
    connect_frozen,
    connect_reader,
    connect_writer,
)
from storage.sqlite.migrations import DEFAULT_BUSY_TIMEOUT_MS, require_usable

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from storage.grants import Forgotten
    from storage.sqlite.transactions import Row

_CREATE: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_ARCHIVES: Final = (
    "SELECT a.uuid, w.uuid, s.uuid, a.generation, a.path, a.sha256, a.bytes, a.created_at"
    " FROM whatsapp_session_archives AS a"
    " JOIN whatsapp_sessions AS s ON s.id = a.whatsapp_session_id"
    " JOIN workspaces AS w ON w.id = a.workspace_id ORDER BY a.id"
)


# A number that had sent nothing yet may have begun since.
_NUMBERS: Final = (
    "INSERT INTO sending_numbers (number, day, boot_id, boot_at, created_at)"
    " SELECT DISTINCT phone_number, 1, :boot_id, :boot_at, :wall FROM whatsapp_sessions"
    " WHERE phone_number <> '' AND phone_number NOT GLOB '*[^0-9]*'"
    " ON CONFLICT (number) DO NOTHING"
)
_FORGOTTEN: Final = (
    "INSERT INTO message_grants (number, key, boot_id, boot_at, created_at)"
    " SELECT number, :key, :boot_id, :boot_at, :wall FROM sending_numbers"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How hard a copy works: so many pages (usually of 4 KiB), then a pause in seconds for others.

    What a step wrote is on the disk before the pause: the backlog that a commit of somebody else
    could have to wait for stays as small as a step.
    """

    pages: int = 256
    pause: float = 0.01


class Snapshot:
    """One committed state of the database, the same however long it is looked at."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        [(pages,)], [(size,)] = self._all("PRAGMA page_count"), self._all("PRAGMA page_size")
        self.bytes: Final[int] = pages * size

    def archives(self) -> Sequence[ArchiveRecord]:
        """Return the pointers to all sessions' archives; none in versions that had no archives."""
        rows = self._all(_ARCHIVES) if self._has("whatsapp_session_archives") else []
        return [
            ArchiveRecord(
                id=row[0],
                workspace_id=row[1],
                session_id=row[2],
                generation=row[3],
                path=row[4],
                sha256=row[5],
                bytes=row[6],
                created_ms=row[7],
            )
            for row in rows
        ]

    def media(self) -> Sequence[MediaPointer]:
        """Return the pointers to all files that came with messages."""
        select = "SELECT uuid, path, sha256, bytes FROM media ORDER BY id"
        rows = self._all(select) if self._has("media") else []
        return [MediaPointer(id=row[0], path=row[1], sha256=row[2], bytes=row[3]) for row in rows]

    def copy_to(self, target: Path, pace: Pace, tick: Callable[[int, int], None]) -> None:
        """Make `target` (mode 0600, durable) hold this state; it must not exist yet.

        `tick` is told bytes done and bytes in all after every step. The copy is a file that needs
        none beside it.
        """
        with ExitStack() as stack:
            # Ours is closed last: closing any descriptor of the file drops SQLite's locks on it.
            fd = os.open(target, _CREATE, 0o600)
            stack.callback(os.close, fd)

            def step(_status: int, remaining: int, total: int) -> None:
                os.fdatasync(fd)
                tick(self.bytes * (total - remaining) // max(total, 1), self.bytes)
                if remaining:
                    time.sleep(pace.pause)

            with translated(target), closing(connect(target, 0)) as copy:
                # Nothing of it is worth anything before it is whole and synced.
                copy.execute("PRAGMA journal_mode = OFF")
                copy.execute("PRAGMA synchronous = OFF")
                self._connection.backup(copy, pages=pace.pages, progress=step)
                _detach_log(copy, target)
            os.fsync(fd)

    def _has(self, table: str) -> bool:
        return bool(
            self._all("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?", table)
        )

    def _all(self, sql: str, *values: str) -> list[Row]:
        with translated(self._path):
            return self._connection.execute(sql, values).fetchall()


@contextmanager
def pinned(path: Path, busy_timeout_ms: int = DEFAULT_BUSY_TIMEOUT_MS) -> Iterator[Snapshot]:
    """Hold the newest committed state while the block runs, beside whoever uses the database."""
    with translated(path):
        connection = connect_reader(path, busy_timeout_ms)
    with closing(connection):
        with translated(path):
            connection.execute("BEGIN")
        # BEGIN alone takes nothing: the snapshot's first read, of its size, decides which state.
        yield Snapshot(connection, path)


def check_copy(path: Path, *, indexes: bool, named: Path | None = None) -> Sequence[str]:
    """Prove a file that nobody writes to: ours, sound, of a known version; return its versions.

    With `indexes` every index is compared with its table, too, which takes longer. `named` is the
    database that errors tell of, by default the file. Raises StoreUnusable.
    """
    named = named or path
    with translated(named), closing(connect_frozen(path)) as connection:
        check_ours(connection, named)
        check_sound(connection, named, indexes=indexes)
    return require_usable(path, frozen=True)


def doubt_accepted(
    path: Path, forgotten: Forgotten, busy_timeout_ms: int = DEFAULT_BUSY_TIMEOUT_MS
) -> int:
    """Count one attempt for every message that waits to be sent and has none; return how many wait.

    For a database out of a backup, which nobody uses: since the backup was made the messages may
    have been sent. One that was attempted is looked up before it is sent again; and the limiter
    takes it that each number has sent as much as it might. The file needs none beside it
    afterwards.
    """
    with translated(path), closing(connect_writer(path, busy_timeout_ms)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        [(waiting,)] = connection.execute(
            "SELECT count(*) FROM messages WHERE state = 'accepted'"
        ).fetchall()
        connection.execute(
            "UPDATE messages SET attempts = 1 WHERE state = 'accepted' AND attempts < 1"
        )
        moment = {
            "key": forgotten.key,
            "boot_id": forgotten.boot_id,
            "boot_at": forgotten.boot_ms,
            "wall": forgotten.wall_ms,
        }
        connection.execute(_NUMBERS, moment)
        connection.execute(_FORGOTTEN, moment)
        connection.execute("COMMIT")
        _detach_log(connection, path)
    return int(waiting)


def _detach_log(connection: sqlite3.Connection, path: Path) -> None:
    """Let the file hold everything that was committed, with no log beside it."""
    [(mode,)] = connection.execute("PRAGMA journal_mode = DELETE").fetchall()
    if mode != "delete":
        raise unusable(path, "is used by another program; leave it alone until this has ended")
