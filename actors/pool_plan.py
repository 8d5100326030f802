"""Who may run and who may launch: `step(plan, event, rules, now) -> (plan, actions)`. Pure.

At most `most` sessions have a place. Of those that want to launch, at most `slots` do at once, and
none while the machine has too little left or is under pressure; before each grant it is looked at.
What a person asked for goes first, then those of the boot in the order given, in turns with those
that launch again, each of which goes to the end of its line.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from actors.messages import (
    FromPool,
    LaunchesBlocked,
    LaunchGranted,
    PlaceGiven,
    PlaceRefused,
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
from actors.pressure import HELD, Cause, Marks, Needs, Readings, shortage, too_high

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PRESSURES: Final = (Cause.MEMORY_PRESSURE, Cause.MEMORY_USED, Cause.CPU_PRESSURE, Cause.LOAD)
"""In the order in which they are named: what kills comes before what only slows down."""
NO_TURN: Final = Turn(urgency=Urgency.RELAUNCH, number=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """`interval` is in seconds: how often a machine that has too little left is looked at."""

    most: int
    slots: int
    interval: float
    needs: Needs
    marks: Marks


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What keeps launches waiting, since when (monotonic seconds)."""

    cause: Cause
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Where the pool stands. `served` is the class of the last grant that no person asked for."""

    members: Mapping[str, Member] = field(default_factory=dict)
    served: Urgency = Urgency.RELAUNCH
    held: Cause | None = None
    too_high: frozenset[Cause] = frozenset()
    block: Block | None = None
    armed: bool = False

    def standing(self, standing: Standing) -> list[Member]:
        """Return the members that stand there."""
        return [each for each in self.members.values() if each.standing is standing]


# ---- events (beside FromRoot) and actions (beside FromPool) --------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The answer to Measure."""

    readings: Readings


@dataclass(frozen=True, slots=True)
class TimeCame:
    """The timer of LookIn ran out."""


