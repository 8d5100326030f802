"""A disk that fills up, for real: what can wait waits, nothing is launched, and all goes on.

Scale: a tmpfs of 300 MB with the marks at 120 and 60 MB, looked at every 0.1 s instead of 10 s.
"""

from __future__ import annotations

import io
import os
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from actors.bridge import FutureReply
from actors.messages import Done, OutboxChanged, RecycleSession, Refused, StartSession, StopKind
from storage.archives import ArchiveFailed
from storage.media import MediaNotKept
from storage.messages import MessageState, NewOutbound
from storage.space import Space, SpaceLevel
from storage.sqlite.snapshots import SnapshotFiles
from storage.store import StoreFull
from supervisor.parts import new_wa_id, now_ms, uniform
from supervisor.safekeeping import Safekeeper
from tests.integration.archive_support import archive_files, make_profile
from tests.integration.archive_world import ALICE, ASK, world
from tests.integration.care_world import MB, shows, telling, told, value
from tests.integration.media_support import media_files, received
from tests.integration.tiny_disk import tiny_disk
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.archive_world import World

pytestmark = pytest.mark.integration

MARKS: dict[str, Any] = {
    "disk_low_mb": 120,
    "disk_full_mb": 60,
    "disk_margin_mb": 10,
    "disk_interval": 0.1,
    "restart_backoff_first": 0.2,
    "restart_backoff_max": 0.5,
}
DISK = "size=300m"


