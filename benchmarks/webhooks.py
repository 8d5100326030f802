"""webhooks: 500 events a second to an endpoint that answers, alone and while another one hangs.

The real store and the real delivery in this process, the endpoints in one of their own. Events of
50 sessions are committed one by one at their times, whether or not the one before was delivered.
The latency is from the event's commit (its `timestamp`, in whole milliseconds) to its arrival.
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
import subprocess
import sys
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import aiohttp

from actors.net_guard import NetRules
from actors.telemetry import Telemetry
from actors.webhook_desk import WebhookDesk
from actors.webhook_plan import RetryRules
from actors.webhook_sender import WebhookSender
from actors.webhook_worker import WebhookDeps
from api.webhook_body import delivery_body
from api.webhooks import new_secret
from benchmarks.rows import Bar, Options, Row
from benchmarks.stats import percentile
from config.outbound import RETRIES
from storage.events import EventType
from storage.sqlite import open_store
from storage.tenants import DEFAULT
from storage.vault import Keyring, SecretBox
from storage.webhooks import NewWebhook, secret_context
from supervisor.keeper import keeping
from supervisor.parts import now_ms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from storage.sqlite import SqliteStore

ROUNDS: Final = 3
SESSIONS: Final = 50
RATE: Final = 500
SECONDS: Final = 20
WARM_UP: Final = 200
PATIENCE: Final = 60.0
MOST: Final = 1.2
BOX: Final = SecretBox(Keyring({"bench": b"b" * 32}))


@dataclass(frozen=True, slots=True)
class Course:
    """What one course gave: milliseconds of each event, and how many never came."""

    latencies: tuple[float, ...]
    lost: int

    @property
    def p99(self) -> float:
        return percentile(self.latencies, 99)


def run(options: Options) -> list[Row]:
    """Raises TimeoutError if the endpoint does not get all in time."""
    with sink() as port:
        pairs = [asyncio.run(_pair(port)) for _ in range(options.runs_or(ROUNDS))]
    alone, beside = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    note = f"{SESSIONS} sessions, {SECONDS} s each, {len(pairs)} rounds in turn"
    return [
        Row(
            name="webhooks.ratio",
            what="p99 beside one that hangs, over p99 alone",
            unit="x",
            samples=tuple(b.p99 / a.p99 for a, b in pairs),
            bar=Bar(relation="<=", limit=MOST),
            note=note,
        ),
        Row(
            name="webhooks.lost",
            what="events that never came, of each course",
            unit="",
            samples=tuple(float(course.lost) for course in alone + beside),
            bar=Bar(relation="<=", limit=0),
        ),
        *(
            Row(
                name=f"webhooks.{name}",
                what=f"event to endpoint at {RATE}/s, {name}",
                unit="ms",
                samples=tuple(ms for course in courses for ms in course.latencies),
                note="p99 " + ", ".join(f"{course.p99:.1f}" for course in courses),
            )
            for name, courses in (("alone", alone), ("beside", beside))
        ),
    ]


@contextmanager
def sink() -> Iterator[int]:
    """Run the endpoints' process while the block runs; give its port."""
    root = Path(__file__).parent.parent
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.webhook_sink"],
        cwd=root,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.terminate()


async def _pair(port: int) -> tuple[Course, Course]:
    return await _course(port, hanging=False), await _course(port, hanging=True)


async def _course(port: int, *, hanging: bool) -> Course:
    with TemporaryDirectory(prefix="wafleet-bench-") as directory:
        async with open_store(Path(directory) / "wafleet.db") as store:
            home = (await store.workspace_named(DEFAULT)).id
            sessions = [
                (await store.create_session(home, f"s{number}", now_ms()))[0].id
                for number in range(SESSIONS)
            ]
            for path in ("hang", "fine") if hanging else ("fine",):
                await _make(store, home, f"http://127.0.0.1:{port}/{path}")
            async with _delivering(store), aiohttp.ClientSession() as client:
                url = f"http://127.0.0.1:{port}/report"
                await _emit(store, sessions, WARM_UP)
                await _gather(client, url, WARM_UP)
                wanted = RATE * SECONDS
                await _emit(store, sessions, wanted)
                came = await _gather(client, url, wanted)
    return Course(tuple(came.values()), wanted - len(came))


async def _make(store: SqliteStore, home: str, url: str) -> None:
    new = NewWebhook(
        session_id=None,
        url=url,
        description="",
        events=frozenset({EventType.SESSION_HEALTH.value}),
        messages=True,
        seal=lambda key: BOX.seal(new_secret().encode(), secret_context(key)),
    )
    await store.create_webhook(home, new, now_ms())


async def _emit(store: SqliteStore, sessions: list[str], count: int) -> None:
    """Commit events at their times; one that is late does not move those after it."""
    began = time.monotonic()
    payload = {"action": "lost", "cause": "socket_lost", "rung": "socket", "seconds": 1.5}
    for number in range(count):
        await asyncio.sleep(max(0.0, began + number / RATE - time.monotonic()))
        session = sessions[number % len(sessions)]
        await store.record_event(session, EventType.SESSION_HEALTH, payload, now_ms())


async def _gather(client: aiohttp.ClientSession, url: str, count: int) -> dict[str, float]:
    came: dict[str, float] = {}
    async with asyncio.timeout(PATIENCE):
        while len(came) < count:
            async with client.get(url) as answer:
                for event, ms in await answer.json():
                    came.setdefault(event, ms)
            await asyncio.sleep(0.05)
    return came


@asynccontextmanager
async def _delivering(store: SqliteStore) -> AsyncIterator[None]:
    rules = NetRules(private=(ipaddress.IPv4Network("127.0.0.0/8"),))
    sender = WebhookSender(rules=rules, timeout=15.0, agent="wafleet-bench", now_ms=now_ms)
    desk = WebhookDesk(
        WebhookDeps(
            store=store,
            sender=sender,
            secrets=BOX,
            render=delivery_body,
            rules=RetryRules(pauses=RETRIES),
            telemetry=Telemetry().webhooks,
            now_ms=now_ms,
            monotonic=time.monotonic,
            uniform=random.SystemRandom().uniform,
        )
    )
    try:
        async with keeping(desk):
            yield
    finally:
        await sender.close()
