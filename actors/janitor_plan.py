"""What the janitor does about what it sees: `step(plan, event, rules, now) -> …`. Pure.

A profile above the limit is cleaned: at once if nothing runs on it, else by a planned restart,
whose launch cleans it (deleting under a living browser, even a frozen one, is not: it has these
files open and an index of them in memory). One that stays above the limit is told, and kept. A disk
that fills up first stops what can wait, then launches; it has to have some more room than that
before either goes on, so that nothing flaps at the mark.

Times are seconds of a monotonic clock, sizes bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from storage.space import SpaceLevel

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from actors.browser.profile_facts import Directory, ProfileSize, Tidied

WORTH: Final = 4
"""Of a profile that stays above the limit, waste is worth a restart from limit / WORTH on."""
GROWN: Final = 1.25
"""An oversized profile is told again when it is so much larger than when it was told."""
LEVEL_WORDS: Final = {
    SpaceLevel.PLENTY: "disk_recovered",
    SpaceLevel.LOW: "disk_low",
    SpaceLevel.FULL: "disk_full",
}
MB: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class JanitorRules:
    """`low` and `full` are marks of free space, `margin` what must be free above one to leave it.

    `pause` is how long a session is left alone once something was done for its size; `grace` how
    long a directory without a session must have been untouched before it goes.
    """

    limit: int
    low: int
    full: int
    margin: int
    pause: float
    grace: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Where the care of the disk stands; what it forgets, the next look finds again.

    `oversized` is how large each was when it was told, `asked` when each was last cleaned for its
    size, or a restart asked for.
    """

    level: SpaceLevel = SpaceLevel.PLENTY
    since: float | None = None
    oversized: Mapping[str, int] = field(default_factory=dict)
    asked: Mapping[str, float] = field(default_factory=dict)


# ---- events --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskSeen:
    """So many bytes are free for us where the data directory is."""

    free: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileSeen:
    """A session's profile was measured; `incarnation` is that of its actor, None if it has none."""

    session_id: str
    incarnation: int | None
    size: ProfileSize


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfilesSeen:
    """All were measured: these sessions have a directory, others are no more."""

    session_ids: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartRefused:
    """The restart that was asked for does not suit now: ask again after the next look."""

    session_id: str


JanitorEvent = DiskSeen | ProfileSeen | ProfilesSeen | RestartRefused


# ---- actions -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SetLevel:
    """Let those who write something large, and those who launch, know."""

    level: SpaceLevel


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanAll:
    """Clean every profile that no browser runs on."""

    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Clean:
    """Clean this profile; nothing runs on it."""

    session_id: str
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """Ask for a planned restart; the launch cleans the profile. Refused is RestartRefused."""

    session_id: str
    incarnation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Show this beside the session's state; None: nothing any more."""

    session_id: str
    incarnation: int
    note: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tell:
    """Write a `storage` event, of a session, or of the whole node (None)."""

    session_id: str | None
    payload: Mapping[str, Any]


JanitorAction = SetLevel | CleanAll | Clean | Restart | Note | Tell
Step = tuple[Plan, tuple[JanitorAction, ...]]


def step(plan: Plan, event: JanitorEvent, rules: JanitorRules, now: float) -> Step:
    """Return what `event` makes of `plan`, and what has to be done about it."""
    match event:
        case DiskSeen(free=free):
            return _disk_seen(plan, free, rules, now)
        case ProfileSeen(size=size) if size.total <= rules.limit:
            return _fits(plan, event, rules)
        case ProfileSeen(incarnation=None):
            return _too_large_at_rest(plan, event, rules, now)
        case ProfileSeen():
            return _too_large(plan, event, rules, now)
        case ProfilesSeen(session_ids=ids):
            oversized = {key: each for key, each in plan.oversized.items() if key in ids}
            asked = {key: each for key, each in plan.asked.items() if key in ids}
            return replace(plan, oversized=oversized, asked=asked), ()
        case RestartRefused(session_id=session_id):
            return replace(plan, asked=_without(plan.asked, session_id)), ()


def level_at(free: int, before: SpaceLevel, rules: JanitorRules) -> SpaceLevel:
    """Return how much room there is: worse at once, better only with the margin."""
    if free < rules.full or (before is SpaceLevel.FULL and free < rules.full + rules.margin):
        return SpaceLevel.FULL
    if free < rules.low or (before is not SpaceLevel.PLENTY and free < rules.low + rules.margin):
        return SpaceLevel.LOW
    return SpaceLevel.PLENTY


def orphans(
    directories: Iterable[Directory], known: frozenset[str], rules: JanitorRules, now_s: float
) -> tuple[str, ...]:
    """Return the sessions whose directories may go: nobody knows them, and they are old enough.

    `now_s` is wall-clock time, as that of files is. Where no session at all is known it is the
    database that was lost, not every session: then nothing goes.
    """
    if not known:
        return ()
    return tuple(
        each.session_id
        for each in directories
        if each.session_id not in known and now_s - each.touched > rules.grace
    )


