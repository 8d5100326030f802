"""delivery: 50 sessions in real Chromium send a thousand messages a minute, within the caps.

Each session has one chat and posts at its own steady pace, whether or not the message before was
sent. The simulator's own log is the judge: what was lost, came twice, out of order, or above a cap.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import psutil

from benchmarks.families import family, lives
from benchmarks.rows import Bar, Options, Row
from benchmarks.stage import connect, stage
from benchmarks.stats import percentile
from benchmarks.verdict import RECEIVED, Verdict, judge
from supervisor.demo_parts import Api

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.stage import Stage
    from supervisor.processes import Program

SESSIONS: Final = 50
A_MINUTE: Final = 1000
MINUTES: Final = 10
AT_ONCE: Final = 4
FIRST: Final = 15_550_200_000
CONTACT: Final = "15550100002"
DRAIN: Final = 180.0
"""Seconds for what the limiter has put off: at the cap itself, its jitter makes a queue."""
GLANCE: Final = 0.5
MEASURE: Final = {"numbers": list(range(50)), "texts": ["x" * 20] * 30}
TIMES: Final = 40
NONE: Final = Bar(relation="<=", limit=0)
METRIC: Final = "wafleet_turn_to_page_seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """CPU seconds of the node and of all its browsers up to now, and the browsers' memory (MB)."""

    node: float
    browsers: float
    memory: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """What was posted: texts by number, when each was begun (s), how long its POST took (ms).

    `pieces`: what the same piece of work took meanwhile, again and again (ms of a processor).
    """

    accepted: Mapping[str, Sequence[str]]
    began: Mapping[str, float]
    posts: Sequence[float]
    pieces: Sequence[float]
    cpu: float
    browsers: float
    memory: float
    buckets: Mapping[float, float]


def run(options: Options) -> list[Row]:
    """`runs` are minutes here. Raises DemoFailed for a message that was not accepted."""
    minutes = options.runs_or(MINUTES)
    with stage(*people(SESSIONS)) as scene, scene.node() as node:
        flow = asyncio.run(_measure(scene, node, minutes))
        verdict = judge(flow.accepted, truth(scene))
    return _rows(flow, verdict, minutes)


def people(sessions: int) -> Sequence[str]:
    """Return the simulator's arguments for so many phones and one contact of all."""
    phones = [f"--account={FIRST + number}:S{number}" for number in range(sessions)]
    return (*phones, f"--contact={CONTACT}:Alice", "--ack-delay=0.01", "--offline-delay=0.1")


