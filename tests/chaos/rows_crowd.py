"""Many sessions and many commands at once: races, start and stop for a long time, a start storm."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.rows import Bar
from tests.chaos import sights
from tests.chaos.faults import NONE, ONE, Fault, below, exactly
from tests.chaos.rows_supervisor import INSIDER
from tests.chaos.sights import Guard
from tests.chaos.trial import QUIET, last_event, settled
from tests.waiting import eventually, eventually_async

if TYPE_CHECKING:
    from tests.chaos.faults import Figures, Options
    from tests.chaos.stage import Client, Fleet, Stage

MANY: Final = {
    "restart_intensity": "1000",
    "fleet_intensity": "10000",
    "qr_windows": "100",
    "qr_period": "1",
}
RUNS: Final = frozenset({"qr_scanning", "authenticated", "connected"})


# ---- races ---------------------------------------------------------------------------------------

RACERS: Final = 5
VERBS: Final = ("start", "stop", "restart", "restart", "start", "stop", "start", "stop", "delete")
LONGEST_PAUSE: Final = 0.2
LAST_PAUSE: Final = 0.5
"""Seconds before the last command of a session: it must be the last one to arrive, too."""


@dataclass
class Racer:
    """One session and what was asked of it, in order."""

    fleet: Fleet
    api: Client
    name: str
    answers: Counter[str] = field(default_factory=Counter)
    last: str = ""
    over: bool = False

    async def race(self, commands: int, dice: random.Random) -> None:
        """Fire commands without waiting for their answers; at last one that counts."""
        flying = []
        for number in range(commands):
            self.over = number == commands - 1
            await asyncio.sleep(LAST_PAUSE if self.over else dice.random() * LONGEST_PAUSE)
            self.last = dice.choice(VERBS)
            flying.append(asyncio.create_task(self.command(self.last, counts=self.over)))
        await asyncio.gather(*flying)

    async def command(self, verb: str, *, counts: bool) -> None:
        """Give one command; a session that is not there any more is made again.

        Not by one that had to wait until the last command was given, the one that counts.
        """
        path = f"/v1/sessions/{self.name}"
        if verb == "delete":
            status, _ = await self.api.ask("DELETE", path)
        else:
            status, _ = await self.api.ask("POST", f"{path}/{verb}")
        if status == 404 and verb != "delete" and (counts or not self.over):
            body = {"name": self.name, "start": verb != "stop"}
            status, _ = await self.api.ask("POST", "/v1/sessions", body)
        self.answers[f"{verb} {status}"] += 1

    async def is_as_asked(self) -> bool:
        """Tell whether the session is what the last command wanted."""
        status, session = await self.api.ask("GET", f"/v1/sessions/{self.name}")
        if status == 404:
            return self.last == "delete" and not self._browsers(None)
        self.fleet.ids[self.name] = session["id"]
        running = len(self._browsers(session["id"]))
        if self.last == "stop":
            return session["status"] == "disconnected" and running == 0
        return self.last != "delete" and session["status"] in RUNS and running == 1

    def _browsers(self, session: str | None) -> list[sights.Browser]:
        wanted = session or self.fleet.ids.get(self.name)
        return [b for b in self.fleet.browsers() if b.session == wanted]


async def races(stage: Stage, options: Options) -> Figures:
    """1,000 commands on five sessions, fired while earlier ones are still being carried out."""
    commands = (100 if options.quick else 1000) // RACERS
    with stage.fleet(**MANY) as fleet, Guard(fleet.data) as guard:
        fleet.start()
        async with fleet.client() as api:
            racers = [Racer(fleet, api, f"racer-{n}") for n in range(RACERS)]
            for racer in racers:
                await fleet.link(api, racer.name)
                number = fleet.numbers[racer.name]
                await api.simulator(f"/phones/{number}/auto-scan", {"repeat": True, "delay_ms": 50})
            seeds = (random.Random(n) for n in range(RACERS))  # noqa: S311 - the same every time
            await asyncio.gather(*(r.race(commands, s) for r, s in zip(racers, seeds, strict=True)))
            wrong = 0
            for racer in racers:
                try:
                    await eventually_async(racer.is_as_asked)
                except AssertionError:
                    wrong += 1
            odd = sum(
                count
                for racer in racers
                for answer, count in racer.answers.items()
                if answer.split()[1][0] == "5"
            )
            alive = {pid for b in fleet.browsers() for pid in sights.members(b.pid)}
            orphans = settled(lambda: len(set(guard.left()) - alive))
            zombies = settled(lambda: sights.zombies(fleet.pid))
        fleet.stop()
        return {
            "rounds": sum(sum(racer.answers.values()) for racer in racers),
            "wrong": wrong + odd,
            "orphans": orphans + settled(lambda: len(guard.left())),
            "zombies": zombies,
            "twins": guard.twins,
        }


# ---- leaks ---------------------------------------------------------------------------------------

POOL_THREADS: Final = "asyncio_"
"""Workers of a loop's executor: made when needed, kept, and never more than a few."""

