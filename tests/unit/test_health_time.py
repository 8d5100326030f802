"""The plan of a session's health in virtual time: how soon it finds what, and whom it never asks.

The times are the defaults. A world answers as a browser would; hypothesis decides when it dies.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.browser.driver import PageView
from actors.health_events import (
    ArmBeat,
    ArmCheck,
    AskBrowser,
    AskPage,
    BrowserAnswered,
    CheckDue,
    FreePage,
    Heard,
    Mend,
    Moved,
    PageAnswered,
    PlanEvent,
    Probe,
    Probed,
    Silent,
    Suspect,
    Up,
    Verdict,
)
from actors.health_plan import step
from actors.health_state import HealthRules, Plan
from actors.outages import RepairPolicy, Rung

if TYPE_CHECKING:
    from actors.health_events import Action

pytestmark = pytest.mark.unit

POLICY = RepairPolicy(reloads=3, reload_period=300, snapshot_after=3, pause=120, take_overs=0)
RULES = HealthRules(interval=120, probe=15, heartbeat=5, ack=30, policy=POLICY)
BEAT = 4.0
QUICK = 0.01
FINE = PageView(socket="CONNECTED", mode="MAIN")
FOREVER = float("inf")


@dataclass
class World:
    """One connected session; its browser, page and server fall silent at these times."""

    seed: int
    browser_dies: float = FOREVER
    page_dies: float = FOREVER
    server_dies: float = FOREVER
    now: float = 0.0
    plan: Plan = field(default_factory=Plan)
    probes: list[float] = field(default_factory=list)
    found: list[tuple[float, str]] = field(default_factory=list)
    _queue: list[tuple[float, int, str, PlanEvent]] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=count)
    _armed: dict[str, int] = field(default_factory=dict)

    def at(self, when: float, event: PlanEvent, timer: str = "") -> None:
        number = next(self._numbers)
        self._armed[timer] = number
        heapq.heappush(self._queue, (when, number, timer, event))

    def run(self, until: float) -> None:
        """Let time go by, but no further than the first thing that is found."""
        self.at(0.0, Up())
        self.at(0.0, Moved(connected=True, watched=True))
        dice = random.Random(self.seed)  # noqa: S311 - a seed makes a failure come again
        while self._queue and self._queue[0][0] <= until and not self.found:
            self.now, number, timer, event = heapq.heappop(self._queue)
            if timer and self._armed[timer] != number:
                continue
            self.plan, actions = step(self.plan, event, self.now, RULES, dice.uniform)
            for action in actions:
                self._perform(action)

    def _perform(self, action: Action) -> None:
        match action:
            case ArmBeat(seconds=seconds):
                self._beat(self.now + seconds)
            case ArmCheck(seconds=None):
                self._armed["check"] = -1
            case ArmCheck(seconds=float() as seconds):
                self.at(self.now + seconds, CheckDue(), "check")
            case AskBrowser():
                self._beat(self.now)
            case AskPage():
                answer = PageAnswered(view=FINE)
                self._answer(self.now, self.page_dies, answer, Silent(rung=Rung.PAGE), BEAT)
            case Probe():
                self.probes.append(self.now)
                good, bad = Probed(verdict=Verdict.ACKED), Probed(verdict=Verdict.SILENT)
                self._answer(self.now, self.server_dies, good, bad, RULES.probe)
            case Mend(cause=cause) | Suspect(cause=cause):
                self.found.append((self.now, cause))
            case FreePage():
                pass
            case _:
                raise AssertionError(action)

    def _beat(self, when: float) -> None:
        silent = Silent(rung=Rung.CDP)
        self._answer(when, self.browser_dies, BrowserAnswered(), silent, BEAT)

    def _answer(
        self, when: float, dies: float, good: PlanEvent, bad: PlanEvent, deadline: float
    ) -> None:
        alive = when + QUICK < dies
        self.at(when + (QUICK if alive else deadline), good if alive else bad)


SEEDS = st.integers(0, 2**32)
TIMES = st.floats(1, 1000)


@given(SEEDS, TIMES)
def test_a_dead_browser_is_found_in_time(seed: int, dies: float) -> None:
    """One interval and two deadlines after it died at the latest."""
    world = World(seed=seed, browser_dies=dies, page_dies=dies)
    world.run(dies + 60)
    when, cause = world.found[0]
    assert cause == "browser_unresponsive"
    assert when - dies <= RULES.heartbeat + 3 * BEAT + 1


@given(SEEDS, TIMES)
def test_a_dead_page_is_found_in_time(seed: int, dies: float) -> None:
    """The same, and the browser is not blamed for it."""
    world = World(seed=seed, page_dies=dies)
    world.run(dies + 60)
    when, cause = world.found[0]
    assert cause == "page_unresponsive"
    assert when - dies <= RULES.heartbeat + 2 * BEAT + 1


@given(SEEDS, TIMES, st.lists(st.floats(0, 1000), max_size=30))
def test_a_silent_server_is_found_within_an_interval_of_its_last_word(
    seed: int, dies: float, words: list[float]
) -> None:
    """Whatever it said before, and when: `connected` is never older than that."""
    world = World(seed=seed, server_dies=dies)
    heard = [word for word in words if word < dies]
    for word in heard:
        world.at(word, Heard(ack=False))
    world.run(dies + 600)
    when, cause = world.found[0]
    last = max([0.0, *heard, *[probe + QUICK for probe in world.probes if probe + QUICK < dies]])
    assert cause == "evidence_missing"
    assert when - last <= RULES.interval + 0.01
    assert when >= dies


@given(SEEDS, st.lists(st.floats(0.1, 94), min_size=1, max_size=60))
def test_whoever_talks_to_whatsapp_is_never_asked(seed: int, gaps: list[float]) -> None:
    """Nine tenths of the time that leaves room for a note."""
    world, word = World(seed=seed), 0.0
    for gap in gaps:
        word += gap
        world.at(word, Heard(ack=False))
    world.run(word)
    assert world.probes == []
    assert world.found == []


@settings(max_examples=10)
@given(SEEDS)
def test_a_healthy_idle_session_is_asked_now_and_then_and_left_alone(seed: int) -> None:
    """Within each interval, and nothing is found for hours."""
    world = World(seed=seed)
    world.run(4 * 3600)
    assert world.found == []
    gaps = [
        after - before for before, after in zip([0.0, *world.probes], world.probes, strict=False)
    ]
    assert all(94 <= gap <= RULES.interval for gap in gaps)
    assert 4 * 3600 / RULES.interval <= len(gaps)
