"""The schema's versions: apply them, take them back, show them. Blocking; stop wafleet first.

The SQL files in storage/migrations are read and recorded by yoyo. Each call here is one transaction
that begins with the write lock, so a killed process leaves either the old version or the new one,
and two programs that start at the same time can't apply a version twice.

Errors: StoreBusy while another program holds the database, StoreFull, StoreUnusable when the file
is not ours, when it was made by a newer program, or when it has only some of the versions' parts.
"""

from __future__ import annotations

import os
import platform
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from glob import escape
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any, Final

from yoyo import default_migration_table, read_migrations
from yoyo.backends.core.sqlite3 import SQLiteBackend
from yoyo.connections import DatabaseURI
from yoyo.internalmigrations import needs_upgrading, upgrade

from storage.sqlite.errors import translated, unusable
from storage.sqlite.files import APPLICATION_ID, check_ours, connect, connect_frozen
from storage.sqlite.schema import Finding, compare, read_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from storage.sqlite.schema import Schema

DEFAULT_BUSY_TIMEOUT_MS: Final = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationStatus:
    """One version of the schema; `known` is False when only the database has heard of it."""

    id: str
    applied: bool
    known: bool


def apply(
    path: Path,
    *,
    busy_timeout_ms: int = DEFAULT_BUSY_TIMEOUT_MS,
    directory: Path | None = None,
) -> Sequence[str]:
    """Bring the database to the newest version and return the ids that were applied now.

    `directory` holds the SQL files; None means those that came with the program.
    """
    with _opened(path, busy_timeout_ms, directory) as (backend, migrations):
        _refuse_newer(path, backend, migrations)
        if not backend.pending(migrations):
            return ()  # Nothing to write: a database that others are writing to can be opened.
        with backend.transaction():
            backend.ensure_internal_schema_updated()
            _refuse_newer(path, backend, migrations)
            applied = [m.id for m in backend.to_apply(migrations)]
            backend.apply_migrations(backend.to_apply(migrations))
            _require_sound_references(path, backend)
            backend.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        return tuple(applied)


def rollback(
    path: Path,
    steps: int = 1,
    *,
    busy_timeout_ms: int = DEFAULT_BUSY_TIMEOUT_MS,
    directory: Path | None = None,
) -> Sequence[str]:
    """Take back the newest `steps` versions and return their ids, newest first.

    What only those versions could hold is lost: make a copy of the file first.
    """
    if steps < 1:
        raise ValueError("steps must be at least 1")
    with _opened(path, busy_timeout_ms, directory) as (backend, migrations):
        _refuse_newer(path, backend, migrations)
        if not backend.applied_ids():
            return ()
        with backend.transaction():
            chosen = backend.to_rollback(migrations)[:steps]
            backend.rollback_migrations(chosen)
            _require_sound_references(path, backend)
        return tuple(m.id for m in chosen)


def status(
    path: Path,
    *,
    busy_timeout_ms: int = DEFAULT_BUSY_TIMEOUT_MS,
    directory: Path | None = None,
) -> Sequence[MigrationStatus]:
    """Return every version that the program or the database knows, in order of id."""
    with _opened(path, busy_timeout_ms, directory) as (backend, migrations):
        known = {m.id for m in migrations}
        applied = set(backend.applied_ids())
    return tuple(
        MigrationStatus(id=i, applied=i in applied, known=i in known)
        for i in sorted(known | applied)
    )


def verify(path: Path, *, busy_timeout_ms: int = DEFAULT_BUSY_TIMEOUT_MS) -> Sequence[Finding]:
    """Compare the database with what the shipped versions make of an empty one; () is a match.

    Tables, columns, keys, indexes, triggers and rules; and which versions are applied. Reads only.
    """
    with _opened(path, busy_timeout_ms, None) as (backend, migrations):
        known, applied = {m.id for m in migrations}, set(backend.applied_ids())
        versions = [
            Finding(code=code, table="", what=i)
            for code, ids in (
                ("pending_version", known - applied),
                ("unknown_version", applied - known),
            )
            for i in sorted(ids)
        ]
        return (*versions, *compare(expected_schema(), read_schema(backend.connection)))


def require_expected(path: Path, *, busy_timeout_ms: int = DEFAULT_BUSY_TIMEOUT_MS) -> None:
    """Raise StoreUnusable if a part that the program needs is missing or different.

    What somebody added beside them is theirs to keep.
    """
    _refuse_findings(path, verify(path, busy_timeout_ms=busy_timeout_ms))


def require_usable(
    path: Path, *, busy_timeout_ms: int = DEFAULT_BUSY_TIMEOUT_MS, frozen: bool = False
) -> Sequence[str]:
    """Return the applied versions in order; raise StoreUnusable if a node would refuse the file.

    An older version is fine: a node brings it to the newest. Reads only; `frozen` says that nobody
    writes to the file, and that what lies beside it is none of its log.
    """
    connector = partial(connect_frozen, path) if frozen else None
    with _opened(path, busy_timeout_ms, None, connector) as (backend, migrations):
        _refuse_newer(path, backend, migrations)
        applied = sorted(backend.applied_ids())
        if not applied:
            raise unusable(path, "is empty: no wafleet has used it yet")
        if not backend.pending(migrations):
            _refuse_findings(path, compare(expected_schema(), read_schema(backend.connection)))
        return tuple(applied)


