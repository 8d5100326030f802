"""What a number may send, in a real fleet: Chromium, the simulator, the limiter, the courier."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from actors.messages import Done, OutboxChanged, StartSession
from storage.messages import NewOutbound
from supervisor.parts import now_ms
from tests.integration.archive_world import ALICE, ASK, ME, world
from tests.integration.care_world import shows
from tests.integration.health_support import sample, truth
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.archive_world import World

pytestmark = pytest.mark.integration


async def second_session(here: World) -> str:
    """Link another session to the same number, as a second device of it."""
    row, _ = await here.store.create_session(here.workspace, "two", 1)
    ask = partial(StartSession, session_id=row.id)
    assert await here.fleet.ask(lambda r: ask(reply=r), ASK) == Done()
    qr = (await shows(here, row.id, "qr_shown")).qr
    assert qr is not None
    here.simulator.desk.scan(ME, qr.text)
    await shows(here, row.id, "ready")
    return row.id


async def accept(here: World, session: str, number: int) -> None:
    new = NewOutbound(
        session_id=session,
        chat=f"{ALICE}@c.us",
        wa_id=f"3EB0{number:018X}",
        body=f"{session} {number}",
        now_ms=now_ms(),
    )
    await here.store.accept_message(here.workspace, new)
    here.fleet.tell(OutboxChanged(session_id=session))


def received(here: World) -> list[tuple[str, int]]:
    """Return which session each message came from that the server got, and when."""
    return [
        (event["text"].partition(" ")[0], event["at_ms"])
        for event in truth(here, "message_received_from_client")
    ]


def forecast(here: World) -> tuple[float, str | None]:
    [slot] = here.forecasts.slots(ME, 0, 1)
    return slot.seconds, slot.window


async def test_two_sessions_of_a_number_send_no_more_than_it_may_and_take_turns(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, send_per_minute=4) as here:
        await here.link()
        one, two = here.session, await second_session(here)
        for number in range(5):
            await accept(here, one, number)
            await accept(here, two, 100 + number)

        async def capped() -> bool:
            held = sample(here, 'wafleet_sends_held_total{window="minute"}')
            return len(received(here)) == 4 and held >= 2

        await eventually_async(capped)
        assert {session for session, _ in received(here)} == {one, two}
        seconds, window = forecast(here)
        assert window == "minute"
        assert 30 < seconds <= 62
        for session, waiting in ((one, 5), (two, 5)):
            sent = sum(1 for of, _ in received(here) if of == session)
            assert await here.store.queue_depth(session) == waiting - sent


async def test_the_pace_is_what_the_server_sees(tmp_path: Path) -> None:
    async with world(tmp_path, send_delay=1.0, send_delay_growth=0.0, send_jitter=0.5) as here:
        await here.link()
        for number in range(4):
            await accept(here, here.session, number)

        async def all_there() -> bool:
            return len(received(here)) == 4

        await eventually_async(all_there)
        times = [time for _, time in received(here)]
        # A page takes a moment to send, not always the same one.
        assert times[-1] - times[0] >= 2700
        # The first was one to somebody new; each of the others was told of with the one before.
        assert sample(here, 'wafleet_sends_held_total{window="pace"}') == 3
