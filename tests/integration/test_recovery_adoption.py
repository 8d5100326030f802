"""What was made after the snapshot and is only on the disk: taken in, or put aside, never swept."""

from __future__ import annotations

import asyncio
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from actors.reasons import LASTING, REASONS, TRANSIENT
from api.schemas import NAME_PATTERN
from storage.archives_index import ArchiveOutOfOrder, NewArchive
from storage.events import EventType
from storage.sqlite import open_store
from storage.store import Desired, SessionNotFound, SessionStatus
from storage.tenants import PlanLimits, WorkspaceNotFound
from storage.vault import ArchiveContext
from tests.fitting import fitting
from tests.integration.archive_support import OTHER_RING, archive_files, make_profile
from tests.integration.backup_support import execute, query
from tests.integration.media_support import media_files, read_all
from tests.integration.recovery_support import Lived, boot, live, remove, take, truncate
from tests.integration.tenant_support import NOW, home_of, inbound

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from storage.store import SessionRow

pytestmark = pytest.mark.integration

GHOST = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


@pytest.fixture
async def lived(tmp_path: Path) -> Lived:
    return await live(tmp_path / "data")


@dataclass(frozen=True)
class After:
    """What a restored node has."""

    sessions: dict[str, SessionRow]
    generations: dict[str, list[int]]
    events: list[tuple[str, str | None]]
    adopted: tuple[int, int, int]


async def restore(lived: Lived) -> After:
    """Damage the database, boot, and do what a node does next: sweep."""
    truncate(lived.database)
    async with boot(lived.root) as (store, restored):
        assert restored is not None
        archives = archive_files(lived.root, store)
        await archives.sweep()
        await media_files(lived.root, store).sweep()
        rows = await store.all_sessions(limit=500)
        return After(
            sessions={row.id: row for row in rows},
            generations={
                row.id: [record.generation for record in await store.archives(row.id)]
                for row in rows
            },
            events=[
                (event.type, event.session_id)
                for event in fitting(await store.all_events(limit=500))
            ],
            adopted=(
                restored.adopted.sessions,
                restored.adopted.archives,
                restored.adopted.put_aside,
            ),
        )


