"""When a session is asked for a sign of life, and what follows from the answer. Pure.

`step(plan, event, now, rules, uniform) -> (plan, actions)`. Two rounds run side by side:

- the beat (actors.health_beat), every few seconds: the browser, then the page. Two beats missed in
  a row on the same rung mean that it hangs.
- the check, end to end: when nothing has come from WhatsApp's server for most of an interval, a
  note to self must reach its ack in time for the verdict to fall within that interval. Whoever
  talks to WhatsApp anyway is never asked.

What is done about it is chosen in actors.outages.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, assert_never

from actors import outages
from actors.health_beat import beat
from actors.health_events import (
    ArmCheck,
    CheckDue,
    Heard,
    Leaving,
    Lost,
    Moved,
    PlanEvent,
    Probe,
    Probed,
    Sicken,
    Tell,
    Trouble,
    Up,
    Verdict,
    Well,
)
from actors.health_state import GRACE, JITTER, HealthRules, Moment, Plan, Step, healed, trouble
from actors.outages import END_TO_END, History, Outage, Repair, rung_of

if TYPE_CHECKING:
    from collections.abc import Callable

UNPROVEN: Final = "unproven"
"""Connected as far as can be told, but a note can't be written: a doubt that no repair can end."""


def step(
    plan: Plan,
    event: PlanEvent,
    now: float,
    rules: HealthRules,
    uniform: Callable[[float, float], float],
) -> Step:
    """Return what `event` makes of `plan`, and what has to be done about it."""
    if plan.closed and not (isinstance(event, Leaving) and not event.again):
        return plan, ()
    moment = Moment(now=now, rules=rules, uniform=uniform)
    match event:
        case Lost() | Well() | Leaving():
            return _outage(plan, event, now)
        case Trouble(cause=cause):
            return trouble(plan, cause, moment)
        case Moved() | Heard() | CheckDue() | Probed():
            return _end_to_end(plan, event, moment)
        case Up():
            return _up(plan, moment)
        case _:
            return beat(plan, event, moment)


def _up(plan: Plan, moment: Moment) -> Step:
    """Tell of the crash of our own code that ended the incarnation before, if it did."""
    outage = plan.history.outage
    if outage is None or outage.told:
        return plan, (moment.beat(),)
    told = replace(plan.history, outage=replace(outage, told=True))
    tell = _tell("lost", outage, Repair.NONE, outage.found)
    return replace(plan, history=told), (tell, moment.beat())


# ---- the check -----------------------------------------------------------------------------------


def _end_to_end(plan: Plan, event: Moved | Heard | CheckDue | Probed, moment: Moment) -> Step:
    match event:
        case Moved():
            return _moved(plan, event, moment)
        case Heard(ack=ack):
            return _heard(plan, moment, ack=ack)
        case CheckDue():
            return _check(plan, moment)
        case Probed(verdict=verdict):
            return _probed(replace(plan, asked=None), verdict, plan.asked, moment)


def _moved(plan: Plan, event: Moved, moment: Moment) -> Step:
    if event.watched != plan.watched:
        plan = replace(plan, watched=event.watched, missed=0, rung=None)
    if event.connected == (plan.connected is not None):
        return plan, ()
    if not event.connected:
        return replace(plan, connected=None, stuck=0), (ArmCheck(seconds=None),)
    logged_in = not plan.suspected
    plan = replace(plan, connected=moment.now, suspected=False)
    if plan.doubt is not None:
        return _ask(plan, moment)
    if logged_in:  # nobody but the server can have let it
        plan = replace(plan, proofs=replace(plan.proofs, end=moment.now))
    return plan, (moment.check(_age(plan, moment.now)),)


def _age(plan: Plan, now: float) -> float:
    """How old the last evidence from end to end is."""
    return 0.0 if plan.proofs.end is None else now - plan.proofs.end


def _ask(plan: Plan, moment: Moment) -> Step:
    if plan.asked is not None:
        return plan, ()  # the answer arms the next check
    return replace(plan, asked=moment.now), (Probe(),)


