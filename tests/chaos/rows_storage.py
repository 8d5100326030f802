"""Faults of the disk and the database: full, locked, damaged."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from supervisor.processes import ProgramFailed
from tests.chaos.faults import NONE, UNHARMED, Fault, below, exactly
from tests.chaos.traffic import Traffic
from tests.chaos.trial import trial
from tests.waiting import eventually, eventually_async

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.faults import Figures, Options
    from tests.chaos.stage import Client, Fleet, Stage

DISK: Final = "64m"
MARKS: Final = {
    "disk_low_mb": "12",
    "disk_full_mb": "8",
    "disk_margin_mb": "2",
    "disk_interval": "0.2",
    "restart_backoff_max": "1",
}
SPARE: Final = 64 * 1024
MOST_POSTS: Final = 40
STORED: Final = 15
BUSY: Final = 1.0
LOCKED: Final = 4.0
HOLD: Final = """
import sqlite3, sys
other = sqlite3.connect(sys.argv[1], isolation_level=None)
other.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.readline()
other.execute("ROLLBACK")
"""


# ---- full ----------------------------------------------------------------------------------------


async def disk_full(stage: Stage, options: Options) -> Figures:
    """On a file system of its own, in a mount namespace, so that it also works without root.

    While it is full the browser is killed, too (not in the quick run).
    """
    with stage.fleet(**MARKS) as fleet:
        fleet.data.mkdir(mode=0o700)
        fleet.start(wrapper=_on_a_disk_of_its_own(fleet.data))
        inside = Path(f"/proc/{fleet.pid}/root") / fleet.data.relative_to("/")
        figures: Figures = {"wrong": 0}
        async with fleet.client() as api:
            await fleet.link(api, "one")
            traffic = await Traffic.begin(fleet, api, "one", outbound=False, inbound=False)
            assert await traffic.post("before") == 202
            _fill(inside / "filler")
            posts = 0
            while (status := await traffic.post(f"while full {posts}")) == 202:
                posts += 1
                assert posts < MOST_POSTS, "the disk is not full"
            figures["detected"] = traffic.slowest
            figures["wrong"] += status != 507
            for path in ("/v1/sessions/one", "/v1/sessions/one/messages", "/readyz", "/metrics"):
                figures["wrong"] += (await api.status(path)) != 200
            if not options.quick:  # it takes the ten seconds that a last word may take
                figures["wrong"] += await _dies_without_room(fleet, api)
            (inside / "filler").unlink()
            began = time.monotonic()
            await eventually_async(lambda: _accepts(traffic))
            await api.becomes("one", "ready")
            figures["recovered"] = time.monotonic() - began
            figures |= await traffic.verdict()
            figures["half"] = await traffic.stored_without_a_yes()
            scans = await api.seen(0, "qr_scanned", number=fleet.numbers["one"])
            figures["codes"] = len(scans) - 1
        figures["wrong"] += not _sound(inside, fleet.home)
        fleet.stop()
    return figures


async def _dies_without_room(fleet: Fleet, api: Client) -> int:
    """Kill the browser; another one must wait for room, and the API must not lie meanwhile."""
    os.kill(fleet.browser("one").pid, signal.SIGKILL)
    await api.becomes("one", "storage_failed")
    lies = bool((await api.session("one"))["status"] != "disconnected")
    return lies + len(fleet.browsers("one"))


def _on_a_disk_of_its_own(directory: Path) -> list[str]:
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    mount = f'mount -t tmpfs -o size={DISK},mode=700 tmpfs "$0" && exec "$@"'
    return ["unshare", *user, "--mount", "sh", "-c", mount, str(directory)]


def _fill(file: Path) -> None:
    """Take all the space there is."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT)
    try:
        for size in (1 << 20, 1 << 12, 1):
            block = b"x" * size
            while _written(descriptor, block):
                pass
    finally:
        os.close(descriptor)


def _written(descriptor: int, block: bytes) -> bool:
    try:
        return os.write(descriptor, block) == len(block)
    except OSError:
        return False


async def _accepts(traffic: Traffic) -> bool:
    return await traffic.post("after") == 202


def _sound(data: Path, room: Path) -> bool:
    """Tell whether SQLite finds nothing wrong with a copy of the (quiet) database."""
    for name in ("wafleet.db", "wafleet.db-wal"):
        shutil.copyfile(data / name, room / name)
    with closing(sqlite3.connect(room / "wafleet.db")) as connection:
        return bool(connection.execute("PRAGMA integrity_check").fetchone() == ("ok",))


# ---- locked --------------------------------------------------------------------------------------


async def database_locked(stage: Stage, _options: Options) -> Figures:
    async with stage.running("left", busy_timeout=f"{BUSY:g}") as (fleet, _), trial(fleet) as t:
        own = t.traffic[0]
        with _locked(fleet.data / "wafleet.db"):
            t.struck = time.monotonic()
            own.slowest = 0
            wrong = 0
            while time.monotonic() < t.struck + LOCKED:
                for path in (f"/v1/sessions/{t.victim}", f"/v1/sessions/{t.victim}/messages"):
                    wrong += await t.api.status(path) != 200
                await asyncio.sleep(BUSY / 4)
            refused = dict(own.refused)
        t.figures["answered"] = own.slowest
        t.figures["wrong"] = wrong + sum(refused.keys() != {"503 storage_busy"} for _ in (1,))
        released, count = time.monotonic(), len(own.accepted)
        await eventually_async(lambda: _grown(own, count))
        t.figures["recovered"] = time.monotonic() - released
        await own.end()
        t.figures["half"] = await own.stored_without_a_yes()
    return t.figures


