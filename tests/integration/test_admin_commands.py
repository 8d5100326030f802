"""The administration commands as functions, on real files: where they may work, tenants, audit."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final

import pytest

from api.keys import EVERY_SCOPE, Scope, parse_key
from storage.keys import KeyNotFound
from storage.store import SessionNotFound
from storage.tenants import (
    DEFAULT,
    NameTaken,
    PlanLimits,
    PlanNotFound,
    Retention,
    WorkspaceNotFound,
)
from supervisor.admin import chains, schema, tenancy
from supervisor.admin.errors import (
    ArgumentInvalid,
    DatabaseMissing,
    MigrationPending,
)
from supervisor.admin.place import Place
from supervisor.datadir import DataDir
from supervisor.errors import DataDirInUse
from tests.integration.admin_support import dump, migrated
from tests.integration.test_api_server import running_api

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.integration

NOW: Final = 1_800_000_000_000


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return migrated(tmp_path / "data")


# ---- where and when ----


async def test_without_a_database_nothing_is_made(tmp_path: Path) -> None:
    place = Place(DataDir(tmp_path / "elsewhere"), 500)
    with pytest.raises(DatabaseMissing, match="migrate up"):
        async with place.store():
            pass
    for command in (schema.status, schema.verify):
        with pytest.raises(DatabaseMissing):
            command(place)
    with pytest.raises(DatabaseMissing):
        schema.down(place, 1)
    assert not (tmp_path / "elsewhere").exists()


async def test_a_database_of_an_older_version_is_not_migrated_by_the_way(place: Place) -> None:
    schema.down(place, 2)
    before = [state.applied for state in schema.status(place)]
    with pytest.raises(MigrationPending, match=r"and 1 more.*migrate up"):
        async with place.store():
            pass
    assert [state.applied for state in schema.status(place)] == before
    assert len(schema.up(place)) == 2
    assert schema.up(place) == ()


async def test_what_needs_a_stopped_node_refuses_beside_a_running_one(place: Place) -> None:
    """And the rest works beside it."""
    with DataDir(place.data.root).owned():
        with pytest.raises(DataDirInUse, match="in use by another wafleet"):
            schema.up(place)
        with pytest.raises(DataDirInUse, match="in use by another wafleet"):
            schema.down(place, 1)
        with pytest.raises(DataDirInUse), place.stopped():
            pass
        assert all(state.applied for state in schema.status(place))
        assert schema.verify(place) == ()
        async with place.store() as store:
            assert (await tenancy.create_workspace(store, "acme")).name == "acme"


def test_verify_names_what_is_not_as_expected(place: Place) -> None:
    with closing(sqlite3.connect(place.data.database)) as plain:
        plain.execute("DROP INDEX messages_age")
        plain.execute("ALTER TABLE contacts ADD COLUMN nickname TEXT")
        plain.commit()
    found = [str(finding) for finding in schema.verify(place)]
    assert any("missing_index" in line and "messages_age" in line for line in found)
    assert any("extra_column" in line and "nickname" in line for line in found)


# ---- workspaces, plans, keys ----


async def test_a_key_made_here_opens_the_api_and_revoked_closes_it(tmp_path: Path) -> None:
    """Beside a running node: the same database, another process in all but name."""
    async with running_api(tmp_path) as api:
        shutil.copy(tmp_path / "wafleet.db", tmp_path / "copy.db")  # proves that it is a file
        place = Place(DataDir(tmp_path), 500)
        async with place.store() as store:
            await tenancy.create_workspace(store, "acme")
            made = await tenancy.create_key(
                store, workspace="acme", name="k", scopes=EVERY_SCOPE, env="test"
            )
            headers = {"Authorization": f"Bearer {made.text}"}
            made_one = await api.call("POST", "/v1/sessions", headers=headers, json={"name": "s"})
            assert made_one.status == 201
            assert (await api.get("/v1/sessions")).json["sessions"] == []

            limited = await tenancy.create_key(
                store,
                workspace="acme",
                name="one",
                scopes=frozenset({Scope.SESSION_READ}),
                sessions=["s", made_one.json["id"]],
                lasts_ms=60_000,
                env="live",
            )
            assert tenancy.key_scopes(limited.record) == "session:read on 1 session(s)"
            assert made.text not in repr(made)
            with pytest.raises(SessionNotFound):
                await tenancy.create_key(
                    store,
                    workspace=DEFAULT,
                    name="x",
                    scopes=EVERY_SCOPE,
                    sessions=["s"],
                    env="live",
                )
            other = {"Authorization": f"Bearer {limited.text}"}
            parts = parse_key(limited.text)
            assert parts is not None
            await tenancy.revoke_key(store, "acme", parts.key_id)
            refused = await api.call("GET", "/v1/sessions/s", headers=other)
            assert (refused.status, refused.code) == (401, "key_revoked")
            states = [tenancy.key_state(key, NOW) for key in await tenancy.list_keys(store, "acme")]
            assert states == ["valid", "revoked"]
            for wrong in ("nope", made.record.id.lower()):
                with pytest.raises(KeyNotFound):
                    await tenancy.revoke_key(store, "acme", wrong)
            with pytest.raises(KeyNotFound):
                await tenancy.revoke_key(store, DEFAULT, made.record.id)
            home = (await store.workspace_named("acme")).id
            log = await store.access_log(home)
            assert log[-1].who.startswith("cli:uid=")
            assert [e.action for e in log if e.who.startswith("cli")] == [
                "key.revoke",
                "key.create",
                "key.create",
                "workspace.create",
            ]
    assert made.text not in dump(place)


async def test_workspaces_and_plans(place: Place) -> None:
    async with place.store() as store:
        await tenancy.set_plan(store, "small", PlanLimits(sessions=1, messages=10))
        await tenancy.set_plan(store, "small", PlanLimits(sessions=2))
        await tenancy.create_workspace(store, "acme", "small")
        with pytest.raises(NameTaken):
            await tenancy.create_workspace(store, "acme")
        with pytest.raises(PlanNotFound):
            await tenancy.create_workspace(store, "beta", "huge")
        for name in ("", " ", "a\nb", "a" * 65):
            with pytest.raises(ArgumentInvalid):
                await tenancy.create_workspace(store, name)
        keep = Retention(messages_ms=1000)
        changed = await tenancy.change_workspace(store, "acme", plan=None, retention=keep)
        assert (changed.plan, changed.retention) == ("small", keep)
        changed = await tenancy.change_workspace(store, "acme", plan=DEFAULT, retention=None)
        assert (changed.plan, changed.retention) == (DEFAULT, keep)
        with pytest.raises(WorkspaceNotFound):
            await tenancy.change_workspace(store, "nope", plan=None, retention=None)
        listed = await tenancy.list_workspaces(store)
        assert [one.workspace.name for one in listed] == [DEFAULT, "acme"]


# ---- the access log ----


async def test_a_changed_entry_and_a_cut_end_are_found(place: Place, tmp_path: Path) -> None:
    async with place.store() as store:
        home = (await tenancy.create_workspace(store, "acme")).id
        for n in range(5):
            await tenancy.note(store, home, "key.create", made=str(n))
        reports = await chains.verify_chains(store, {})
        assert [(r.name, r.head.number, r.bad) for r in reports] == [
            (DEFAULT, 0, None),
            ("acme", 6, None),
        ]
    noted = tmp_path / "heads.json"
    noted.write_text(chains.heads_text(reports))
    heads = chains.read_heads(noted)
    assert heads[home].number == 6
    whole = tmp_path / "whole.db"
    shutil.copy(place.data.database, whole)

    async def tampered(sql: str) -> dict[str, str | None]:
        shutil.copy(whole, place.data.database)
        with closing(sqlite3.connect(place.data.database)) as plain:
            kept = plain.execute(
                "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"
            ).fetchall()
            for name, _ in kept:
                plain.execute(f"DROP TRIGGER {name}")
            plain.execute(sql)
            for _, text in kept:
                plain.execute(text)
            plain.commit()
        async with place.store() as store:
            return {r.name: r.bad for r in await chains.verify_chains(store, heads)}

    table = "whatsapp_session_access_logs"
    changed = await tampered(f"UPDATE {table} SET action = 'x' WHERE number = 3")  # noqa: S608
    assert changed["acme"] is not None
    removed = await tampered(f"DELETE FROM {table} WHERE number = 4")  # noqa: S608
    assert removed["acme"] is not None
    cut = await tampered(f"DELETE FROM {table} WHERE number > 4")  # noqa: S608
    assert cut["acme"] == "missing:6"
    assert (await tampered("SELECT 1"))["acme"] is None
    gone = {"01J9ZS8XQ2N4B6D8F0H2K4M6P8": heads[home]}
    async with place.store() as store:
        assert [r.bad for r in await chains.verify_chains(store, gone)] == [
            None,
            None,
            "missing:6",
        ]


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', '{"a": {"number": "x", "hash": ""}}'])
def test_heads_that_are_none_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "heads"
    path.write_text(text)
    with pytest.raises(ArgumentInvalid):
        chains.read_heads(path)
