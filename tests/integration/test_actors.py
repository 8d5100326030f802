"""The actor base and the bridge, with real threads and loops."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from actors.base import BaseActor, ChildActor, tell
from actors.bridge import Bridge, BridgeClosed, DeadlineExceeded, FutureReply, LoopThread, Timer
from actors.messages import Begin, ChildExited, ExitKind, OutboxChanged, Outcome
from actors.outbox_bells import OutboxBells
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pykka

pytestmark = pytest.mark.integration


class Mailbox(BaseActor):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.got: list[Any] = []

    def handle(self, message: Any) -> None:
        if isinstance(message, threading.Event):
            message.wait(10)
            self.end()
        elif not isinstance(message, Begin):
            self.got.append(message)

    def died(self, error: BaseException) -> None:
        self.got.append(error)

    def cleanup(self) -> None:
        self.got.append("cleaned up")


class Fragile(ChildActor):
    """Raises what it is told to raise."""

    released = False

    def handle(self, message: Any) -> None:
        if isinstance(message, BaseException):
            raise message

    def release(self) -> None:
        self.released = True


def start(actor: type[BaseActor], **arguments: Any) -> tuple[pykka.ActorRef[Any], Any]:
    """Start an actor and reach its object, to look at, not to touch."""
    ref = actor.start(**arguments)
    return ref, ref._actor_weakref()


@pytest.fixture
def mailbox() -> Iterator[tuple[pykka.ActorRef[Any], Mailbox]]:
    ref, box = start(Mailbox)
    yield ref, box
    ref.stop()


@pytest.fixture
def loop_thread() -> Iterator[LoopThread]:
    thread = LoopThread("test-loop")
    thread.start()
    yield thread
    assert thread.stop(5)


@pytest.mark.parametrize(
    "error", [ValueError("x"), asyncio.CancelledError(), SystemExit(1), KeyboardInterrupt()]
)
def test_a_failing_handler_costs_one_actor_and_is_reported(
    mailbox: tuple[pykka.ActorRef[Any], Mailbox], error: BaseException
) -> None:
    """Also a CancelledError, which would stop every actor of a plain pykka process."""
    parent, box = mailbox
    ref, child = start(Fragile, child_id="a", incarnation=7, parent=parent)
    other, _ = start(Fragile, child_id="b", incarnation=1, parent=parent)
    ref.tell(error)
    eventually(lambda: box.got)
    assert box.got == [
        ChildExited(
            child_id="a",
            incarnation=7,
            kind=ExitKind.CRASH,
            cause="actor_crashed",
            detail=type(error).__name__,
        )
    ]
    assert child.released
    assert not ref.is_alive()
    assert other.is_alive()
    assert parent.is_alive()
    other.stop()


def test_an_actor_that_ends_handles_nothing_more() -> None:
    """Messages that wait before pykka's own stop are dropped, not handled by half a corpse."""
    ref, box = start(Mailbox)
    ref.tell(gate := threading.Event())
    ref.tell("late")
    gate.set()
    eventually(lambda: not ref.is_alive())
    assert box.got == ["cleaned up"]


def test_telling_a_dead_actor_is_harmless() -> None:
    """The sender learns of it by the return value and lives on."""
    ref, _ = start(Mailbox)
    ref.stop()
    assert tell(ref, "x") is False


def test_a_call_is_answered_once_with_its_value_or_its_error(
    mailbox: tuple[pykka.ActorRef[Any], Mailbox], loop_thread: LoopThread
) -> None:
    """The Outcome carries the number of its call."""
    ref, box = mailbox
    bridge = Bridge(loop_thread.loop, "test")

    async def good() -> int:
        return 42

    async def bad() -> int:
        raise ValueError("no")

    async def cancelled() -> int:
        raise asyncio.CancelledError

    bridge.call(good, reply_to=ref, call_id=1, deadline=5)
    bridge.call(bad, reply_to=ref, call_id=2, deadline=5)
    bridge.call(cancelled, reply_to=ref, call_id=3, deadline=5)
    eventually(lambda: len(box.got) == 3)
    by_id = {outcome.call_id: outcome for outcome in box.got}
    assert by_id[1] == Outcome(call_id=1, value=42)
    assert isinstance(by_id[2].error, ValueError)
    assert isinstance(by_id[3].error, BridgeClosed)


def test_a_late_call_is_a_straggler_and_its_value_is_discarded(
    mailbox: tuple[pykka.ActorRef[Any], Mailbox], loop_thread: LoopThread
) -> None:
    """The deadline is told, the work goes on, and what it brings is given back."""
    ref, box = mailbox
    bridge = Bridge(loop_thread.loop, "test")
    release = asyncio.Event()
    discarded: list[str] = []

    async def slow() -> str:
        await release.wait()
        return "late browser"

    async def discard(value: str) -> None:
        discarded.append(value)

    bridge.call(slow, reply_to=ref, call_id=1, deadline=0.01, discard=discard)
    eventually(lambda: box.got)
    assert isinstance(box.got[0].error, DeadlineExceeded)
    eventually(lambda: bridge.stragglers == 1)
    loop_thread.loop.call_soon_threadsafe(release.set)
    eventually(lambda: discarded == ["late browser"])
    eventually(lambda: bridge.stragglers == 0)
    assert len(box.got) == 1


