"""What a database is made of, and how that differs from what the versions make: pure comparison.

Names of findings: missing_, extra_ or different_ and table, column, key (primary and foreign keys,
unique ones), index, trigger, rule (CHECK and table options); pending_version, unknown_version.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping

_OURS: Final = (
    "SELECT name, sql FROM sqlite_schema WHERE type = ?"
    " AND name NOT LIKE 'sqlite~_%' ESCAPE '~' AND tbl_name NOT LIKE '%yoyo%'"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One way in which a database is not as expected; `code` is stable, `what` says where."""

    code: str
    table: str
    what: str
    expected: str | None = None
    found: str | None = None

    def __str__(self) -> str:
        sides = [
            f"{side} {value}"
            for side, value in (("expected", self.expected), ("found", self.found))
            if value is not None
        ]
        return f"{self.code}: {self.what}{': ' if sides else ''}{', '.join(sides)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table's parts, each a mapping of a name to a text that two equal parts share."""

    columns: Mapping[str, str]
    keys: Mapping[str, str]
    indexes: Mapping[str, str]
    triggers: Mapping[str, str]
    rules: str


Schema = dict[str, Table]


def read_schema(connection: sqlite3.Connection) -> Schema:
    """Return all tables of ours, without SQLite's and yoyo's own."""
    return {
        name: Table(
            columns=dict(_columns(connection, name)),
            keys=dict(_keys(connection, name)),
            indexes=dict(_indexes(connection, name)),
            triggers=dict(_triggers(connection, name)),
            rules=_normal(sql),
        )
        for name, sql in connection.execute(_OURS, ("table",)).fetchall()
    }


def compare(expected: Schema, found: Schema) -> Iterator[Finding]:
    """Yield every difference, tables in order of name."""
    for name in sorted(expected.keys() - found.keys()):
        yield Finding(code="missing_table", table=name, what=name)
    for name in sorted(found.keys() - expected.keys()):
        yield Finding(code="extra_table", table=name, what=name)
    for name in sorted(expected.keys() & found.keys()):
        yield from _compare_table(name, expected[name], found[name])


def _compare_table(name: str, expected: Table, found: Table) -> Iterator[Finding]:
    told = False
    for part, wanted, there in (
        ("column", expected.columns, found.columns),
        ("key", expected.keys, found.keys),
        ("index", expected.indexes, found.indexes),
        ("trigger", expected.triggers, found.triggers),
    ):
        for key in sorted(wanted.keys() | there.keys()):
            if wanted.get(key) == there.get(key):
                continue
            how = "missing" if key not in there else "extra" if key not in wanted else "different"
            told = told or part in {"column", "key"}
            yield Finding(
                code=f"{how}_{part}",
                table=name,
                what=f"{name}.{key}",
                expected=wanted.get(key),
                found=there.get(key),
            )
    # The table's text holds its columns and keys too: a difference there was told already.
    if not told and expected.rules != found.rules:
        yield Finding(
            code="different_rule",
            table=name,
            what=name,
            expected=expected.rules,
            found=found.rules,
        )


def _columns(connection: sqlite3.Connection, table: str) -> Iterator[tuple[str, str]]:
    for _, name, kind, not_null, default, key, hidden in _pragma(connection, "table_xinfo", table):
        text = f"{kind}{' NOT NULL' if not_null else ''}"
        text += "" if default is None else f" DEFAULT {default}"
        text += f" PRIMARY KEY {key}" if key else ""
        yield name, text + (f" HIDDEN {hidden}" if hidden else "")


def _keys(connection: sqlite3.Connection, table: str) -> Iterator[tuple[str, str]]:
    """Foreign keys by what they refer to, and unique constraints by their columns."""
    foreign: dict[int, list[Any]] = {}
    for row in _pragma(connection, "foreign_key_list", table):
        foreign.setdefault(row[0], []).append(row)
    for rows in foreign.values():
        rows.sort(key=lambda row: row[1])
        here = ", ".join(row[3] for row in rows)
        there = ", ".join(str(row[4]) for row in rows)
        actions = f"ON UPDATE {rows[0][5]} ON DELETE {rows[0][6]}"
        yield f"({here}) REFERENCES {rows[0][2]}", f"({there}) {actions}"
    for _, name, unique, origin, _ in _pragma(connection, "index_list", table):
        if origin != "c":
            columns = _index_columns(connection, name)
            yield f"{'UNIQUE' if unique else 'KEY'} ({columns})", origin


def _indexes(connection: sqlite3.Connection, table: str) -> Iterator[tuple[str, str]]:
    for _, name, unique, origin, _ in _pragma(connection, "index_list", table):
        if origin == "c":
            [(sql,)] = connection.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (name,))
            where = re.search(r"\sWHERE\s(.*)$", _normal(sql), re.IGNORECASE)
            text = f"{'UNIQUE ' if unique else ''}({_index_columns(connection, name)})"
            yield name, text + (f" WHERE {where[1]}" if where else "")


def _index_columns(connection: sqlite3.Connection, index: str) -> str:
    return ", ".join(
        f"{row[2]}{' DESC' if row[3] else ''}{'' if row[4] == 'BINARY' else f' {row[4]}'}"
        for row in _pragma(connection, "index_xinfo", index)
        if row[5]
    )


def _triggers(connection: sqlite3.Connection, table: str) -> Iterator[tuple[str, str]]:
    query = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ?"
    for name, sql in connection.execute(query, (table,)).fetchall():
        yield name, _normal(sql)


def _pragma(connection: sqlite3.Connection, name: str, argument: str) -> list[Any]:
    # The table-valued form takes the argument as a value, not as text of the statement. It ends
    # with the hidden columns that its caller does not ask for.
    return connection.execute(f"SELECT * FROM pragma_{name}(?)", (argument,)).fetchall()  # noqa: S608


def _normal(sql: str) -> str:
    """Return SQL without comments and with single spaces, for comparing and showing."""
    return " ".join(re.sub(r"--[^\n]*", "", sql).split())