@dataclass(frozen=True, slots=True)
class Measure:
    """Look at the machine; answer with Measured. One look answers all that are asked meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookIn:
    """Wake the plan in these seconds."""

    seconds: float


Event = FromRoot | Measured | TimeCame
Action = FromPool | Measure | LookIn
Step = tuple[Plan, tuple[Action, ...]]


def step(plan: Plan, event: Event, rules: Rules, now: float) -> Step:
    """Return what `event` makes of `plan`, and what has to be done about it."""
    match event:
        case FleetTold():
            return _told(plan, event, rules, now)
        case PlaceWanted(session_id=session_id):
            return _place(plan, session_id, rules)
        case LaunchWanted():
            return _want(plan, event, rules)
        case LaunchEnded(session_id=session_id):
            member = plan.members.get(session_id)
            if member is None:
                return plan, ()
            return _look(_with(plan, replace(member, standing=Standing.RESTING)), rules)
        case PlaceLeft(session_id=session_id):
            left = {key: each for key, each in plan.members.items() if key != session_id}
            return _look(replace(plan, members=left), rules)
        case LaunchesHeld(cause=cause):
            return _hold(plan, cause, rules, now)
        case TimeCame():
            return replace(plan, armed=False), (Measure(),)
        case Measured(readings=readings):
            return _grant(plan, readings, rules, now)


def order(plan: Plan) -> Iterator[Member]:
    """Yield those who wait, in the order in which they would launch."""
    waiting = sorted(plan.standing(Standing.WAITING), key=lambda each: each.turn.number)
    lines = {urgency: [m for m in waiting if m.turn.urgency is urgency] for urgency in Urgency}
    yield from lines[Urgency.PERSON]
    served = plan.served
    while lines[Urgency.BOOT] or lines[Urgency.RELAUNCH]:
        other = Urgency.BOOT if served is Urgency.RELAUNCH else Urgency.RELAUNCH
        served = other if lines[other] else served
        yield lines[served].pop(0)


# ---- places --------------------------------------------------------------------------------------


def _told(plan: Plan, told: FleetTold, rules: Rules, now: float) -> Step:
    plan = replace(plan, members={each.session_id: each for each in told.members})
    answers: list[Action] = []
    for session_id in told.asking:
        plan, more = _place(plan, session_id, rules)
        answers += more
    plan, more = _hold(plan, told.held, rules, now)
    return plan, (*answers, *more)


def _place(plan: Plan, session_id: str, rules: Rules) -> Step:
    if session_id in plan.members:
        return plan, (PlaceGiven(session_id=session_id),)
    used = len(plan.members)
    if used >= rules.most:
        return plan, (PlaceRefused(session_id=session_id, limit=rules.most, used=used),)
    member = Member(session_id=session_id, standing=Standing.RESTING, incarnation=0, turn=NO_TURN)
    return _with(plan, member), (PlaceGiven(session_id=session_id),)


def _with(plan: Plan, member: Member) -> Plan:
    return replace(plan, members={**plan.members, member.session_id: member})


# ---- launches ------------------------------------------------------------------------------------


def _want(plan: Plan, wanted: LaunchWanted, rules: Rules) -> Step:
    before = plan.members.get(wanted.session_id)
    launching = before is not None and before.standing is Standing.LAUNCHING
    if launching and before is not None and before.incarnation == wanted.incarnation:
        return plan, ()  # it has crossed its grant
    member = Member(
        session_id=wanted.session_id,
        standing=Standing.WAITING,
        incarnation=wanted.incarnation,
        turn=wanted.turn,
    )
    return _look(_with(plan, member), rules)


def _look(plan: Plan, rules: Rules) -> Step:
    """Have the machine looked at if somebody could launch; what is blocked has its timer."""
    if plan.held is not None or plan.block is not None or not _somebody_could(plan, rules):
        return plan, ()
    return plan, (Measure(),)


def _somebody_could(plan: Plan, rules: Rules) -> bool:
    waiting = bool(plan.standing(Standing.WAITING))
    return waiting and len(plan.standing(Standing.LAUNCHING)) < rules.slots


def _hold(plan: Plan, cause: Cause | None, rules: Rules, now: float) -> Step:
    plan = replace(plan, held=cause)
    if cause is not None:
        return _blocked(plan, cause, rules, now)
    was_held = plan.block is not None and plan.block.cause in HELD
    plan, told = _blocked(plan, None, rules, now) if was_held else (plan, ())
    plan, more = _look(plan, rules)
    return plan, (*told, *more)


def _grant(plan: Plan, readings: Readings, rules: Rules, now: float) -> Step:
    plan = replace(plan, too_high=too_high(plan.too_high, readings, rules.marks))
    cause = plan.held or next((each for each in PRESSURES if each in plan.too_high), None)
    grants: list[Action] = []
    while cause is None and _somebody_could(plan, rules):
        cause = shortage(readings, rules.needs, len(plan.standing(Standing.LAUNCHING)))
        if cause is None:
            first = next(order(plan))
            launching = _with(plan, replace(first, standing=Standing.LAUNCHING))
            urgency = first.turn.urgency
            served = plan.served if urgency is Urgency.PERSON else urgency
            plan = replace(launching, served=served)
            grants.append(LaunchGranted(session_id=first.session_id, incarnation=first.incarnation))
    plan, told = _blocked(plan, cause, rules, now)
    return plan, (*grants, *told)


def _blocked(plan: Plan, cause: Cause | None, rules: Rules, now: float) -> Step:
    """Take note of what keeps launches waiting, tell of a change, and look again in a while."""
    actions: list[Action] = []
    before = None if plan.block is None else plan.block.cause
    if cause is not before:
        block = None if cause is None else Block(cause=cause, since=now)
        plan = replace(plan, block=block)
        actions.append(LaunchesBlocked(cause=cause))
    if cause is not None and cause not in HELD and not plan.armed:
        plan = replace(plan, armed=True)
        actions.append(LookIn(seconds=rules.interval))
    return plan, tuple(actions)
