"""When something limited is allowed: an exact sliding log. Pure.

A limit allows `most` grants in any `period`: one at t is legal if and only if the one that was the
`most`-th before it was given at least a period ago; windows are half-open, (t - period, t]. Nothing
coarser is exact: buckets and fixed windows let up to twice as many through.

Time is that since the machine's boot, sleep included, which nobody can set: within a boot the wall
clock may jump as it likes, also across our own restarts. What was granted in another boot counts
as granted at the moment when it is first seen in this one. The wall clock could tell better when it
was, or much worse; taken as new it lets nothing through and locks out for one period at most.

What is granted begins a moment after it was reckoned, when it is on the disk: at most MARGIN_MS
later, or the grant is reckoned anew. A limit's period is to be longer by that margin.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from storage.grants import Grant, GrantKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


MARGIN_MS: Final = 2000
SHORTEST_WAKE_MS: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Instant:
    """A moment on this machine: milliseconds since the boot `boot_id`; the wall clock is shown."""

    boot_id: str
    boot_ms: int
    wall_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """At most `most` in any `period_ms` milliseconds."""

    most: int
    period_ms: int


def settle(grants: Iterable[Grant], now: Instant) -> tuple[list[Grant], list[Grant]]:
    """Return the grants as they count now, and those among them that were given another time.

    Those of another boot, and those that this boot has not reached yet (a machine that was put back
    to a former state), count as given now.
    """
    settled: list[Grant] = []
    moved: list[Grant] = []
    for grant in grants:
        known = grant.boot_id == now.boot_id and grant.boot_ms <= now.boot_ms
        counted = grant if known else replace(grant, boot_id=now.boot_id, boot_ms=now.boot_ms)
        settled.append(counted)
        if not known:
            moved.append(counted)
    return settled, moved


def wait_ms(given: Sequence[int], now_ms: int, limits: Iterable[Limit]) -> int:
    """Return how long to wait for the next grant, 0 if it is legal now.

    `given` are times of this boot, in any order.
    """
    newest = sorted(given, reverse=True)
    waits = [
        limit.period_ms - (now_ms - newest[limit.most - 1])
        for limit in limits
        if len(newest) >= limit.most
    ]
    return max(0, max(waits, default=0))


# ---- the plan ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What counts, by session and key.

    `recording` is what is on its way to the disk, `doubtful` what may be there or not.
    """

    grants: Mapping[tuple[str, str], Grant] = field(default_factory=dict)
    recording: frozenset[tuple[str, str]] = frozenset()
    doubtful: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A session asks for a grant; asking again under the same key asks for the same one."""

    session_id: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The answer to Record: it is on the disk, or perhaps not."""

    session_id: str
    key: str
    safe: bool


