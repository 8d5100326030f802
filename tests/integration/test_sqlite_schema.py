"""The data model: versions there and back on full databases, and the check of what is there."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from storage.sqlite import migrations, open_store
from storage.store import StoreUnusable
from tests.integration.old_databases import CHATS, OLD_VERSIONS, make_old_database, ulid
from tests.integration.tenant_support import NOW, furnish, home_of, new_key

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

Rows = dict[str, list[tuple[Any, ...]]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "wafleet.db"
    make_old_database(path)
    return path


SHARED = {"subscription_plans", "workspaces", "message_grants", "sending_numbers"}


def rows(path: Path, tables: dict[str, str] | None = None) -> Rows:
    """Return every table's rows (or those columns of it), in order of their first column."""
    with closing(sqlite3.connect(path)) as plain:
        if tables is None:
            names = plain.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '%yoyo%'"
                " AND name NOT LIKE 'sqlite_%'"
            )
            tables = {name: "*" for (name,) in names}
        return {
            name: plain.execute(f"SELECT {columns} FROM {name} ORDER BY 1, 2").fetchall()  # noqa: S608
            for name, columns in tables.items()
        }


def columns(path: Path) -> dict[str, str]:
    """Return the columns of every table, to ask a newer database for the same."""
    with closing(sqlite3.connect(path)) as plain:
        names = list(rows(path))
        return {
            name: ", ".join(
                row[0] for row in plain.execute("SELECT name FROM pragma_table_info(?)", (name,))
            )
            for name in names
        }


def check_references(path: Path) -> None:
    with closing(sqlite3.connect(path)) as plain:
        assert plain.execute("PRAGMA foreign_key_check").fetchall() == []
        assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_an_old_database_goes_up_down_and_up_without_losing_a_row(path: Path) -> None:
    known = columns(path)
    old = rows(path, known)
    assert {name: len(found) for name, found in old.items()} == {
        "whatsapp_sessions": 4,
        "messages": 96,
    }
    newer = len(migrations.apply(path))
    up = rows(path)
    assert rows(path, known) == old
    check_references(path)
    assert len(migrations.rollback(path, newer)) == newer
    assert rows(path) == old
    check_references(path)
    migrations.apply(path)
    again = rows(path)
    for made in ("subscription_plans", "workspaces"):  # new ids, made at this moment
        assert len(again.pop(made)) == len(up.pop(made)) == 1
    assert again == up, "contacts, chats and counters come out the same"
    check_references(path)


def test_each_version_alone_goes_down_and_up(path: Path) -> None:
    newer = len(migrations.apply(path))
    for steps in range(1, newer + 1):
        before = rows(path)
        assert len(migrations.rollback(path, steps)) == steps
        check_references(path)
        assert len(migrations.apply(path)) == steps
        check_references(path)
        assert migrations.verify(path) == ()
        after = rows(path)
        for name in ("whatsapp_sessions", "messages"):
            assert after[name] == before[name]


async def test_what_was_there_belongs_to_the_default_workspace(path: Path) -> None:
    async with open_store(path) as store:
        home = await home_of(store)
        assert len(home) == 26
        sessions = await store.sessions(home)
        assert [row.id for row in sessions] == [ulid(2), ulid(3)], "those not deleted"
        assert all(row.is_active and not row.is_primary for row in sessions)
        contacts = {row.jid: row for row in await store.contacts(home)}
        assert set(contacts) == {CHATS[0], CHATS[1], "15551230002@c.us"}
        assert contacts[CHATS[0]].phone_number == "15551230001"
        assert contacts[CHATS[1]].phone_number is None
        assert contacts[CHATS[0]].id == ulid(1000), "that of its first message"
        counted = {
            jid: sum(c.total_messages for c in await store.contact_sessions(home, row.id))
            for jid, row in contacts.items()
        }
        # In a group the sender counts: 48 messages in chats of more than two, a third comes in.
        assert counted == {CHATS[0]: 24, CHATS[1]: 24, "15551230002@c.us": 16}
        assert len((await store.export_contact(home, contacts[CHATS[0]].id)).messages) == 24
        sender = contacts["15551230002@c.us"]
        assert len((await store.export_contact(home, sender.id)).messages) == 16
        row, made = await store.create_session(home, "new", NOW)
        assert made
        assert row.id > max(ulid(3), home), "ids go on after the newest"
        assert await store.events(home) != []


