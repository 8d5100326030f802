"""When a session is archived: `step(plan, event, times, uniform) -> (plan, actions)`. Pure.

Once some time after it was first connected, then on a schedule, and whenever somebody asks; only
while it is connected (a login that is not synced is worth nothing), never two at once, and never
once it is leaving.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

JITTER: Final = 0.1
"""An interval is up to this part of it shorter or longer, at random: fleets start at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveTimes:
    """Seconds: from connected to the first archive, between archives, and after a failed one."""

    delay: float
    interval: float
    retry: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Where a session's archiving stands; `due` means that its time came at a bad moment."""

    connected: bool = False
    armed: bool = False
    running: bool = False
    due: bool = False
    closed: bool = False


# ---- events --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Connected:
    """The session entered CONNECTED."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The session left CONNECTED, perhaps to come back."""


@dataclass(frozen=True, slots=True)
class TimeCame:
    """The timer of the last Arm ran out."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Somebody wants an archive now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The archive that Begin began is saved, or failed."""

    saved: bool


@dataclass(frozen=True, slots=True)
class Leaving:
    """The session is being stopped, for whatever cause."""


PlanEvent = Connected | Disconnected | TimeCame | Asked | Ended | Leaving


# ---- actions -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BeginArchive:
    """Freeze, copy, save; answer with Ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmArchive:
    """Forget the timer, if one is armed, and arm it for these seconds; None only forgets it."""

    seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefuseArchive:
    """Tell who asked that there will be none: a code of `REFUSALS`."""

    code: str


Action = BeginArchive | ArmArchive | RefuseArchive

REFUSALS: Final = {
    "not_connected": "The session is not connected; archive it when it is.",
    "session_stopping": "The session is being stopped; start it, then archive it.",
}


def step(
    plan: Plan, event: PlanEvent, times: ArchiveTimes, uniform: Callable[[float, float], float]
) -> tuple[Plan, tuple[Action, ...]]:
    """Return what `event` makes of `plan`, and what has to be done about it."""
    match event:
        case Asked():
            return _asked(plan)
        case Leaving():
            return replace(plan, closed=True, connected=False), (ArmArchive(seconds=None),)
        case Ended(saved=saved):
            return _ended(plan, times.interval if saved else _retry(times), uniform)
        case Connected() if not plan.closed:
            return _connected(plan, times)
        case TimeCame() if not plan.closed:
            return _time_came(plan)
        case _:
            return replace(plan, connected=False), ()  # Disconnected, or too late


def _asked(plan: Plan) -> tuple[Plan, tuple[Action, ...]]:
    if plan.closed:
        return plan, (RefuseArchive(code="session_stopping"),)
    if plan.running:
        return plan, ()  # who asks gets the answer of the one under way
    if not plan.connected:
        return plan, (RefuseArchive(code="not_connected"),)
    return replace(plan, running=True, due=False), (BeginArchive(),)


def _ended(
    plan: Plan, seconds: float, uniform: Callable[[float, float], float]
) -> tuple[Plan, tuple[Action, ...]]:
    plan = replace(plan, running=False)
    if plan.closed:
        return plan, ()
    jittered = seconds * uniform(1 - JITTER, 1 + JITTER)
    return replace(plan, armed=True, due=False), (ArmArchive(seconds=jittered),)


def _connected(plan: Plan, times: ArchiveTimes) -> tuple[Plan, tuple[Action, ...]]:
    plan = replace(plan, connected=True)
    if plan.running or (plan.armed and not plan.due):
        return plan, ()  # it was connected before: its timer goes on
    return replace(plan, armed=True, due=False), (ArmArchive(seconds=times.delay),)


def _time_came(plan: Plan) -> tuple[Plan, tuple[Action, ...]]:
    if plan.running:
        return plan, ()  # its end arms the next one
    if not plan.connected:
        return replace(plan, due=True), ()
    return replace(plan, running=True, armed=False), (BeginArchive(),)


def _retry(times: ArchiveTimes) -> float:
    return min(times.retry, times.interval)
