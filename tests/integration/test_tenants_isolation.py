"""Two workspaces with the same of everything: what is one's is not there for the other."""

from __future__ import annotations

import inspect
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from storage.acceptance import Acceptance, AcceptedBefore, RequestKey, Resolution
from storage.archives_index import ArchiveIndex
from storage.audit import AccessLog, NewAccess
from storage.events import EventLog
from storage.keys import KeyNotFound, Keys
from storage.privacy import ContactNotFound, Privacy
from storage.sqlite import SqliteStore, open_store
from storage.store import Desired, MessageNotFound, SessionNotFound, Store, StoreError
from storage.tenants import Retention, Tenants, WorkspaceNotFound
from tests.integration.tenant_support import NOW, PERSON, Tenant, furnish, new_key, outbound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from pathlib import Path

    Call = Callable[[SqliteStore, str, Tenant], Coroutine[Any, Any, Any]]

pytestmark = pytest.mark.integration

PORTS = (Store, Acceptance, Tenants, Keys, EventLog, AccessLog, ArchiveIndex, Privacy)

REQUEST = RequestKey(key_hash="ab" * 32, body_hash="cd" * 32, session_status="connected")

# Each as: workspace `w` asks for what is tenant `t`'s.
FOREIGN: dict[str, list[tuple[Call, type[StoreError]]]] = {
    "create_session": [
        (lambda s, w, t: s.create_session(w, "mine", NOW, t.key), KeyNotFound),
    ],
    "session": [(lambda s, w, t: s.session(w, t.session), SessionNotFound)],
    "set_desired": [
        (lambda s, w, t: s.set_desired(w, t.session, Desired.RUNNING, NOW), SessionNotFound),
        (lambda s, w, t: s.set_desired(w, t.session, Desired.STOPPED, NOW), SessionNotFound),
    ],
    "accept_message": [
        (lambda s, w, t: s.accept_message(w, outbound(t.session, "X")), SessionNotFound),
    ],
    "accept_messages": [
        (
            lambda s, w, t: s.accept_messages(w, t.session, {0: outbound(t.session, "X")}),
            SessionNotFound,
        ),
        (
            lambda s, w, t: s.accept_messages(
                w, t.session, {0: outbound(t.session, "X")}, key=REQUEST
            ),
            SessionNotFound,
        ),
    ],
    "accept_one": [
        (lambda s, w, t: s.accept_one(w, outbound(t.session, "X")), SessionNotFound),
        (lambda s, w, t: s.accept_one(w, outbound(t.session, "X"), key=REQUEST), SessionNotFound),
    ],
    "cancel_message": [
        (lambda s, w, t: s.cancel_message(w, t.session, t.message, NOW), MessageNotFound),
    ],
    "resolve_message": [
        (
            lambda s, w, t: s.resolve_message(w, t.session, t.message, Resolution.FAIL, NOW),
            MessageNotFound,
        ),
    ],
    "resolve_messages": [
        (lambda s, w, t: s.resolve_messages(w, t.session, Resolution.FAIL, NOW), SessionNotFound),
    ],
    "message": [(lambda s, w, t: s.message(w, t.session, t.message), MessageNotFound)],
    "messages": [(lambda s, w, t: s.messages(w, t.session), SessionNotFound)],
    "message_file": [(lambda s, w, t: s.message_file(w, t.session, t.message), MessageNotFound)],
    "reactions": [(lambda s, w, t: s.reactions(w, t.session, t.message), MessageNotFound)],
    "votes": [(lambda s, w, t: s.votes(w, t.session, t.message), MessageNotFound)],
    "contact_answers": [(lambda s, w, t: s.contact_answers(w, t.contact), ContactNotFound)],
    "set_primary": [(lambda s, w, t: s.set_primary(w, t.session, NOW), SessionNotFound)],
    "deactivate": [(lambda s, w, t: s.deactivate(w, t.session, NOW), SessionNotFound)],
    "activate": [(lambda s, w, t: s.activate(w, t.session, NOW), SessionNotFound)],
    "qr_code": [(lambda s, w, t: s.qr_code(w, t.session), SessionNotFound)],
    "revoke_key": [(lambda s, w, t: s.revoke_key(w, t.key, NOW), KeyNotFound)],
    "events": [(lambda s, w, t: s.events(w, session_id=t.session), SessionNotFound)],
    "append_access": [
        (
            lambda s, w, t: s.append_access(
                w, NewAccess(action="a", result="b", now_ms=NOW, session_id=t.session)
            ),
            SessionNotFound,
        ),
        (
            lambda s, w, t: s.append_access(
                w, NewAccess(action="a", result="b", now_ms=NOW, key=t.key)
            ),
            KeyNotFound,
        ),
    ],
    "access_log": [(lambda s, w, t: s.access_log(w, session_id=t.session), SessionNotFound)],
    "contact": [(lambda s, w, t: s.contact(w, t.contact), ContactNotFound)],
    "contact_sessions": [(lambda s, w, t: s.contact_sessions(w, t.contact), ContactNotFound)],
    "export_contact": [(lambda s, w, t: s.export_contact(w, t.contact), ContactNotFound)],
    "erase_contact": [(lambda s, w, t: s.erase_contact(w, t.contact, NOW), ContactNotFound)],
}


