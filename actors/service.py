"""The base of the services: pool, limiter, memory and janitor actor.

A service keeps nothing that a crash could lose: what must last is in the store or with the root,
which tells it anew after each start.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from actors.base import ChildActor, tell
from actors.messages import ExitKind, Refused, StopService

if TYPE_CHECKING:
    from collections.abc import Callable

    from pykka import ActorRef

    from actors.messages import Answer


class MailReply:
    """A Reply whose answer comes back as a message in an actor's own mailbox."""

    def __init__(self, ref: ActorRef[Any], message: Callable[[Answer], object]) -> None:
        self._ref = ref
        self._message = message

    def put(self, value: Any) -> None:
        """Answer; an actor that is gone by now asks again when it is back."""
        tell(self._ref, self._message(value))


class ServiceActor(ChildActor):
    """A permanent child of the root; its id is the service's name."""

    def handle(self, message: Any) -> None:
        if isinstance(message, StopService):
            self.exit(ExitKind.NORMAL, "supervisor_stopped")
        else:
            self.serve(message)

    @abstractmethod
    def serve(self, message: Any) -> None:
        """Handle one message; must not block. Any exception ends this actor, reported."""

    def dropped(self, message: Any) -> None:
        """Answer who asks too late; it can ask again in a moment."""
        reply = getattr(message, "reply", None)
        if reply is not None:
            gone = f"The {self.child_id} is being started again; try again in a moment."
            reply.put(Refused(code="service_down", message=gone))