async def test_a_full_database_goes_down_as_far_as_it_can(path: Path) -> None:
    """Two tenants with the same names: the rollback keeps every session and message."""
    async with open_store(path) as store:
        one, other = await furnish(store, "acme"), await furnish(store, "globex")
        home = await home_of(store)
        key = await store.create_key(home, new_key("k"), NOW)
        await store.create_session(home, "sales", NOW, key.id)
        contact = await store.contact_with_jid(one.workspace, "15551230001@c.us")
        await store.erase_contact(one.workspace, contact.id, NOW)
    up = rows(path)
    migrations.rollback(path, len(migrations.status(path)) - len(OLD_VERSIONS))
    check_references(path)
    old = rows(path)
    assert len(old["whatsapp_sessions"]) == len(up["whatsapp_sessions"]) == 7
    assert len(old["messages"]) == len(up["messages"]) == 100
    with closing(sqlite3.connect(path)) as plain:
        names = plain.execute(
            "SELECT session_id FROM whatsapp_sessions WHERE deleted_at IS NULL ORDER BY id"
        ).fetchall()
    first, second = (name for (name,) in names if name.startswith("sales-"))
    assert ("sales",) in names
    assert {first, second} <= {f"sales-{s.lower()}" for s in (one.session, other.session)} | {
        f"sales-{row[1].lower()}" for row in up["whatsapp_sessions"]
    }
    migrations.apply(path)
    check_references(path)
    async with open_store(path) as store:
        assert len(await store.sessions(await home_of(store))) == 5


def test_verify_finds_a_match(path: Path) -> None:
    assert {f.code for f in migrations.verify(path)} >= {"pending_version", "missing_table"}
    migrations.apply(path)
    assert migrations.verify(path) == ()


DAMAGE = {
    "DROP TABLE media": "missing_table media",
    "CREATE TABLE more (x)": "extra_table more",
    "ALTER TABLE contacts DROP COLUMN name": "missing_column contacts.name",
    "ALTER TABLE contacts ADD COLUMN more TEXT": "extra_column contacts.more",
    "DROP INDEX chats_session": "missing_index chats.chats_session",
    "CREATE INDEX more ON chats (jid)": "extra_index chats.more",
    "DROP TRIGGER events_are_facts": "missing_trigger events.events_are_facts",
    "CREATE TRIGGER more AFTER INSERT ON chats BEGIN SELECT 1; END": "extra_trigger chats.more",
}


