"""The access log: nothing goes in unchained, nothing comes out unnoticed."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from storage.audit import NO_HASH, AccessHead, NewAccess, entry_hash, first_bad
from storage.sqlite import SqliteStore, open_store
from storage.store import StoreError
from tests.integration.tenant_support import NOW, Tenant, furnish, home_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from storage.audit import AccessEntry

pytestmark = pytest.mark.integration


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with open_store(tmp_path / "wafleet.db") as opened:
        yield opened


@pytest.fixture
async def tenant(store: SqliteStore) -> Tenant:
    """Return a workspace with ten entries, another one's between each two."""
    one, other = await furnish(store, "acme"), await furnish(store, "globex")
    for number in range(9):
        for own in (one, other):
            new = NewAccess(
                action="qr.view",
                result="allowed" if number % 2 else "denied",
                now_ms=NOW + number,
                key=own.key,
                session_id=own.session if number % 3 else None,
                ip_address="192.0.2.1",
                detail={"number": number, "text": "é\ud800"},
            )
            await store.append_access(own.workspace, new)
    return one


async def chain(store: SqliteStore, workspace: str) -> list[AccessEntry]:
    return list(reversed(await store.access_log(workspace)))


async def test_entries_are_numbered_and_chained(store: SqliteStore, tenant: Tenant) -> None:
    entries = await chain(store, tenant.workspace)
    assert [entry.number for entry in entries] == list(range(1, 11))
    assert entries[0].previous_hash == NO_HASH
    assert [e.previous_hash for e in entries[1:]] == [e.hash for e in entries[:-1]]
    assert all(entry.hash == entry_hash(entry) for entry in entries)
    assert {entry.who for entry in entries} == {tenant.key}
    assert await store.verify_access_log(tenant.workspace) is None
    assert await store.access_head(tenant.workspace) == AccessHead(number=10, hash=entries[-1].hash)
    only = await store.access_log(tenant.workspace, session_id=tenant.session)
    assert {entry.session_id for entry in only} == {tenant.session}
    page = await store.access_log(tenant.workspace, before=4, limit=2)
    assert [entry.number for entry in page] == [3, 2]


async def test_who_acts_without_a_key_is_named(store: SqliteStore) -> None:
    home = await home_of(store)
    assert await store.access_head(home) == AccessHead(number=0, hash=NO_HASH)
    assert await store.verify_access_log(home) is None
    new = NewAccess(action="session.delete", result="allowed", now_ms=NOW, who="cli")
    entry = await store.append_access(home, new)
    assert (entry.who, entry.key, entry.session_id) == ("cli", None, None)
    assert await store.access_log(home) == [entry]


async def test_a_deleted_session_can_still_be_named(store: SqliteStore, tenant: Tenant) -> None:
    await store.delete_session(tenant.session, NOW)
    new = NewAccess(
        action="session.delete", result="allowed", now_ms=NOW, session_id=tenant.session
    )
    await store.append_access(tenant.workspace, new)
    assert await store.verify_access_log(tenant.workspace) is None


async def test_entries_at_once_make_one_chain(store: SqliteStore) -> None:
    home = await home_of(store)
    new = NewAccess(action="a", result="b", now_ms=NOW)
    await asyncio.gather(*(store.append_access(home, new) for _ in range(40)))
    assert (await store.access_head(home)).number == 40
    assert await store.verify_access_log(home) is None


CHANGES = {
    "who": "'01ARZ3NDEKTSV4RRFFQ69G5FAV'",
    "action": "'session.read'",
    "result": "'x'",
    "ip_address": "'192.0.2.2'",
    "detail": "'{}'",
    "created_at": "created_at + 1",
    "whatsapp_session_id": "iif(whatsapp_session_id IS NULL, 1, NULL)",
    "api_key_id": "NULL",
    "uuid": "'x'",
    "hash": "previous_hash",
    "previous_hash": "hash",
    "number": "number + 1000",
}


def unlocked(path: Path) -> sqlite3.Connection:
    """Open the file as someone who may do anything with it."""
    plain = sqlite3.connect(path, isolation_level=None)
    for name in ("changed", "deleted", "replaced"):
        plain.execute(f"DROP TRIGGER access_logs_are_not_{name}")
    return plain