def truth(scene: Stage) -> list[dict[str, Any]]:
    """Return the simulator's log from its file."""
    lines = (scene.directory / "truth.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


async def _measure(scene: Stage, node: Program, minutes: int) -> Flow:
    async with Api.of(node, scene.place) as api:
        await link_all(api, SESSIONS)
        before, counted, began = load_of(node.pid), await buckets(api), time.monotonic()
        each = A_MINUTE * minutes // SESSIONS
        pieces: list[float] = []
        gauge = asyncio.create_task(_gauge(pieces))
        sent = await asyncio.gather(*(_session(api, n, each) for n in range(SESSIONS)))
        gauge.cancel()
        seconds, after = time.monotonic() - began, load_of(node.pid)
        await drained(scene, SESSIONS * each)
        counts = await buckets(api)
    return Flow(
        accepted={str(FIRST + n): list(times) for n, (times, _) in enumerate(sent)},
        began={text: at for times, _ in sent for text, at in times.items()},
        posts=[took for _, posts in sent for took in posts],
        pieces=pieces,
        cpu=100 * (after.node - before.node) / seconds,
        browsers=100 * (after.browsers - before.browsers) / seconds,
        memory=after.memory,
        buckets={most: counts[most] - counted[most] for most in counts},
    )


async def _session(api: Api, number: int, count: int) -> tuple[dict[str, float], list[float]]:
    """Post one session's messages, each at its time; the sessions are spread over the interval."""
    pace = 60 * SESSIONS / A_MINUTE
    first = time.monotonic() + pace * number / SESSIONS
    began, took = {}, []
    for message in range(count):
        await asyncio.sleep(max(0.0, first + message * pace - time.monotonic()))
        text = f"s{number} {message}"
        began[text] = time.monotonic()
        await api.post(f"/v1/sessions/s{number}/messages", {"to": f"+{CONTACT}", "text": text})
        took.append(1000 * (time.monotonic() - began[text]))
    return began, took


async def _gauge(pieces: list[float]) -> None:
    """Tell how fast the machine is meanwhile: it is not the same from minute to minute."""
    while True:
        began = time.thread_time()
        for _ in range(TIMES):
            json.loads(json.dumps(MEASURE))
        pieces.append(1000 * (time.thread_time() - began))
        await asyncio.sleep(GLANCE)


async def link_all(api: Api, sessions: int) -> None:
    """Link so many sessions, a few at a time: s0 with the first number, and so on."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def link(number: int) -> None:
        async with turns:
            await connect(api, f"s{number}", str(FIRST + number))

    await asyncio.gather(*map(link, range(sessions)))


async def drained(scene: Stage, count: int) -> None:
    """Wait until all have arrived, or for as long as that may take: the verdict tells what has."""
    deadline = time.monotonic() + DRAIN
    file = scene.directory / "truth.jsonl"
    while time.monotonic() < deadline:
        if file.read_text("utf-8").count(f'"kind": "{RECEIVED}"') >= count:
            return
        await asyncio.sleep(GLANCE)


def load_of(pid: int) -> Load:
    """Look at a node and its browsers."""
    cpu = memory = 0.0
    for process in family(pid):
        if lives(process):
            times = process.cpu_times()
            cpu += times.user + times.system
            memory += process.memory_full_info().pss / 1e6
    own = psutil.Process(pid).cpu_times()
    return Load(node=own.user + own.system, browsers=cpu, memory=memory)


async def buckets(api: Api) -> dict[float, float]:
    """Return the node's histogram: how many waits were not above so many seconds."""
    found = {}
    for line in (await api.text("/metrics")).splitlines():
        if line.startswith(f"{METRIC}_bucket"):
            most = line.split('le="')[1].split('"')[0]
            found[float(most)] = float(line.rsplit(" ", 1)[1])
    return found


def at_most(counts: Mapping[float, float], share: float) -> float:
    """Return the bound (seconds) under which this share of the waits stayed."""
    whole = max(counts.values(), default=0.0)
    return next((most for most in sorted(counts) if counts[most] >= share * whole), float("inf"))


def _rows(flow: Flow, verdict: Verdict, minutes: int) -> list[Row]:
    count = len(flow.began)
    note = f"{SESSIONS} sessions, {count} messages in {minutes} minutes"
    ways = [
        1000 * (verdict.arrived[t] - at) for t, at in flow.began.items() if t in verdict.arrived
    ]

    def row(name: str, what: str, unit: str, value: float, bar: Bar | None = None) -> Row:
        return Row(
            name=f"delivery.{name}", what=what, unit=unit, samples=(value,), bar=bar, note=note
        )

    return [
        row("lost", "accepted, and never came", "messages", verdict.lost, NONE),
        row("twice", "came twice", "messages", verdict.duplicates, NONE),
        row("disorder", "came before one accepted first", "messages", verdict.out_of_order, NONE),
        row("above_cap", "windows above their cap", "windows", verdict.above_cap, NONE),
        row("fullest_minute", "most in any 60 s of a number", "messages", verdict.worst[60]),
        row(
            "page_p50",
            "its turn to its page call, by the node's histogram: the bound of the median",
            "ms",
            1000 * at_most(flow.buckets, 0.5),
            Bar(relation="<=", limit=15.0),
        ),
        row(
            "page_p99",
            "the same of 99 of 100",
            "ms",
            1000 * at_most(flow.buckets, 0.99),
            Bar(relation="<=", limit=100.0),
        ),
        row("way_p50", "POST begun to arrived, queueing included", "ms", percentile(ways, 50)),
        row("way_p99", "the same of 99 of 100", "ms", percentile(ways, 99)),
        row("accept_p99", "POST begun to answered", "ms", percentile(flow.posts, 99)),
        row("cpu", "the node's CPU", "% core", flow.cpu, Bar(relation="<", limit=15.0)),
        row("cpu.piece", "the same work meanwhile, mean", "ms", statistics.fmean(flow.pieces)),
        row("cpu.browsers", "its browsers' CPU", "% core", flow.browsers),
        row("memory.browsers", "its browsers' memory (PSS)", "MB", flow.memory),
    ]
