"""The supervisor killed: at every step of a start and of a stop, and beside a frozen browser."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

import aiohttp

from supervisor.processes import ProgramFailed
from tests.chaos import sights
from tests.chaos.faults import NONE, ONE, AtLeast, Fault, below
from tests.chaos.insider import COUNT
from tests.chaos.sights import Guard
from tests.chaos.traffic import Traffic
from tests.chaos.trial import settled
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.faults import Figures, Options
    from tests.chaos.stage import Client, Fleet, Stage

INSIDER: Final = "tests.chaos.insider"
SESSION: Final = "one"
QUICK_ROUNDS: Final = 3
MOST_STEPS: Final = 2000
DEATH: Final = 30.0


class Lives:
    """One linked session through many lives of its supervisor; adds up what each has cost."""

    def __init__(self, fleet: Fleet, guard: Guard) -> None:
        self.fleet = fleet
        self.guard = guard
        self.figures: Counter[str] = Counter()
        self.longest = 0.0
        self._steps = fleet.home / "steps"

    @property
    def steps(self) -> int:
        """How many steps the newest insider has counted."""
        return int(COUNT.unpack(self._steps.read_bytes())[0])

    def start(self, *, kill_at: int = 0, kill_then: int = 0) -> None:
        """Start a life with an insider. Raises ProgramFailed."""
        env = {
            "CHAOS_STEPS": str(self._steps),
            "CHAOS_KILL_AT": str(kill_at),
            "CHAOS_KILL_THEN": str(kill_then),
        }
        self.fleet.start_inside(module=INSIDER, env=env)

    def ended(self) -> bool:
        """Tell whether the newest life is over."""
        program = self.fleet.program
        return program is None or program.process.poll() is not None

    async def prove(self, api: Client, traffic: Traffic | None) -> None:
        """After a death, in the next life: connected, nothing lost, and nothing left.

        A session whose stop was stored before the death is rightly down, and is started.
        """
        began = time.monotonic()
        session = await api.session(SESSION)
        if session["desired"] == "stopped":
            self.figures["wrong"] += bool(self.fleet.browsers(SESSION))
            await api.post(f"/v1/sessions/{SESSION}/start", {})
        await api.becomes(SESSION, "ready")
        self.longest = max(self.longest, time.monotonic() - began)
        if traffic is not None:
            traffic.api = api
            self.figures.update({k: int(v) for k, v in (await traffic.verdict()).items()})
        self.figures["orphans"] += settled(self._orphans)
        self.figures["rounds"] += 1

    def _orphans(self) -> int:
        ours = {pid for b in self.fleet.browsers() for pid in sights.members(b.pid)}
        return len(set(self.guard.left()) - ours)

    async def done(self, api: Client) -> Figures:
        """Return all figures; `api` is the last life's."""
        number = self.fleet.numbers[SESSION]
        scans = await api.seen(0, "qr_scanned", number=number)
        return {
            **self.figures,
            "recovered": self.longest,
            "twins": self.guard.twins,
            "codes": len(scans) - 1,
        }


async def _linked(fleet: Fleet) -> None:
    fleet.start()
    async with fleet.client() as api:
        await fleet.link(api, SESSION)
    fleet.stop()


