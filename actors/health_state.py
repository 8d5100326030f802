"""Where a session's health stands, and what both its rounds do about it. Pure.

Times are seconds of one monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from actors import outages
from actors.health_events import Action, ArmBeat, ArmCheck, Mend, Sicken
from actors.outages import END_TO_END, History, RepairPolicy, Rung

if TYPE_CHECKING:
    from collections.abc import Callable

JITTER: Final = 0.1
"""An interval is up to this part of it shorter, at random: fleets start at once."""
GRACE: Final = 0.001
"""Timers are that exact, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthRules:
    """Seconds: between checks, for a note, between beats, and for an own message to get its ack."""

    interval: float
    probe: float
    heartbeat: float
    ack: float
    policy: RepairPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Proofs:
    """When each rung last gave a sign of life; the pipe itself tells when the process ends."""

    cdp: float | None = None
    page: float | None = None
    socket: float | None = None
    end: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Where a session's health stands.

    `watched`: its page must answer. `connected`: since when it is. `doubt`: why the connection
    needs a proof from end to end, of which `acked` is a part. `asked`: when the note under way was
    written. `suspected`: it was called lost for its page's sake; its socket may have been open all
    the time. `missed` and `stuck` count beats in a row: without an answer on `rung`, and with an
    own message that has been `waiting` for its ack for too long.
    """

    history: History = field(default_factory=History)
    proofs: Proofs = field(default_factory=Proofs)
    watched: bool = False
    connected: float | None = None
    doubt: str | None = None
    acked: bool = False
    asked: float | None = None
    suspected: bool = False
    rung: Rung | None = None
    missed: int = 0
    stuck: int = 0
    waiting: float | None = None
    closed: bool = False


Step = tuple[Plan, tuple[Action, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What a step has besides its event."""

    now: float
    rules: HealthRules
    uniform: Callable[[float, float], float]

    def beat(self) -> ArmBeat:
        """The next beat."""
        return ArmBeat(seconds=self.rules.heartbeat * self.uniform(1 - JITTER, 1.0))

    def check(self, age: float = 0.0) -> ArmCheck:
        """The next check, when the last evidence is `age` seconds old."""
        due = self.room() * self.uniform(1 - JITTER, 1.0)
        return ArmCheck(seconds=max(due - age, GRACE))

    def room(self) -> float:
        """How old evidence may become while there is still time for a note within the interval."""
        return self.rules.interval - self.rules.probe


def fresh(history: History) -> Plan:
    """Return the plan of a new incarnation."""
    cause = history.outage.cause if history.outage is not None else None
    return Plan(history=history, doubt=cause if cause in END_TO_END else None)


def trouble(plan: Plan, cause: str, moment: Moment) -> Step:
    """The session does not work: repair it, or say so until it may be repaired again."""
    if cause in END_TO_END:
        plan = replace(plan, doubt=cause, acked=False)
    policy = moment.rules.policy
    history, repair = outages.mend(plan.history, cause, moment.now, policy)
    plan = replace(plan, history=history)
    if repair is not None:
        plan = replace(plan, suspected=False)
        return plan, (Mend(repair=repair, cause=cause),)
    if plan.connected is None:
        return plan, (Sicken(reason=cause),)
    wait = min(outages.mends_in(history, moment.now, policy), moment.rules.interval)
    return plan, (Sicken(reason=cause), ArmCheck(seconds=wait))


def healed(plan: Plan, moment: Moment) -> Step:
    """What was in doubt is proven."""
    plan = replace(plan, doubt=None, acked=False, stuck=0)
    if plan.connected is None:
        return plan, (Sicken(reason=None),)
    return plan, (Sicken(reason=None), moment.check())
