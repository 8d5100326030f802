"""What the pool actor is told; what it tells the root is in actors.messages. Pure.

The root owns the sessions' actors, the pool decides who of them may run and when each may launch
its browser. The pool keeps nothing that the root does not know: after each of its starts the root
tells it everything anew (`FleetTold`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from actors.messages import Done

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.messages import Reply
    from actors.pressure import Cause, Readings


class Urgency(StrEnum):
    """Why a session wants to launch; what a person waits for comes first."""

    PERSON = "person"
    BOOT = "boot"
    RELAUNCH = "relaunch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A session's place in the queue: within an urgency the smaller number, given by the root."""

    urgency: Urgency
    number: int


class Standing(StrEnum):
    """Where a session that has a place stands."""

    RESTING = "resting"  # its browser runs, or it can't launch one now: stopping, pausing
    WAITING = "waiting"  # it waits for a launch
    LAUNCHING = "launching"  # it was granted one and is not up yet


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A session that has a place."""

    session_id: str
    standing: Standing
    incarnation: int
    turn: Turn


# ---- to the pool, from the root ------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetTold:
    """The pool was just started: who has a place, who asks for one, in order; what holds all."""

    members: Sequence[Member]
    asking: Sequence[str]
    held: Cause | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceWanted:
    """A session is to run; answered with PlaceGiven or PlaceRefused."""

    session_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchWanted:
    """A session with a place is ready to launch, or its turn has changed; LaunchGranted follows."""

    session_id: str
    incarnation: int
    turn: Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchEnded:
    """A session is up, or launches no more, or waits no more; it keeps its place."""

    session_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceLeft:
    """A session runs no more."""

    session_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchesHeld:
    """The root has a cause to launch nothing: grant nothing, until told that it is over (None)."""

    cause: Cause | None


FromRoot = FleetTold | PlaceWanted | LaunchWanted | LaunchEnded | PlaceLeft | LaunchesHeld


# ---- to the pool, from the API -------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class TellPressure:
    """Answered with a PoolReport, after a fresh look at the machine."""

    reply: Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolReport(Done):
    """How full the node is. `waiting` is in the order in which they launch; times are seconds."""

    limit: int
    in_use: int
    slots: int
    launching: tuple[str, ...]
    waiting: tuple[str, ...]
    blocked: Cause | None
    blocked_seconds: float | None
    readings: Readings