def files(folder: Path) -> Sequence[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


# ---- sessions ------------------------------------------------------------------------------------


async def test_a_session_made_after_the_snapshot_is_taken_in(lived: Lived) -> None:
    """Stopped until somebody says otherwise, in its workspace, under a name that is free."""
    after = await restore(lived)
    row = after.sessions[lived.later]
    assert row.name == f"recovered-{lived.later.lower()}"
    assert row.workspace_id == lived.furnished.workspace
    assert (row.status, row.reason) == (SessionStatus.DISCONNECTED, "recovered")
    assert row.desired is Desired.STOPPED
    assert row.is_active
    assert (EventType.SESSION_CREATED, lived.later) in after.events
    assert after.adopted == (1, 3, 0)
    assert "recovered" in REASONS
    assert "recovered" in LASTING
    assert "recovered" not in TRANSIENT
    assert re.fullmatch(NAME_PATTERN, row.name)


async def test_a_session_goes_to_the_workspace_that_its_archives_name(tmp_path: Path) -> None:
    """And to `default` if it has none, or that workspace is gone too; plans do not limit it."""
    lived = await live(tmp_path / "data")
    data = lived.furnished.place.data
    async with open_store(lived.database) as store:
        old = (await store.create_workspace("old", NOW)).id
        await store.create_plan("none", PlanLimits(sessions=0), NOW)
        await store.set_plan(old, "none", NOW)
    await asyncio.to_thread(take, lived.root)
    async with open_store(lived.database) as store:
        archives = archive_files(lived.root, store)
        new = (await store.create_workspace("new", NOW)).id
        await store.set_plan(old, "default", NOW)
        made = {}
        for name, workspace, archived in (
            ("in old", old, True),
            ("in new", new, True),
            ("no archive", old, False),
        ):
            session, _ = await store.create_session(workspace, name, NOW)
            make_profile(data.paths(session.id).profile)
            if archived:
                await archives.save(session.id, make_profile(lived.root / "copied"))
            made[name] = session.id
    after = await restore(lived)
    homes = {name: after.sessions[key].workspace_id for name, key in made.items()}
    assert homes == {
        "in old": old,
        "in new": lived.furnished.workspace,
        "no archive": lived.furnished.workspace,
    }
    assert after.generations[made["in old"]] == [1]
    assert after.generations[made["in new"]] == []
    [folder] = (lived.root / "damaged").glob("*/archives")
    assert files(folder) == [f"{new}/{made['in new']}/1.wfa"]


async def test_a_session_whose_profile_is_gone_is_taken_in_for_its_archive(lived: Lived) -> None:
    shutil.rmtree(lived.furnished.place.data.session(lived.later))
    after = await restore(lived)
    assert after.sessions[lived.later].reason == "recovered"
    assert after.generations[lived.later] == [1]


async def test_what_holds_no_login_and_no_archive_is_not_taken_in(lived: Lived) -> None:
    """Nor what was deleted in the snapshot's time, nor what is no session's directory."""
    data = lived.furnished.place.data
    (data.session(GHOST) / "profile" / "Default").mkdir(parents=True)
    make_profile(data.sessions / "not-a-session" / "profile")
    (data.sessions / f"{GHOST[:-1]}W").symlink_to(data.session(lived.later))
    deleted = lived.furnished.sessions[1]
    async with open_store(lived.database) as store:
        context = ArchiveContext(lived.furnished.workspace, deleted, 3)
        copied = make_profile(lived.root / "copied")
        file = lived.furnished.archive(1, 3)
        archive_files(lived.root, store)._write(copied, file, context)
        await store.drop_archives(deleted, 0)
        await store.delete_session(deleted, NOW)
    await asyncio.to_thread(take, lived.root)
    after = await restore(lived)
    assert not file.exists()
    assert set(after.sessions) == {lived.furnished.sessions[0], lived.later}
    assert data.session(deleted).exists()
    [(count,)] = query(
        lived.database, "SELECT count(*) FROM whatsapp_sessions WHERE uuid = ?", deleted
    )
    assert count == 1


# ---- archives ------------------------------------------------------------------------------------


async def test_archives_made_after_the_snapshot_count_again(lived: Lived) -> None:
    """So that the newest login is not swept away, and no generation is given twice."""
    one, two = lived.furnished.sessions
    async with open_store(lived.database) as store:
        before = {record.generation: record for record in await store.archives(one)}
    assert sorted(before) == [2, 3, 4]
    after = await restore(lived)
    assert after.generations == {one: [4, 3, 2, 1], two: [2, 1], lived.later: [1]}
    assert (EventType.STORAGE, one) in after.events
    async with boot(lived.root) as (store, _):
        for record in await store.archives(one):
            if record.generation in (3, 4):
                was = before[record.generation]
                assert (record.sha256, record.bytes, record.path) == (
                    was.sha256,
                    was.bytes,
                    was.path,
                )
        archives = archive_files(lived.root, store)
        profile = lived.root / "restored"
        found = await archives.restore(one, profile)
        assert found.archive is not None
        assert found.archive.generation == 4
        saved = await archives.save(one, make_profile(lived.root / "copied"))
        assert saved.generation == 5
        assert [r.generation for r in await store.archives(one)] == [5, 4, 3]


async def test_a_file_whose_pointer_was_not_written_yet_is_no_rubbish(lived: Lived) -> None:
    """The snapshot fell between the count of its generation and its pointer."""
    one = lived.furnished.sessions[0]
    execute(
        lived.snapshot.path,
        "UPDATE whatsapp_sessions SET archive_generation = 4 WHERE session_id = 'one'",
    )
    after = await restore(lived)
    assert after.generations[one] == [4, 3, 2, 1]


async def test_what_does_not_prove_itself_is_put_aside(lived: Lived) -> None:
    """Damaged, of another generation, session, workspace or key: kept, and not used."""
    one, two = lived.furnished.sessions
    folder = lived.furnished.archive(0, 4).parent
    good = lived.furnished.archive(0, 4).read_bytes()
    (folder / "5.wfa").write_bytes(good)  # another generation
    (folder / "6.wfa").write_bytes(good[:100])
    (folder / "7.wfa").write_bytes(lived.furnished.archive(1, 2).read_bytes())
    (folder / "x.wfa").write_bytes(good)  # never a name of ours: for the sweep
    other = folder.parent.parent / GHOST / two
    other.mkdir(parents=True)
    (other / "9.wfa").write_bytes(good)
    foreign = archive_files(lived.root, None, OTHER_RING)  # type: ignore[arg-type]
    context = ArchiveContext(lived.furnished.workspace, one, 8)
    foreign._write(make_profile(lived.root / "copied"), folder / "8.wfa", context)
    with capture_logs() as logs:
        after = await restore(lived)
    assert after.generations[one] == [4, 3, 2, 1]
    assert after.generations[two] == [2, 1]
    [aside] = (lived.root / "damaged").glob("*/archives")
    home = lived.furnished.workspace
    assert files(aside) == sorted(
        [*(f"{home}/{one}/{n}.wfa" for n in (5, 6, 7, 8)), f"{GHOST}/{two}/9.wfa"]
    )
    assert (aside / home / one / "5.wfa").read_bytes() == good
    assert not (folder / "x.wfa").exists()
    codes = {entry["code"] for entry in logs if entry["event"] == "archive_refused"}
    assert codes == {"archive_damaged", "key_wrong"}
    assert after.adopted == (1, 3, 5)


async def test_a_lost_database_puts_aside_too(lived: Lived) -> None:
    """Then the quarantine holds files, and no database."""
    (lived.furnished.archive(0, 4).with_name("5.wfa")).write_bytes(b"no archive")
    remove(lived.database)
    async with boot(lived.root) as (_, restored):
        assert restored is not None
        assert restored.adopted.put_aside == 1
    [folder] = (lived.root / "damaged").iterdir()
    assert [path.name for path in folder.iterdir()] == ["archives"]


# ---- media ---------------------------------------------------------------------------------------


async def test_media_of_messages_that_are_gone_is_put_aside(lived: Lived) -> None:
    """What the snapshot points to stays in use; what came later is kept for who wants it."""
    one, home = lived.furnished.sessions[0], lived.furnished.workspace
    kept = []
    for wa_id in ("BEFORE", "LATER"):
        async with open_store(lived.database) as store:
            row = await store.record_inbound(inbound(one, wa_id))
            assert row is not None
            kept.append(await media_files(lived.root, store).save(row.id, [b"picture"]))
        if wa_id == "BEFORE":
            await asyncio.to_thread(take, lived.root)
    await restore(lived)
    async with boot(lived.root) as (store, _):
        assert await read_all(media_files(lived.root, store), home, kept[0].id) == b"picture"
    [aside] = (lived.root / "damaged").glob("*/media")
    assert files(aside) == [kept[1].path.removeprefix("media/")]
    assert not (lived.root / kept[1].path).exists()


# ---- the port ------------------------------------------------------------------------------------


async def test_the_port_refuses_what_is_not_so(tmp_path: Path) -> None:
    async with open_store(tmp_path / "wafleet.db") as store:
        home = await home_of(store)
        with pytest.raises(WorkspaceNotFound):
            await store.adopt_session(GHOST, GHOST, "ghost", NOW)
        new = NewArchive(
            session_id=GHOST, generation=5, path="a/5", sha256="ab" * 32, bytes=1, now_ms=NOW
        )
        with pytest.raises(SessionNotFound):
            await store.adopt_archive(new)
        assert await store.known_session(GHOST) is None
        await store.adopt_session(home, GHOST, "ghost", NOW)
        known = await store.known_session(GHOST)
        assert known is not None
        assert (known.workspace_id, known.deleted) == (home, False)
        assert (await store.adopt_archive(new)).generation == 5
        with pytest.raises(ArchiveOutOfOrder):
            await store.adopt_archive(new)
        assert await store.next_generation(GHOST) == 6
        await store.delete_session(GHOST, NOW)
        known = await store.known_session(GHOST)
        assert known is not None
        assert known.deleted
