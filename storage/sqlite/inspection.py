"""A look at a database that changes nothing, beside whoever uses it. Everything here blocks.

Opening and closing a SQLite database in WAL mode normally writes: the last one out folds the log
into the file. What a killed program left is evidence, though, and a look must not tidy it away.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from storage.sqlite.errors import translated
from storage.sqlite.files import connect_guest

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_PAGE: Final = 500
_TIMES: Final = (
    "SELECT t.name, c.name FROM sqlite_schema AS t JOIN pragma_table_xinfo(t.name) AS c"
    " WHERE t.type = 'table' AND c.name IN ('created_at', 'updated_at')"
)
_ARCHIVES: Final = (
    "SELECT f.id, f.path, f.sha256, f.bytes, w.uuid, s.uuid, f.generation"
    " FROM whatsapp_session_archives AS f JOIN workspaces AS w ON w.id = f.workspace_id"
    " JOIN whatsapp_sessions AS s ON s.id = f.whatsapp_session_id"
)
_MEDIA: Final = (
    "SELECT f.id, f.path, f.sha256, f.bytes, w.uuid, m.uuid, 0 FROM media AS f"
    " JOIN workspaces AS w ON w.id = f.workspace_id LEFT JOIN messages AS m ON m.id = f.message_id"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePointer:
    """A pointer to a sealed file, with the public ids of what the file belongs to.

    `owner` is a session (of an archive) or a message (of media; None once that is gone). `path` is
    relative to the data directory; `sha256` and `bytes` are those of the whole file.
    """

    id: int
    path: str
    sha256: str
    bytes: int
    workspace: str
    owner: str | None
    generation: int


class Inspection:
    """Reads one database; made by `inspecting`. Every call may raise StoreBusy, StoreUnusable."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    def damage(self, most: int = 5) -> Sequence[str]:
        """Read all of the file; return what is wrong with it, a line each, () if nothing is."""
        with translated(self._path):
            rows = self._connection.execute(f"PRAGMA integrity_check({most})").fetchall()
        return () if rows == [("ok",)] else tuple(str(row[0]) for row in rows)

    def dangling(self) -> Sequence[tuple[str, str, int]]:
        """Return (table, table it points to, rows) where rows point to something that is gone."""
        with translated(self._path):
            return self._connection.execute(
                "SELECT [table], parent, count(*) FROM pragma_foreign_key_check GROUP BY 1, 2"
            ).fetchall()

    def newest_ms(self) -> int | None:
        """Return the latest time at which anything was stored or changed, by the clock of then."""
        with translated(self._path):
            columns = self._connection.execute(_TIMES).fetchall()
            if not columns:
                return None
            each = " UNION ALL ".join(
                f'SELECT max({column}) AS t FROM "{table}"'  # noqa: S608 - names of the schema
                for table, column in columns
            )
            found = self._connection.execute(f"SELECT max(t) FROM ({each})").fetchone()[0]  # noqa: S608
        return None if found is None else int(found)

    def archives(self) -> Iterator[FilePointer]:
        """Yield the pointers to sessions' archives."""
        return self._pointers(_ARCHIVES)

    def media(self) -> Iterator[FilePointer]:
        """Yield the pointers to messages' files."""
        return self._pointers(_MEDIA)

    def still_there(self, pointer: FilePointer) -> bool:
        """Tell whether the pointer is still the same: a running node may have dropped it."""
        kind = _MEDIA if pointer.generation == 0 else _ARCHIVES
        with translated(self._path):
            row = self._connection.execute(f"{kind} WHERE f.id = ?", (pointer.id,)).fetchone()
        return row is not None and _pointer(row) == pointer

    def _pointers(self, select: str) -> Iterator[FilePointer]:
        # Page by page: one long query would keep a running node from folding its log in.
        after = 0
        while True:
            with translated(self._path):
                rows = self._connection.execute(
                    f"{select} WHERE f.id > ? ORDER BY f.id LIMIT {_PAGE}", (after,)
                ).fetchall()
            if not rows:
                return
            yield from map(_pointer, rows)
            after = rows[-1][0]


@contextmanager
def inspecting(path: Path, busy_timeout_ms: int) -> Iterator[Inspection]:
    """Open an existing database for a look. Raises StoreBusy, StoreUnusable.

    While the block runs, no other connection of this process folds a log in when it is closed.
    """
    with translated(path):
        connection = connect_guest(path, busy_timeout_ms)
    with closing(connection):
        yield Inspection(connection, path)


def _pointer(row: Sequence[Any]) -> FilePointer:
    return FilePointer(
        id=row[0],
        path=row[1],
        sha256=row[2],
        bytes=row[3],
        workspace=row[4],
        owner=row[5],
        generation=row[6],
    )