def oversize_note(size: ProfileSize, limit: int) -> str | None:
    """Return what an operator should read of a profile, None if it is within the limit."""
    if size.total <= limit:
        return None
    return (
        f"its profile takes {size.total / MB:.0f} MB, more than profile_limit_mb "
        f"({limit / MB:.0f} MB), and what of it is a login or data is never deleted"
    )


def cleaned_payload(cause: str, tidied: Tidied) -> dict[str, Any]:
    """Return the payload of the event that tells of a cleaning."""
    return {
        "action": "cleaned",
        "cause": cause,
        "before": tidied.before.total,
        "after": tidied.after.total,
        "files": tidied.removed.files,
        "left": tidied.removed.left,
        "seconds": round(tidied.seconds, 3),
    }


# ---- behind it -----------------------------------------------------------------------------------


def _disk_seen(plan: Plan, free: int, rules: JanitorRules, now: float) -> Step:
    level = level_at(free, plan.level, rules)
    first = plan.since is None  # of this life of the janitor: a shortage is told then, too
    if level is plan.level and (not first or level is SpaceLevel.PLENTY):
        return replace(plan, since=now if plan.since is None else plan.since), ()
    lasted = 0.0 if plan.since is None else now - plan.since
    payload = {
        "action": LEVEL_WORDS[level],
        "cause": LEVEL_WORDS[plan.level],
        "free": free,
        "seconds": round(lasted, 3),
    }
    actions: tuple[JanitorAction, ...] = (
        SetLevel(level=level),
        Tell(session_id=None, payload=payload),
    )
    if level > plan.level or (first and level is not SpaceLevel.PLENTY):
        actions = (*actions, CleanAll(cause="disk_low"))
    return replace(plan, level=level, since=now), actions


def _fits(plan: Plan, event: ProfileSeen, rules: JanitorRules) -> Step:
    if event.session_id not in plan.oversized:
        return plan, ()
    payload = {"action": "fits", "before": event.size.total, "limit": rules.limit}
    actions: tuple[JanitorAction, ...] = (Tell(session_id=event.session_id, payload=payload),)
    if event.incarnation is not None:
        note = Note(session_id=event.session_id, incarnation=event.incarnation, note=None)
        actions = (*actions, note)
    return replace(plan, oversized=_without(plan.oversized, event.session_id)), actions


def _too_large_at_rest(plan: Plan, event: ProfileSeen, rules: JanitorRules, now: float) -> Step:
    plan, actions = _judged(plan, event, rules)
    if not event.size.disposable or _is_resting(plan, event, rules, now):
        return plan, actions
    clean = Clean(session_id=event.session_id, cause="limit")
    return _asked(plan, event, now), (*actions, clean)


def _too_large(plan: Plan, event: ProfileSeen, rules: JanitorRules, now: float) -> Step:
    size = event.size
    plan, actions = _judged(plan, event, rules)
    worth = size.kept <= rules.limit or size.disposable * WORTH >= rules.limit
    if event.incarnation is None or not worth or _is_resting(plan, event, rules, now):
        return plan, actions
    restart = Restart(session_id=event.session_id, incarnation=event.incarnation)
    return _asked(plan, event, now), (*actions, restart)


def _is_resting(plan: Plan, event: ProfileSeen, rules: JanitorRules, now: float) -> bool:
    last = plan.asked.get(event.session_id)
    return last is not None and now - last < rules.pause


def _asked(plan: Plan, event: ProfileSeen, now: float) -> Plan:
    return replace(plan, asked={**plan.asked, event.session_id: now})


def _judged(plan: Plan, event: ProfileSeen, rules: JanitorRules) -> Step:
    """Tell of what stays above the limit whatever is deleted."""
    return _oversized(plan, event, rules) if event.size.kept > rules.limit else (plan, ())


def _oversized(plan: Plan, event: ProfileSeen, rules: JanitorRules) -> Step:
    size, key = event.size, event.session_id
    told = plan.oversized.get(key)
    if told is not None and size.total < told * GROWN:
        return plan, ()
    payload = {
        "action": "oversized",
        "before": size.total,
        "kept": size.kept,
        "limit": rules.limit,
    }
    actions: tuple[JanitorAction, ...] = (Tell(session_id=key, payload=payload),)
    if event.incarnation is not None:
        note = oversize_note(size, rules.limit)
        actions = (*actions, Note(session_id=key, incarnation=event.incarnation, note=note))
    return replace(plan, oversized={**plan.oversized, key: size.total}), actions


def _without(mapping: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    return {name: value for name, value in mapping.items() if name != key}
