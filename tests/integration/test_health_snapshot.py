"""A profile that does not come up any more makes way for its last good archive, and is kept."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest

from actors.browser.logins import aside_place
from actors.messages import Archived, StopKind
from simulator.requests import PhoneLogout
from tests.integration.archive_world import ME, world
from tests.integration.health_support import linked, sample
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from tests.integration.archive_world import World

pytestmark = pytest.mark.integration

QUICK: Final[Mapping[str, Any]] = {"snapshot_after": 2, "restart_backoff_first": 0.01}
FAILURES: Final = 'wafleet_session_restarts_total{cause="browser_exited"}'


def mark(profile: Path) -> Path:
    """Where a profile says that no browser survives on it."""
    return profile / "deadly"


@asynccontextmanager
async def deadly_profiles(here: World) -> AsyncIterator[None]:
    """Kill every browser on a profile that bears the mark, as soon as it is up."""

    async def kill() -> None:
        seen = 0
        while True:
            browsers = here.driver.browsers[seen:]
            for browser in browsers:
                if mark(here.profile).exists():
                    browser.kill()
            seen += len(browsers)
            await asyncio.sleep(0.005)

    task = asyncio.create_task(kill())
    yield
    task.cancel()
    await asyncio.wait([task])


async def failed(here: World, times: int) -> None:
    async def look() -> bool:
        return sample(here, FAILURES) >= times

    await eventually_async(look)


async def test_a_damaged_profile_is_put_aside_for_its_last_archive(tmp_path: Path) -> None:
    """When restarts do not help: connected again with the login of the archive, never a code."""
    async with world(tmp_path, **QUICK) as here:
        await linked(here)
        assert isinstance(await here.archive(), Archived)
        await here.end(StopKind.STOP)
        mark(here.profile).touch()
        async with deadly_profiles(here):
            await here.start()
            live = await here.live("ready")
        assert live.phone_number == ME
        assert "qr_scanning" not in here.seen
        assert sample(here, FAILURES) == 2
        assert here.metric('wafleet_archives_total{result="restored"} 1.0')
        series = 'wafleet_health_repairs_total{cause="browser_exited",repair="snapshot"}'
        assert sample(here, series) == 1

        async def swept() -> bool:
            return not aside_place(here.profile).exists()

        await eventually_async(swept)


async def test_without_an_archive_the_profile_stays_where_it_is(tmp_path: Path) -> None:
    """A transient error never ends in a QR code: it is tried again and again, and comes up."""
    async with world(tmp_path, **QUICK) as here:
        await linked(here)
        await here.end(StopKind.STOP)
        mark(here.profile).touch()
        async with deadly_profiles(here):
            await here.start()
            await failed(here, 3)
            assert not aside_place(here.profile).exists()
            mark(here.profile).unlink()
            await here.live("ready")
        assert "qr_scanning" not in here.seen


async def test_a_profile_comes_back_when_its_archive_is_no_good(tmp_path: Path) -> None:
    """The archive is damaged, too: nothing is lost by having tried."""
    async with world(tmp_path, **QUICK) as here:
        await linked(here)
        await here.archive()
        await here.end(StopKind.STOP)
        raw = bytearray(here.file(1).read_bytes())
        raw[len(raw) // 2] ^= 1
        here.file(1).write_bytes(raw)
        mark(here.profile).touch()
        async with deadly_profiles(here):
            await here.start()
            await failed(here, 3)
            assert not aside_place(here.profile).exists()
            mark(here.profile).unlink()
            await here.live("ready")
        assert "qr_scanning" not in here.seen
        assert sample(here, 'wafleet_archives_total{result="refused"}') >= 1


async def test_what_a_killed_wafleet_put_aside_comes_back(tmp_path: Path) -> None:
    """It died between moving the profile away and restoring the archive, which is gone as well."""
    async with world(tmp_path, **QUICK) as here:
        await linked(here)
        await here.end(StopKind.STOP)
        here.profile.rename(aside_place(here.profile))
        await here.start()
        await here.live("ready")
        assert "qr_scanning" not in here.seen
        assert not aside_place(here.profile).exists()


async def test_one_profile_is_kept_and_it_is_the_first_one(tmp_path: Path) -> None:
    """A second snapshot would be no better, and would cost the only copy of what there was."""
    async with world(tmp_path, **QUICK) as here:
        await linked(here)
        await here.archive()
        await here.end(StopKind.STOP)
        aside = aside_place(here.profile)
        shutil.copytree(here.profile, aside, symlinks=True)
        mark(here.profile).touch()
        async with deadly_profiles(here):
            await here.start()
            await failed(here, 3)
            assert (aside / "Default").is_dir()
            assert sample(here, 'wafleet_session_restarts_total{cause="launch_failed"}') == 0
            assert sample(here, 'wafleet_archives_total{result="restored"}') == 0
            mark(here.profile).unlink()
            await here.live("ready")


def wreck_login(profile: Path) -> None:
    """Overwrite what WhatsApp Web keeps its login in: Chromium makes such a database anew."""
    (database,) = (profile / "Default" / "IndexedDB").glob("https_*.indexeddb.leveldb")
    for file in database.iterdir():
        if file.name.startswith("MANIFEST") or file.suffix in {".log", ".ldb"}:
            file.write_bytes(b"\xff" * 4096)


async def test_a_damaged_login_is_restored_instead_of_a_code_shown(tmp_path: Path) -> None:
    """The profile comes up, but empty: the archive takes its place, and no code is seen."""
    async with world(tmp_path, restart_backoff_first=0.01) as here:
        await linked(here)
        await here.archive()
        await here.end(StopKind.STOP)
        wreck_login(here.profile)
        await here.start()
        live = await here.live("ready")
        assert live.phone_number == ME
        assert "qr_scanning" not in here.seen
        assert sample(here, 'wafleet_session_restarts_total{cause="login_lost"}') == 1


async def test_a_damaged_login_without_an_archive_needs_a_code(tmp_path: Path) -> None:
    """Then there is nothing else to do, and the code is shown at once."""
    async with world(tmp_path, restart_backoff_first=0.01) as here:
        await linked(here)
        await here.end(StopKind.STOP)
        wreck_login(here.profile)
        await here.start()
        assert (await here.live("qr_shown")).incarnation == 2


async def test_a_login_that_an_archive_does_not_bring_back_needs_a_code(tmp_path: Path) -> None:
    """The archive is of a page without a login (or damaged): tried once, then the code is shown."""
    async with world(tmp_path, restart_backoff_first=0.01) as here:
        await linked(here)
        await here.archive()
        await here.end(StopKind.STOP)
        wreck_login(here.profile)
        raw = bytearray(here.file(1).read_bytes())
        raw[len(raw) // 2] ^= 1
        here.file(1).write_bytes(raw)
        await here.start()
        assert (await here.live("qr_shown")).incarnation == 3
        assert sample(here, 'wafleet_session_restarts_total{cause="login_lost"}') == 1


async def test_a_device_that_was_unlinked_meanwhile_is_logged_out_not_restored(
    tmp_path: Path,
) -> None:
    """The phone did it while the session was stopped: one word, no restart, no archive left."""
    async with world(tmp_path) as here:
        await linked(here)
        await here.archive()
        await here.end(StopKind.STOP)
        here.simulator.desk.log_out(ME, PhoneLogout())
        await here.start()
        await here.becomes("logged_out")
        assert sample(here, 'wafleet_session_restarts_total{cause="login_lost"}') == 0
        assert len(here.driver.browsers) == 2
        assert await here.generations() == []
