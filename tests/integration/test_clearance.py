"""A courier's clearance and a real limiter that is killed at the worst moment."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pykka
import pytest

from actors.base import tell
from actors.clearance import Clearance
from actors.limiter_messages import SendGranted
from actors.messages import SendAnswered, Service, TimerFired, ToService
from supervisor.services import service_down
from tests.integration.tenant_support import home_of
from tests.integration.test_limiter import CAPS, Desk, desk
from tests.integration.test_limiter_sends import ONE, refused, send, want
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.integration

LEASE: float = 600.0
"""Far longer than any test: what waits for its end waits in vain."""


class Asker(pykka.ThreadingActor):
    """A session, as far as its clearance goes, and the root that hands its messages on."""

    use_daemon_thread = True

    def __init__(self, here: Desk, session: str) -> None:
        super().__init__()
        self.here = here
        self.child_id = session
        self.incarnation = 1
        self.clearance = Clearance(self, here.main)
        self.answers: list[Any] = []

    def tell_parent(self, message: object) -> None:
        assert isinstance(message, ToService)
        passed: Any = message.message
        if not tell(self.here.ref, passed):
            passed.reply.put(service_down(Service.LIMITER))

    def on_receive(self, message: Any) -> None:
        match message:
            case "ask":
                self.clearance.ask(
                    "message", ONE, first_contact=False, lease=LEASE, then=self.answers.append
                )
            case bool():
                self.clearance.over(committed=message)
            case SendAnswered():
                self.clearance.answered(message)
            case TimerFired():
                self.clearance.timer_fired()

    def on_stop(self) -> None:
        self.clearance.abandon()


@asynccontextmanager
async def asker(here: Desk, session: str) -> AsyncIterator[tuple[Any, list[Any]]]:
    """An asker that was granted a message."""
    ref = Asker.start(here, session)
    answers = ref.proxy().answers.get()
    try:
        tell(ref, "ask")
        yield ref, answers
    finally:
        ref.stop()


async def granted(answers: list[Any]) -> SendGranted:
    async def there() -> bool:
        return bool(answers)

    await eventually_async(there)
    [answer] = answers
    assert isinstance(answer, SendGranted)
    return answer


@pytest.mark.parametrize("committed", [True, False])
async def test_what_is_over_while_the_limiter_is_gone_is_heard_by_the_next(
    tmp_path: Path, *, committed: bool
) -> None:
    """Another session of the number waits for no lease, and what was sent counts all the same."""
    caps = replace(CAPS, minute=replace(CAPS.minute, most=2))
    async with desk(tmp_path, caps=caps) as (here, one):
        two, _ = await here.store.create_session(await home_of(here.store), "two", 1)
        async with asker(here, one) as (ref, answers):
            grant = (await granted(answers)).grant
            if committed:
                await here.store.record_message_grant(grant)
            await here.end(RuntimeError("x"))
            ref.ask(committed)  # it is told, and nobody hears it
            here.start()
            assert (await refused(here, two.id, "1")).window == "busy"

            async def free() -> bool:
                return isinstance(await want(here, two.id, "1"), SendGranted)

            await eventually_async(free)
            await send(here, two.id, "1")
            if not committed:
                await send(here, two.id, "2")
            assert (await refused(here, two.id, "3")).window == "minute"


async def test_what_was_heard_is_not_told_again(tmp_path: Path) -> None:
    async with desk(tmp_path) as (here, one), asker(here, one) as (ref, answers):
        await here.store.record_message_grant((await granted(answers)).grant)
        ref.ask(True)
        unheard = ref.proxy().clearance.get()._unheard

        async def heard() -> bool:
            return not unheard

        await eventually_async(heard)
        assert not here.book.leases
