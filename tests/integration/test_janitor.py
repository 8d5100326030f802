"""The janitor on real profiles: caches go, logins stay, and what is too large is told.

Scales: profiles are measured every 0.2 s instead of 300 s, rounds come every 0.3 s where a test is
about them; the limit is the real one, 100 MB.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from typing import TYPE_CHECKING, Any

import pytest

from actors.browser import profile_tree
from actors.browser.profile import ProfileLock
from actors.browser.profile_care import ProfileCare
from actors.messages import Service, StopKind, ToService
from tests.integration.archive_world import world
from tests.integration.browser_support import Facts, browsing, session_paths
from tests.integration.care_world import (
    MB,
    evaluate,
    fingerprint,
    neighbour,
    pad,
    shows,
    telling,
    told,
    value,
)
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from pathlib import Path

    from actors.browser.profile_facts import Removed

pytestmark = pytest.mark.integration

QUICK: dict[str, Any] = {"profile_interval": 0.2, "cleaning_interval": 3600.0}
PADDING = "Default/Cache/Cache_Data/padding"


async def test_a_profile_above_the_limit_is_cleaned_at_a_restart_and_stays_logged_in(
    tmp_path: Path,
) -> None:
    """The important one: 101 MB of cache in a session that runs, and its neighbour."""
    async with world(tmp_path, **QUICK) as here:
        first = await here.link()
        other = await neighbour(here)
        other_pid = (await shows(here, other, "ready")).browser_pid
        await evaluate(here, first.browser_pid, "localStorage.setItem('mark', 'kept')")
        padding = pad(here.profile, PADDING, 101 * MB)
        again = await shows(here, here.session, "ready", after=first.incarnation)
        assert not padding.exists()
        statuses = [e["status"] for e in await told(here, "session.status", here.session)]
        assert statuses.count("qr_scanning") == 2  # expected and shown, before it was linked
        mark = await evaluate(here, again.browser_pid, "localStorage.getItem('mark')")
        assert mark == "kept"
        (recycle,) = await telling(here, "storage", "recycle", here.session)
        assert recycle["cause"] == "limit"
        (cleaned,) = await telling(here, "storage", "cleaned", here.session)
        assert cleaned["cause"] == "launch"
        assert cleaned["before"] > 101 * MB
        assert cleaned["after"] < 10 * MB
        assert cleaned["left"] == 0
        assert await here.generations() == [1]  # it was archived before
        why = [e for e in await told(here, "session.status") if e["reason"] == "recycling"]
        assert [each["detail"] for each in why] == ["storage"]
        # nothing else was touched, and it is over
        assert (await shows(here, other, "ready")).browser_pid == other_pid
        assert await told(here, "storage", other) == []
        assert value(here, "wafleet_session_recycles_total", cause="storage") == 1
        assert value(here, "wafleet_profile_cleanings_total", cause="launch") == 1


async def test_one_that_does_not_run_is_cleaned_at_once_and_no_byte_of_its_data_changes(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, **QUICK) as here:
        await here.link()
        await here.evaluate("localStorage.setItem('mark', 'kept')")
        await here.end(StopKind.STOP)
        default = here.profile / "Default"
        kept = ("IndexedDB", "Local Storage", "Session Storage", "Cookies")
        before = fingerprint(default)
        ours = {path: text for path, text in before.items() if path.startswith(kept)}
        assert len(ours) > 10
        pad(here.profile, PADDING, 101 * MB)
        (cleaned,) = await telling(here, "storage", "cleaned", here.session)
        assert cleaned["cause"] == "limit"
        after = fingerprint(default)
        assert {path: text for path, text in after.items() if path.startswith(kept)} == ours
        assert not (default / "Cache").exists()
        here.seen.clear()
        await here.start()
        await here.live("ready")
        assert "qr_scanning" not in here.seen
        assert await here.evaluate("localStorage.getItem('mark')") == "kept"


async def test_what_must_be_kept_is_told_and_kept(tmp_path: Path) -> None:
    """101 MB of IndexedDB: an event, a metric, a detail that says so, and nothing is restarted."""
    database = "Default/IndexedDB/https_example.org_0.indexeddb.leveldb/000001.ldb"
    async with world(tmp_path, **QUICK) as here:
        first = await here.link()
        big = pad(here.profile, database, 101 * MB)
        (oversized,) = await telling(here, "storage", "oversized", here.session)
        assert oversized["kept"] > 101 * MB
        assert oversized["limit"] == 100 * MB

        async def noted() -> bool:
            live = await here.live("ready")
            return live.detail is not None and "more than profile_limit_mb" in live.detail

        await eventually_async(noted)
        row = await here.store.any_session(here.session)
        assert row.detail is None or "profile_limit_mb" in row.detail
        assert value(here, "wafleet_profiles_oversized") == 1

        # also after a restart: the launch itself finds it
        await here.end(StopKind.RESTART)
        second = await shows(here, here.session, "ready", after=first.incarnation)
        await eventually_async(noted)
        assert big.stat().st_size == 101 * MB
        big.unlink()
        await telling(here, "storage", "fits", here.session)

        async def over() -> bool:
            return (await here.live("ready")).detail is None

        await eventually_async(over)
        assert (await here.live("ready")).browser_pid == second.browser_pid
        assert value(here, "wafleet_session_recycles_total", cause="storage") == 0


async def test_a_round_cleans_those_that_do_not_run_whatever_their_size(tmp_path: Path) -> None:
    quick: dict[str, Any] = {"cleaning_interval": 0.3, "profile_interval": 3600.0}
    async with world(tmp_path, **quick) as here:
        live = await here.link()
        other = await neighbour(here)
        await here.end(StopKind.STOP)
        cleaned = await telling(here, "storage", "cleaned", here.session)
        assert cleaned[0]["cause"] == "round"
        assert not (here.profile / "Default/Code Cache").exists()
        assert (here.profile / "Default/IndexedDB").is_dir()
        # the one that runs has its caches still
        assert (here.data.paths(other).profile / "Default/Code Cache").is_dir()
        assert await told(here, "storage", other) == []
        assert (await shows(here, other, "ready")).browser_pid != live.browser_pid


async def test_orphans_are_swept_and_nothing_else(tmp_path: Path) -> None:
    """Old, unknown and unlocked directories with a session's name: all others are spared."""
    quick: dict[str, Any] = {
        "cleaning_interval": 0.3,
        "profile_interval": 3600.0,
        "orphan_grace": 3600.0,
    }
    async with world(tmp_path, **quick) as here:
        deleted, _ = await here.store.create_session(here.workspace, "deleted", 1)
        await here.store.delete_session(deleted.id, 2)
        sessions = here.data.sessions
        names = {
            "old": "01JDXQ0000000000000000000A",
            "young": "01JDXQ0000000000000000000B",
            "locked": "01JDXQ0000000000000000000C",
            "known": here.session,
            "deleted": deleted.id,
            "foreign": "lost+found",
            "nearly": "01JDXQ0000000000000000000a",
        }
        for name in names.values():
            pad(sessions / name / "profile", "Default/Cookies", 10)
        outside = pad(tmp_path / "outside", "precious", 10).parent
        link = sessions / "01JDXQ0000000000000000000D"
        link.symlink_to(outside)
        lock = ProfileLock.acquire(sessions / names["locked"])
        try:
            for each in ("old", "locked", "known", "deleted", "foreign", "nearly"):
                for path in (sessions / names[each], *(sessions / names[each]).iterdir()):
                    os.utime(path, (1, 1))
            os.utime(link, (1, 1), follow_symlinks=False)

            async def swept() -> bool:
                return value(here, "wafleet_orphan_directories_removed_total") == 2

            await eventually_async(swept)
            assert not any((sessions / names[each]).exists() for each in ("old", "deleted"))
            (payload,) = await telling(here, "storage", "orphan_removed", deleted.id)
            assert payload["left"] == 0
            for each in ("young", "locked", "known", "foreign", "nearly"):
                assert (sessions / names[each] / "profile/Default/Cookies").exists(), each
            assert (outside / "precious").exists()
            assert link.is_symlink()
        finally:
            lock.release()

        async def unlocked() -> bool:
            return not (sessions / names["locked"]).exists()

        await eventually_async(unlocked)
        shutil.rmtree(sessions / names["young"])


