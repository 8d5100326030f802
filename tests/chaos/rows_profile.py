"""Faults of a profile: a lock that nobody holds, and a browser that somebody else runs on it."""

from __future__ import annotations

import subprocess
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from actors.browser.chromium import find_executable
from tests.chaos import sights
from tests.chaos.faults import NONE, ONE, UNHARMED, Fault, below, exactly
from tests.chaos.trial import QUIET, trial
from tests.waiting import eventually, eventually_async

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.chaos.faults import Figures, Options
    from tests.chaos.stage import Stage
    from tests.chaos.trial import Trial

LOCK: Final = "SingletonLock"
ELSEWHERE: Final = "another-container-12345"


async def stale_lock(stage: Stage, _options: Options) -> Figures:
    async with trial(await stage.shared()) as t:
        profile = t.fleet.profile(t.victim)
        await t.strike(lambda: _stop(t))
        (profile / LOCK).symlink_to(ELSEWHERE)
        (profile / "SingletonCookie").symlink_to("123456789")
        (profile / "SingletonSocket").symlink_to(profile / "gone" / "SingletonSocket")
        began = time.monotonic()
        await t.api.post(f"/v1/sessions/{t.victim}/start", {})
        await t.api.becomes(t.victim, "ready")
        t.figures["recovered"] = time.monotonic() - began
        lock = profile / LOCK
        t.figures["wrong"] = lock.is_symlink() and str(lock.readlink()) == ELSEWHERE
    return t.figures


async def foreign_holder(stage: Stage, _options: Options) -> Figures:
    async with trial(await stage.shared()) as t:
        profile = t.fleet.profile(t.victim)
        await t.strike(lambda: _stop(t))
        with _started_by_hand(profile) as foreign:
            eventually(lambda: foreign.pid in t.guard.seen)
            t.struck = time.monotonic()
            await t.api.ask("POST", f"/v1/sessions/{t.victim}/start")
            t.figures["detected"] = await t.tells(lambda _, reason: reason == "profile_in_use")
            t.figures["events"] = await _told(t)
            t.figures["wrong"] = foreign.poll() is not None
        began = time.monotonic()
        await t.api.post(f"/v1/sessions/{t.victim}/start", {})
        await t.api.becomes(t.victim, "ready")
        t.figures["recovered"] = time.monotonic() - began
    t.figures["restarts"] -= 1  # the foreign one was seen on the profile, too
    return t.figures


async def _told(t: Trial) -> int:
    """Count the events of the refusal; what is shown at once is in the log a moment later."""
    count = 0

    async def any_told() -> bool:
        nonlocal count
        told = await t.events("session.status")
        count = sum(e["payload"]["reason"] == "profile_in_use" for e in told)
        return count > 0

    with suppress(AssertionError):  # then none was
        await eventually_async(any_told, QUIET)
    return count


async def _stop(t: Trial) -> None:
    await t.api.post(f"/v1/sessions/{t.victim}/stop", {})


@contextmanager
def _started_by_hand(profile: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Chromium of somebody's own on a profile while the block runs."""
    foreign = subprocess.Popen(
        [
            str(find_executable(None)),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-breakpad",
            f"--user-data-dir={profile}",
            "about:blank",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        eventually(lambda: len(sights.members(foreign.pid)) > 1)  # it has helpers: it runs
        yield foreign
    finally:
        foreign.kill()
        foreign.wait()
        eventually(lambda: not sights.members(foreign.pid))


FAULTS: Final = (
    Fault(
        name="stale_lock",
        what="the lock of a browser on another host",
        scale="default settings",
        run=stale_lock,
        bars={
            **UNHARMED,
            "recovered": below(5),
            "wrong": NONE,
            "restarts": exactly(1),
            "codes": NONE,
            "twins": ONE,
        },
        quick=False,
    ),
    Fault(
        name="foreign_holder",
        what="a live browser that somebody else started on the profile",
        scale="default settings",
        run=foreign_holder,
        bars={
            **UNHARMED,
            "detected": below(2),
            "recovered": below(5),
            "events": exactly(1),
            "wrong": NONE,
            "restarts": exactly(1),
            "codes": NONE,
            "twins": ONE,
        },
    ),
)
