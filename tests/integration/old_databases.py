"""A database as the second version left it, with rows of every kind that it could hold."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

from ulid import ULID

from storage.sqlite import migrations
from storage.sqlite.files import prepare_file

NOW = 1_700_000_000_000
OLD_VERSIONS = ("0001_whatsapp_sessions", "0002_messages")
CHATS = ("15551230001@c.us", "998877@lid", "120363@g.us", "status@broadcast")
OUT = ("accepted", "sending", "sent", "delivered", "read", "played", "unknown", "failed")


def ulid(number: int) -> str:
    """Return a public id that grows with the number."""
    return str(ULID.from_int((NOW << 80) + number))


def make_old_database(path: Path) -> None:
    """Make the file at version 2 and fill it: live and deleted sessions, messages both ways."""
    prepare_file(path, 1000)
    with TemporaryDirectory() as directory:
        for version in OLD_VERSIONS:
            for name in (f"{version}.sql", f"{version}.rollback.sql"):
                text = (files("storage") / "migrations" / name).read_text()
                (Path(directory) / name).write_text(text)
        migrations.apply(path, directory=Path(directory))
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        old.execute("BEGIN")
        for number in range(4):
            old.execute(
                "INSERT INTO whatsapp_sessions (id, uuid, session_id, phone_number, desired,"
                " status, reason, detail, incarnation, sequence, since_at, last_activity_at,"
                " last_connected_at, created_at, updated_at, deleted_at)"
                " VALUES (?, ?, ?, ?, 'running', 'connected', 'ready', 'é', 3,"
                " ?, ?, ?, ?, 1, 2, ?)",
                (
                    10 * number + 3,
                    ulid(number),
                    f"s{number % 2}",
                    f"1555{number}",
                    number,
                    *(NOW + n for n in range(3)),
                    NOW if number < 2 else None,
                ),
            )
        for number in range(96):
            chat = CHATS[number % 4]
            inbound = number % 3 == 0
            old.execute(
                "INSERT INTO messages (uuid, whatsapp_session_id, direction, chat, sender, wa_id,"
                " kind, body, state, error_code, error_detail, attempts, created_at, updated_at,"
                " sent_at, delivered_at, read_at)"
                " VALUES (?, ?, ?, ?, ?, ?, 'chat', ?, ?, 'c', NULL, 1, ?, ?, ?, NULL, ?)",
                (
                    ulid(1000 + number),
                    10 * (number % 4) + 3 if number < 48 else 3,
                    "inbound" if inbound else "outbound",
                    chat,
                    ("15551230002@c.us" if number % 4 > 1 else chat) if inbound else None,
                    f"W{number}",
                    f"body {number} 💬",
                    "received" if inbound else OUT[number % len(OUT)],
                    NOW + number,
                    NOW + number + 1,
                    NOW + 2,
                    NOW + 3,
                ),
            )
        old.execute("COMMIT")
