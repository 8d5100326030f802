"""What the supervisor knows of each child: its spec and where it stands. Pure data."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from actors.live import LiveSession
from actors.messages import ExitKind, StopKind
from storage.store import SessionStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.messages import Reply
    from actors.pool_messages import Turn


class RestartType(StrEnum):
    """OTP's: when a child that ended is started again."""

    PERMANENT = "permanent"  # always
    TRANSIENT = "transient"  # after a crash only
    TEMPORARY = "temporary"  # never


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """How to start a child, and when to start it again.

    `start` gets the incarnation and returns the actor's ref; it must not block. How long a stop may
    take is the child's own business (its browser's stop is bounded) and, at shutdown, the fleet's.
    """

    id: str
    start: Callable[[int], Any]
    restart: RestartType


class ChildPhase(StrEnum):
    """Where a child stands; the supervisor moves it, on the message named beside each."""

    ASKING = "asking"  # StartSession: the pool is asked whether there is a place for it
    COUNTING = "counting"  # PlaceGiven: the store is counting its incarnation
    QUEUED = "queued"  # counted: waits for the pool to grant its launch
    RUNNING = "running"  # LaunchGranted: its actor runs
    STOPPING = "stopping"  # EndSession: its actor was told to stop
    CLEANING = "cleaning"  # its actor ended; its profile is being removed
    BACKOFF = "backoff"  # ChildExited with a crash: waits for its timer
    QUARANTINED = "quarantined"  # one crash too many: waits for its long timer


@dataclass(slots=True, kw_only=True)
class Child:
    """The supervisor's record of one child; only its own thread touches it.

    `placed`: the pool has given it a place; `granted`: and its launch, and it is not up yet.
    `asking` wait for the answer to a start, `waiters` for that to a stop.
    """

    spec: ChildSpec
    turn: Turn
    phase: ChildPhase = ChildPhase.ASKING
    incarnation: int = 0
    ref: Any = None
    placed: bool = False
    granted: bool = False
    queued_ms: int = 0
    crashes: deque[float] = field(default_factory=deque)
    connected_since: float | None = None
    timer: Any = None
    timer_number: int = 0
    stop: StopKind | None = None
    start_again: bool = False
    asking: list[Reply] = field(default_factory=list)
    waiters: list[Reply] = field(default_factory=list)


def restarts(restart: RestartType, kind: ExitKind) -> bool:
    """Tell whether a child that nobody stopped is started again after ending in this way."""
    match restart:
        case RestartType.PERMANENT:
            return True
        case RestartType.TRANSIENT:
            return kind is ExitKind.CRASH
        case RestartType.TEMPORARY:
            return False


def queued(child: Child, reason: str, detail: str | None) -> LiveSession:
    """What the board shows of a child that waits for its launch; no actor speaks for it yet."""
    return LiveSession(
        session_id=child.spec.id,
        incarnation=child.incarnation,
        phase=child.phase.value,
        status=SessionStatus.DISCONNECTED.value,
        reason=reason,
        since_ms=child.queued_ms,
        detail=detail,
    )


STRENGTH: Final = (
    StopKind.RECYCLE,
    StopKind.RESTART,
    StopKind.STOP,
    StopKind.SHUTDOWN,
    StopKind.LOGOUT,
    StopKind.DELETE,
)


def stronger(old: StopKind | None, new: StopKind) -> StopKind:
    """A session that is deleted stays deleted, whatever else is asked while it ends."""
    return max(old or new, new, key=STRENGTH.index)
