"""The database file: made for its owner only, known as ours, sound, and opened the same way always.

Everything here blocks; it runs before the store is open, or on a connection's own thread.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from storage.sqlite.errors import damaged, translated, unusable

if TYPE_CHECKING:
    from pathlib import Path

APPLICATION_ID: Final = 0x77614654
"""Marks a database file as wafleet's ("waFT")."""

OLDEST_SQLITE: Final = (3, 37, 0)
_STATEMENTS: Final = 512
"""More than the program has: none is compiled twice."""
_WAL_SIZE_LIMIT: Final = 64 * 1024 * 1024
_CHECKPOINT_PAGES: Final = 2000
"""How long the log grows, 8 MB, before it is moved into the file: by then what was written again
and again is written once. At SQLite's own 1000 that was once a second under full load."""
_CACHE_KIB: Final = 16 * 1024
"""Memory for pages of the connection that writes, so that it seldom reads one from the disk."""
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def connect(path: Path, busy_timeout_ms: int, mode: str = "rw") -> sqlite3.Connection:
    """Open an existing file in autocommit mode, waiting that long for locks; never make one."""
    return sqlite3.connect(
        f"file:{quote(str(path))}?mode={mode}",
        uri=True,
        timeout=busy_timeout_ms / 1000,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_STATEMENTS,
    )


def connect_writer(path: Path, busy_timeout_ms: int) -> sqlite3.Connection:
    """Open the connection that commits: every commit reaches the disk before it returns."""
    connection = connect(path, busy_timeout_ms)
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        _distrust_schema(connection)
        _leave_no_trace(connection)
        connection.execute("PRAGMA secure_delete = ON")  # what is erased is overwritten
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_SIZE_LIMIT}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_reader(path: Path, busy_timeout_ms: int) -> sqlite3.Connection:
    """Open a connection that can't change anything; with WAL it never waits for the writer."""
    connection = connect(path, busy_timeout_ms)
    try:
        connection.execute("PRAGMA query_only = ON")
        _distrust_schema(connection)
        _leave_no_trace(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def connect_frozen(path: Path) -> sqlite3.Connection:
    """Open a file that nobody writes to, for reading only and whatever lies beside it.

    No lock is taken, and no log or journal that somebody put there is played into it.
    """
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode=ro&immutable=1", uri=True, isolation_level=None
    )
    try:
        _distrust_schema(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def connect_guest(path: Path, busy_timeout_ms: int) -> sqlite3.Connection:
    """Open a connection that leaves the files as it found them, whoever uses or has used them.

    A log that is there is read but not folded in: only a connection that may not write leaves it
    alone when it is closed. Where there is none, that one would leave an empty one behind instead;
    there a connection that only does not write is the one that tidies up after itself.
    """
    mode = "ro" if path.with_name(f"{path.name}-wal").exists() else "rw"
    connection = connect(path, busy_timeout_ms, mode)
    try:
        connection.execute("PRAGMA query_only = ON")
        _distrust_schema(connection)
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # from here on it holds
    except BaseException:
        connection.close()
        raise
    return connection


def _leave_no_trace(connection: sqlite3.Connection) -> None:
    """Keep in memory what SQLite would put into files of its own, of whatever is read or changed.

    These lie in the system's directory for temporary files, in clear, and each takes its time.
    """
    connection.execute("PRAGMA temp_store = MEMORY")


def _distrust_schema(connection: sqlite3.Connection) -> None:
    """Let what stands in the file's schema call harmless functions only, where SQLite can.

    SQLite 3.38 to 3.40 take their own JSON functions for harmful, which our rules call; there the
    schema is trusted, as is SQLite's default.
    """
    with closing(sqlite3.connect(":memory:")) as probe:
        probe.execute("PRAGMA trusted_schema = OFF")
        try:
            probe.execute("CREATE TABLE probe (x CHECK (json_valid(x)))")
            probe.execute("INSERT INTO probe VALUES ('{}')")
        except sqlite3.OperationalError:
            return
    connection.execute("PRAGMA trusted_schema = OFF")


def prepare_file(path: Path, busy_timeout_ms: int) -> None:
    """Make the file if it is missing; prove that it is ours and sound; switch it to WAL.

    A damaged one is left as it is, with its log. Raises StoreBusy, StoreFull, StoreUnusable,
    StoreDamaged.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        needed = ".".join(map(str, OLDEST_SQLITE))
        raise unusable(path, f"needs SQLite {needed}, this is {sqlite3.sqlite_version}; update it")
    _ensure_private_file(path)
    with translated(path), closing(connect_guest(path, busy_timeout_ms)) as connection:
        check_ours(connection, path)
        check_sound(connection, path)
    with translated(path), closing(connect(path, busy_timeout_ms)) as connection:
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise unusable(path, "is on a file system without shared memory; use a local disk")


def check_ours(connection: sqlite3.Connection, path: Path) -> None:
    """Raise StoreUnusable for a database of another program; an empty one may become ours."""
    mark = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if mark != APPLICATION_ID and (mark != 0 or tables != 0):
        raise unusable(
            path, "belongs to another program; move it away, or point data_dir elsewhere"
        )


def check_sound(connection: sqlite3.Connection, path: Path, *, indexes: bool = False) -> None:
    """Raise StoreDamaged for a damaged database; with `indexes` also if they miss a row.

    Some damage comes out as an sqlite3.Error instead, which the caller translates.
    """
    check = "integrity_check" if indexes else "quick_check"
    verdict = connection.execute(f"PRAGMA {check}(1)").fetchone()[0]
    if verdict != "ok":
        raise damaged(path, f"is damaged ({str(verdict).splitlines()[0]})")


def _ensure_private_file(path: Path) -> None:
    # Never open an existing file here: closing any descriptor of it would drop the locks that
    # SQLite holds for this whole process.
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        pass  # The usual case; what it is gets checked below.
    except OSError as error:
        raise unusable(path, f"can't be made ({error.strerror}); check its directory") from error
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise unusable(path, "is not a file; move it away, or point data_dir elsewhere")
        if found.st_mode & _OTHERS:
            path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    except OSError as error:
        raise unusable(
            path, f"can't be made private ({error.strerror}); correct its owner"
        ) from error
