"""Browser and supervisor killed at any moment, again and again, while messages flow to three chats.

The simulator's log is the judge: what arrived, under which id, in which order, and how often within
a minute.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Final

import aiohttp

from tests.chaos import sights
from tests.chaos.faults import NONE, ONE, AtLeast, Fault
from tests.chaos.sights import Guard
from tests.chaos.traffic import Traffic
from tests.chaos.trial import settled
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tests.chaos.faults import Figures, Options
    from tests.chaos.stage import Client, Fleet, Stage

SESSION: Final = "one"
CHATS: Final = 3
SEED: Final = 5
QUICK_ROUNDS: Final = 5
ROUNDS: Final = 40
PAUSE: Final = 0.25
"""Seconds between two messages: more than the cap allows, so that some always wait."""
CAP: Final = 90
MINUTE_MS: Final = 60_000
LONGEST: Final = 1.5
"""Seconds from one kill to the next, at most, once the session is back (or is not, half the time).
"""
SETTLING: Final = 180.0
SENT: Final = frozenset({"sent", "delivered", "read", "played"})
VICTIMS: Final = ("browser", "supervisor", "both")


class Flow:
    """Messages to a few chats in turn, from beginning to end; a life that is over answers none."""

    def __init__(self, traffic: Sequence[Traffic]) -> None:
        self._traffic = traffic
        self._over = asyncio.Event()

    def speak_to(self, api: Client) -> None:
        """Another life answers from now on."""
        for each in self._traffic:
            each.api = api

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send while the block runs. Raises what broke it."""
        pouring = asyncio.create_task(self._pour())
        try:
            yield
        finally:
            self._over.set()
            await pouring

    async def _pour(self) -> None:
        for number in count():
            if self._over.is_set():
                return
            each = self._traffic[number % len(self._traffic)]
            with suppress(aiohttp.ClientError):
                await each.post(f"{each.mark} {number}")
            with suppress(TimeoutError):
                async with asyncio.timeout(PAUSE):
                    await self._over.wait()

    async def arrived(self) -> None:
        """Wait until all that was accepted is known to be sent."""

        async def all_sent() -> bool:
            states = [await each._states() for each in self._traffic]
            return all(set(of.values()) <= SENT for of in states)

        await eventually_async(all_sent, SETTLING)

    async def verdict(self) -> Counter[str]:
        """Judge what was accepted, chat by chat."""
        figures: Counter[str] = Counter()
        for each in self._traffic:
            figures.update({k: int(v) for k, v in (await each.verdict()).items()})
        figures["accepted"] = sum(len(each.accepted) for each in self._traffic)
        return figures


async def random_kills(stage: Stage, options: Options) -> Figures:
    """Kill, let it come back or not, kill again; then all must have arrived."""
    settings = {
        "restart_intensity": "1000",
        "restart_backoff_max": "1",
        "fleet_intensity": "10000",
        "send_per_minute": f"{CAP}",
    }
    chance = Random(SEED)  # noqa: S311 - the same moments each time
    rounds = QUICK_ROUNDS if options.quick else ROUNDS
    with stage.fleet(**settings) as fleet, Guard(fleet.data) as guard:
        fleet.start()
        async with fleet.client() as api:
            await fleet.link(api, SESSION)
            flow = Flow(
                [
                    await Traffic.begin(fleet, api, SESSION, outbound=False, inbound=False)
                    for _ in range(CHATS)
                ]
            )
        async with AsyncExitStack() as lives:  # calls of a life that is over still end
            api = await lives.enter_async_context(fleet.client())
            flow.speak_to(api)
            async with flow.running():
                for _ in range(rounds):
                    if await _kill(fleet, api, chance):
                        api = await lives.enter_async_context(fleet.client())
                        flow.speak_to(api)
            await api.becomes(SESSION, "ready")
            await flow.arrived()
            figures = await flow.verdict()
            figures["wrong"] = await _above_cap(api, fleet.numbers[SESSION])
            doubts = await api.events(SESSION, "message.unknown")
            figures["doubted"] = len({event["payload"]["message_id"] for event in doubts})
        figures["orphans"] = settled(lambda: _orphans(fleet, guard))
        return {**figures, "rounds": rounds, "twins": guard.twins}


async def _kill(fleet: Fleet, api: Client, chance: Random) -> bool:
    """Kill something, some time from now; tell whether another life has begun."""
    victim = chance.choice(VICTIMS)
    if chance.random() < 0.5:
        await api.becomes(SESSION, "ready")
    await asyncio.sleep(chance.uniform(0, LONGEST))
    if victim != "supervisor":
        for browser in fleet.browsers(SESSION):
            with suppress(ProcessLookupError):
                os.kill(browser.pid, signal.SIGKILL)
    if victim == "browser":
        return False
    fleet.kill()
    fleet.start()
    return True


async def _above_cap(api: Client, number: str) -> int:
    """Count how often a message arrived within a minute of the one CAP before it."""
    entries = await api.seen(0, "message_received_from_client", number=number)
    times: dict[str, int] = {}
    for entry in entries:
        times.setdefault(str(entry["id"]), int(entry["at_ms"]))
    ours = sorted(times.values())
    return sum(last - first < MINUTE_MS for first, last in zip(ours, ours[CAP:], strict=False))


def _orphans(fleet: Fleet, guard: Guard) -> int:
    ours = {pid for b in fleet.browsers() for pid in sights.members(b.pid)}
    return len(set(guard.left()) - ours)


FAULTS: Final[tuple[Fault, ...]] = (
    Fault(
        name="random_kills",
        what="SIGKILL of browser, supervisor or both, at random moments, while messages flow",
        scale="restart pauses of at most 1 s; a cap of 90 messages a minute, no pace",
        run=random_kills,
        bars={
            "lost": NONE,
            "unknown": NONE,
            "waiting": NONE,
            "duplicated": NONE,
            "disordered": NONE,
            "wrong": NONE,
            "orphans": NONE,
            "twins": ONE,
            "accepted": AtLeast(relation="<=", limit=30),
        },
        full_bars={
            "accepted": AtLeast(relation="<=", limit=150),
            "doubted": AtLeast(relation="<=", limit=2),
        },
    ),
)