async def _grown(traffic: Traffic, count: int) -> bool:
    return len(traffic.accepted) > count


@contextmanager
def _locked(database: Path) -> Iterator[None]:
    """Let another process hold the database's write lock while the block runs."""
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        yield
    finally:
        other.communicate("done\n", timeout=30)


# ---- damaged -------------------------------------------------------------------------------------


async def database_damaged(stage: Stage, _options: Options) -> Figures:
    """Pages are overwritten while wafleet is down; the next start takes its last snapshot."""
    async with stage.running("one", snapshot_interval="1") as (fleet, api):
        traffic = await _stored(fleet, api)
        before = time.time()

        def younger() -> bool:
            kept = (fleet.data / "snapshots").glob("*.db")
            return any(file.stat().st_mtime > before + 1 for file in kept)

        eventually(younger)
        fleet.stop()
        _overwrite_pages(fleet.data / "wafleet.db")
        damaged = (fleet.data / "wafleet.db").read_bytes()
        began = time.monotonic()
        fleet.start()
        figures: Figures = {"booted": time.monotonic() - began}
        async with fleet.client() as anew:
            await anew.becomes("one", "ready")
            figures["recovered"] = time.monotonic() - began
            traffic.api = anew
            figures |= await traffic.verdict()
            told = (await anew.get("/v1/audit"))["entries"]
            figures["events"] = sum(each["action"] == "database.restore" for each in told)
            scans = await anew.seen(0, "qr_scanned", number=fleet.numbers["one"])
            figures["codes"] = len(scans) - 1
        kept = [file.read_bytes() for file in (fleet.data / "damaged").glob("*/wafleet.db")]
        figures["wrong"] = (kept != [damaged]) + (not _sound(fleet.data, fleet.home))
    return figures


async def database_unrestorable(stage: Stage, _options: Options) -> Figures:
    """The same without a snapshot: nothing starts, least of all with an empty database."""
    async with stage.running("one") as (fleet, api):
        await _stored(fleet, api)
        fleet.stop()
        shutil.rmtree(fleet.data / "snapshots", ignore_errors=True)
        database = fleet.data / "wafleet.db"
        _overwrite_pages(database)
        damaged = database.read_bytes()
        began = time.monotonic()
        try:
            fleet.start()
            refused = False
        except ProgramFailed as error:
            refused = "exit code 5: wafleet:" in str(error)
        return {
            "detected": time.monotonic() - began,
            "wrong": (not refused) + (database.read_bytes() != damaged),
        }


async def _stored(fleet: Fleet, api: Client) -> Traffic:
    """Send enough for damage to hit it."""
    traffic = await Traffic.begin(fleet, api, "one", outbound=False, inbound=False)
    for number in range(STORED):
        assert await traffic.post(f"{number} {'x' * 1000}") == 202
    await traffic.verdict()
    return traffic


def _overwrite_pages(database: Path) -> None:
    """Overwrite every tenth page but the first, as a dying disk does."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size: int = connection.execute("PRAGMA page_size").fetchone()[0]
        pages: int = connection.execute("PRAGMA page_count").fetchone()[0]
    noise = random.Random(4)  # noqa: S311 - the same damage every time
    with database.open("r+b") as file:
        for page in range(2, pages, 10):
            file.seek(page * size)
            file.write(noise.randbytes(size))


FAULTS: Final = (
    Fault(
        name="disk_full",
        what="the disk filled to the last byte, and then the browser killed",
        scale=f"a disk of {DISK}, marks at 12 and 8 MB looked at every 0.2 s instead of 10 s",
        run=disk_full,
        bars={
            "detected": below(2),
            "recovered": below(5),
            "wrong": NONE,
            "half": NONE,
            "lost": NONE,
            "duplicated": NONE,
            "disordered": NONE,
            "codes": NONE,
        },
    ),
    Fault(
        name="database_locked",
        what="another program holds the database's lock",
        scale="locked 4 s instead of 30 s, busy_timeout 1 s instead of 5 s",
        run=database_locked,
        bars={
            **UNHARMED,
            "answered": below(BUSY + 1),
            "recovered": below(5),
            "wrong": NONE,
            "half": NONE,
            "missed": NONE,
            "restarts": NONE,
        },
    ),
    Fault(
        name="database_damaged",
        what="pages of the database overwritten while wafleet is down",
        scale="snapshot_interval 1 s instead of 1 h",
        run=database_damaged,
        bars={
            "booted": below(10),
            "recovered": below(15),
            "events": exactly(1),
            "lost": NONE,
            "codes": NONE,
            "wrong": NONE,
        },
        quick=False,
    ),
    Fault(
        name="database_unrestorable",
        what="the same, without a snapshot to go back to",
        scale="default settings",
        run=database_unrestorable,
        bars={"detected": below(10), "wrong": NONE},
        quick=False,
    ),
)
