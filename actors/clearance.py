"""A courier's question at the limiter, whether a message may be handed over now.

It is asked again until there is an answer, under the same key: the limiter may be started anew
meanwhile. Each hand-over has a key of its own, so that no grant serves twice. That it is over is
told until it was heard, too, or the number's next message would wait until the lease has run out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from actors.base import tell
from actors.limiter_messages import OverHeard, SendGranted, SendLater, SendOver, SendWanted
from actors.messages import SendAnswered, Service, TimerFired, ToService

if TYPE_CHECKING:
    from collections.abc import Callable

    from pykka import ActorRef

    from actors.bridge import Bridge, Timer

PATIENCE: Final = 2.0
"""Seconds: what was not usefully answered by then is told again, after twice that at the latest."""
TIMER: Final = "clearance"


class ClearanceOwner(Protocol):
    """What it asks of its session actor."""

    child_id: str
    incarnation: int

    @property
    def actor_ref(self) -> ActorRef[Any]: ...

    def tell_parent(self, message: object) -> None: ...


@dataclass(frozen=True, slots=True)
class Letter:
    """A Reply that ends in the session's own mailbox."""

    ref: ActorRef[Any]
    number: int

    def put(self, value: Any) -> None:
        tell(self.ref, SendAnswered(number=self.number, answer=value))


class Clearance:
    """Owned by one session actor and used only from its thread; one question at a time."""

    def __init__(self, owner: ClearanceOwner, main: Bridge) -> None:
        self._owner = owner
        self._main = main
        self._serial = 0
        self._wanted: SendWanted | None = None
        self._then: Callable[[SendGranted | SendLater], None] | None = None
        self._unheard: dict[int, SendOver] = {}
        self._seen = 0
        self._timer: Timer | None = None

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
        self._tell_over()  # before it, so that nothing seems to be on its way any more
        self._tell(self._wanted)

    def timer_fired(self) -> None:
        """Tell again what was not answered by now, and is not of this moment."""
        self._timer = None
        unanswered: list[tuple[int, SendWanted | SendOver]] = [*self._unheard.items()]
        if self._then is not None and self._wanted is not None:
            unanswered.append((self._serial, self._wanted))
        for serial, message in unanswered:
            if serial <= self._seen:
                self._tell(message)
        self._seen = self._serial
        if unanswered:
            self._arm()

    def _tell(self, message: SendWanted | SendOver) -> None:
        self._owner.tell_parent(ToService(service=Service.LIMITER, message=message))
        self._arm()

    def _arm(self) -> None:
        """One timer at a time, for all: most is answered long before."""
        if self._timer is None:
            fired = TimerFired(name=TIMER, number=self._serial)
            self._timer = self._main.after(PATIENCE, self._owner.actor_ref, fired)

    def answered(self, message: SendAnswered) -> None:
        """The limiter's answer; one that it could not give yet is asked for again."""
        then, answer = self._then, message.answer
        if isinstance(answer, OverHeard):
            self._unheard.pop(message.number, None)
            return
        if message.number != self._serial or then is None:
            return
        if isinstance(answer, SendGranted | SendLater):
            self._then = None
            if isinstance(answer, SendLater):
                self._wanted = None
            then(answer)

    def over(self, *, committed: bool) -> None:
        """Let the number's next message go; without `committed` the grant was not used."""
        wanted, self._wanted, self._then = self._wanted, None, None
        if wanted is not None:
            self._unheard[self._serial] = SendOver(
                session_id=wanted.session_id,
                number=wanted.number,
                key=wanted.key,
                committed=committed,
                reply=Letter(self._owner.actor_ref, self._serial),
            )
        self._tell_over()

    def _tell_over(self) -> None:
        """Tell what is over and was not heard yet."""
        for told in self._unheard.values():
            self._tell(told)

    def abandon(self) -> None:
        """The actor ends: a grant that it has counts, one that it only asked for does not."""
        self.over(committed=self._then is None)
        if self._timer is not None:
            self._timer.cancel()
