"""A node whose database is damaged or lost goes on from its snapshot: no QR code, nothing twice."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from storage.sqlite.snapshots import SnapshotFiles
from supervisor.processes import ProgramFailed
from tests.acceptance.conftest import Node, connect, contact
from tests.acceptance.test_admin_programs import wafleet
from tests.acceptance.test_backup_node import RESTORED, accepted, are_sent, run, visible
from tests.integration import recovery_support as support
from tests.integration.archive_support import make_profile
from tests.integration.backup_support import query
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from supervisor.processes import SimulatorPlace

pytestmark = pytest.mark.acceptance

GHOST = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def newest_snapshot(node: Node) -> Path | None:
    files = SnapshotFiles(
        database=node.data / "wafleet.db", directory=node.data / "snapshots", keep=3
    )
    found = files.found()
    return found[0].path if found else None


def has_waiting(node: Node, count: int) -> bool:
    """Tell whether the newest snapshot has so many messages that wait to be sent."""
    newest = newest_snapshot(node)
    sql = "SELECT count(*) FROM messages WHERE state = 'accepted'"
    return newest is not None and query(newest, sql) == [(count,)]


@dataclass(frozen=True)
class Lived:
    """What the node did before the damage: messages by when they were accepted."""

    contact: str
    before: list[dict[str, Any]]
    waiting: list[dict[str, Any]]
    after: list[dict[str, Any]]
    later: str


async def live(node: Node) -> Lived:
    """A snapshot with waiting messages; then these are sent, and a second session is linked."""
    node.start(WAFLEET_SNAPSHOT_INTERVAL="1")
    async with node.api() as api:
        await connect(api, "one")
        alice = await contact(api)
        before = await accepted(api, "one", alice, [f"before {n}" for n in range(2)])
        await are_sent(api, "one", before)
        await api.simulator("/faults", {"kind": "refuse_connections"})
        await api.simulator("/faults", {"kind": "disconnect"})
        await api.session_becomes("one", "disconnected", "socket_lost")
        waiting = await accepted(api, "one", alice, [f"waiting {n}" for n in range(3)])
        eventually(lambda: has_waiting(node, len(waiting)))
        node.program.stop()
        await api.simulator_delete("/faults")
    node.start()
    async with node.api() as api:
        await api.session_becomes("one", "connected", "ready")
        await are_sent(api, "one", waiting)
        await connect(api, "two")
        after = await accepted(api, "one", alice, [f"after {n}" for n in range(2)])
        await are_sent(api, "one", after)
        later: str = (await api.get("/v1/sessions/two"))["id"]
        eventually(lambda: [*node.data.glob(f"archives/*/{later}/*.wfa")])
        eventually(lambda: node.log.count('"session_archived"') >= 3)
    node.program.kill()
    assert has_waiting(node, len(waiting))
    return Lived(alice, before, waiting, after, later)


def dying(kind: str) -> list[str]:
    return [sys.executable, "-m", "tests.acceptance.dying", kind, "wafleet.db"]


async def test_a_node_goes_on_from_its_snapshot_after_pages_were_overwritten(
    make_node: Callable[..., Node], place: SimulatorPlace
) -> None:
    """Its boot is killed three times meanwhile: before the first link, unlink and replace."""
    node = make_node(place, WAFLEET_ARCHIVE_DELAY="0")
    lived = await live(node)
    database = node.data / "wafleet.db"
    log = database.with_name("wafleet.db-wal").read_bytes()
    assert log
    await asyncio.to_thread(support.overwrite_pages, database)
    damaged = database.read_bytes()
    for kind in ("link", "unlink", "replace"):
        with pytest.raises(ProgramFailed, match=f"exit code -9: .*{kind}$"):
            node.start(*dying(kind))
    told = len(node.log)
    node.start()
    await goes_on(node, lived)
    since = node.log[told:]
    assert '"database_restored"' in since
    assert '"qr_scanning"' not in since
    [kept] = node.data.glob("damaged/*/wafleet.db")
    assert kept.read_bytes() == damaged
    assert kept.with_name("wafleet.db-wal").read_bytes() == log
    node.program.stop()
    said = await asyncio.to_thread(run, node.data, "audit", "verify")
    assert "whole" in said
    told = len(node.log)
    node.start()
    node.program.stop()
    assert '"database_' not in node.log[told:]


async def goes_on(node: Node, lived: Lived) -> None:
    recovered = f"recovered-{lived.later.lower()}"
    async with node.api() as api:
        await api.session_becomes("one", "connected", "ready")
        await are_sent(api, "one", [*lived.before, *lived.waiting], RESTORED)
        session = await api.get(f"/v1/sessions/{recovered}")
        assert (session["id"], session["reason"]) == (lived.later, "recovered")
        assert (session["status"], session["desired"]) == ("disconnected", "stopped")
        await api.post(f"/v1/sessions/{recovered}/start", {})
        await api.session_becomes(recovered, "connected", "ready")
        for name, newest in (("one", 2), (recovered, 1)):
            archived = await api.post(f"/v1/sessions/{name}/archive", {})
            assert archived["generation"] > newest
        later = await accepted(api, recovered, lived.contact, ["and on it goes"])
        await are_sent(api, recovered, later)
        texts = await visible(api, lived.contact)
        for message in (*lived.before, *lived.waiting, *lived.after, *later):
            assert texts.pop(message["text"]) == 1
        assert not texts
        actions = [entry["action"] for entry in (await api.get("/v1/audit"))["entries"]]
        assert actions.count("database.restore") == 1
        kinds = (await api.get("/v1/events?types=session.created&limit=500"))["events"]
        assert lived.later in {event["session_id"] for event in kinds}


async def test_damage_under_a_running_node_is_told_and_its_next_start_repairs_it(
    make_node: Callable[..., Node], place: SimulatorPlace
) -> None:
    """The next snapshot finds it; the good ones stay until then."""
    node = make_node(place, WAFLEET_SNAPSHOT_INTERVAL="1")
    node.start()
    database = node.data / "wafleet.db"
    async with node.api() as api:
        await api.post("/v1/sessions", {"name": "one"})
        session = (await api.get("/v1/sessions/one"))["id"]
        sql = f"SELECT count(*) FROM whatsapp_sessions WHERE uuid = '{session}'"  # noqa: S608
        eventually(lambda: (newest := newest_snapshot(node)) and query(newest, sql) == [(1,)])
        assert 'wafleet_snapshots_total{result="damaged"} 0.0' in await api.text("/metrics")
        await asyncio.to_thread(support.overwrite_pages, database)
        eventually(lambda: '"database_damaged"' in node.log)
        metrics = await api.text("/metrics")
        assert 'wafleet_snapshots_total{result="damaged"} 0.0' not in metrics
    node.program.kill()
    node.start()
    async with node.api() as api:
        assert (await api.get("/v1/sessions/one"))["id"] == session
        metrics = await api.text("/metrics")
        assert 'wafleet_database_restores_total{cause="damaged"} 1.0' in metrics
        assert "wafleet_database_restored_age_seconds" in metrics
    node.program.stop()


async def test_a_removed_database_comes_back_and_a_healthy_node_does_nothing(
    make_node: Callable[..., Node], place: SimulatorPlace
) -> None:
    node = make_node(place, WAFLEET_SNAPSHOT_INTERVAL="1", WAFLEET_SNAPSHOTS_KEPT="2")
    node.start()
    async with node.api() as api:
        session = (await api.post("/v1/sessions", {"name": "one"}))["id"]
        count = node.log.count('"snapshot_taken"')
        eventually(lambda: node.log.count('"snapshot_taken"') >= count + 3)
        metrics = await api.text("/metrics")
        [age] = [x for x in metrics.splitlines() if x.startswith("wafleet_snapshot_age_seconds ")]
        assert 0 <= float(age.split()[1]) < 30
        assert 'wafleet_database_restores_total{cause="missing"} 0.0' in metrics
    node.program.stop()
    assert len(list((node.data / "snapshots").iterdir())) == 2
    assert not (node.data / "damaged").exists()
    assert '"database_' not in node.log
    (node.data / "wafleet.db").unlink()
    refused = await asyncio.to_thread(wafleet, node.data, "migrate", "up")
    assert refused.returncode == 5
    assert "[database_lost]" in refused.stderr
    node.start()
    async with node.api() as api:
        assert (await api.get("/v1/sessions/one"))["id"] == session
        metrics = await api.text("/metrics")
        assert 'wafleet_database_restores_total{cause="missing"} 1.0' in metrics
    node.program.stop()
    for event in ("database_missing", "database_restored"):
        assert node.log.count(f'"{event}"') == 1


def test_a_node_without_its_database_and_without_a_snapshot_does_not_start(tmp_path: Path) -> None:
    """Exit code 5, a sentence, and no database made; with the old logins moved away it would."""
    make_profile(tmp_path / "data" / "sessions" / GHOST / "profile")
    for command in (("run",), ("migrate", "up")):
        done = wafleet(tmp_path / "data", *command)
        assert done.returncode == 5, done.stderr
        assert "[database_lost]" in done.stderr
        assert "Traceback" not in done.stderr
    assert "sessions/" in wafleet(tmp_path / "data", "run").stderr
    assert not (tmp_path / "data" / "wafleet.db").exists()
    (tmp_path / "data" / "sessions").rename(tmp_path / "away")
    assert wafleet(tmp_path / "data", "migrate", "up").returncode == 0


def test_a_damaged_database_without_a_snapshot_stays_where_it_is(tmp_path: Path) -> None:
    """Exit code 5; the sentence says where it is, and what to do."""
    data = tmp_path / "data"
    assert wafleet(data, "migrate", "up").returncode == 0
    support.truncate(data / "wafleet.db")
    content = (data / "wafleet.db").read_bytes()
    done = wafleet(data, "run")
    assert done.returncode == 5
    for words in (str(data / "wafleet.db"), "wafleet restore DIR --replace", "[storage_unusable]"):
        assert words in done.stderr
    assert (data / "wafleet.db").read_bytes() == content
    assert not (data / "damaged").exists()
