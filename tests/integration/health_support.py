"""What the tests of a session's health share: scaled settings, and what the log of events tells.

The scale of BEATS: a fifth of the default heartbeats. What takes 25 s by default may take 5 s, and
the start of a browser or a page besides, which is not scaled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import generate_latest

from storage.events import EventType
from storage.messages import NewOutbound
from tests.fitting import fitting
from tests.integration.archive_world import ALICE, ME
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storage.messages import MessageState
    from tests.integration.archive_world import World

BEATS: Final[Mapping[str, Any]] = {"heartbeat_interval": 1.0, "heartbeat_timeout": 0.8}
FOUND: Final = 1.0 + 3 * 0.8 + 0.6
"""Seconds in which BEATS find what hangs: a beat, three deadlines, and some room besides."""
PAGE_UP: Final = 5.0
"""Seconds in which a page is loaded anew and connected again."""
BROWSER_UP: Final = 10.0
"""Seconds in which a browser is started anew, with a pause of up to a second before it."""

Payload = Mapping[str, Any]


@dataclass(frozen=True)
class Told:
    """One outage, as the log of events tells it."""

    lost: Payload
    recovered: Payload

    @property
    def detected(self) -> float:
        return float(self.lost["seconds"])

    @property
    def seconds(self) -> float:
        return float(self.recovered["seconds"])


async def linked(here: World) -> int:
    """Link the session; return its browser's pid."""
    pid = (await here.link()).browser_pid
    assert pid is not None
    here.seen.clear()  # from here on no QR code is seen any more
    return pid


async def health_events(here: World) -> Sequence[Payload]:
    rows = fitting(await here.store.events(here.workspace, types=[EventType.SESSION_HEALTH]))
    return [row.payload for row in rows]


async def first_event(here: World) -> Payload:
    """Wait until something was told of the session's health; it must be one thing."""

    async def look() -> Sequence[Payload]:
        return await health_events(here)

    (event,) = await eventually_async(look)
    return event


async def one_outage(here: World) -> Told:
    """Wait until an outage was told of from its beginning to its end; there must be only that."""

    async def look() -> bool:
        return len(await health_events(here)) >= 2

    await eventually_async(look)
    await here.live("ready")
    lost, recovered = await health_events(here)
    assert (lost["action"], recovered["action"]) == ("lost", "recovered")
    assert (lost["cause"], lost["rung"]) == (recovered["cause"], recovered["rung"])
    assert 0 <= recovered["detected_seconds"] <= recovered["seconds"]
    assert "qr_scanning" not in here.seen
    return Told(lost, recovered)


async def statuses(here: World) -> list[tuple[str, str]]:
    """Every change of status or reason that was ever written, in order."""
    rows = await here.store.events(here.workspace, types=[EventType.SESSION_STATUS], limit=500)
    return [shown for shown, _ in groupby((r.payload["status"], r.payload["reason"]) for r in rows)]


async def accept(here: World, number: int) -> str:
    """Accept a message to Alice; return its id."""
    wa_id = f"3EB0{number:018X}"
    chat = f"{ALICE}@c.us"
    new = NewOutbound(session_id=here.session, chat=chat, wa_id=wa_id, body="hello", now_ms=1)
    row = await here.store.accept_message(here.workspace, new)
    return row.id


async def message_is(here: World, message_id: str, *states: MessageState) -> None:
    async def look() -> bool:
        found = await here.store.message(here.workspace, here.session, message_id)
        return found.state in states

    await eventually_async(look)


def sample(here: World, name: str) -> float:
    """The value of a series of ours, by its line up to the value; 0 if there is none."""
    for line in generate_latest(here.telemetry.registry).decode().splitlines():
        series, _, value = line.rpartition(" ")
        if series == name:
            return float(value)
    return 0.0


async def no_note_is_left(here: World) -> None:
    """The chat with oneself is empty on the server, as soon as it has heard of it."""

    async def look() -> bool:
        return not here.simulator.desk.account(ME)["messages"]

    await eventually_async(look)


def truth(here: World, *kinds: str) -> list[dict[str, Any]]:
    """What the simulator's server saw."""
    return here.simulator.truth.read(after=0, kinds=list(kinds), number="", limit=10_000)
