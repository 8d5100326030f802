"""The beat: the browser, then the page's main thread, and what it says of WhatsApp's socket. Pure.

Whatever is answered, another beat is armed or asked for: a session's beats never end before it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from actors import outages
from actors.health_events import (
    Action,
    AskBrowser,
    AskPage,
    BrowserAnswered,
    Freed,
    FreePage,
    PageAnswered,
    Sicken,
    Silent,
    Suspect,
    Void,
)
from actors.health_state import healed, trouble
from actors.outages import Repair, Rung

if TYPE_CHECKING:
    from actors.browser.driver import PageView
    from actors.health_state import Moment, Plan, Step

HUNG: Final = 2
"""Beats missed in a row; one alone may be a garbage collection, or we were late ourselves."""

BeatEvent = BrowserAnswered | PageAnswered | Silent | Void | Freed


def beat(plan: Plan, event: BeatEvent, moment: Moment) -> Step:
    """Return what an event of the beat makes of `plan`, and what has to be done about it."""
    actions: tuple[Action, ...]
    match event:
        case Void():
            actions = ()
        case BrowserAnswered():
            plan = _browser_answered(plan, moment.now)
            actions = (AskPage(),) if plan.watched else ()
        case PageAnswered(view=view):
            plan, actions = _page_answered(plan, view, moment)
        case Silent(rung=rung):
            plan, actions = _silent(plan, rung, moment)
        case Freed(alive=True):
            plan, actions = _page_lives(plan, moment.now), ()
        case Freed():  # unless it was given up meanwhile, for another cause
            hangs = plan.watched
            plan, actions = trouble(plan, "page_unresponsive", moment) if hangs else (plan, ())
    asks = any(isinstance(action, AskBrowser | AskPage | FreePage) for action in actions)
    return plan, actions if asks else (*actions, moment.beat())


def _browser_answered(plan: Plan, now: float) -> Plan:
    missed = 0 if plan.rung is Rung.CDP else plan.missed
    return replace(plan, proofs=replace(plan.proofs, cdp=now), missed=missed)


def _silent(plan: Plan, rung: Rung, moment: Moment) -> Step:
    plan = replace(plan, rung=rung, missed=plan.missed + 1 if plan.rung is rung else 1)
    if plan.missed < HUNG:
        return plan, (AskBrowser(),)
    plan = replace(plan, missed=0)
    if rung is Rung.CDP:
        return trouble(plan, "browser_unresponsive", moment)
    if not plan.watched:
        return plan, ()
    if not outages.may_free(plan.history, moment.now, moment.rules.policy):
        return trouble(plan, "page_unresponsive", moment)
    history = outages.repaired(plan.history, Repair.FREE, moment.now)
    plan = replace(plan, history=replace(history, freed=moment.now), suspected=True)
    return plan, (Suspect(cause="page_unresponsive"), FreePage())


def _page_lives(plan: Plan, now: float) -> Plan:
    return replace(plan, proofs=replace(plan.proofs, page=now), missed=0, rung=None)


def _page_answered(plan: Plan, view: PageView | None, moment: Moment) -> Step:
    plan = _page_lives(plan, moment.now)
    if view is None:  # on its way: DocumentChanged has been told, and the phase has a deadline
        return plan, ()
    if view.socket == "CONNECTED" and view.mode == "MAIN":
        plan = replace(plan, proofs=replace(plan.proofs, socket=moment.now))
    return _acks(plan, view, moment)


def _acks(plan: Plan, view: PageView, moment: Moment) -> Step:
    """Own messages must get their acks, but for the time in which there was no connection."""
    if plan.connected is None:
        return plan, ()
    now, limit = moment.now, moment.rules.ack
    waited = min(view.unacked_seconds or 0.0, now - plan.connected)
    stuck = plan.stuck + 1 if waited >= limit else 0
    plan = replace(plan, stuck=stuck, waiting=now - waited)
    if plan.doubt is None and stuck >= HUNG:
        plan = replace(plan, doubt="acks_missing", acked=False)
        return plan, (Sicken(reason="acks_missing"),)
    if plan.doubt == "acks_missing":
        if plan.acked and stuck == 0:
            return healed(plan, moment)
        if waited >= 2 * limit and not outages.mends_in(plan.history, now, moment.rules.policy):
            return trouble(plan, "acks_missing", moment)
    return plan, ()
