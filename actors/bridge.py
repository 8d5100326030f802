"""The one way from actors into asyncio, and back.

An actor never awaits. It hands a coroutine function to a Bridge, goes on, and later finds an
Outcome in its mailbox. A call that misses its deadline is answered with DeadlineExceeded but not
cancelled: a cancelled pyppeteer call breaks its connection. It stays behind as a counted straggler;
what it returns in the end, or returns to an actor that is gone, goes to the call's `discard`.

    BridgeError             code, sentence
    ├── DeadlineExceeded    the call did not answer in time
    └── BridgeClosed        the bridge takes no calls any more: the process is ending
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import structlog

from actors.base import tell
from actors.messages import Outcome

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from pykka import ActorRef

log = structlog.get_logger(__name__)
T = TypeVar("T")


class BridgeError(Exception):
    """Base of the bridge's own failures."""

    code: ClassVar[str] = "bridge_failed"


class DeadlineExceeded(BridgeError):  # noqa: N818 - reads as what happened
    code = "call_timed_out"


class BridgeClosed(BridgeError):  # noqa: N818
    code = "bridge_closed"


class LoopThread:
    """An asyncio loop on a thread of its own."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()

    def stop(self, timeout: float) -> bool:
        """Stop the loop; False if its thread still runs after `timeout` seconds."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout)
        return not self._thread.is_alive()


