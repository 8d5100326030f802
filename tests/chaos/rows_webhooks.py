"""Faults of webhooks' endpoints: one that never answers, one that is down when the node dies.

`lost` and `disordered` are events here, not messages.
"""

from __future__ import annotations

import time
from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from tests.chaos.faults import NONE, Fault, below
from tests.integration.webhook_support import Endpoint, Got, endpoint, hang
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.chaos.faults import Figures, Options
    from tests.chaos.stage import Client, Stage

SETTINGS: Final = {
    "outbound_private_networks": "127.0.0.0/8",
    "webhook_timeout": "1",
    "webhook_retries": "3600",
}
SESSIONS: Final = 8
LONGEST: Final = 15.0
"""Seconds until all that waited must have been told."""


async def webhooks_down(stage: Stage, _options: Options) -> Figures:
    """One endpoint hangs all the time; the other one fails, and meanwhile the node is killed."""
    down = False

    async def moody(_: Got) -> web.StreamResponse:
        return web.Response(status=503 if down else 204)

    figures: Figures = {}
    async with endpoint(hang) as stuck, endpoint(moody) as there:
        with stage.fleet(**SETTINGS) as fleet:
            fleet.start()
            async with fleet.client() as api:
                await api.post("/v1/webhooks", {"url": stuck.url})
                made = await api.post("/v1/webhooks", {"url": there.url})
                told = [await _told_after(api, there, number) for number in range(SESSIONS)]
                figures["delayed"] = max(told)
                down = True
                await _busy(api)
                await eventually_async(lambda: _fails(api, made["id"]))
            fleet.kill()
            down, struck = False, time.monotonic()
            fleet.start()
            async with fleet.client() as api:
                await _busy(api)
                events = (await api.get("/v1/events?limit=500"))["events"]
                wanted = {event["id"] for event in events}
                with suppress(AssertionError):  # what has not come by then is counted as lost
                    await eventually_async(lambda: _all(there, wanted), LONGEST)
                figures["recovered"] = max(got.at for got in there.taken) - struck
            figures["lost"] = len(wanted - set(there.ids()))
            figures["disordered"] = _disordered(events, there.ids())
    return figures


async def _told_after(api: Client, there: Endpoint, number: int) -> float:
    """Make a session; return the seconds until the healthy endpoint knows it."""
    began, count = time.monotonic(), len(there.taken)
    await api.post("/v1/sessions", {"name": f"s{number}"})
    await eventually_async(lambda: _more(there, count))
    return time.monotonic() - began


async def _busy(api: Client) -> None:
    """Let every session have a few events, in turn."""
    for number in [*range(SESSIONS), *range(SESSIONS)]:
        await api.post(f"/v1/sessions/s{number}/primary", {})


async def _fails(api: Client, webhook: str) -> bool:
    return (await api.get(f"/v1/webhooks/{webhook}"))["failing_since"] is not None


async def _more(there: Endpoint, count: int) -> bool:
    return len(there.got) > count


async def _all(there: Endpoint, wanted: set[str]) -> bool:
    return wanted <= set(there.ids())


def _disordered(events: Sequence[dict[str, Any]], ids: Sequence[str]) -> int:
    """Count sessions that the endpoint was not told of in order; a repeat is none."""
    first = {event: place for place, event in reversed(list(enumerate(ids)))}
    places: dict[str, list[int]] = defaultdict(list)
    for event in events:
        if event["id"] in first:
            places[event["session_id"]].append(first[event["id"]])
    return sum(found != sorted(found) for found in places.values())


FAULTS: Final = (
    Fault(
        name="webhooks_down",
        what="an endpoint that never answers; another one fails, and the node is killed meanwhile",
        scale="webhook_timeout 1 s instead of 15 s; one retry, after 1 h",
        run=webhooks_down,
        bars={"delayed": below(1), "recovered": below(LONGEST), "lost": NONE, "disordered": NONE},
    ),
)