@dataclass(frozen=True, slots=True)
class TimeCame:
    """The timer of Wake ran out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Put it on the disk, or give it this time there; answer with Recorded.

    `used` are those that count now, it included.
    """

    grant: Grant
    used: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Allow:
    """Tell who asked that it may; `used` as above."""

    session_id: str
    key: str
    used: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """Tell who asked that it may not before `wait_ms` milliseconds have passed."""

    session_id: str
    key: str
    wait_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Postpone:
    """Tell who asked to ask again: the disk did not take it."""

    session_id: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """Forget these on the disk: they count no more."""

    grants: tuple[Grant, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wake:
    """Forget the timer, and wake the plan in these milliseconds, when the next one expires."""

    ms: int


Event = Wanted | Recorded | TimeCame
Action = Record | Allow | Refuse | Postpone | Drop | Wake
Step = tuple[Plan, tuple[Action, ...]]

NOTHING: Final[tuple[Action, ...]] = ()


def loaded(grants: Iterable[Grant]) -> Plan:
    """Return the plan of a limiter that has read its log; the grants are settled."""
    return Plan(grants={(grant.session_id, grant.key): grant for grant in grants})


def step(plan: Plan, event: Event, kind: GrantKind, limits: Sequence[Limit], now: Instant) -> Step:
    """Return what `event` makes of `plan`, and what has to be done about it."""
    match event:
        case Wanted():
            plan, dropped = _expire(plan, limits, now)
            plan, actions = _want(plan, event, kind, limits, now)
            return plan, (*dropped, *actions, *_wake(plan, limits, now))
        case Recorded():
            return _recorded(plan, event, now)
        case TimeCame():
            plan, dropped = _expire(plan, limits, now)
            return plan, (*dropped, *_wake(plan, limits, now))


def wait_of(plan: Plan, session_id: str, limits: Sequence[Limit], now: Instant) -> int:
    """Return how many milliseconds a session would have to wait if it asked now."""
    return wait_ms(_given(plan, session_id), now.boot_ms, limits)


def _want(
    plan: Plan, wanted: Wanted, kind: GrantKind, limits: Sequence[Limit], now: Instant
) -> Step:
    place = (wanted.session_id, wanted.key)
    if place in plan.recording:
        return plan, NOTHING  # who asks gets the answer of the one under way
    known = plan.grants.get(place)
    if known is not None and place not in plan.doubtful:
        used = len(_given(plan, wanted.session_id))
        return plan, (Allow(session_id=wanted.session_id, key=wanted.key, used=used),)
    wait = 0 if known is not None else wait_of(plan, wanted.session_id, limits, now)
    if wait > 0:
        return plan, (Refuse(session_id=wanted.session_id, key=wanted.key, wait_ms=wait),)
    grant = Grant(
        session_id=wanted.session_id,
        kind=kind,
        key=wanted.key,
        boot_id=now.boot_id,
        boot_ms=now.boot_ms,
        wall_ms=now.wall_ms,
    )
    plan = replace(
        plan,
        grants={**plan.grants, place: grant},
        recording=plan.recording | {place},
        doubtful=plan.doubtful - {place},
    )
    return plan, (Record(grant=grant, used=len(_given(plan, wanted.session_id))),)


def _recorded(plan: Plan, event: Recorded, now: Instant) -> Step:
    """What is not known to be on the disk counts, and is reckoned anew when asked for again."""
    place = (event.session_id, event.key)
    plan = replace(plan, recording=plan.recording - {place})
    grant = plan.grants[place]
    if event.safe and now.boot_ms - grant.boot_ms <= MARGIN_MS:
        used = len(_given(plan, event.session_id))
        return plan, (Allow(session_id=event.session_id, key=event.key, used=used),)
    plan = replace(plan, doubtful=plan.doubtful | {place})
    return plan, (Postpone(session_id=event.session_id, key=event.key),)


def _given(plan: Plan, session_id: str) -> list[int]:
    return [each.boot_ms for (of, _), each in plan.grants.items() if of == session_id]


def _expire(plan: Plan, limits: Sequence[Limit], now: Instant) -> Step:
    longest = max(limit.period_ms for limit in limits)
    old = {
        place: grant
        for place, grant in plan.grants.items()
        if now.boot_ms - grant.boot_ms >= longest and place not in plan.recording
    }
    if not old:
        return plan, NOTHING
    left = {place: grant for place, grant in plan.grants.items() if place not in old}
    plan = replace(plan, grants=left, doubtful=plan.doubtful - old.keys())
    return plan, (Drop(grants=tuple(old.values())),)


def _wake(plan: Plan, limits: Sequence[Limit], now: Instant) -> tuple[Action, ...]:
    if not plan.grants:
        return NOTHING
    longest = max(limit.period_ms for limit in limits)
    first = min(grant.boot_ms for grant in plan.grants.values())
    return (Wake(ms=max(SHORTEST_WAKE_MS, first + longest - now.boot_ms)),)


def by_session(grants: Iterable[Grant]) -> dict[str, list[Grant]]:
    """Group grants by their sessions."""
    groups: dict[str, list[Grant]] = defaultdict(list)
    for grant in grants:
        groups[grant.session_id].append(grant)
    return dict(groups)