def _heard(plan: Plan, moment: Moment, *, ack: bool) -> Step:
    proofs = replace(plan.proofs, end=moment.now)
    plan = replace(plan, proofs=proofs, acked=plan.acked or ack)
    unacked = plan.doubt == "acks_missing" and (plan.stuck or not plan.acked)
    return (plan, ()) if plan.doubt is None or unacked else healed(plan, moment)


def _check(plan: Plan, moment: Moment) -> Step:
    if plan.connected is None:
        return plan, ()
    age = _age(plan, moment.now)
    if plan.doubt is None and age + GRACE < moment.room() * (1 - JITTER):
        return plan, (moment.check(age),)
    return _ask(plan, moment)


def _probed(plan: Plan, verdict: Verdict, asked: float | None, moment: Moment) -> Step:
    if verdict in {Verdict.ACKED, Verdict.REFUSED}:
        # a note that has its ack shows that there are acks, whatever waits besides
        stuck = 0 if verdict is Verdict.ACKED else plan.stuck
        after = replace(plan, stuck=stuck)
        plan, actions = _heard(after, moment, ack=verdict is Verdict.ACKED)
        if actions:
            return plan, actions
    if plan.connected is None:
        return plan, ()
    if verdict is Verdict.OLD:
        return _ask(plan, moment)
    if verdict is Verdict.SILENT:
        return trouble(plan, _cause_of_silence(plan, asked), moment)
    if verdict is Verdict.IMPOSSIBLE and plan.doubt is None:
        return replace(plan, doubt=UNPROVEN), (Sicken(reason=UNPROVEN), moment.check())
    soon = ArmCheck(seconds=moment.rules.heartbeat)
    return plan, (soon if verdict is Verdict.LATER else moment.check(),)


def _cause_of_silence(plan: Plan, asked: float | None) -> str:
    """The note had no ack in time; that it is only the acks is seen by what came nevertheless."""
    if plan.doubt is not None and plan.doubt in END_TO_END:
        return plan.doubt
    heard = plan.proofs.end is not None and asked is not None and plan.proofs.end > asked
    return "acks_missing" if heard or plan.stuck else "evidence_missing"


# ---- what is told of it --------------------------------------------------------------------------


def _outage(plan: Plan, event: Lost | Well | Leaving, now: float) -> Step:
    history = plan.history
    match event:
        case Lost():
            return _lost(plan, event, now)
        case Well():
            after, action = replace(plan, history=outages.well(history)), "recovered"
        case Leaving(again=True):
            again = outages.failed(history, event.cause, now)
            return replace(plan, closed=True, history=again), ()
        case Leaving():
            after, action = replace(plan, closed=True, history=History()), "ended"
        case _:
            assert_never(event)
    if history.outage is None:
        return after, ()
    return after, (_tell(action, history.outage, outages.last_repair(history), now),)


def _lost(plan: Plan, event: Lost, now: float) -> Step:
    if plan.history.outage is not None:
        return plan, ()
    since = _since(plan, event.cause, now)
    rung = rung_of(event.cause)
    outage = Outage(
        cause=event.cause, rung=rung, since=since, found=now, detail=event.detail, told=True
    )
    kept = None if event.lasting else outage
    plan = replace(plan, history=replace(plan.history, outage=kept))
    return plan, (_tell("lost", outage, Repair.NONE, now),)


def _since(plan: Plan, cause: str, now: float) -> float:
    """When its rung last gave a sign of life; now, for what was told at once."""
    proofs = plan.proofs
    since = {
        "browser_unresponsive": proofs.cdp,
        "page_unresponsive": proofs.page,
        "evidence_missing": proofs.end,
        "acks_missing": plan.waiting,
    }.get(cause, now)
    return since or plan.connected or now


def _tell(action: str, outage: Outage, repair: Repair, now: float) -> Tell:
    return Tell(action=action, outage=outage, repair=repair, seconds=now - outage.since)
