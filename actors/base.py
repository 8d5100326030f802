"""The base of every wafleet actor, and the one safe way to tell an actor something.

pykka facts that shape it: a BaseException that escapes a handler stops every actor in the process;
a failing on_start is silent; a tell to a dead actor raises in its sender; a stop is a message
behind all others. So a handler's failure of any kind becomes this actor's own, reported death;
on_start only tells itself Begin; and once an actor has decided to end, it handles nothing more.
"""

from __future__ import annotations

import itertools
import queue
import threading
import time
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pykka
import structlog

from actors.messages import Begin, ChildExited, ExitKind

if TYPE_CHECKING:
    from pykka import ActorRef

log = structlog.get_logger(__name__)


def tell(ref: ActorRef[Any], message: object) -> bool:
    """Put a message into an actor's mailbox; False if the actor is dead (never raises)."""
    try:
        ref.tell(message)
    except pykka.ActorDeadError:
        return False
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Busy:
    """An actor's handler at work: on what, in which thread, since when (monotonic seconds).

    `handling` numbers it among all that ever began.
    """

    actor: str
    message_type: str
    thread: int
    since: float
    handling: int


_handlings: Final = itertools.count(1)
_busy: Final[dict[int, Busy]] = {}
"""What every actor of the process is at work on; each writes its own entries."""


def busy_actors() -> list[Busy]:
    """Return the handlers at work at this moment, from any thread."""
    return list(_busy.copy().values())  # a copy of a dict is one step: no handler waits for us


class BaseActor(pykka.ThreadingActor):
    """An actor whose handler failures cost this actor only."""

    use_daemon_thread = True

    def __init__(self) -> None:
        super().__init__()
        self._ending = False

    @staticmethod
    def _create_actor_inbox() -> Any:
        """Return a queue that wakes its reader in one step of C: pykka's own takes a dozen."""
        return queue.SimpleQueue()

    @abstractmethod
    def handle(self, message: Any) -> None:
        """Handle one message; must not block. Any exception ends this actor, reported."""

    def dropped(self, message: Any) -> None:
        """Take note of a message that came too late to be handled."""

    @abstractmethod
    def died(self, error: BaseException) -> None:
        """Take note that a handler failed with `error`; cleanup() follows."""

    @abstractmethod
    def cleanup(self) -> None:
        """Release what the actor owns and report its end; runs last, in the actor's thread."""

    def end(self) -> None:
        """Handle no further message and stop."""
        self._ending = True
        self.stop()

    def on_start(self) -> None:
        self.actor_ref.tell(Begin())

    def on_receive(self, message: Any) -> None:
        if self._ending:
            self.dropped(message)
            return
        handling = next(_handlings)
        _busy[handling] = Busy(
            actor=type(self).__name__,
            message_type=type(message).__name__,
            thread=threading.get_ident(),
            since=time.monotonic(),
            handling=handling,
        )
        try:
            self.handle(message)
        except BaseException as error:  # an escaping one stops every actor
            log.exception(
                "actor_crashed", actor=type(self).__name__, message_type=type(message).__name__
            )
            self.died(error)
            self.end()
        finally:
            del _busy[handling]

    def on_stop(self) -> None:
        try:
            self.cleanup()
        except BaseException:  # same as above
            log.exception("actor_cleanup_failed", actor=type(self).__name__)


class ChildActor(BaseActor):
    """An actor with a parent, which learns of its end exactly once, however it ends."""

    def __init__(self, *, child_id: str, incarnation: int, parent: ActorRef[Any]) -> None:
        super().__init__()
        self.child_id = child_id
        self.incarnation = incarnation
        self._parent = parent
        self._exit: tuple[ExitKind, str, str | None] = (ExitKind.CRASH, "actor_crashed", None)

    def tell_parent(self, message: object) -> None:
        """Tell the parent; if it is dead, the process is ending and nobody is left to tell."""
        tell(self._parent, message)

    def exit(self, kind: ExitKind, cause: str, detail: str | None = None) -> None:
        """End with this reason."""
        self._exit = (kind, cause, detail)
        self.end()

    def died(self, error: BaseException) -> None:
        self._exit = (ExitKind.CRASH, "actor_crashed", type(error).__name__)

    @abstractmethod
    def release(self) -> None:
        """Release what the child owns; may block for a bounded time (the actor is over)."""

    def cleanup(self) -> None:
        try:
            self.release()
        finally:
            kind, cause, detail = self._exit
            self.tell_parent(
                ChildExited(
                    child_id=self.child_id,
                    incarnation=self.incarnation,
                    kind=kind,
                    cause=cause,
                    detail=detail,
                )
            )
