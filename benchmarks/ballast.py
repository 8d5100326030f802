"""A database of a wanted size: past messages and their events, in a stopped node's own tables."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BODY_CHARS: Final = 1800
SMALL_CHARS: Final = 120
BATCH: Final = 5_000
_CHAT: Final = "15550109999@c.us"
_LONG_AGO: Final = 1_600_000_000_000

_MESSAGE: Final = (
    "INSERT INTO messages (uuid, workspace_id, whatsapp_session_id, chat_id, contact_id, direction,"
    " chat, sender, wa_id, kind, body, state, created_at, updated_at, sent_at)"
    " VALUES (?1, ?2, ?3, ?4, ?5, 'inbound', ?6, ?6, ?7, 'chat', ?8, 'received', ?9, ?9, ?9)"
)
_EVENT: Final = (
    "INSERT INTO events (uuid, workspace_id, whatsapp_session_id, type, version, payload,"
    " created_at) VALUES (?, ?, ?, 'message.received', 1, '{}', ?)"
)


def fill_rows(database: Path, count: int) -> int:
    """Add at least `count` small messages to the only session; return how many."""
    return _fill(database, lambda _, made: made < count, SMALL_CHARS)


def fill(database: Path, size: int) -> int:
    """Add messages to the only session until the file has `size` bytes; return how many."""
    return _fill(database, lambda connection, _: _size(connection) < size, BODY_CHARS)


def _fill(database: Path, more: Callable[[sqlite3.Connection, int], bool], body_chars: int) -> int:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA synchronous = OFF")  # it is closed in order, then measured
        connection.execute("PRAGMA foreign_keys = ON")
        keys = _chat(connection)
        made = 0
        while more(connection, made):
            with connection:
                connection.executemany(_MESSAGE, _messages(keys, made, body_chars))
                connection.executemany(
                    _EVENT,
                    [(_id(n), *keys[:2], _LONG_AGO + n) for n in range(made, made + BATCH)],
                )
            made += BATCH
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return made


def _chat(connection: sqlite3.Connection) -> tuple[int, int, int, int]:
    """Make the chat and its contact; return the keys of workspace, session, chat and contact."""
    [(workspace, session)] = connection.execute("SELECT workspace_id, id FROM whatsapp_sessions")
    with connection:
        contact = connection.execute(
            "INSERT INTO contacts (uuid, workspace_id, jid, created_at, updated_at)"
            " VALUES (?, ?, ?, 1, 1)",
            (_id(0), workspace, _CHAT),
        ).lastrowid
        chat = connection.execute(
            "INSERT INTO chats (uuid, workspace_id, whatsapp_session_id, contact_id, jid, kind,"
            " created_at, updated_at) VALUES (?, ?, ?, ?, ?, 'contact', 1, 1)",
            (_id(0), workspace, session, contact, _CHAT),
        ).lastrowid
    assert chat is not None
    assert contact is not None
    return workspace, session, chat, contact


def _messages(
    keys: tuple[int, int, int, int], start: int, body_chars: int
) -> Iterator[tuple[object, ...]]:
    source = random.Random(start)  # noqa: S311 - the same content in every run
    for number in range(start, start + BATCH):
        body = source.randbytes(body_chars // 2).hex()
        yield (_id(number), *keys, _CHAT, f"{number:020X}", body, _LONG_AGO + number)


def _size(connection: sqlite3.Connection) -> int:
    [(pages,)] = connection.execute("PRAGMA page_count")
    [(page,)] = connection.execute("PRAGMA page_size")
    return int(pages) * int(page)


def _id(number: int) -> str:
    """Return a public id that is older than every real one."""
    return f"{number:026}"
