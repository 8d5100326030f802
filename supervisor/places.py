"""What the root and the pool say to each other about who may run and who may launch.

The root owns the sessions, the pool decides. The root keeps all that the pool has to know, so that
a pool that is started anew is told everything; what is on its way meanwhile is answered twice or
comes too late, and changes nothing then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, assert_never

from actors.messages import (
    CapacityReached,
    Done,
    FromPool,
    LaunchesBlocked,
    LaunchGranted,
    PlaceGiven,
    PlaceRefused,
    Service,
)
from actors.pool_messages import (
    FleetTold,
    FromRoot,
    LaunchEnded,
    LaunchesHeld,
    LaunchWanted,
    Member,
    PlaceLeft,
    PlaceWanted,
    Standing,
    Turn,
    Urgency,
)
from actors.pressure import SENTENCES
from supervisor.child import ChildPhase, queued

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from actors.gate import LaunchGate
    from actors.live import LiveBoard
    from actors.pressure import Cause
    from storage.store import SessionRow
    from supervisor.child import Child


QUEUED: Final = "queued"


class PlacesOwner(Protocol):
    """What the pool's decisions ask of the root supervisor."""

    def begin(self, child: Child) -> None: ...

    def launch(self, child: Child) -> None: ...

    def turn_away(self, child: Child, why: CapacityReached) -> None: ...


class Places:
    """Owned by the root supervisor and used only from its thread."""

    def __init__(
        self,
        owner: PlacesOwner,
        *,
        children: Mapping[str, Child],
        tell: Callable[[Service, object], bool],
        gate: LaunchGate,
        board: LiveBoard,
        now_ms: Callable[[], int],
    ) -> None:
        """`tell` reaches the pool, unless it is being started again."""
        self._gate = gate
        self._owner = owner
        self._children = children
        self._tell_service = tell
        self._board = board
        self._now_ms = now_ms
        self._turns = 0
        self._held: Cause | None = None
        self._reason = QUEUED
        self._why: str | None = None

    @property
    def held(self) -> bool:
        """Whether nothing is to be launched, for the root's own reasons."""
        return self._held is not None

    # ---- to the pool -----------------------------------------------------------------------------

    def turn(self, urgency: Urgency) -> Turn:
        """Return the last turn of that urgency."""
        self._turns += 1
        return Turn(urgency=urgency, number=self._turns)

    def tell_all(self) -> None:
        """The pool was started (again): it knows nothing."""
        children = self._children.values()
        asking = sorted(
            (child for child in children if child.phase is ChildPhase.ASKING),
            key=lambda child: child.turn.number,
        )
        self._show_why(self._reason, None)
        self._tell(
            FleetTold(
                members=tuple(_member(child) for child in children if child.placed),
                asking=tuple(child.spec.id for child in asking),
                held=self._held,
            )
        )

    def ask(self, child: Child) -> None:
        """The child has to run; the owner hears begin() or turn_away()."""
        child.phase = ChildPhase.ASKING
        self._tell(PlaceWanted(session_id=child.spec.id))

    def queue(self, child: Child) -> None:
        """The child is ready to launch; the owner hears launch()."""
        child.phase = ChildPhase.QUEUED
        child.queued_ms = self._now_ms()
        self._board.put(queued(child, self._reason, self._why))
        self._want_launch(child)

    def hurry(self, child: Child) -> None:
        """A person asks for a child that waits already."""
        if child.turn.urgency is not Urgency.PERSON:
            child.turn = self.turn(Urgency.PERSON)
            if child.phase is ChildPhase.QUEUED:
                self._want_launch(child)

    def launched(self, child: Child) -> None:
        """The child is up, or neither launches nor waits any more."""
        child.granted = False
        self._tell(LaunchEnded(session_id=child.spec.id))

    def leave(self, child: Child) -> None:
        """The child runs no more."""
        child.placed = child.granted = False
        self._tell(PlaceLeft(session_id=child.spec.id))

    def hold(self, cause: Cause | None, reason: str = QUEUED) -> None:
        """Launch nothing for this cause, not even what has just been granted; None: go on.

        Those who wait show the `reason`.
        """
        self._show_why(reason, self._why)
        if cause is not self._held:
            self._held = cause
            self._tell(LaunchesHeld(cause=cause))
        if cause is None:  # the gate may have been closed for a moment only, before we were told
            for child in list(self._children.values()):
                if child.phase is ChildPhase.QUEUED and child.granted:
                    self._owner.launch(child)

    def _want_launch(self, child: Child) -> None:
        wanted = LaunchWanted(
            session_id=child.spec.id, incarnation=child.incarnation, turn=child.turn
        )
        self._tell(wanted)

    def _tell(self, message: FromRoot) -> None:
        self._tell_service(Service.POOL, message)  # one that is down is told all when it is up

    # ---- from the pool ---------------------------------------------------------------------------

    def heard(self, message: FromPool) -> None:
        """Do what the pool decided; what is about a former state of a child is dropped."""
        match message:
            case PlaceGiven(session_id=session_id):
                child = self._find(session_id, ChildPhase.ASKING)
                if child is not None:
                    child.placed = True
                    answer_start(child, Done())
                    self._owner.begin(child)
            case PlaceRefused(session_id=session_id, limit=limit, used=used):
                child = self._find(session_id, ChildPhase.ASKING)
                if child is not None:
                    self._owner.turn_away(child, capacity_reached(limit, used))
            case LaunchGranted(session_id=session_id, incarnation=incarnation):
                child = self._find(session_id, ChildPhase.QUEUED)
                if child is not None and child.incarnation == incarnation:
                    child.granted = True
                    if self._held is None and self._gate.reason is None:
                        self._owner.launch(child)
            case LaunchesBlocked(cause=cause):
                self._show_why(self._reason, None if cause is None else SENTENCES[cause])
            case _:
                assert_never(message)

    def _find(self, session_id: str, phase: ChildPhase) -> Child | None:
        child = self._children.get(session_id)
        return child if child is not None and child.phase is phase else None

    def _show_why(self, reason: str, why: str | None) -> None:
        if (reason, why) == (self._reason, self._why):
            return
        self._reason, self._why = reason, why
        for child in self._children.values():
            if child.phase is ChildPhase.QUEUED:
                self._board.put(queued(child, reason, why))


def boot_order(rows: Iterable[SessionRow]) -> list[SessionRow]:
    """Sort sessions by their weight: primary numbers, then those connected most recently.

    Where there is no place for all, the last are turned away.
    """
    never = 0
    return sorted(
        rows, key=lambda row: (not row.is_primary, -(row.last_connected_ms or never), row.id)
    )


def answer_start(child: Child, answer: object) -> None:
    """Answer all who wait to hear whether it has a place."""
    for reply in child.asking:
        reply.put(answer)
    child.asking.clear()


def capacity_reached(limit: int, used: int) -> CapacityReached:
    """Return the answer to a start for which there is no place."""
    return CapacityReached(
        code="capacity_reached",
        message=(
            f"This node runs {used} sessions and may run {limit}; stop one first, raise"
            " max_sessions (to 50), or start it on another node."
        ),
        limit=limit,
        used=used,
    )


def _member(child: Child) -> Member:
    waits = child.phase is ChildPhase.QUEUED
    standing = Standing.WAITING if waits else Standing.RESTING
    return Member(
        session_id=child.spec.id,
        standing=Standing.LAUNCHING if child.granted else standing,
        incarnation=child.incarnation,
        turn=child.turn,
    )