def test_a_value_for_a_dead_actor_is_discarded(loop_thread: LoopThread) -> None:
    """A browser launched for an actor that died meanwhile must not leak."""
    ref, _ = start(Mailbox)
    bridge = Bridge(loop_thread.loop, "test")
    release = asyncio.Event()
    discarded: list[str] = []

    async def launch() -> str:
        await release.wait()
        return "browser"

    async def discard(value: str) -> None:
        discarded.append(value)

    bridge.call(launch, reply_to=ref, call_id=1, deadline=5, discard=discard)
    ref.stop()
    loop_thread.loop.call_soon_threadsafe(release.set)
    eventually(lambda: discarded == ["browser"])


def test_a_closed_bridge_refuses_and_still_answers(
    mailbox: tuple[pykka.ActorRef[Any], Mailbox], loop_thread: LoopThread
) -> None:
    """No call is ever left without an Outcome."""
    ref, box = mailbox
    bridge = Bridge(loop_thread.loop, "test")

    async def for_ever() -> None:
        await asyncio.Event().wait()

    bridge.call(for_ever, reply_to=ref, call_id=1, deadline=60)
    closing = asyncio.run_coroutine_threadsafe(bridge.close(0.05), loop_thread.loop)
    assert closing.result(5) == 1
    bridge.call(for_ever, reply_to=ref, call_id=2, deadline=60)
    eventually(lambda: [o for o in box.got if o.call_id == 2])
    assert isinstance(next(o for o in box.got if o.call_id == 2).error, BridgeClosed)
    with pytest.raises(BridgeClosed):
        bridge.run(for_ever, 1)


def test_a_timer_fires_once_unless_cancelled(
    mailbox: tuple[pykka.ActorRef[Any], Mailbox], loop_thread: LoopThread
) -> None:
    """Also when it is cancelled before the loop has armed it."""
    ref, box = mailbox
    bridge = Bridge(loop_thread.loop, "test")
    bridge.after(0.001, ref, "fired")
    bridge.after(0.05, ref, "cancelled").cancel()
    bridge.after(0.1, ref, "end")
    eventually(lambda: "end" in box.got)
    assert box.got == ["fired", "end"]


def test_a_call_of_later_is_made_once_unless_cancelled_or_closed(
    mailbox: tuple[pykka.ActorRef[Any], Mailbox], loop_thread: LoopThread
) -> None:
    """A loop that is ending begins nothing, and says nothing: a beat asks again at each answer."""
    ref, box = mailbox
    bridge = Bridge(loop_thread.loop, "test")
    made: list[int] = []

    def later(seconds: float, number: int) -> Timer:
        async def work() -> int:
            made.append(number)
            return number

        return bridge.call_after(seconds, work, reply_to=ref, call_id=number, deadline=5)

    later(0.05, 2).cancel()
    later(0.1, 1)
    eventually(lambda: box.got == [Outcome(call_id=1, value=1)])
    later(0.1, 3)
    asyncio.run_coroutine_threadsafe(bridge.close(1), loop_thread.loop).result(5)
    later(0.0, 4)
    Bridge(loop_thread.loop, "other").after(0.3, ref, "end")
    eventually(lambda: "end" in box.got)
    assert box.got == [Outcome(call_id=1, value=1), "end"]
    assert made == [1]


def test_a_thousand_timers_and_calls_from_many_threads(
    mailbox: tuple[pykka.ActorRef[Any], Mailbox], loop_thread: LoopThread
) -> None:
    """Nothing is lost between threads and loop."""
    ref, box = mailbox
    bridge = Bridge(loop_thread.loop, "test")

    async def nothing() -> None:
        return None

    def work(base: int) -> None:
        for i in range(250):
            bridge.call(nothing, reply_to=ref, call_id=base + i, deadline=5)

    threads = [threading.Thread(target=work, args=(n * 250,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    eventually(lambda: len(box.got) == 1000)
    assert sorted(o.call_id for o in box.got) == list(range(1000))


async def test_a_reply_takes_the_first_answer_from_any_thread() -> None:
    """Later answers are dropped; waiting is bounded."""
    reply = FutureReply()

    def answer_twice() -> None:
        reply.put(1)
        reply.put(2)

    threading.Thread(target=answer_twice).start()
    assert await reply.wait(5) == 1
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        await FutureReply().wait(0.01)
    assert time.monotonic() - began < 5


def test_a_bell_is_heard_by_the_youngest_unless_it_is_muffled() -> None:
    """An old actor that ends late takes nobody else's bell with it."""
    bells, news = OutboxBells(), OutboxChanged(session_id="a")
    (old, old_box), (young, box) = start(Mailbox), start(Mailbox)
    try:
        first = bells.hang("a", old)
        second = bells.hang("a", young)
        bells.take_down("a", first)
        bells.ring(OutboxChanged(session_id="b"))
        second.muffled = True
        bells.ring(news)
        second.muffled = False
        bells.ring(news)
        eventually(lambda: box.got)
        bells.take_down("a", second)
        bells.ring(news)
        assert (box.got, old_box.got) == ([news], [])
    finally:
        old.stop()
        young.stop()