CONNECTION: Final = "RequestHandler.start"
"""aiohttp's task for a connection that a client holds open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """What a node with all sessions stopped takes up; all but memory are counts."""

    threads: int
    tasks: int
    descriptors: int
    directories: int
    stragglers: int
    resident: int


async def leaks(stage: Stage, options: Options) -> Figures:
    """Start and stop over and over; afterwards a node is as small as it was."""
    cycles, sessions, warm = (20, 4, 4) if options.quick else (200, 4, 20)
    with stage.fleet(**MANY) as fleet, Guard(fleet.data) as guard:
        census = fleet.home / "census"
        env = {"CHAOS_STEPS": str(fleet.home / "steps"), "CHAOS_CENSUS": str(census)}
        fleet.start_inside(module=INSIDER, env=env)
        async with fleet.client() as api:
            names = [f"cycle-{n}" for n in range(sessions)]
            for name in names:
                await fleet.link(api, name)
            await _all(_cycle(api, name, warm // sessions) for name in names)
            before = await _footprint(fleet, api, census)
            await _all(_cycle(api, name, cycles // sessions) for name in names)
            after = await _come_to_rest(fleet, api, census, before)
            zombies = settled(lambda: sights.zombies(fleet.pid))
            orphans = settled(lambda: len(guard.left()))
        fleet.stop()
    return {
        "rounds": cycles,
        "threads": after.threads - before.threads,
        "tasks": after.tasks - before.tasks,
        "descriptors": after.descriptors - before.descriptors,
        "directories": after.directories - before.directories,
        "stragglers": after.stragglers,
        "grown": 100 * (after.resident / before.resident - 1),
        "zombies": zombies,
        "orphans": orphans,
        "twins": guard.twins,
    }


async def _all(works: Any) -> None:
    await asyncio.gather(*works)


async def _cycle(api: Client, name: str, times: int) -> None:
    for _ in range(times):
        await api.post(f"/v1/sessions/{name}/start", {})
        await api.becomes(name, "ready")
        await api.post(f"/v1/sessions/{name}/stop", {})


async def _footprint(fleet: Fleet, api: Client, census: Path) -> Footprint:
    """Have the insider look, and look from outside."""
    found = _census(fleet, census)
    return Footprint(
        threads=sum(not name.startswith(POOL_THREADS) for name in found["threads"]),
        tasks=sum(name != CONNECTION for name in found["tasks"]),
        descriptors=sights.descriptors(fleet.pid),
        directories=len(_links_into(fleet.data)),
        stragglers=int(await api.metric("wafleet_bridge_stragglers")),
        resident=sights.resident(fleet.pid),
    )


def _census(fleet: Fleet, file: Path) -> dict[str, Any]:
    file.unlink(missing_ok=True)
    os.kill(fleet.pid, signal.SIGUSR2)
    eventually(file.exists)
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def _links_into(data: Path) -> list[Path]:
    """Return the links in the system's temporary directory that lead below a data directory."""
    made = Path(tempfile.gettempdir()).glob("wafleet-tmp-*/*")
    return [link for link in made if str(data) in os.readlink(link)]  # noqa: PTH115 - as text


async def _come_to_rest(fleet: Fleet, api: Client, census: Path, before: Footprint) -> Footprint:
    """Return the first footprint that is no larger, or the last one within QUIET seconds.

    What is done every second is a task for a moment.
    """
    now = before

    async def no_larger() -> bool:
        nonlocal now
        now = await _footprint(fleet, api, census)
        return (
            now.threads <= before.threads
            and now.tasks <= before.tasks
            and now.descriptors <= before.descriptors
        )

    with suppress(AssertionError):  # then the figures say what has grown
        await eventually_async(no_larger, QUIET)
    return now


# ---- a storm -------------------------------------------------------------------------------------

STORM: Final = 50
SLOTS: Final = 2
STORM_PATIENCE: Final = 600.0
LAUNCHING: Final = frozenset({"launching", "opening"})


