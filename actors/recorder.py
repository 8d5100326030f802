"""A session's writes to the store: one at a time, in order, again while the store is busy or full.

The order matters (a receipt must not overtake its message, an old status must not overwrite a new
one), and so does patience: WhatsApp has already acknowledged what is being written.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import structlog

from actors.bridge import BridgeClosed, DeadlineExceeded
from storage.store import StoreBusy, StoreFull

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from actors.bridge import Bridge
    from actors.calls import Calls
    from actors.messages import Outcome

log = structlog.get_logger(__name__)

WRITE_DEADLINE: Final = 30.0
RETRY_AFTER: Final = 1.0
MOST_WAITING: Final = 10_000


class RecorderOverflow(Exception):  # noqa: N818 - it ends the actor, which reports it by name
    """More writes wait than the store will ever catch up with; the session starts again."""


class Write:
    """One of them. Nobody is woken for its end but who waits for it, then or by then."""

    def __init__(
        self,
        what: str,
        work: Callable[[], Coroutine[Any, Any, Any]],
        then: Callable[[], None] | None,
    ) -> None:
        self.what = what
        self.work = work
        self.then = then
        self._lock = threading.Lock()
        self._wanted = then is not None
        self._over = False

    def heard(self) -> bool:
        """On the main loop: it is written. Tell whether anybody waits for that."""
        with self._lock:
            self._over = not self._wanted
            return self._wanted

    def want(self) -> bool:
        """Have its end told; True if it is over already, and nobody was told."""
        with self._lock:
            self._wanted = True
            return self._over


class Recorder:
    """Owned by one actor and used only from its thread; `arm_retry` must lead back to retry()."""

    def __init__(
        self, calls: Calls, main: Bridge, session_id: str, arm_retry: Callable[[float], None]
    ) -> None:
        self._calls = calls
        self._main = main
        self._session_id = session_id
        self._arm_retry = arm_retry
        self._waiting: deque[Write] = deque()
        self._writing = False
        self._call = 0
        self._drained: Callable[[], None] | None = None

    def put(
        self,
        what: str,
        work: Callable[[], Coroutine[Any, Any, Any]],
        then: Callable[[], None] | None = None,
    ) -> None:
        """Write after everything put before; `what` names it in the log.

        `then` is called once it is written, or refused for good.
        """
        if len(self._waiting) >= MOST_WAITING:
            raise RecorderOverflow(f"{MOST_WAITING} writes wait for the store")
        self._waiting.append(Write(what, work, then))
        self._next()

    @property
    def last(self) -> Callable[[], Coroutine[Any, Any, Any]] | None:
        """The write that was put last, unless it is known to be done; it may be under way."""
        return self._waiting[-1].work if self._waiting else None

    def when_drained(self, then: Callable[[], None]) -> None:
        """Call `then` once, when nothing waits any more (perhaps at once)."""
        self._drained = then
        self._next()

    def retry(self) -> None:
        """Try the head again; the answer to arm_retry."""
        self._writing = False
        self._next()

    def _next(self) -> None:
        if self._writing and self._waiting[0].want():
            self._calls.forget(self._call)
            self._waiting.popleft()
            self._writing = False
        if self._writing:
            return
        if self._waiting:
            self._writing = True
            write, deadline = self._waiting[0], WRITE_DEADLINE
            if len(self._waiting) > 1 or self._drained is not None:
                write.want()  # what comes after it is begun at its end
            self._call = self._calls.place(
                self._main, write.work, self._written, deadline=deadline, heard=write.heard
            )
        elif self._drained is not None:
            then, self._drained = self._drained, None
            then()

    def _written(self, outcome: Outcome) -> None:
        write = self._waiting[0]
        error = outcome.error
        if isinstance(error, StoreBusy | StoreFull | DeadlineExceeded):
            log.warning(
                "write_postponed",
                session_id=self._session_id,
                what=write.what,
                error=type(error).__name__,
                waiting=len(self._waiting),
            )
            self._arm_retry(RETRY_AFTER)
            return
        if error is not None and not isinstance(error, BridgeClosed):
            log.error(
                "write_refused",
                session_id=self._session_id,
                what=write.what,
                error=type(error).__name__,
            )
        self._waiting.popleft()
        self._writing = False
        self._next()
        if write.then is not None:
            write.then()