class Gate:
    """Stands in front of the deleting: says when it is reached, and waits to be opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()
        self._clean = profile_tree.clean
        monkeypatch.setattr(profile_tree, "clean", self._wait)

    def _wait(self, directory: Path) -> Removed:
        self.reached.set()
        assert self.opened.wait(30)
        return self._clean(directory)


async def test_a_start_waits_for_the_cleaning_instead_of_finding_its_profile_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path, **QUICK) as here:
        await here.link()
        await here.end(StopKind.STOP)
        gate = Gate(monkeypatch)
        pad(here.profile, PADDING, 101 * MB)

        async def reached() -> bool:
            return gate.reached.is_set()

        await eventually_async(reached)
        await here.start()
        live = await here.live("launching")
        assert live.browser_pid is None
        assert len(here.driver.browsers) == 1
        gate.opened.set()
        assert (await here.live("ready")).incarnation == live.incarnation
        assert len(await telling(here, "storage", "cleaned", here.session)) == 1


async def test_a_delete_waits_for_the_cleaning_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two that delete in one directory would trip over each other."""
    async with world(tmp_path, **QUICK) as here:
        await here.link()
        await here.end(StopKind.STOP)
        gate = Gate(monkeypatch)
        pad(here.profile, PADDING, 101 * MB)

        async def reached() -> bool:
            return gate.reached.is_set()

        await eventually_async(reached)
        deleting = asyncio.create_task(here.end(StopKind.DELETE))

        async def forgotten() -> bool:  # that comes first, and then the directory's turn
            return not any(here.data.archives.glob("*/*")) and not deleting.done()

        await eventually_async(forgotten)
        assert here.profile.exists()
        gate.opened.set()
        await deleting
        assert not here.data.session(here.session).exists()