async def start_storm(stage: Stage, _options: Options) -> Figures:
    """50 linked sessions started at once; a 51st is refused, one crashes until quarantined."""
    with stage.fleet(launch_slots=str(SLOTS)) as fleet, Guard(fleet.data) as guard:
        fleet.start()
        async with fleet.client() as api:
            before = len(await api.seen(0, "qr_scanned"))
            for number in range(STORM):
                await fleet.link(api, f"storm-{number}")
        fleet.stop()
        began = time.monotonic()
        fleet.start()
        booted = time.monotonic() - began
        most = 0
        async with fleet.client() as api:
            while (connected := await _connected(api)) < STORM:
                most = max(most, await _launching(fleet, api))
                assert time.monotonic() < began + STORM_PATIENCE, f"only {connected} connected"
            took = time.monotonic() - began
            codes = len(await api.seen(0, "qr_scanned")) - before - STORM
            wrong = await _takes_one_more(api)
            disturbed = await _crash_loop(fleet, api, "storm-0")
            alive = {pid for b in fleet.browsers() for pid in sights.members(b.pid)}
            orphans = settled(lambda: len(set(guard.left()) - alive))
        fleet.stop()
        return {
            "booted": booted,
            "recovered": took,
            "sessions": connected,
            "launching": most,
            "codes": codes,
            "wrong": wrong,
            "neighbours": disturbed,
            "twins": guard.twins,
            "orphans": orphans + settled(lambda: len(guard.left())),
        }


async def _crash_loop(fleet: Fleet, api: Client, victim: str) -> int:
    """Kill a session's browser whenever it has one, until the session is quarantined.

    Return how many of the others have another browser or another status than before.
    """
    ours = fleet.ids[victim]
    untouched = {b.session: b for b in fleet.browsers() if b.session != ours}
    began = await last_event(api)

    async def quarantined() -> bool:
        for browser in fleet.browsers():
            if browser.session == ours:
                with suppress(ProcessLookupError):
                    os.kill(browser.pid, signal.SIGKILL)
        return bool((await api.session(victim))["reason"] == "crash_loop")

    await eventually_async(quarantined, STORM_PATIENCE)
    now = {b.session: b for b in fleet.browsers()}
    path = "/v1/events?limit=500&types=session.status" + (f"&after={began}" if began else "")
    told = {event["session_id"] for event in (await api.get(path))["events"]} - {ours}
    return len(told | {key for key, browser in untouched.items() if now.get(key) != browser})


async def _takes_one_more(api: Client) -> bool:
    """Ask for one session more than a node takes on; it must be refused, and say so."""
    await api.post("/v1/sessions", {"name": "one-more"})
    status, answer = await api.ask("POST", "/v1/sessions/one-more/start")
    return (status, answer.get("code")) != (409, "capacity_reached")


async def _connected(api: Client) -> int:
    sessions = (await api.get("/v1/sessions?limit=500"))["sessions"]
    return sum(each["status"] == "connected" for each in sessions)


async def _launching(fleet: Fleet, api: Client) -> int:
    """Count the browsers that had not opened their page yet.

    Processes first: who still launches afterwards did so then, too.
    """
    there = {browser.session for browser in fleet.browsers()}
    sessions = (await api.get("/v1/sessions?limit=500"))["sessions"]
    return sum(each["id"] in there and each["reason"] in LAUNCHING for each in sessions)


FAULTS: Final = (
    Fault(
        name="races",
        what="1,000 races of start, stop, restart and delete on five sessions",
        scale="100 in the quick run; default settings, but for many restarts and QR windows",
        run=races,
        bars={"wrong": NONE, "orphans": NONE, "zombies": NONE, "twins": ONE},
    ),
    Fault(
        name="leaks",
        what="200 starts and stops",
        scale="20 in the quick run, too few to judge memory by; default settings",
        run=leaks,
        bars={
            "threads": NONE,
            "tasks": NONE,
            "descriptors": NONE,
            "directories": NONE,
            "stragglers": NONE,
            "zombies": NONE,
            "orphans": NONE,
            "twins": ONE,
        },
        full_bars={"grown": Bar(relation="<=", limit=10)},
    ),
    Fault(
        name="start_storm",
        what="50 linked sessions started at once; then one of them in a crash loop",
        scale="default settings",
        run=start_storm,
        bars={
            "sessions": exactly(STORM),
            "launching": Bar(relation="<=", limit=SLOTS),
            "recovered": below(STORM_PATIENCE),
            "codes": NONE,
            "wrong": NONE,
            "neighbours": NONE,
            "orphans": NONE,
            "twins": ONE,
        },
        quick=False,
    ),
)
