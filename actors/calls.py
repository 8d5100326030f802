"""An actor's open calls: what to do with each Outcome when it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from pykka import ActorRef

    from actors.bridge import Bridge, Timer
    from actors.messages import Outcome

T = TypeVar("T")


class Calls:
    """Places calls on bridges and hands each Outcome to its continuation, in the actor's thread."""

    def __init__(self, ref: ActorRef[Any]) -> None:
        self._ref = ref
        self._last = 0
        self._open: dict[int, Callable[[Outcome], None]] = {}

    def place(
        self,
        bridge: Bridge,
        work: Callable[[], Coroutine[Any, Any, T]],
        then: Callable[[Outcome], None],
        *,
        deadline: float,
        discard: Callable[[T], Awaitable[object]] | None = None,
        heard: Callable[[], bool] | None = None,
    ) -> int:
        """Run `work` on the bridge's loop; `then` gets its Outcome within `deadline` seconds.

        Unless `heard` says that nobody waits for it (Bridge.call): then `forget` the number that
        this returns.
        """
        self._last += 1
        self._open[self._last] = then
        bridge.call(
            work,
            reply_to=self._ref,
            call_id=self._last,
            deadline=deadline,
            discard=discard,
            heard=heard,
        )
        return self._last

    def place_after(
        self,
        seconds: float,
        bridge: Bridge,
        work: Callable[[], Coroutine[Any, Any, object]],
        then: Callable[[Outcome], None],
        *,
        deadline: float,
    ) -> Timer:
        """Do that in so many seconds, without waking the actor before; cancel it at its end."""
        self._last += 1
        self._open[self._last] = then
        return bridge.call_after(
            seconds, work, reply_to=self._ref, call_id=self._last, deadline=deadline
        )

    def forget(self, number: int) -> None:
        """Expect no Outcome of this call."""
        del self._open[number]

    def settle(self, outcome: Outcome) -> None:
        """Handle an Outcome message."""
        self._open.pop(outcome.call_id)(outcome)
