"""What is done about the memory that browsers take: `step(plan, event, rules, …)`. Pure.

By what a session takes, the mildest thing first: above the soft limit its page has to collect its
garbage; above the hard limit it is restarted, unless a collection was enough; above the kill limit
its browser is killed at once. When all of them together come near what there is, it is the turn of
the largest. And a browser that is old enough is restarted at a quiet moment. Never two restarts at
once, none of a browser that has just been started, and everything that is done is told.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from actors.memory_events import (
    Cause,
    Collect,
    Collection,
    CollectionOver,
    Kill,
    LookSoon,
    MemoryAction,
    MemoryEvent,
    MemoryRules,
    Pending,
    Plan,
    RecycleAccepted,
    RecycleRefused,
    Restart,
    Sampled,
    Tell,
    Use,
    Watch,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

JITTER: Final = 0.1
"""A maximum age is up to this part of it shorter or longer: fleets start at once."""
URGENT: Final = 10
"""Who comes above the hard limit may collect again after a pause that is so many times shorter."""

Step = tuple[Plan, tuple[MemoryAction, ...]]


def step(
    plan: Plan,
    event: MemoryEvent,
    rules: MemoryRules,
    now: float,
    uniform: Callable[[float, float], float],
) -> Step:
    """Return what `event` makes of `plan`, and what has to be done about it."""
    match event:
        case Sampled():
            return _sampled(plan, event, rules, now, uniform)
        case CollectionOver():
            return _collection_over(plan, event, rules, now)
        case RecycleAccepted(session_id=session_id, incarnation=incarnation):
            return _accepted(plan, session_id, incarnation, now)
        case RecycleRefused(session_id=session_id, incarnation=incarnation):
            if _asked_for(plan, session_id, incarnation) is None:
                return plan, ()
            return replace(plan, restarting=None), ()


def _collection_over(plan: Plan, event: CollectionOver, rules: MemoryRules, now: float) -> Step:
    watch = plan.watches.get(event.session_id)
    if watch is None or watch.incarnation != event.incarnation:
        return plan, ()
    last = watch.collection
    if last is None or last.ended is not None:
        return plan, ()
    ended = replace(last, ended=now, seconds=event.seconds, failed=event.failed)
    plan = _with_watch(plan, event.session_id, replace(watch, collection=ended))
    return plan, (LookSoon(seconds=rules.settle),)


def _accepted(plan: Plan, session_id: str, incarnation: int, now: float) -> Step:
    pending = _asked_for(plan, session_id, incarnation)
    if pending is None:
        return plan, ()
    begun = replace(pending, accepted=True, began=now)
    payload = {"action": "recycle", "cause": pending.cause.value, "before": pending.before}
    return replace(plan, restarting=(session_id, begun)), (
        Tell(session_id=session_id, payload=payload),
    )


def _asked_for(plan: Plan, session_id: str, incarnation: int) -> Pending | None:
    """Return the restart that waits for this answer."""
    if plan.restarting is None or plan.restarting[0] != session_id:
        return None
    pending = plan.restarting[1]
    return pending if not pending.accepted and pending.incarnation == incarnation else None


# ---- a sample ------------------------------------------------------------------------------------


def _sampled(
    plan: Plan,
    event: Sampled,
    rules: MemoryRules,
    now: float,
    uniform: Callable[[float, float], float],
) -> Step:
    tight = event.used >= event.limit * rules.total
    since = (now if plan.tight is None else plan.tight) if tight else None
    watches = {
        session_id: _watch(plan.watches.get(session_id), use, rules, now, uniform)
        for session_id, use in event.uses.items()
    }
    plan = replace(plan, watches=watches, tight=since)
    plan, actions = _come_back(plan, event.uses, rules, now)
    order = sorted(event.uses, key=lambda session_id: -event.uses[session_id].memory)
    for place, session_id in enumerate(order):
        use = event.uses[session_id]
        plan, more = _one(plan, session_id, use, rules, now, relieve=tight and place == 0)
        actions = (*actions, *more)
    plan, more = _restart_one(plan, event.uses, rules, now)
    return plan, (*actions, *more)


def _watch(
    before: Watch | None,
    use: Use,
    rules: MemoryRules,
    now: float,
    uniform: Callable[[float, float], float],
) -> Watch:
    if before is None or before.incarnation != use.incarnation:
        ripe = None if rules.max_age is None else rules.max_age * uniform(1 - JITTER, 1 + JITTER)
        before = Watch(incarnation=use.incarnation, ripe_age=ripe)
    if use.memory < rules.hard:
        return replace(before, over=None)
    return before if before.over is not None else replace(before, over=now)


def _one(
    plan: Plan, session_id: str, use: Use, rules: MemoryRules, now: float, *, relieve: bool
) -> Step:
    """Judge the last collection of one session, kill it, or let it collect."""
    plan, told = _judge(plan, session_id, use, rules, now)
    if use.memory >= rules.kill:
        plan, more = _kill(plan, session_id, use, now)
    elif use.memory >= rules.soft or relieve:
        cause = Cause.HARD if use.memory >= rules.hard else Cause.SOFT
        cause = Cause.TOTAL if use.memory < rules.soft else cause
        plan, more = _collect(plan, session_id, use, rules, now, cause)
    else:
        more = ()
    return plan, (*told, *more)


def _judge(plan: Plan, session_id: str, use: Use, rules: MemoryRules, now: float) -> Step:
    watch = plan.watches[session_id]
    last = watch.collection
    if last is None or last.judged:
        return plan, ()
    if last.ended is None and now - last.began > rules.recovery:
        last = replace(last, ended=now, failed="no_answer")
    elif last.ended is None or now - last.ended < rules.settle:
        return plan, ()
    payload: dict[str, Any] = {
        "action": "collected" if last.failed is None else "collect_failed",
        "cause": last.cause.value,
        "before": last.before,
        "after": use.memory,
        "seconds": round(last.seconds, 3),
    }
    if last.failed is not None:
        payload["code"] = last.failed
    judged = replace(watch, collection=replace(last, judged=True))
    return _with_watch(plan, session_id, judged), (Tell(session_id=session_id, payload=payload),)


def _kill(plan: Plan, session_id: str, use: Use, now: float) -> Step:
    before = plan.killed.get(session_id)
    if before is not None and before.incarnation == use.incarnation:
        return plan, ()
    pending = Pending(
        cause=Cause.KILL, incarnation=use.incarnation, before=use.memory, began=now, accepted=True
    )
    payload = {"action": "kill", "cause": Cause.KILL.value, "before": use.memory}
    return replace(plan, killed={**plan.killed, session_id: pending}), (
        Tell(session_id=session_id, payload=payload),
        Kill(session_id=session_id, incarnation=use.incarnation, memory=use.memory),
    )


def _collect(
    plan: Plan, session_id: str, use: Use, rules: MemoryRules, now: float, cause: Cause
) -> Step:
    watch = plan.watches[session_id]
    last = watch.collection
    pause = rules.collect_pause / (1 if watch.over is None or _tried(watch) else URGENT)
    if last is not None and (last.ended is None or now - last.ended < pause):
        return plan, ()
    begun = Collection(cause=cause, before=use.memory, began=now)
    payload = {"action": "collect", "cause": cause.value, "before": use.memory}
    return _with_watch(plan, session_id, replace(watch, collection=begun)), (
        Tell(session_id=session_id, payload=payload),
        Collect(session_id=session_id, incarnation=use.incarnation, cause=cause),
    )


# ---- restarts ------------------------------------------------------------------------------------


def _come_back(plan: Plan, uses: Mapping[str, Use], rules: MemoryRules, now: float) -> Step:
    """Tell of those that are back from a restart or a kill, and give up waiting for others."""
    actions: tuple[MemoryAction, ...] = ()
    if plan.restarting is not None:
        session_id, pending = plan.restarting
        over, told = _back(
            session_id, pending, uses, rules, now, ("recycled", "recycle_unfinished")
        )
        if over:
            relieved = now if pending.cause is Cause.TOTAL else plan.relieved
            plan = replace(plan, restarting=None, relieved=relieved)
            actions = told
    killed = dict(plan.killed)
    for session_id, pending in plan.killed.items():
        over, told = _back(session_id, pending, uses, rules, now, ("recovered", "not_recovered"))
        if over:
            del killed[session_id]
            actions = (*actions, *told)
    return replace(plan, killed=killed), actions


def _back(
    session_id: str,
    pending: Pending,
    uses: Mapping[str, Use],
    rules: MemoryRules,
    now: float,
    words: tuple[str, str],
) -> tuple[bool, tuple[MemoryAction, ...]]:
    use = uses.get(session_id)
    back = use is not None and use.connected and use.incarnation > pending.incarnation
    if not back and now - pending.began <= rules.recovery:
        return False, ()
    if not pending.accepted:  # it was asked for, and nobody has ever answered
        return True, ()
    payload = {
        "action": words[0] if back else words[1],
        "cause": pending.cause.value,
        "before": pending.before,
        "after": use.memory if use is not None and back else None,
        "seconds": round(now - pending.began, 3),
    }
    return True, (Tell(session_id=session_id, payload=payload),)


def _restart_one(plan: Plan, uses: Mapping[str, Use], rules: MemoryRules, now: float) -> Step:
    """Ask for the one restart that is needed most, unless another one is under way."""
    if plan.restarting is not None:
        return plan, ()
    found = _for_total(plan, uses, rules, now) or _for_hard(plan, uses, rules, now)
    found = found or _for_age(plan, uses, rules)
    if found is None:
        return plan, ()
    session_id, cause, quiet = found
    use = uses[session_id]
    pending = Pending(
        cause=cause, incarnation=use.incarnation, before=use.memory, began=now, accepted=False
    )
    plan = _with_watch(plan, session_id, replace(plan.watches[session_id], asked=now))
    return replace(plan, restarting=(session_id, pending)), (
        Restart(session_id=session_id, incarnation=use.incarnation, cause=cause, quiet=quiet),
    )


Wish = tuple[str, Cause, float | None]


def _for_total(plan: Plan, uses: Mapping[str, Use], rules: MemoryRules, now: float) -> Wish | None:
    if plan.tight is None or (
        plan.relieved is not None and now - plan.relieved < rules.total_pause
    ):
        return None
    ready = [key for key in uses if _is_ready(plan, key, uses[key], rules)]
    largest = max(uses, key=lambda key: uses[key].memory, default=None)
    # The largest is to collect first; until that is judged, no smaller one has to pay for it.
    if largest is None or not ready or not _is_judged(plan.watches[largest]):
        return None
    choice = max(ready, key=lambda key: uses[key].memory)
    return choice, Cause.TOTAL, None if now - plan.tight >= rules.patience else 0.0


def _for_hard(plan: Plan, uses: Mapping[str, Use], rules: MemoryRules, now: float) -> Wish | None:
    ready = [
        key
        for key, use in uses.items()
        if use.memory >= rules.hard
        and _tried(plan.watches[key])
        and _is_judged(plan.watches[key])
        and _is_ready(plan, key, use, rules)
    ]
    if not ready:
        return None
    # who was refused lets others go first
    choice = min(ready, key=lambda key: (plan.watches[key].asked, -uses[key].memory))
    over = plan.watches[choice].over
    insists = over is not None and now - over >= rules.patience
    return choice, Cause.HARD, None if insists else 0.0


def _for_age(plan: Plan, uses: Mapping[str, Use], rules: MemoryRules) -> Wish | None:
    ripe = [
        key
        for key, use in uses.items()
        if use.connected
        and (age := plan.watches[key].ripe_age) is not None
        and use.age >= age
        and key not in plan.killed
    ]
    if not ripe:
        return None
    choice = min(ripe, key=lambda key: (plan.watches[key].asked, -uses[key].age))
    return choice, Cause.AGE, rules.quiet


def _is_ready(plan: Plan, session_id: str, use: Use, rules: MemoryRules) -> bool:
    return use.age >= rules.recycle_pause and session_id not in plan.killed


def _is_judged(watch: Watch) -> bool:
    """Whether a collection was tried, and what it brought is known."""
    return watch.collection is not None and watch.collection.judged


def _tried(watch: Watch) -> bool:
    """Whether a collection was begun since the session is above the hard limit."""
    last = watch.collection
    return last is not None and watch.over is not None and last.began >= watch.over


def _with_watch(plan: Plan, session_id: str, watch: Watch) -> Plan:
    return replace(plan, watches={**plan.watches, session_id: watch})