def _refuse_findings(path: Path, found: Iterable[Finding]) -> None:
    wrong = [finding for finding in found if not finding.code.startswith("extra_")]
    if wrong:
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise unusable(
            path,
            f"is not as its versions make it ({wrong[0].code} {wrong[0].what}{more}), as if it had "
            "been migrated by halves; put a backup in its place, or repair what verify lists",
        )


@cache  # the same for as long as the program runs: the files are part of it
def expected_schema() -> Schema:
    """Return what the shipped versions make of an empty database."""
    backend = _Backend(":memory:", lambda: sqlite3.connect(":memory:", isolation_level=None))
    with closing(backend.connection), as_file(files("storage") / "migrations") as shipped:
        with backend.transaction():
            backend.ensure_internal_schema_updated()
            backend.apply_migrations(read_migrations(escape(str(shipped))))
        return read_schema(backend.connection)


@contextmanager
def _opened(
    path: Path,
    busy_timeout_ms: int,
    directory: Path | None,
    connector: Callable[[], sqlite3.Connection] | None = None,
) -> Iterator[tuple[_Backend, Any]]:
    with translated(path):
        backend = _Backend(str(path), connector or partial(connect, path, busy_timeout_ms))
        with closing(backend.connection):
            check_ours(backend.connection, path)
            with as_file(files("storage") / "migrations") as shipped:
                yield backend, read_migrations(escape(str(directory or shipped)))


def _refuse_newer(path: Path, backend: _Backend, migrations: Any) -> None:
    unknown = sorted(set(backend.applied_ids()) - {m.id for m in migrations})
    if unknown:
        raise unusable(
            path,
            f"was made by a newer wafleet (it has {', '.join(unknown)}); update wafleet, or put "
            "a backup of before the update in its place",
        )
    have = set(backend.applied_ids())
    order = [m.id for m in migrations]
    gaps = [i for i in order[: len(have)] if i not in have]
    if gaps:
        raise unusable(
            path,
            f"is migrated by halves (it lacks {', '.join(gaps)}, but has later versions); put a "
            "backup in its place",
        )


def _require_sound_references(path: Path, backend: _Backend) -> None:
    if backend.execute("PRAGMA foreign_key_check").fetchone() is not None:
        raise unusable(path, "holds rows that point nowhere; nothing was changed: see the log")


class _Backend(SQLiteBackend):  # type: ignore[misc]  # yoyo carries no types
    """yoyo's SQLite backend, with everything of one call inside one transaction.

    The stock one commits a version's statements and its record apart (a kill between them blocks
    every later start), leaves a lock row behind when killed, opens a URI that some file names
    break, and asks the network for the host's name.
    """

    def __init__(self, name: str, connector: Callable[[], sqlite3.Connection]) -> None:
        self._connector = connector
        self._internal_schema_updated = False
        uri = DatabaseURI("sqlite", None, None, None, None, name, {})
        super().__init__(uri, default_migration_table)

    def connect(self, dburi: Any) -> sqlite3.Connection:  # noqa: ARG002 - yoyo's signature
        return self._connector()

    def begin(self) -> None:
        self._in_transaction = True
        self.execute("BEGIN IMMEDIATE")

    def execute(self, sql: str, params: Mapping[str, Any] | None = None) -> sqlite3.Cursor:
        # Times as text: the sqlite3 module's own conversion of datetime is deprecated.
        values = {
            key: value.isoformat(" ") if isinstance(value, datetime) else value
            for key, value in (params or {}).items()
        }
        cursor: sqlite3.Cursor = super().execute(sql, values)
        return cursor

    def ensure_internal_schema_updated(self) -> None:
        if self._internal_schema_updated or not needs_upgrading(self):
            return
        if not self._in_transaction:
            raise RuntimeError("yoyo's tables are only made inside a transaction")
        upgrade(self)
        self._internal_schema_updated = True

    def applied_ids(self) -> Sequence[str]:
        """Return the ids of the applied versions; reads only."""
        if self.migration_table not in self.list_tables():
            return ()
        rows = self.execute(f'SELECT migration_id FROM "{self.migration_table}"')  # noqa: S608
        return tuple(row[0] for row in rows.fetchall())

    def pending(self, migrations: Any) -> bool:
        """Return whether there is a version to apply; reads only."""
        applied = set(self.applied_ids())
        return any(m.id not in applied for m in migrations)

    def apply_one(self, migration: Any, force: bool = False, mark: bool = True) -> None:
        migration.process_steps(self, "apply", force=force)
        self.log_migration(migration, "apply")
        if mark:
            self.mark_one(migration, log=False)

    def rollback_one(self, migration: Any, force: bool = False) -> None:
        migration.process_steps(self, "rollback", force=force)
        self.log_migration(migration, "rollback")
        self.unmark_one(migration, log=False)

    def get_log_data(self, migration: Any = None, operation: str = "apply") -> dict[str, Any]:
        now = datetime.now(UTC).replace(tzinfo=None)
        return {
            "id": os.urandom(16).hex(),
            "migration_id": migration.id if migration else None,
            "migration_hash": migration.hash if migration else None,
            "username": str(os.getuid()),
            "hostname": platform.node(),
            "created_at_utc": now,
            "operation": operation,
        }