def fill(disk: Path, left: int) -> None:
    """Let so many bytes be free."""
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    fd = os.open(disk / "filler", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.posix_fallocate(fd, os.fstat(fd).st_size, free - left)
    finally:
        os.close(fd)


async def accept(here: World, body: str) -> str:
    """Accept a message; return its id."""
    new = NewOutbound(
        session_id=here.session, chat=f"{ALICE}@c.us", wa_id=new_wa_id(), body=body, now_ms=1
    )
    return (await here.store.accept_message(here.workspace, new)).id


async def accept_until_full(here: World, most: int = 5000) -> list[str]:
    """Accept messages until there is no room for one more; return those that were accepted."""
    accepted: list[str] = []
    while len(accepted) < most:
        try:
            new = await accept(here, "y" * 500)
        except StoreFull:
            return accepted
        accepted.append(new)
    raise AssertionError(f"the disk is full, and yet {most} messages were accepted")


async def level(here: World, wanted: SpaceLevel) -> None:
    async def look() -> bool:
        return value(here, "wafleet_disk_level") == wanted

    await eventually_async(look)


async def test_at_the_first_mark_archives_and_at_the_second_launches_wait(tmp_path: Path) -> None:
    with tiny_disk(tmp_path / "disk", DISK) as disk:
        async with world(disk, **MARKS) as here:
            live = await here.link()
            row, _ = await here.store.create_session(here.workspace, "two", 1)
            assert (await here.archive()).generation == 1  # type: ignore[union-attr]

            fill(disk, 100 * MB)
            await level(here, SpaceLevel.LOW)
            pauses = value(here, "wafleet_archive_pause_seconds_count")
            answer = await here.archive()
            assert isinstance(answer, Refused)
            assert answer.code == "disk_low"
            assert "make room" in answer.message
            assert not (here.profile.parent / "copy").exists()
            assert value(here, "wafleet_archive_pause_seconds_count") == pauses  # nor any copy
            await here.end(StopKind.RESTART)  # without its archive, but it is launched
            again = await shows(here, here.session, "ready", after=live.incarnation)
            assert await here.generations() == [1]

            fill(disk, 40 * MB)
            await level(here, SpaceLevel.FULL)
            start = partial(StartSession, session_id=row.id)
            assert await here.fleet.ask(lambda r: start(reply=r), ASK) == Done()
            assert (await shows(here, row.id, "disk_full")).browser_pid is None
            reply = FutureReply()
            here.fleet.tell(
                RecycleSession(
                    session_id=here.session,
                    incarnation=again.incarnation,
                    cause="max_age",
                    quiet=None,
                    reply=reply,
                )
            )
            refused = await reply.wait(ASK)
            assert refused.code == "launches_wait"  # it could not come back
            assert (await here.live("ready")).browser_pid == again.browser_pid
            assert len(here.driver.browsers) == 2

            (disk / "filler").unlink()
            await level(here, SpaceLevel.PLENTY)
            await shows(here, row.id, "qr_shown")
            assert (await here.archive()).generation == 2  # type: ignore[union-attr]
            assert (await here.live("ready")).browser_pid == again.browser_pid

            for action in ("disk_low", "disk_full", "disk_recovered"):
                (event,) = await telling(here, "storage", action)
                assert event["free"] > 0
            notices = await here.store.events(here.workspace, types=["storage"])
            assert {each.session_id for each in notices} == {None}


async def test_a_disk_that_is_full_to_the_last_byte_loses_nothing(tmp_path: Path) -> None:
    """What can't be kept is refused; with room again, messages go out and the session is there."""
    with tiny_disk(tmp_path / "disk", DISK) as disk:
        async with world(disk, **MARKS) as here:
            await here.link()
            accepted = [await accept(here, "before")]
            fill(disk, 0)
            accepted += await accept_until_full(here)
            await level(here, SpaceLevel.FULL)
            (disk / "filler").unlink()
            await level(here, SpaceLevel.PLENTY)
            accepted.append(await accept(here, "after"))
            here.fleet.tell(OutboxChanged(session_id=here.session))
            sent = {MessageState.SENT, MessageState.DELIVERED, MessageState.READ}

            async def all_went() -> bool:
                rows = [
                    await here.store.message(here.workspace, here.session, each)
                    for each in accepted
                ]
                return all(row.state in sent for row in rows)

            await eventually_async(all_went)
            await here.live("ready")
            statuses = [e["status"] for e in await told(here, "session.status")]
            assert statuses.count("qr_scanning") == 2  # expected and shown, before it was linked
            await telling(here, "storage", "disk_full")
            await telling(here, "storage", "disk_recovered")


async def test_a_node_that_starts_on_a_full_disk_launches_nothing(tmp_path: Path) -> None:
    """Not even the first one: the mark is known before anything is asked for."""
    with tiny_disk(tmp_path / "disk", DISK) as disk:
        fill(disk, 40 * MB)
        async with world(disk, **MARKS) as here:
            await here.start()
            assert (await here.live("disk_full")).browser_pid is None
            await telling(here, "storage", "disk_full")
            assert here.driver.browsers == []
            (disk / "filler").unlink()
            await here.live("qr_shown")


async def test_archives_and_media_refuse_with_a_sentence(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        space = Space()
        archives = archive_files(here.data.root, here.store, space=space)
        media = media_files(here.data.root, here.store, space=space)
        message = await received(here.store, here.workspace)
        for at in (SpaceLevel.LOW, SpaceLevel.FULL):
            space.set(at)
            copied = make_profile(tmp_path / "copied")
            with pytest.raises(ArchiveFailed, match="make room") as failed:
                await archives.save(here.session, copied)
            assert failed.value.reason == "disk_low"
            assert not copied.exists()  # the copy is gone as promised
            with pytest.raises(MediaNotKept, match="make room") as kept:
                await media.save(message, io.BytesIO(b"photo"))
            assert kept.value.reason == "disk_low"
        assert await archives.list(here.session) == []
        space.set(SpaceLevel.PLENTY)
        assert archives.refusal() is None
        await archives.save(here.session, make_profile(tmp_path / "copied"))
        await media.save(message, io.BytesIO(b"photo"))


async def test_a_snapshot_of_the_database_waits_too(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        space, telemetry = Space(), here.telemetry.safekeeping
        snapshots = SnapshotFiles(
            database=here.data.database,
            directory=here.data.snapshots,
            keep=3,
            busy_timeout_ms=1000,
        )
        keeper = Safekeeper(
            snapshots=snapshots,
            telemetry=telemetry,
            interval=3600,
            now_ms=now_ms,
            monotonic=time.monotonic,
            uniform=uniform,
            space=space,
        )
        space.set(SpaceLevel.LOW)
        assert await keeper.round() is None
        assert value(here, "wafleet_snapshots_total", result="full") == 1
        assert snapshots.found() == []
        space.set(SpaceLevel.PLENTY)
        assert await keeper.round() is not None
        assert len(snapshots.found()) == 1