async def _accepted_before(store: SqliteStore, workspace: str, _: Tenant) -> AcceptedBefore:
    """Both tenants have used the same key; each has its own message under it."""
    session = await store.session_named(workspace, "sales")
    found = await store.accepted_before(workspace, session.id, REQUEST)
    assert found is not None
    return found


# These take no id but the workspace's: what they return is that workspace's and nothing else.
LISTINGS: dict[str, Call] = {
    "session_named": lambda s, w, _: s.session_named(w, "sales"),
    "sessions": lambda s, w, _: s.sessions(w),
    "accepted_before": _accepted_before,
    "keys": lambda s, w, _: s.keys(w),
    "events": lambda s, w, t: s.events(w, after=t.event[:10]),
    "last_event": lambda s, w, _: s.last_event(w),
    "access_log": lambda s, w, _: s.access_log(w),
    "access_head": lambda s, w, _: s.access_head(w),
    "verify_access_log": lambda s, w, _: s.verify_access_log(w),
    "contacts": lambda s, w, _: s.contacts(w),
    "contact_with_jid": lambda s, w, _: s.contact_with_jid(w, PERSON),
    "workspace": lambda s, w, _: s.workspace(w),
    "usage": lambda s, w, _: s.usage(w, NOW),
}

# These change the workspace itself.
OWN: dict[str, Call] = {
    "create_session": lambda s, w, _: s.create_session(w, "new", NOW),
    "create_key": lambda s, w, _: s.create_key(w, new_key("new"), NOW),
    "set_plan": lambda s, w, _: s.set_plan(w, "default", NOW),
    "set_retention": lambda s, w, _: s.set_retention(w, Retention(), NOW),
    "append_access": lambda s, w, _: s.append_access(
        w, NewAccess(action="a", result="b", now_ms=NOW)
    ),
    "workspace": LISTINGS["workspace"],
    "usage": LISTINGS["usage"],
}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with open_store(tmp_path / "wafleet.db") as opened:
        yield opened


@pytest.fixture
async def two(store: SqliteStore) -> tuple[Tenant, Tenant]:
    return await furnish(store, "acme"), await furnish(store, "globex")


def scoped_methods() -> set[str]:
    """Return every method of a port that works for one workspace."""
    return {
        name
        for port in PORTS
        for name, method in inspect.getmembers(port, inspect.isfunction)
        if not name.startswith("_") and "workspace_id" in inspect.signature(method).parameters
    }


def test_every_scoped_method_is_tried_here() -> None:
    assert scoped_methods() == {*FOREIGN, *LISTINGS, *OWN}


def test_the_workspace_always_comes_first() -> None:
    for port in PORTS:
        for name, method in inspect.getmembers(port, inspect.isfunction):
            parameters = list(inspect.signature(method).parameters)
            assert "workspace_id" not in parameters[2:], name