def _strides(total: int, options: Options) -> Iterator[int]:
    """Go through the steps: all of them, or a few that are spread over them."""
    stride = max(1, total // QUICK_ROUNDS) if options.quick else 1
    return iter(range(stride, total + 1, stride))


# ---- while it starts -----------------------------------------------------------------------------


async def start_killed(stage: Stage, options: Options) -> Figures:
    """Every life but the proving ones dies at its n-th step; n grows until a start is complete."""
    with stage.fleet() as fleet, Guard(fleet.data) as guard:
        await _linked(fleet)
        lives = Lives(fleet, guard)
        lives.start()
        await _work(lives)  # to the end: so many steps there are
        total = lives.steps
        fleet.kill()
        for step in _strides(total, options):
            traffic = await _doomed_start(lives, step)
            fleet.start()
            async with fleet.client() as api:
                await lives.prove(api, traffic)
                figures = await lives.done(api)
            fleet.kill()
    return {**figures, "steps": total}


async def _work(lives: Lives) -> Traffic:
    """Send two messages as early as the API lets us, and wait until they have arrived."""
    async with lives.fleet.client() as api:
        traffic = await Traffic.begin(lives.fleet, api, SESSION, outbound=False, inbound=False)
        for number in range(2):
            await traffic.post(f"{traffic.mark} {number}")
        await api.becomes(SESSION, "ready")
        await traffic.verdict()
    return traffic


async def _doomed_start(lives: Lives, step: int) -> Traffic | None:
    """Start a life that dies at this step; return what it had accepted, if it came so far."""
    try:
        lives.start(kill_at=step)
    except ProgramFailed:
        return None
    traffic = None
    async with lives.fleet.client() as api:
        try:
            traffic = await Traffic.begin(lives.fleet, api, SESSION, outbound=False, inbound=False)
            for number in range(2):
                await traffic.post(f"{traffic.mark} {number}")
            await api.becomes(SESSION, "ready")
            await traffic.verdict()
        except aiohttp.ClientError:
            eventually(lives.ended, DEATH)
    if not lives.ended():  # it took fewer steps this time
        lives.figures["survived"] += 1
        lives.fleet.kill()
    return traffic


# ---- while it stops ------------------------------------------------------------------------------


async def stop_killed(
    stage: Stage, options: Options, *, whole: bool, frozen: bool = False
) -> Figures:
    """Each life proves the death before it, is told to stop, and dies at the n-th step of that.

    `whole` stops the node (SIGTERM), else the session is stopped by the API. `frozen` browsers are
    SIGSTOPped before.
    """
    with stage.fleet(stop_timeout="1") as fleet, Guard(fleet.data) as guard:
        await _linked(fleet)
        lives = Lives(fleet, guard)
        lives.start()
        await _work(lives)
        total = await _stop(lives, whole=whole, frozen=frozen)
        fleet.kill()
        traffic = None
        for step in _strides(total, options):
            lives.start(kill_then=step)
            async with fleet.client() as api:
                await lives.prove(api, traffic)
                traffic = await Traffic.begin(fleet, api, SESSION, outbound=False, inbound=False)
                for number in range(2):
                    await traffic.post(f"{traffic.mark} {number}")
                await _stop(lives, whole=whole, frozen=frozen)
            if not lives.ended():
                lives.figures["survived"] += 1
            fleet.kill()
        fleet.start()
        async with fleet.client() as api:
            await lives.prove(api, traffic)
            figures = await lives.done(api)
        fleet.stop()
    return {**figures, "steps": total}


async def _stop(lives: Lives, *, whole: bool, frozen: bool) -> int:
    """Count from now, tell it to stop, and wait for the end of that; return the steps taken."""
    fleet = lives.fleet
    async with fleet.client() as api:
        if frozen:
            os.killpg(fleet.browser(SESSION).pid, signal.SIGSTOP)
        os.kill(fleet.pid, signal.SIGUSR2)
        if whole:
            os.kill(fleet.pid, signal.SIGTERM)
            eventually(lives.ended, DEATH)
        else:
            with suppress(aiohttp.ClientError):
                await api.ask("POST", f"/v1/sessions/{SESSION}/stop")
    return lives.steps


# ---- beside a frozen browser ---------------------------------------------------------------------


async def killed_with_frozen_browser(stage: Stage, options: Options) -> Figures:
    """The browser hears of nothing, not even that its pipe has closed; the next life ends it."""
    with stage.fleet() as fleet, Guard(fleet.data) as guard:
        await _linked(fleet)
        lives = Lives(fleet, guard)
        fleet.start()
        booted = 0.0
        for _ in range(1 if options.quick else 10):
            async with fleet.client() as api:
                await api.becomes(SESSION, "ready")
                traffic = await Traffic.begin(fleet, api, SESSION, outbound=False, inbound=False)
                await traffic.post(traffic.mark)
                browser = fleet.browser(SESSION)
                os.killpg(browser.pid, signal.SIGSTOP)
                fleet.kill()
            assert sights.members(browser.pid), "a frozen browser can't have ended by itself"
            began = time.monotonic()
            fleet.start()
            booted = max(booted, time.monotonic() - began)
            lives.figures["orphans"] += len(sights.members(browser.pid))
            async with fleet.client() as api:
                await lives.prove(api, traffic)
                figures = await lives.done(api)
        fleet.stop()
    return {**figures, "booted": booted}


BARS: Final = {
    "lost": NONE,
    "duplicated": NONE,
    "disordered": NONE,
    "orphans": NONE,
    "twins": ONE,
    "codes": NONE,
    "recovered": below(15),
    "rounds": AtLeast(relation="<=", limit=1),
}

FAULTS: Final = (
    Fault(
        name="start_killed",
        what="SIGKILL of the supervisor at the n-th step of its start, for every n",
        scale="default settings",
        run=start_killed,
        bars=BARS,
    ),
    Fault(
        name="stop_killed",
        what="SIGKILL of the supervisor at the n-th step of a session's stop, for every n",
        scale="default settings",
        run=partial(stop_killed, whole=False),
        bars={**BARS, "wrong": NONE},
    ),
    Fault(
        name="shutdown_killed",
        what="SIGKILL of the supervisor at the n-th step of its own stop, for every n",
        scale="default settings",
        run=partial(stop_killed, whole=True),
        bars=BARS,
        quick=False,
    ),
    Fault(
        name="frozen_stop_killed",
        what="SIGKILL of the supervisor at the n-th step of stopping a SIGSTOPped browser",
        scale="stop_timeout 1 s instead of 30 s",
        run=partial(stop_killed, whole=False, frozen=True),
        bars={**BARS, "wrong": NONE},
        quick=False,
    ),
    Fault(
        name="killed_with_frozen_browser",
        what="SIGKILL of the supervisor beside a SIGSTOPped browser",
        scale="default settings",
        run=killed_with_frozen_browser,
        bars={**BARS, "booted": below(10)},
    ),
)
