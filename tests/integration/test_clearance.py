"""A courier's clearance and a real limiter that is killed at the worst moment."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pykka
import pytest

from actors import clearance
from actors.base import tell
from actors.caps import Pace
from actors.clearance import Clearance
from actors.limiter_messages import SendGranted, SendLater
from actors.messages import SendAnswered, Service, TimerFired
from supervisor.services import service_down
from tests.integration.tenant_support import home_of
from tests.integration.test_limiter import CAPS, Desk, desk
from tests.integration.test_limiter_sends import ONE, TWO, refused, send
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.integration

LEASE: float = 600.0
"""Far longer than any test: what waits for its end waits in vain."""


class Asker(pykka.ThreadingActor):
    """A session, as far as its clearance goes."""

    use_daemon_thread = True

    def __init__(self, here: Desk, session: str) -> None:
        super().__init__()
        self.child_id = session
        self.incarnation = 1
        self.clearance = Clearance(self, here.main, here.door, time.monotonic)
        self.answers: list[Any] = []

    def on_receive(self, message: Any) -> Any:
        match message:
            case "ask":
                self.clearance.ask(
                    "message", ONE, first_contact=False, lease=LEASE, then=self.answers.append
                )
            case ("held", number):
                return self.clearance.held(number)
            case "forget":
                self.clearance.forget()
            case bool():
                self.clearance.over(committed=message)
            case SendAnswered():
                self.clearance.answered(message)
            case TimerFired():
                self.clearance.timer_fired()
            case _:
                pass
        return None

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


async def first(answers: list[Any]) -> Any:
    async def there() -> bool:
        return bool(answers)

    await eventually_async(there)
    [answer] = answers
    return answer


async def granted(answers: list[Any]) -> SendGranted:
    answer = await first(answers)
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
            ref.ask(committed)  # it is told, and nobody is there to hear it
            here.start()
            await send(here, two.id, "1")
            if not committed:
                await send(here, two.id, "2")
            assert (await refused(here, two.id, "3")).window == "minute"


async def test_the_next_message_waits_for_nothing_once_one_is_over(tmp_path: Path) -> None:
    async with desk(tmp_path) as (here, one), asker(here, one) as (ref, answers):
        await here.store.record_message_grant((await granted(answers)).grant)
        ref.ask(True)

        async def heard() -> bool:
            return not here.book.leases

        await eventually_async(heard)
        assert not here.book.over


async def test_what_a_grant_says_of_the_next_message_is_not_asked_for(tmp_path: Path) -> None:
    """Unless the grant was not used, or it is a cap that the limiter has not told of."""
    caps = replace(CAPS, minute=replace(CAPS.minute, most=2), pace=Pace(delay_ms=5000))
    async with desk(tmp_path, caps=caps) as (here, one), asker(here, one) as (ref, answers):

        def held(number: str = ONE) -> SendLater | None:
            found: SendLater | None = ref.ask(("held", number))
            return found

        async def asked() -> Any:
            answers.clear()
            tell(ref, "ask")
            return await first(answers)

        assert isinstance(await first(answers), SendGranted)
        assert held() is not None
        ref.ask(False)
        assert held() is None
        assert isinstance(await asked(), SendGranted)
        ref.ask(True)
        by_pace = held()
        assert by_pace is not None
        assert (by_pace.window, held(TWO)) == ("pace", None)
        assert 3 < by_pace.seconds <= 5
        here.clock.boot_ms += 5000
        ref.ask("forget")
        assert held() is None
        assert isinstance(await asked(), SendGranted)
        ref.ask(True)
        assert held() is None
        later = await asked()
        by_cap = held()
        assert by_cap is not None
        assert (later.window, by_cap.window) == ("minute", "minute")
        assert 50 < by_cap.seconds <= later.seconds


@pytest.mark.parametrize("limiter", ["gone", "deaf", "refusing"])
async def test_a_question_without_an_answer_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limiter: str
) -> None:
    """Soon, if the limiter was not there or could not tell; late, if it died with the question."""
    monkeypatch.setattr(clearance, "LATE", 0.3 if limiter == "deaf" else LEASE)
    monkeypatch.setattr(clearance, "SOON", LEASE if limiter == "deaf" else 0.3)
    async with desk(tmp_path) as (here, one):
        if limiter == "gone":
            await here.end(RuntimeError("x"))
        else:
            here.door.open(Dying.start(answers=limiter == "refusing"))
        async with asker(here, one) as (ref, answers):
            ref.ask(None)  # by now it has asked
            assert not answers
            if limiter == "gone":
                here.start()
            else:
                here.door.open(here.ref)
            await granted(answers)


class Dying(pykka.ThreadingActor):
    """A limiter that is about to die, or waits for its log."""

    use_daemon_thread = True

    def __init__(self, *, answers: bool) -> None:
        super().__init__()
        self.answers = answers

    def on_receive(self, message: Any) -> None:
        if self.answers:
            message.reply.put(service_down(Service.LIMITER))
