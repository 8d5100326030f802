"""One fault on one session: what it looked like before, when it was told, and what it left."""

from __future__ import annotations

import asyncio
import itertools
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tests.chaos import sights
from tests.chaos.sights import Guard
from tests.chaos.stage import PATIENCE
from tests.chaos.traffic import Traffic
from tests.waiting import GLANCE, eventually, eventually_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.chaos.faults import Figures
    from tests.chaos.stage import Client, Fleet

VICTIMS: Final = itertools.count(1)
QUIET: Final = 5.0
"""Seconds in which what a fault has shaken must have come to rest."""
UNDER_WAY: Final = 2
"""Messages of each direction that must have passed before the fault happens."""


@dataclass
class Timeline:
    """What the API says of a session, moment by moment: (monotonic seconds, status, reason)."""

    api: Client
    session: str
    seen: list[tuple[float, str, str]] = field(default_factory=list)

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            now = await self.api.session(self.session)
            entry = (now["status"], now["reason"])
            if not self.seen or self.seen[-1][1:] != entry:
                self.seen.append((time.monotonic(), *entry))
            await asyncio.sleep(GLANCE)

    def first(self, since: float, look: Callable[[str, str], bool]) -> float | None:
        """Return when the session first looked like that, after a moment."""
        return next((at for at, *entry in self.seen if at >= since and look(*entry)), None)


@dataclass
class Trial:
    """A victim with its traffic; `figures` grow as the fault takes its course."""

    fleet: Fleet
    api: Client
    victim: str
    guard: Guard
    timeline: Timeline
    traffic: list[Traffic]
    figures: Figures = field(default_factory=dict)
    struck: float = 0.0
    last_event: str | None = None
    delivered: bool = True

    @property
    def browser(self) -> sights.Browser:
        """The victim's browser."""
        return self.fleet.browser(self.victim)

    @property
    def number(self) -> str:
        return self.fleet.numbers[self.victim]

    async def strike(self, fault: Callable[[], object]) -> None:
        """Do it, and note the moment; messages must be under way."""

        async def flowing() -> bool:
            return all(len(each.accepted) >= UNDER_WAY for each in self.traffic if each.outbound)

        await eventually_async(flowing)
        self.last_event = await last_event(self.api)
        self.struck = time.monotonic()
        done = fault()
        if asyncio.iscoroutine(done):
            await done

    async def tells(
        self, look: Callable[[str, str], bool], within: float = PATIENCE, after: float = 0
    ) -> float:
        """Wait until the API shows the victim so, `after` seconds after the fault or later.

        Return how many seconds after the fault it did.
        """

        async def shown() -> float | None:
            return self.timeline.first(self.struck + after, look)

        found = await eventually_async(shown, within)
        assert found is not None
        return found - self.struck

    async def detected(self, within: float = PATIENCE) -> None:
        """Wait until the API tells that the victim is not connected."""
        self.figures["detected"] = await self.tells(lambda status, _: status != "connected", within)

    async def recovered(self, within: float = PATIENCE) -> None:
        """Wait until it is connected again."""
        detected = self.figures["detected"]
        self.figures["recovered"] = await self.tells(
            lambda status, _: status == "connected", within, detected
        )

    async def events(self, *types: str) -> list[dict[str, Any]]:
        """Return the victim's events since the fault."""
        return await self.api.events(self.victim, *types, after=self.last_event)


async def last_event(api: Client) -> str | None:
    """Return the id of the newest event."""
    after: str | None = None
    more = True
    while more:
        path = "/v1/events?limit=500" + (f"&after={after}" if after else "")
        page = await api.get(path)
        after, more = page["next_after"] or after, page["more"]
    return after


@asynccontextmanager
async def trial(
    fleet: Fleet, *, outbound: bool = True, inbound: bool = True
) -> AsyncIterator[Trial]:
    """Link a victim beside a fleet's sessions, let messages flow, and judge.

    The victim is deleted in the end: what then is more than before is left over.
    """
    victim, neighbours = f"victim-{next(VICTIMS)}", list(fleet.numbers)
    async with fleet.client() as api:
        before = (sights.descriptors(fleet.pid), sights.threads(fleet.pid))
        untouched = {b.session: b for b in fleet.browsers()}
        with Guard(fleet.data) as guard:
            await fleet.link(api, victim)
            timeline = Timeline(api, victim)
            looking = asyncio.create_task(timeline.watch())
            flows = [
                await Traffic.begin(fleet, api, victim, outbound=outbound, inbound=inbound),
                *[await Traffic.begin(fleet, api, name) for name in neighbours[:1]],
            ]
            made = Trial(fleet, api, victim, guard, timeline, flows)
            began = await last_event(api)
            try:
                yield made
            finally:
                await asyncio.gather(*(flow.end() for flow in flows))
                looking.cancel()
                await asyncio.wait({looking})
            await _judge_messages(made)
            made.figures["neighbours"] = await _disturbed(made, neighbours, untouched, began)
            status, _ = await api.ask("DELETE", f"/v1/sessions/{victim}")
            assert status in {204, 404}, f"the victim could not be deleted: {status}"
        made.figures["twins"] = guard.twins
        made.figures["orphans"] = settled(lambda: len(guard.left(fleet.ids[victim])))
        made.figures["zombies"] = settled(lambda: sights.zombies(fleet.pid))
        made.figures["descriptors"] = settled(lambda: sights.descriptors(fleet.pid) - before[0])
        made.figures["threads"] = sights.threads(fleet.pid) - before[1]
    del fleet.numbers[victim]


async def _judge_messages(made: Trial) -> None:
    for flow in made.traffic:
        delivered = made.delivered or flow.session != made.victim
        for name, count in (await flow.verdict(delivered=delivered)).items():
            made.figures[name] = made.figures.get(name, 0) + count
    made.figures["codes"] = sum(s == "qr_scanning" for _, s, _ in made.timeline.seen)
    made.figures["restarts"] = len(made.guard.of(made.fleet.ids[made.victim])) - 1


async def _disturbed(
    made: Trial, neighbours: list[str], untouched: dict[str, sights.Browser], began: str | None
) -> int:
    """Count the neighbours whose browser is another one, or whose status changed."""
    now = {b.session: b for b in made.fleet.browsers()}
    changed = {key for key, browser in untouched.items() if now.get(key) != browser}
    for name in neighbours:
        if await made.api.events(name, "session.status", after=began):
            changed.add(made.fleet.ids[name])
    return len(changed)


def settled(count: Callable[[], int]) -> int:
    """Return the count once it is nothing, or what it is after QUIET seconds."""
    try:
        eventually(lambda: count() <= 0, QUIET)
    except AssertionError:
        return count()
    return 0
