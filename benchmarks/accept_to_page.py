"""accept_to_page: how long an accepted message waits before the page is called.

One connected session, one message after the other. Two figures: the node's own (its histogram's sum
grows by exactly one message between two scrapes), from the message's acceptance to the page call
with the durable commit in it; and from outside, from before the POST until the simulator's server
has the message, which also holds HTTP, the page's work and the page's way to the server.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import TYPE_CHECKING, Final

from benchmarks.rows import Bar, Options, Row
from benchmarks.stage import UNPACED, Truth, connect, stage
from supervisor.demo_parts import Api, DemoFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

PHONE: Final = "15550100001"
CONTACT: Final = "15550100002"
SESSION: Final = "sender"
MESSAGES: Final = 200
WARM_UP: Final = 5
BAR: Final = Bar(relation="<", limit=15.0)
METRIC: Final = "wafleet_accept_to_page_seconds"


def run(options: Options) -> list[Row]:
    count = options.runs_or(MESSAGES)
    people = (f"--account={PHONE}:Shop", f"--contact={CONTACT}:Alice")
    with (
        stage(*people, "--ack-delay=0.01", "--offline-delay=0.1") as scene,
        scene.node(**UNPACED) as node,
    ):

        async def measure() -> list[tuple[float, float]]:
            async with Api.of(node, scene.place) as api:
                await connect(api, SESSION, PHONE)
                waits = [await _message(api, number) for number in range(WARM_UP + count)]
                return waits[WARM_UP:]

        waits = asyncio.run(measure())
    return _rows(waits)


def _rows(waits: Sequence[tuple[float, float]]) -> list[Row]:
    note = f"{len(waits)} messages one at a time, after {WARM_UP} that do not count"
    outside = tuple(outside for _, outside in waits)
    too = ", and yet it holds the bar" if BAR.holds(statistics.median(outside)) else ""
    return [
        Row(
            name="accept_to_page",
            what="message accepted to page call, the node's own figure",
            unit="ms",
            samples=tuple(inside for inside, _ in waits),
            bar=BAR,
            note=f"{note}; whole milliseconds, as the node counts them",
        ),
        Row(
            name="accept_to_page.outside",
            what="POST begun to the simulator's server has the message",
            unit="ms",
            samples=outside,
            note=f"an upper bound: HTTP and the page's work are in it{too}",
        ),
    ]


async def _message(api: Api, number: int) -> tuple[float, float]:
    """Send one; return milliseconds by the node's histogram, and from outside."""
    path = f"/v1/sessions/{SESSION}/messages"
    truth = await Truth.from_now(api)
    before = await _histogram(api)
    began = time.monotonic()
    sent = await api.post(path, {"to": f"+{CONTACT}", "text": f"message {number}"})
    received = (await truth.first("message_received_from_client"))["mono_ns"] / 1e9
    await api.message_states(f"{path}/{sent['id']}", "sent")
    after = await _histogram(api)
    if after[0] - before[0] != 1:
        raise DemoFailed(f"the node counts {after[0] - before[0]:g} page calls for one message")
    return 1000 * (after[1] - before[1]), 1000 * (received - began)


async def _histogram(api: Api) -> tuple[float, float]:
    """Return count and sum (seconds) of the node's histogram."""
    text = await api.text("/metrics")
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith(METRIC))
    return float(lines[f"{METRIC}_count"]), float(lines[f"{METRIC}_sum"])