@pytest.mark.parametrize("statement", DAMAGE)
async def test_verify_names_what_differs(path: Path, statement: str) -> None:
    migrations.apply(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as plain:
        plain.execute(statement)
    found = migrations.verify(path)
    assert [f"{f.code} {f.what}" for f in found] == [DAMAGE[statement]]
    assert DAMAGE[statement].split()[1] in str(found[0])
    if found[0].code.startswith("extra_"):
        async with open_store(path) as store:
            await store.ping()
    else:
        with pytest.raises(StoreUnusable, match="by halves"):
            async with open_store(path):
                pytest.fail("it was opened")


REWRITTEN = {
    # what stands in the table's text, what it becomes, what is found
    ("media", "bytes INTEGER NOT NULL", "bytes INTEGER"): "different_column media.bytes",
    ("media", "bytes INTEGER", "bytes TEXT"): "different_column media.bytes",
    ("media", " CHECK (bytes >= 0)", ""): "different_rule media",
    ("media", " STRICT", ""): "different_rule media",
    (
        "media",
        "ON DELETE SET NULL",
        "ON DELETE CASCADE",
    ): "different_key media.(message_id) REFERENCES messages",
    ("media", "path TEXT NOT NULL UNIQUE", "path TEXT NOT NULL"): "missing_key media.UNIQUE (path)",
    (
        "whatsapp_sessions_primary",
        " AND deleted_at IS NULL",
        "",
    ): "different_index whatsapp_sessions.whatsapp_sessions_primary",
    (
        "whatsapp_sessions_name",
        "UNIQUE ",
        "",
    ): "different_index whatsapp_sessions.whatsapp_sessions_name",
    (
        "chats_newest",
        "last_message_at",
        "last_message_at DESC",
    ): "different_index chats.chats_newest",
}


@pytest.mark.parametrize("change", REWRITTEN, ids=lambda change: " ".join(change).strip())
def test_verify_sees_into_tables_and_indexes(path: Path, change: tuple[str, str, str]) -> None:
    migrations.apply(path)
    name, part, becomes = change
    with closing(sqlite3.connect(path, isolation_level=None)) as plain:
        kind, sql = plain.execute(
            "SELECT type, sql FROM sqlite_master WHERE name = ?", (name,)
        ).fetchone()
        assert part in sql
        plain.execute(f"DROP {kind} {name}")
        plain.execute(sql.replace(part, becomes))
        if kind == "table":
            for index in (
                "CREATE INDEX media_message ON media (message_id)",
                "CREATE INDEX media_age ON media (workspace_id, created_at)",
                "CREATE INDEX media_orphans ON media (id) WHERE message_id IS NULL",
            ):
                plain.execute(index)
    assert [f"{f.code} {f.what}" for f in migrations.verify(path)] == [REWRITTEN[change]]


async def test_versions_with_a_gap_are_refused(path: Path) -> None:
    migrations.apply(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as plain:
        plain.execute("DELETE FROM _yoyo_migration WHERE migration_id LIKE '0005%'")
    for attempt in (migrations.apply, migrations.rollback):
        with pytest.raises(StoreUnusable, match=r"by halves.*0005_tenant_sessions"):
            attempt(path)
    with pytest.raises(StoreUnusable, match="by halves"):
        async with open_store(path):
            pytest.fail("it was opened")


def test_every_table_is_owned_by_a_workspace(path: Path) -> None:
    """All but the plans, which workspaces share, workspaces themselves, and phone numbers.

    What a number may send is the same, whichever workspace's session asks.
    """
    migrations.apply(path)
    with closing(sqlite3.connect(path)) as plain:
        for name in rows(path):
            found = plain.execute(
                'SELECT "to", "notnull" FROM pragma_foreign_key_list(?) AS k'
                ' JOIN pragma_table_info(?) AS c ON c.name = k."from"'
                " WHERE k.\"from\" = 'workspace_id' AND k.\"table\" = 'workspaces'",
                (name, name),
            ).fetchall()
            shared = name in SHARED
            assert found == ([] if shared else [("id", 1)]), name


def test_every_foreign_key_has_an_index(path: Path) -> None:
    """Without one, deleting a parent's row would read the whole child table.

    Workspaces and chats are never deleted.
    """
    migrations.apply(path)
    with closing(sqlite3.connect(path)) as plain:
        for name in rows(path):
            leading = set()
            for (index,) in plain.execute("SELECT name FROM pragma_index_list(?)", (name,)):
                [(first,)] = plain.execute(
                    "SELECT name FROM pragma_index_info(?) WHERE seqno = 0", (index,)
                )
                leading.add(first)
            keys: dict[int, list[str]] = {}
            for key, column in plain.execute(
                'SELECT id, "from" FROM pragma_foreign_key_list(?)', (name,)
            ):
                keys.setdefault(key, []).append(column)
            primary = plain.execute(
                "SELECT name FROM pragma_table_info(?) WHERE pk = 1", (name,)
            ).fetchone()[0]
            for parts in keys.values():
                # The last column tells apart; workspace_id before it hardly does.
                assert parts[-1] in leading | {primary, "workspace_id", "chat_id"}, (name, parts)
