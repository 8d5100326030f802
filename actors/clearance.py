"""A courier's question at the limiter, whether a message may be handed over now.

It is asked again until there is an answer, under the same key: the limiter may be started anew
meanwhile. Each hand-over has a key of its own, so that no grant serves twice. A grant says for how
long it is of no use to ask for the next one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from actors.base import tell
from actors.limiter_messages import TOLD_ONCE_IN, SendGranted, SendLater, SendWanted
from actors.messages import SendAnswered, TimerFired
from actors.send_plan import Over

if TYPE_CHECKING:
    from collections.abc import Callable

    from pykka import ActorRef

    from actors.bridge import Bridge, Timer
    from actors.limiter_door import LimiterDoor

SOON: Final = 2.0
"""Seconds after which a limiter is asked again that was not there, or could not answer yet."""
LATE: Final = 30.0
"""The same for one that took the question with it: that happens in one moment of its death only."""
TIMER: Final = "clearance"


class ClearanceOwner(Protocol):
    """What it asks of its session actor."""

    child_id: str
    incarnation: int

    @property
    def actor_ref(self) -> ActorRef[Any]: ...


@dataclass(frozen=True, slots=True)
class Letter:
    """A Reply that ends in the session's own mailbox."""

    ref: ActorRef[Any]
    number: int

    def put(self, value: Any) -> None:
        tell(self.ref, SendAnswered(number=self.number, answer=value))


class Clearance:
    """Owned by one session actor and used only from its thread; one question at a time."""

    def __init__(
        self,
        owner: ClearanceOwner,
        main: Bridge,
        door: LimiterDoor,
        monotonic: Callable[[], float],
    ) -> None:
        self._owner = owner
        self._main = main
        self._door = door
        self._monotonic = monotonic
        self._serial = 0
        self._wanted: SendWanted | None = None
        self._then: Callable[[SendGranted | SendLater], None] | None = None
        self._seen = 0
        self._timer: Timer | None = None
        self._nap = LATE
        self._next: tuple[str, float, SendLater] | None = None
        self._told: dict[str, float] = {}

    def ask(
        self,
        message_id: str,
        number: str,
        *,
        first_contact: bool,
        lease: float,
        then: Callable[[SendGranted | SendLater], None],
    ) -> None:
        """Ask; `then` gets the answer. After a grant, `over` must follow."""
        self._serial += 1
        self._then = then
        self._wanted = SendWanted(
            session_id=self._owner.child_id,
            number=number,
            key=f"{message_id}.{self._owner.incarnation}-{self._serial}",
            first_contact=first_contact,
            lease_seconds=lease,
            reply=Letter(self._owner.actor_ref, self._serial),
        )
        self._put(self._wanted)

    def timer_fired(self) -> None:
        """Ask again, if the question was not answered by now and is not of this moment."""
        self._timer = None
        seen, self._seen = self._seen, self._serial
        if self._then is None or self._wanted is None:
            return
        if self._serial == seen or self._nap == SOON:
            self._put(self._wanted)
        else:
            self._arm(LATE)

    def _put(self, wanted: SendWanted) -> None:
        self._arm(LATE if self._door.ask(wanted) else SOON)

    def _arm(self, seconds: float) -> None:
        """One timer at a time, for all questions: most are answered long before."""
        if self._timer is not None:
            if seconds >= self._nap:
                return
            self._timer.cancel()
        self._nap = seconds
        fired = TimerFired(name=TIMER, number=self._serial)
        self._timer = self._main.after(seconds, self._owner.actor_ref, fired)

    def answered(self, message: SendAnswered) -> None:
        """The limiter's answer; one that it could not give yet is asked for again."""
        then, answer = self._then, message.answer
        if message.number != self._serial or then is None:
            return
        if isinstance(answer, SendGranted | SendLater):
            self._then = None
            if isinstance(answer, SendLater):
                self._wanted = None
                self._told[answer.window] = self._monotonic()
            else:
                self._remember(answer)
            then(answer)
        else:
            self._arm(SOON)

    def held(self, number: str | None) -> SendLater | None:
        """Return what a number's next message waits for, as far as that is known without asking.

        A cap is the limiter's to tell of, as often as it does that: until then it has to be asked.
        """
        if self._next is None or self._next[0] != number:
            return None
        _, until, later = self._next
        now = self._monotonic()
        told, again = self._told.get(later.window), TOLD_ONCE_IN.get(later.window)
        if until <= now or (again is not None and (told is None or now - told >= again / 1000)):
            return None
        return replace(later, seconds=until - now)

    def forget(self) -> None:
        """Rely on no earlier answer: clocks may not go alike while the machine sleeps."""
        self._next = None

    def _remember(self, granted: SendGranted) -> None:
        later = granted.next
        if later is not None:
            until = self._monotonic() + later.seconds
            self._next = (granted.grant.number, until, later)

    def over(self, *, committed: bool) -> None:
        """Let the number's next message go; without `committed` the grant was not used."""
        if not committed:
            self.forget()
        wanted, self._wanted, self._then = self._wanted, None, None
        if wanted is not None:
            self._door.over(Over(number=wanted.number, key=wanted.key, committed=committed))

    def abandon(self) -> None:
        """The actor ends: a grant that it has counts, one that it only asked for does not."""
        self.over(committed=self._then is None)
        if self._timer is not None:
            self._timer.cancel()
