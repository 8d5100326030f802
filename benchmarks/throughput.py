"""throughput: how many messages a second go out with the caps lifted, each of them durable.

Twenty sessions in real Chromium, one chat each, all messages posted in batches as fast as they are
accepted, and sent meanwhile. Its bar is a time for each message, since bars are upper ones: 150 a
second.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from benchmarks.delivery import CONTACT, FIRST, NONE, drained, link_all, load_of, people, truth
from benchmarks.rows import Bar, Options, Row
from benchmarks.stage import stage
from benchmarks.verdict import Verdict, judge
from supervisor.demo_parts import Api

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.stage import Stage
    from supervisor.processes import Program

SESSIONS: Final = 20
MESSAGES: Final = 200
"""Of each session."""
BATCH: Final = 20
POSTS: Final = 8
"""How many POSTs are under way at once."""
RATE: Final = 150.0
EDGE: Final = 10
"""The first and the last tenth are left out: not all sessions are at work in them."""
LIFTED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "send_per_minute": "1000000",
        "send_per_hour": "1000000",
        "send_per_day": "1000000",
        "send_delay": "0",
        "send_jitter": "0",
        "first_contact_delay": "0",
        "warm_up": "[]",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What was accepted, by number; how much CPU (% of a core) node and browsers took meanwhile."""

    accepted: Mapping[str, Sequence[str]]
    cpu: float
    browsers: float


def run(options: Options) -> list[Row]:
    """`runs` are messages of each session here."""
    count = options.runs_or(MESSAGES)
    with stage(*people(SESSIONS)) as scene, scene.node(**LIFTED) as node:
        done = asyncio.run(_measure(scene, node, count))
        verdict = judge(done.accepted, truth(scene))
    return _rows(done, verdict)


async def _measure(scene: Stage, node: Program, count: int) -> Run:
    async with Api.of(node, scene.place) as api:
        await link_all(api, SESSIONS)
        before, began, turns = load_of(node.pid), time.monotonic(), asyncio.Semaphore(POSTS)

        async def session(number: int) -> list[str]:
            texts = [f"s{number} {message}" for message in range(count)]
            for first in range(0, count, BATCH):
                some = texts[first : first + BATCH]
                body = {"messages": [{"to": f"+{CONTACT}", "text": text} for text in some]}
                async with turns:
                    await api.post(f"/v1/sessions/s{number}/messages/batch", body)
            return texts

        accepted = await asyncio.gather(*map(session, range(SESSIONS)))
        await drained(scene, SESSIONS * count)
        seconds, after = time.monotonic() - began, load_of(node.pid)
    return Run(
        accepted={str(FIRST + number): texts for number, texts in enumerate(accepted)},
        cpu=100 * (after.node - before.node) / seconds,
        browsers=100 * (after.browsers - before.browsers) / seconds,
    )


def _rows(done: Run, verdict: Verdict) -> list[Row]:
    times = sorted(verdict.arrived.values())
    steady = times[len(times) // EDGE : -len(times) // EDGE]
    each = 1000 * (steady[-1] - steady[0]) / (len(steady) - 1)
    note = (
        f"{SESSIONS} sessions, {len(times)} messages, {1000 / each:.0f} a second; meanwhile the"
        f" node took {done.cpu:.0f} % of a core and the browsers {done.browsers:.0f} %"
    )

    def row(name: str, what: str, unit: str, value: float, bar: Bar) -> Row:
        return Row(name=name, what=what, unit=unit, samples=(value,), bar=bar, note=note)

    return [
        row(
            "throughput", "time for each message", "ms", each, Bar(relation="<=", limit=1e3 / RATE)
        ),
        row("throughput.lost", "accepted, and never came", "messages", verdict.lost, NONE),
        row("throughput.twice", "came twice", "messages", verdict.duplicates, NONE),
        row("throughput.disorder", "came too early", "messages", verdict.out_of_order, NONE),
    ]
