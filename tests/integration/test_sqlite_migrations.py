"""The schema's versions: there and back, never by halves, and never from the future."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib.resources import as_file, files
from typing import TYPE_CHECKING

import pytest

from storage.sqlite import migrations, open_store
from storage.sqlite.files import prepare_file
from storage.store import StoreBusy, StoreError, StoreUnusable

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

NOW = 1_800_000_000_000
ALL = (
    "0001_whatsapp_sessions",
    "0002_messages",
    "0003_workspaces",
    "0004_api_keys",
    "0005_tenant_sessions",
    "0006_contacts_chats",
    "0007_tenant_messages",
    "0008_campaigns",
    "0009_events",
    "0010_access_log",
    "0011_archives_media",
    "0012_limiter_log",
    "0013_outbox",
    "0014_message_grants",
    "0015_turns",
    "0016_idempotency",
    "0017_uploads",
    "0018_inbound",
    "0019_webhooks",
    "0020_fewer_indexes",
)


def schema(path: Path) -> set[tuple[str, str | None]]:
    with closing(sqlite3.connect(path)) as plain:
        rows = plain.execute(
            "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE '%yoyo%'"
            " AND name NOT LIKE 'sqlite_%'"
        )
        return set(rows.fetchall())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "wafleet.db"
    prepare_file(path, 1000)
    return path


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Return a directory with a copy of the shipped versions, to add to."""
    with as_file(files("storage") / "migrations") as shipped:
        return shutil.copytree(shipped, tmp_path / "versions")


def test_up_down_up(path: Path) -> None:
    assert migrations.apply(path) == ALL
    newest = schema(path)
    assert migrations.apply(path) == ()
    assert migrations.rollback(path, len(ALL)) == ALL[::-1]
    assert schema(path) == set()
    assert migrations.rollback(path) == ()
    assert [(s.applied, s.known) for s in migrations.status(path)] == [(False, True)] * len(ALL)
    assert migrations.apply(path) == ALL
    assert schema(path) == newest


def test_every_version_can_be_taken_back_alone() -> None:
    with as_file(files("storage") / "migrations") as shipped:
        forward = {f.stem for f in shipped.glob("*.sql") if not f.name.endswith(".rollback.sql")}
        back = {f.name.removesuffix(".rollback.sql") for f in shipped.glob("*.rollback.sql")}
    assert forward == back == set(ALL)


async def test_a_newer_database_is_refused(path: Path, own: Path) -> None:
    (own / "9999_future.sql").write_text("CREATE TABLE future (x INTEGER) STRICT;")
    (own / "9999_future.rollback.sql").write_text("DROP TABLE future;")
    assert migrations.apply(path, directory=own) == (*ALL, "9999_future")
    for attempt in (migrations.apply, migrations.rollback):
        with pytest.raises(StoreUnusable, match=r"newer wafleet .*9999_future"):
            attempt(path)
    with pytest.raises(StoreUnusable, match="newer"):
        async with open_store(path):
            pytest.fail("it was opened")
    assert [s.id for s in migrations.status(path) if not s.known] == ["9999_future"]
    assert migrations.rollback(path, directory=own) == ("9999_future",)
    async with open_store(path) as store:
        await store.ping()


def test_a_version_that_fails_leaves_no_trace(path: Path, own: Path) -> None:
    migrations.apply(path)
    before = schema(path)
    (own / "9999_half.sql").write_text("CREATE TABLE half (x);\nCREATE TABLE messages (y);")
    with pytest.raises(StoreError):
        migrations.apply(path, directory=own)
    assert schema(path) == before
    assert [s.applied for s in migrations.status(path, directory=own)] == [True] * len(ALL) + [
        False
    ]
    assert migrations.apply(path) == ()


def test_a_version_that_breaks_references_is_refused(path: Path, own: Path) -> None:
    (own / "9999_orphan.sql").write_text(
        "INSERT INTO chats (uuid, workspace_id, jid, kind, created_at, updated_at)"
        " VALUES ('u', 99, 'c', 'other', 1, 1);"
    )
    with pytest.raises(StoreUnusable, match="point nowhere"):
        migrations.apply(path, directory=own)
    assert schema(path) == set(), "all versions of one call, or none"


def test_a_kill_between_statements_leaves_the_old_version(path: Path, own: Path) -> None:
    """A process that dies inside a version: the next start applies it as if nothing had been."""
    migrations.apply(path)
    before = schema(path)
    dying = (
        "import os, sys, sqlite3\n"
        "from pathlib import Path\n"
        "from storage.sqlite import migrations\n"
        "run = migrations._Backend.mark_one\n"
        "migrations._Backend.mark_one = lambda *a, **k: os.kill(os.getpid(), 9)\n"
        "migrations.apply(Path(sys.argv[1]), directory=Path(sys.argv[2]))\n"
    )
    (own / "9999_more.sql").write_text("CREATE TABLE more (x INTEGER) STRICT;")
    ended = subprocess.run(
        [sys.executable, "-c", dying, str(path), str(own)], check=False, timeout=60
    )
    assert ended.returncode == -9
    assert schema(path) == before
    assert migrations.apply(path, directory=own) == ("9999_more",)


def test_two_processes_that_start_at_once_apply_each_version_once(path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from storage.sqlite import migrations\n"
        "sys.stdin.readline()\n"
        "print(len(migrations.apply(Path(sys.argv[1]))))\n"
    )
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    applied = [int(racer.communicate(timeout=60)[0]) for racer in racers]
    assert sorted(applied) == [0, 0, 0, len(ALL)]
    assert all(racer.returncode == 0 for racer in racers)


def test_a_lock_held_by_another_is_reported(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusy):
            migrations.apply(path, busy_timeout_ms=50)
        other.execute("ROLLBACK")
    assert migrations.apply(path) == ALL


def test_nothing_to_do_needs_no_lock(path: Path) -> None:
    migrations.apply(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert migrations.apply(path, busy_timeout_ms=50) == ()
        assert len(migrations.status(path, busy_timeout_ms=50)) == len(ALL)


def test_at_least_one_step() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        migrations.rollback(None, 0)  # type: ignore[arg-type]