@pytest.mark.parametrize("column", CHANGES)
async def test_every_changed_column_is_found(
    tmp_path: Path, store: SqliteStore, tenant: Tenant, column: str
) -> None:
    entries = await chain(store, tenant.workspace)
    with closing(unlocked(tmp_path / "wafleet.db")) as plain:
        plain.execute(
            f"UPDATE whatsapp_session_access_logs SET {column} = {CHANGES[column]}"  # noqa: S608
            " WHERE uuid = ?",
            (entries[4].id,),
        )
    # One that moved out of its place shows where it is missed.
    expected = {"number": entries[5].id, "uuid": "x"}.get(column, entries[4].id)
    assert await store.verify_access_log(tenant.workspace) == expected


@pytest.mark.parametrize("number", [1, 5, 9])
async def test_an_entry_taken_out_is_missed(
    tmp_path: Path, store: SqliteStore, tenant: Tenant, number: int
) -> None:
    entries = await chain(store, tenant.workspace)
    with closing(unlocked(tmp_path / "wafleet.db")) as plain:
        plain.execute(
            "DELETE FROM whatsapp_session_access_logs WHERE uuid = ?", (entries[number - 1].id,)
        )
    assert await store.verify_access_log(tenant.workspace) == entries[number].id


async def test_a_cut_or_rewritten_end_shows_against_a_noted_head(
    tmp_path: Path, store: SqliteStore, tenant: Tenant
) -> None:
    noted = await store.access_head(tenant.workspace)
    assert await store.verify_access_log(tenant.workspace, noted) is None
    await store.append_access(tenant.workspace, NewAccess(action="a", result="b", now_ms=NOW))
    assert await store.verify_access_log(tenant.workspace, noted) is None
    with closing(unlocked(tmp_path / "wafleet.db")) as plain:
        plain.execute("DELETE FROM whatsapp_session_access_logs WHERE number >= 10")
    assert await store.verify_access_log(tenant.workspace) is None, "the chain alone can't tell"
    assert await store.verify_access_log(tenant.workspace, noted) == "missing:10"
    forged = await store.append_access(
        tenant.workspace, NewAccess(action="a", result="b", now_ms=NOW)
    )
    assert await store.verify_access_log(tenant.workspace, noted) == forged.id


REPLACE_WITH_ANOTHER_NUMBER = (
    "REPLACE INTO whatsapp_session_access_logs (uuid, workspace_id, number, who, action, result,"
    " created_at, previous_hash, hash) SELECT uuid, workspace_id, 99, who, 'x', result,"
    " created_at, previous_hash, hash FROM whatsapp_session_access_logs LIMIT 1"
)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE whatsapp_session_access_logs SET action = 'x'",
        "DELETE FROM whatsapp_session_access_logs WHERE number = 10",
        "REPLACE INTO whatsapp_session_access_logs SELECT * FROM whatsapp_session_access_logs",
        REPLACE_WITH_ANOTHER_NUMBER,
    ],
)
async def test_the_database_refuses_changes(
    tmp_path: Path, store: SqliteStore, tenant: Tenant, statement: str
) -> None:
    with (
        closing(sqlite3.connect(tmp_path / "wafleet.db", isolation_level=None)) as plain,
        pytest.raises(sqlite3.IntegrityError, match="append-only"),
    ):
        plain.execute(statement)
    with pytest.raises(StoreError):
        await store._connections.write(lambda tx: tx.change(statement))
    assert await store.verify_access_log(tenant.workspace) is None


async def test_two_entries_that_change_places_are_found(store: SqliteStore, tenant: Tenant) -> None:
    """The pure rule alone."""
    entries = await chain(store, tenant.workspace)
    start = AccessHead(number=0, hash=NO_HASH)
    assert first_bad(start, entries) is None
    entries[3], entries[4] = entries[4], entries[3]
    assert first_bad(start, entries) == entries[3].id
    swapped = [replace(entry, number=number) for number, entry in enumerate(entries, 1)]
    assert first_bad(start, swapped) == swapped[3].id
