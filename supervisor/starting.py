"""The way of a session from the wish that it runs to its actor: a place, a number, its turn."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

import structlog

from actors.messages import Done, Refused, Service, StopKind
from actors.pool_messages import Urgency
from storage.store import SessionNotFound
from supervisor.child import Child, ChildPhase, ChildSpec, RestartType
from supervisor.places import Places, answer_start
from supervisor.relay import answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from pykka import ActorRef

    from actors.calls import Calls
    from actors.messages import CapacityReached, Outcome, Reply
    from supervisor.deps import FleetDeps
    from supervisor.restarting import Restarting

log = structlog.get_logger(__name__)

COUNT_DEADLINE: Final = 60.0
DELETING: Final = Refused(code="session_not_found", message="The session is being deleted.")


class StartOwner(Protocol):
    """What starting asks of the root supervisor."""

    def not_started(self, child: Child, cause: str) -> None: ...

    def forget(self, child: Child) -> None: ...

    def written(self, outcome: Outcome) -> None: ...


class Starting:
    """Owned by the root supervisor and used only from its thread."""

    def __init__(
        self,
        owner: StartOwner,
        *,
        root: ActorRef[Any],
        children: dict[str, Child],
        calls: Calls,
        restarting: Restarting,
        tell: Callable[[Service, object], bool],
        deps: FleetDeps,
    ) -> None:
        self._owner = owner
        self._root = root
        self._children = children
        self._calls = calls
        self._restarting = restarting
        self._deps = deps
        self.places = Places(
            self,
            children=children,
            tell=tell,
            gate=deps.gate,
            board=deps.board,
            now_ms=deps.now_ms,
        )

    def start(self, session_id: str, reply: Reply | None, urgency: Urgency) -> None:
        """It is to run; answered when it has its place."""
        child = self._children.get(session_id)
        if child is None:
            child = self.new_child(session_id, urgency)
            self.places.ask(child)
        elif child.stop is StopKind.DELETE:
            answer(reply, DELETING)
            return
        elif child.phase in {ChildPhase.STOPPING, ChildPhase.CLEANING}:
            child.start_again = True
        elif child.phase in {ChildPhase.BACKOFF, ChildPhase.QUARANTINED}:
            child.crashes.clear()  # asked for by a person: from the beginning, and now
            self.count(child, urgency)
        elif urgency is Urgency.PERSON:
            self.places.hurry(child)
        if child.placed:
            answer(reply, Done())
        elif reply is not None:
            child.asking.append(reply)

    def new_child(self, session_id: str, urgency: Urgency) -> Child:
        """Make and keep the record of a session that had none."""
        spec = ChildSpec(
            id=session_id,
            start=lambda number: self._deps.start_child(session_id, number, self._root),
            restart=RestartType.TRANSIENT,
        )
        child = Child(spec=spec, turn=self.places.turn(urgency))
        self._children[session_id] = child
        return child

    def again(self, child: Child) -> None:
        """What ended is to run again, with a clean slate if somebody wanted that."""
        if child.stop is not StopKind.RECYCLE:  # that was nobody's wish to begin anew
            child.crashes.clear()
        if child.placed:
            self.count(child)
        else:
            self.places.ask(child)

    def count(self, child: Child, urgency: Urgency | None = None) -> None:
        """Let the store count a new incarnation; the child is queued when it answers."""
        self._restarting.disarm(child)
        if urgency is not None:
            child.turn = self.places.turn(urgency)
        child.phase = ChildPhase.COUNTING
        child.stop = None
        child.start_again = False
        work = partial(self._deps.clerk.count, child.spec.id)
        then = partial(self._counted, child)
        self._calls.place(self._deps.main, work, then, deadline=COUNT_DEADLINE)

    def _counted(self, child: Child, outcome: Outcome) -> None:
        if self._children.get(child.spec.id) is not child or child.phase is not ChildPhase.COUNTING:
            return
        if isinstance(outcome.error, SessionNotFound):
            self._owner.forget(child)
        elif outcome.error is not None:
            log.warning("incarnation_not_counted", error=type(outcome.error).__name__)
            self._owner.not_started(child, "storage_failed")
        else:
            child.incarnation = outcome.value
            self.places.queue(child)

    # ---- what the pool decided -------------------------------------------------------------------

    def begin(self, child: Child) -> None:
        """There is a place for it."""
        self.count(child)

    def turn_away(self, child: Child, why: CapacityReached) -> None:
        """There is none; a start that nobody waits for is told in the store."""
        if not child.asking:
            work = partial(self._deps.clerk.turned_away, child.spec.id)
            self._calls.place(self._deps.main, work, self._owner.written, deadline=COUNT_DEADLINE)
        answer_start(child, why)
        self._owner.forget(child)

    def launch(self, child: Child) -> None:
        """Its turn has come."""
        child.phase = ChildPhase.RUNNING
        child.connected_since = None
        child.ref = child.spec.start(child.incarnation)
        self._deps.telemetry.capacity.mailboxes.watch("session", child.ref, child.spec.id)