def content(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as plain:
        return list(plain.iterdump())


@pytest.mark.parametrize("name", sorted(FOREIGN))
async def test_what_is_foreign_is_not_there(
    tmp_path: Path, store: SqliteStore, two: tuple[Tenant, Tenant], name: str
) -> None:
    one, other = two
    before = content(tmp_path / "wafleet.db")
    for call, error in FOREIGN[name]:
        for own, foreign in ((one, other), (other, one)):
            with pytest.raises(error) as refused:
                await call(store, own.workspace, foreign)
            assert own.workspace not in str(refused.value)
            assert foreign.workspace not in str(refused.value)
    assert content(tmp_path / "wafleet.db") == before, "and nothing of it was changed"


@pytest.mark.parametrize("name", sorted(FOREIGN))
async def test_what_is_foreign_and_what_is_not_there_look_alike(
    store: SqliteStore, two: tuple[Tenant, Tenant], name: str
) -> None:
    one, other = two
    nobody = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
    missing = Tenant(nobody, nobody, nobody, nobody, nobody, nobody)
    for call, error in FOREIGN[name]:
        texts = []
        for target in (other, missing):
            with pytest.raises(error) as refused:
                await call(store, one.workspace, target)
            text = str(refused.value)
            for public_id in (target.session, target.key, target.message, target.contact):
                text = text.replace(public_id, "ID")
            texts.append(text)
        assert texts[0] == texts[1]


@pytest.mark.parametrize("name", sorted(FOREIGN))
async def test_an_unknown_workspace_has_nothing(
    store: SqliteStore, two: tuple[Tenant, Tenant], name: str
) -> None:
    for call, error in FOREIGN[name]:
        for workspace in ("01ARZ3NDEKTSV4RRFFQ69G5FAV", "", "1", "%"):
            with pytest.raises((error, WorkspaceNotFound)):
                await call(store, workspace, two[0])


@pytest.mark.parametrize("name", sorted(LISTINGS))
async def test_lists_hold_only_what_is_own(
    store: SqliteStore, two: tuple[Tenant, Tenant], name: str
) -> None:
    one, other = two
    for own, foreign in ((one, other), (other, one)):
        shown = repr(await LISTINGS[name](store, own.workspace, foreign))
        for public_id in (foreign.workspace, foreign.session, foreign.key, foreign.contact):
            assert public_id not in shown
        assert foreign.message not in shown


@pytest.mark.parametrize("name", sorted(OWN))
async def test_an_unknown_workspace_is_named(store: SqliteStore, name: str) -> None:
    nobody = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
    with pytest.raises(WorkspaceNotFound):
        await OWN[name](store, nobody, Tenant(nobody, "", "", "", "", ""))


async def test_names_are_free_in_each_workspace(
    store: SqliteStore, two: tuple[Tenant, Tenant]
) -> None:
    rows = [await store.session_named(t.workspace, "sales") for t in two]
    assert [row.id for row in rows] == [t.session for t in two]
    assert [row.workspace_id for row in rows] == [t.workspace for t in two]
    assert [row.created_by for row in rows] == [t.key for t in two]
    assert {row.id for row in await store.all_sessions()} == {t.session for t in two}


async def test_the_database_itself_refuses_rows_across_workspaces(
    tmp_path: Path, store: SqliteStore, two: tuple[Tenant, Tenant]
) -> None:
    """Even a defect of ours could not attach one tenant's row to another's."""
    del store
    one, other = two
    find = {
        "whatsapp_session_id": ("SELECT id FROM whatsapp_sessions WHERE uuid = ?", other.session),
        "contact_id": ("SELECT id FROM contacts WHERE uuid = ?", other.contact),
        "workspace_id": ("SELECT id FROM workspaces WHERE uuid = ?", other.workspace),
    }
    with closing(sqlite3.connect(tmp_path / "wafleet.db", isolation_level=None)) as plain:
        plain.execute("PRAGMA foreign_keys = ON")
        # Unique things differ, so as not to be what refuses.
        plain.execute("UPDATE messages SET wa_id = wa_id || workspace_id")
        plain.execute("UPDATE whatsapp_sessions SET session_id = uuid, is_primary = 0")
        [(own,)] = plain.execute("SELECT id FROM workspaces WHERE uuid = ?", (one.workspace,))
        for table, column in (
            ("messages", "whatsapp_session_id"),
            ("messages", "contact_id"),
            ("chats", "contact_id"),
            ("contact_sessions", "contact_id"),
            ("whatsapp_sessions", "workspace_id"),
        ):
            sql, public_id = find[column]
            [(foreign,)] = plain.execute(sql, (public_id,))
            change = f"UPDATE {table} SET {column} = ? WHERE workspace_id = ?"  # noqa: S608
            with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
                plain.execute(change, (foreign, own))