class Timer:
    """A pending `after`; cancel() is safe from any thread, before and after it has run out."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None
        self._cancelled = False

    def arm(self, seconds: float, fire: Callable[[], None]) -> None:
        """Start counting; runs on the loop."""
        if not self._cancelled:
            self._handle = self._loop.call_later(seconds, fire)

    def cancel(self) -> None:
        self._cancelled = True
        if self._handle is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._handle.cancel)


class Bridge:
    """Calls and timers on one loop, for actors in any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str) -> None:
        self._loop = loop
        self._name = name
        self._closed = False
        self._running: set[asyncio.Task[Any]] = set()
        self._stragglers = 0

    @property
    def stragglers(self) -> int:
        """How many calls have missed their deadline and not ended yet."""
        return self._stragglers

    def call(
        self,
        work: Callable[[], Coroutine[Any, Any, T]],
        *,
        reply_to: ActorRef[Any],
        call_id: int,
        deadline: float,
        discard: Callable[[T], Awaitable[object]] | None = None,
        heard: Callable[[], bool] | None = None,
    ) -> None:
        """Run `work` on the loop; exactly one Outcome(call_id) follows within `deadline` s.

        None if `heard`, asked on the loop once it has succeeded, says that nobody waits for it.
        """
        if not self._submit(lambda: self._start(work, reply_to, call_id, deadline, discard, heard)):
            tell(reply_to, Outcome(call_id=call_id, error=self._refusal()))

    def call_after(
        self,
        seconds: float,
        work: Callable[[], Coroutine[Any, Any, object]],
        *,
        reply_to: ActorRef[Any],
        call_id: int,
        deadline: float,
    ) -> Timer:
        """Do the same as `call` in so many seconds (monotonic), unless cancelled before.

        Like a timer's, nothing comes of it once the bridge is closed: whoever asks again and again
        would be refused again and again, at once.
        """
        timer = Timer(self._loop)

        def start() -> None:
            if not self._closed:
                self._start(work, reply_to, call_id, deadline)

        self._submit(lambda: timer.arm(seconds, start))
        return timer

    def after(self, seconds: float, reply_to: ActorRef[Any], message: object) -> Timer:
        """Tell `message` to the actor in `seconds` (monotonic), unless cancelled."""
        timer = Timer(self._loop)
        self._submit(lambda: timer.arm(seconds, lambda: _fire(reply_to, message)))
        return timer

    def run(self, work: Callable[[], Coroutine[Any, Any, T]], timeout: float) -> T:
        """Run `work` on the loop and block for its result.

        Only for a dying actor's last act, and in threads that have nothing else to do. Raises
        TimeoutError (the work goes on), BridgeClosed, or what the work raises.
        """
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        if not self._submit(lambda: self._start_blocking(work, future)):
            raise self._refusal()
        return future.result(timeout)

    async def ask(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run `work` on the loop and await its result on the caller's own.

        It goes on if the caller is cancelled. Raises BridgeClosed, or what the work raises.
        """
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        if not self._submit(lambda: self._start_blocking(work, future)):
            raise self._refusal()
        return await asyncio.shield(asyncio.wrap_future(future))

    async def close(self, timeout: float) -> int:
        """Refuse calls from now on, wait for running ones, cancel the rest; return how many."""
        self._closed = True
        until = self._loop.time() + timeout
        # what ends may leave something to give back
        while self._running and (seconds := until - self._loop.time()) > 0:
            await asyncio.wait(self._running, timeout=seconds)
        left = [task for task in self._running if not task.done()]
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=1.0)
        return len(left)

    def _refusal(self) -> BridgeClosed:
        return BridgeClosed(f"The {self._name} loop takes no calls any more.")

    def _submit(self, start: Callable[[], None]) -> bool:
        if self._closed:
            return False
        try:
            self._loop.call_soon_threadsafe(start)
        except RuntimeError:  # the loop was closed between the check and the call
            return False
        return True

    def _spawn(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = self._loop.create_task(coroutine)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    def _start(
        self,
        work: Callable[[], Coroutine[Any, Any, T]],
        reply_to: ActorRef[Any],
        call_id: int,
        deadline: float,
        discard: Callable[[T], Awaitable[object]] | None = None,
        heard: Callable[[], bool] | None = None,
    ) -> None:
        task = self._loop.create_task(work())
        self._running.add(task)
        late = False

        def give_up() -> None:
            nonlocal late
            late = True
            self._stragglers += 1
            error = DeadlineExceeded(f"No answer within {deadline:g} s.")
            tell(reply_to, Outcome(call_id=call_id, error=error))

        def ended(task: asyncio.Task[T]) -> None:
            timer.cancel()
            self._running.discard(task)
            unheard = not late and heard is not None and _succeeded(task) and not heard()
            if late:
                self._stragglers -= 1
            elif unheard or tell(reply_to, _outcome(call_id, task)):
                return
            self._spawn(self._dispose(task, discard))

        timer = self._loop.call_later(deadline, give_up)
        task.add_done_callback(ended)

    async def _dispose(
        self, task: asyncio.Task[T], discard: Callable[[T], Awaitable[object]] | None
    ) -> None:
        """Nobody waits for this result any more: give a value back, log an error."""
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            log.warning("late_outcome_dropped", loop=self._name, error=type(error).__name__)
        elif discard is not None:
            await discard(task.result())

    def _start_blocking(
        self, work: Callable[[], Coroutine[Any, Any, T]], future: concurrent.futures.Future[T]
    ) -> None:
        task = self._spawn(work())

        def settle(done: asyncio.Task[T]) -> None:
            if done.cancelled():
                future.set_exception(BridgeClosed(f"The {self._name} loop was closed."))
            elif (error := done.exception()) is not None:
                future.set_exception(error)
            else:
                future.set_result(done.result())

        task.add_done_callback(settle)


def _succeeded(task: asyncio.Task[Any]) -> bool:
    return not task.cancelled() and task.exception() is None


def _outcome(call_id: int, task: asyncio.Task[Any]) -> Outcome:
    if task.cancelled():
        return Outcome(call_id=call_id, error=BridgeClosed("The call was cancelled."))
    error = task.exception()
    if error is None:
        return Outcome(call_id=call_id, value=task.result())
    if isinstance(error, Exception):
        return Outcome(call_id=call_id, error=error)
    return Outcome(call_id=call_id, error=RuntimeError(type(error).__name__))


def _fire(reply_to: ActorRef[Any], message: object) -> None:
    tell(reply_to, message)


class FutureReply:
    """A Reply that an asyncio task waits on; the first answer counts, later ones are dropped."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[Any] = self._loop.create_future()

    def put(self, value: object) -> None:
        """Answer, from any thread; after the loop has closed there is nobody to answer."""
        try:
            self._loop.call_soon_threadsafe(self._settle, value)
        except RuntimeError:
            return

    def _settle(self, value: object) -> None:
        if not self._future.done():
            self._future.set_result(value)

    async def wait(self, deadline: float) -> Any:
        """Return the answer. Raises TimeoutError after `deadline` seconds."""
        async with asyncio.timeout(deadline):
            return await self._future