async def test_a_browser_that_outlived_its_stop_keeps_its_caches(tmp_path: Path) -> None:
    """The lock is free, and yet a browser runs there: nothing is deleted under it."""
    paths = session_paths(tmp_path / "sessions", "01JDXQ0000000000000000000A")
    care = ProfileCare(tmp_path / "sessions", limit=1, is_live=lambda _: False)
    facts = Facts()
    async with browsing(tmp_path / "sessions", name=paths.profile.parent.name, facts=facts) as it:
        await it.open()
        assert await care.clean(paths.profile.parent.name) is None  # its owner has the lock
        it._lock.release()
        assert await care.clean(paths.profile.parent.name) is None
        assert await care.tidy(paths.profile.parent.name) is None
        assert await care.remove(paths.profile.parent.name) is None
        assert (paths.profile / "Default/Cache").is_dir()
    tidied = await care.clean(paths.profile.parent.name)
    assert tidied is not None
    assert tidied.after.disposable == 0
    assert not (paths.profile / "Default/Cache").exists()
    assert await care.clean("01JDXQ0000000000000000000B") is None  # it never had a directory


async def test_a_session_in_use_elsewhere_is_left_alone(tmp_path: Path) -> None:
    """Another process holds its lock: it is not cleaned, and when that is gone it is."""
    async with world(tmp_path, **{**QUICK, "profile_pause": 0.1}) as here:
        await here.link()
        await here.end(StopKind.STOP)
        lock = ProfileLock.acquire(here.data.session(here.session))
        padding = pad(here.profile, PADDING, 101 * MB)
        count = "wafleet_profiles_measure_seconds_count"
        began = value(here, count) or 0

        async def looked() -> bool:
            return (value(here, count) or 0) >= began + 4

        await eventually_async(looked)
        assert padding.exists()
        assert await told(here, "storage", here.session) == []
        lock.release()
        await telling(here, "storage", "cleaned", here.session)
        assert not padding.exists()


async def test_a_janitor_that_crashes_starts_again_and_knows_what_to_do(tmp_path: Path) -> None:
    async with world(
        tmp_path, **QUICK, restart_backoff_first=0.05, restart_backoff_max=0.1
    ) as here:
        await here.link()
        await here.end(StopKind.STOP)
        nonsense: Any = object()
        here.fleet.tell(ToService(service=Service.JANITOR, message=nonsense))

        async def restarted() -> bool:
            return value(here, "wafleet_service_restarts_total", service="janitor") == 1

        await eventually_async(restarted)
        pad(here.profile, PADDING, 101 * MB)
        await telling(here, "storage", "cleaned", here.session)
        assert here.fleet.alive()
