"""Who may run and who may launch: a table of the queue, and properties over any events."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.messages import (
    LaunchesBlocked,
    LaunchGranted,
    PlaceGiven,
    PlaceRefused,
)
from actors.pool_messages import (
    FleetTold,
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
from actors.pool_plan import (
    Action,
    Event,
    LookIn,
    Measure,
    Measured,
    Plan,
    Rules,
    TimeCame,
    order,
    step,
)
from actors.pressure import Cause, Mark, Marks, Needs, Readings

pytestmark = pytest.mark.unit

NEEDS = Needs(
    browser_bytes=100,
    reserve_bytes=0,
    session_descriptors=1,
    reserve_descriptors=0,
    browser_descriptors=1,
)
MARK = Mark(high=90, low=60)
RULES = Rules(
    most=50,
    slots=2,
    interval=1.0,
    needs=NEEDS,
    marks=Marks(cpu_pressure=MARK, memory_pressure=MARK, load=MARK, memory_used=MARK),
)
FINE = Measured(readings=Readings())
BUSY = Measured(readings=Readings(cpu_pressure=99))
POOR = Measured(readings=Readings(memory_available=99))


def run(plan: Plan, *events: Event, rules: Rules = RULES) -> tuple[Plan, list[Action]]:
    """Feed events; return the last plan and all actions."""
    actions: list[Action] = []
    for event in events:
        plan, more = step(plan, event, rules, 0.0)
        actions += more
    return plan, actions


def wants(session: str, urgency: Urgency, number: int, incarnation: int = 1) -> list[Event]:
    turn = Turn(urgency=urgency, number=number)
    return [
        PlaceWanted(session_id=session),
        LaunchWanted(session_id=session, incarnation=incarnation, turn=turn),
    ]


def granted(actions: list[Action]) -> list[str]:
    return [a.session_id for a in actions if isinstance(a, LaunchGranted)]


def test_there_are_as_many_places_as_the_rules_say() -> None:
    rules = replace(RULES, most=3)
    wanted = [PlaceWanted(session_id=name) for name in "abcde"]
    plan, actions = run(Plan(), *wanted, rules=rules)
    assert actions == [
        *(PlaceGiven(session_id=name) for name in "abc"),
        *(PlaceRefused(session_id=name, limit=3, used=3) for name in "de"),
    ]
    _, actions = run(plan, PlaceWanted(session_id="b"), rules=rules)
    assert actions == [PlaceGiven(session_id="b")]  # who has one keeps it
    _, actions = run(plan, PlaceLeft(session_id="a"), PlaceWanted(session_id="d"), rules=rules)
    assert actions == [PlaceGiven(session_id="d")]


def test_the_machine_is_looked_at_before_each_launch() -> None:
    plan, actions = run(Plan(), *wants("a", Urgency.PERSON, 1))
    assert actions == [PlaceGiven(session_id="a"), Measure()]
    plan, actions = run(plan, FINE)
    assert actions == [LaunchGranted(session_id="a", incarnation=1)]
    _, actions = run(plan, FINE)
    assert actions == []


P, B, R = Urgency.PERSON, Urgency.BOOT, Urgency.RELAUNCH


@pytest.mark.parametrize(
    ("waiting", "served", "expected"),
    [
        ([(B, 1), (B, 2), (P, 3)], R, [3, 1, 2]),
        ([(P, 5), (P, 3), (B, 1)], R, [3, 5, 1]),
        ([(B, 1), (B, 2), (R, 3), (R, 4)], R, [1, 3, 2, 4]),
        ([(B, 1), (B, 2), (R, 3), (R, 4)], B, [3, 1, 4, 2]),
        ([(R, 1), (R, 2), (R, 3), (B, 4)], B, [1, 4, 2, 3]),
        ([(R, 2), (R, 1)], R, [1, 2]),
        ([(B, 1), (B, 2), (B, 3)], B, [1, 2, 3]),
    ],
)
def test_the_order_of_the_queue(
    waiting: list[tuple[Urgency, int]], served: Urgency, expected: list[int]
) -> None:
    """Persons first; boot and relaunches in turns; each in the order of asking."""
    events = [e for urgency, n in waiting for e in wants(str(n), urgency, n)]
    plan, _ = run(Plan(served=served), *events)
    assert [each.turn.number for each in order(plan)] == expected
    plan, actions = run(plan, FINE, rules=replace(RULES, slots=50))
    assert granted(actions) == [str(n) for n in expected]


def test_under_pressure_nothing_is_launched_until_it_has_gone() -> None:
    """Told once, looked at again and again, and between the marks it stays as it is."""
    plan, actions = run(Plan(), *wants("a", P, 1), BUSY)
    assert actions[2:] == [LaunchesBlocked(cause=Cause.CPU_PRESSURE), LookIn(seconds=1.0)]
    plan, actions = run(plan, *wants("b", P, 2))
    assert actions == [PlaceGiven(session_id="b")]  # its timer is on
    between = Measured(readings=Readings(cpu_pressure=75))
    plan, actions = run(plan, TimeCame(), between)
    assert actions == [Measure(), LookIn(seconds=1.0)]
    plan, actions = run(plan, TimeCame(), Measured(readings=Readings(cpu_pressure=59)))
    assert granted(actions) == ["a", "b"]
    assert LaunchesBlocked(cause=None) in actions
    plan, actions = run(plan, between)
    assert actions == []


def test_too_little_memory_lets_as_many_launch_as_fit() -> None:
    rules = replace(RULES, slots=5)
    events = [e for n in range(3) for e in wants(str(n), P, n)]
    plan, actions = run(
        Plan(), *events, Measured(readings=Readings(memory_available=250)), rules=rules
    )
    assert granted(actions) == ["0", "1"]
    assert LaunchesBlocked(cause=Cause.MEMORY) in actions
    plan, actions = run(plan, LaunchEnded(session_id="0"), TimeCame(), POOR, rules=rules)
    assert granted(actions) == []
    plan, actions = run(plan, LaunchEnded(session_id="1"), TimeCame(), FINE, rules=rules)
    assert granted(actions) == ["2"]


def test_a_crashing_fleet_is_held_and_let_go() -> None:
    plan, actions = run(
        Plan(), LaunchesHeld(cause=Cause.FLEET_CRASHES), *wants("a", P, 1), FINE, TimeCame(), FINE
    )
    assert granted(actions) == []
    assert LaunchesBlocked(cause=Cause.FLEET_CRASHES) in actions
    plan, actions = run(plan, LaunchesHeld(cause=None), FINE)
    assert granted(actions) == ["a"]


def test_who_asks_again_after_being_granted_is_not_granted_twice() -> None:
    """Its message crossed the grant; a later incarnation is another matter."""
    wanted = wants("a", B, 1)
    plan, _ = run(Plan(), *wanted, FINE)
    plan, actions = run(
        plan, LaunchWanted(session_id="a", incarnation=1, turn=Turn(urgency=P, number=2)), FINE
    )
    assert actions == []
    assert plan.members["a"].standing is Standing.LAUNCHING
    plan, actions = run(plan, *wants("a", R, 3, incarnation=2), FINE)
    assert granted(actions) == ["a"]


def test_a_pool_that_starts_anew_goes_on_from_what_it_is_told() -> None:
    turn = Turn(urgency=B, number=1)

    def member(name: str, standing: Standing) -> Member:
        return Member(session_id=name, standing=standing, incarnation=1, turn=turn)

    told = FleetTold(
        members=(
            member("a", Standing.LAUNCHING),
            member("b", Standing.RESTING),
            member("c", Standing.WAITING),
            member("d", Standing.WAITING),
        ),
        asking=("e", "f"),
        held=None,
    )
    _, actions = run(Plan(), told, FINE, rules=replace(RULES, most=5))
    assert PlaceGiven(session_id="e") in actions
    assert PlaceRefused(session_id="f", limit=5, used=5) in actions
    assert granted(actions) == ["c"]
    held, actions = run(Plan(), replace(told, held=Cause.DISK_FULL), FINE)
    assert granted(actions) == []
    assert held.held


# ---- any course of events ------------------------------------------------------------------------


@dataclass
class World:
    """A root that answers as the real one does, with a pool that may start anew at any moment."""

    rules: Rules
    plan: Plan = field(default_factory=Plan)
    pending: bool = False
    armed: bool = False
    number: int = 0
    asked: dict[str, Member] = field(default_factory=dict)
    launching: set[str] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)
    grants: list[str] = field(default_factory=list)

    def feed(self, event: Event) -> None:
        self.plan, actions = step(self.plan, event, self.rules, 0.0)
        for action in actions:
            match action:
                case PlaceGiven(session_id=name):
                    assert name in self.asked
                case PlaceRefused(session_id=name, used=used, limit=limit):
                    assert used == limit == self.rules.most
                    assert len(self.asked) > self.rules.most
                    del self.asked[name]
                    self.refused.append(name)
                case LaunchGranted(session_id=name, incarnation=incarnation):
                    assert name not in self.launching
                    assert self.asked[name].incarnation == incarnation
                    assert self.asked[name].standing is Standing.WAITING
                    self.asked[name] = replace(self.asked[name], standing=Standing.LAUNCHING)
                    self.launching.add(name)
                    self.grants.append(name)
                case Measure():
                    self.pending = True
                case LookIn():
                    assert not self.armed
                    self.armed = True
                case LaunchesBlocked():
                    pass
        assert len(self.launching) <= self.rules.slots
        assert len(self.asked) <= self.rules.most
        waiting = any(m.standing is Standing.WAITING for m in self.asked.values())
        free = len(self.launching) < self.rules.slots
        # Whoever could launch is on the way to it: never forgotten.
        assert not (waiting and free) or self.pending or self.armed or self.plan.held is not None

    def start(self, name: str, urgency: Urgency) -> None:
        self.number += 1
        turn = Turn(urgency=urgency, number=self.number)
        before = self.asked.get(name)
        if before is not None and before.standing is Standing.LAUNCHING:
            return
        incarnation = self.number if before is None or before.standing is Standing.RESTING else 0
        member = Member(
            session_id=name,
            standing=Standing.WAITING,
            incarnation=incarnation or (before.incarnation if before else 0),
            turn=turn,
        )
        self.asked[name] = replace(member, standing=Standing.RESTING)
        self.feed(PlaceWanted(session_id=name))
        if name in self.asked:
            self.asked[name] = member
            self.feed(
                LaunchWanted(session_id=name, incarnation=member.incarnation, turn=member.turn)
            )

    def up(self, name: str) -> None:
        if name in self.asked:
            self.launching.discard(name)
            self.asked[name] = replace(self.asked[name], standing=Standing.RESTING)
            self.feed(LaunchEnded(session_id=name))

    def leave(self, name: str) -> None:
        self.launching.discard(name)
        self.asked.pop(name, None)
        self.feed(PlaceLeft(session_id=name))

    def crash(self) -> None:
        held = self.plan.held
        self.plan, self.pending, self.armed = Plan(), False, False
        self.feed(FleetTold(members=tuple(self.asked.values()), asking=(), held=held))

    def measured(self, readings: Readings) -> None:
        if self.armed:
            self.armed = False
            self.feed(TimeCame())
        if self.pending:
            self.pending = False
            self.feed(Measured(readings=readings))


names = st.sampled_from("abcdefg")
moves = st.one_of(
    st.tuples(st.just("start"), names, st.sampled_from(Urgency)),
    st.tuples(st.just("up"), names),
    st.tuples(st.just("leave"), names),
    st.tuples(st.just("crash")),
    st.tuples(st.just("hold"), st.booleans()),
    st.tuples(
        st.just("measured"),
        st.builds(
            Readings,
            memory_available=st.integers(0, 400),
            cpu_pressure=st.none() | st.floats(0, 100),
        ),
    ),
)


def play(world: World, script: list[tuple[object, ...]]) -> None:
    for move in script:
        match move:
            case ("start", str(name), Urgency() as urgency):
                world.start(name, urgency)
            case ("up", str(name)):
                world.up(name)
            case ("leave", str(name)):
                world.leave(name)
            case ("crash",):
                world.crash()
            case ("hold", bool(held)):
                world.feed(LaunchesHeld(cause=Cause.DISK_FULL if held else None))
            case ("measured", Readings() as readings):
                world.measured(readings)


@settings(max_examples=400)
@given(st.integers(1, 5), st.integers(1, 3), st.lists(moves, max_size=40))
def test_no_course_of_events_exceeds_a_bound_or_forgets_anybody(
    most: int, slots: int, script: list[tuple[object, ...]]
) -> None:
    """Never more places or launches than allowed, also when the pool crashes in between.

    And when the machine is fine and launches end, everybody gets their turn.
    """
    world = World(rules=replace(RULES, most=most, slots=slots))
    play(world, script)
    world.feed(LaunchesHeld(cause=None))
    for _ in range(40):
        world.measured(Readings(cpu_pressure=0, memory_available=10**6))
        for name in list(world.launching):
            world.up(name)
    assert all(m.standing is Standing.RESTING for m in world.asked.values())


@settings(max_examples=200)
@given(st.lists(st.tuples(names, st.sampled_from([B, R])), min_size=1, max_size=40))
def test_crash_loops_and_the_boot_do_not_starve_each_other(
    script: list[tuple[str, Urgency]],
) -> None:
    """With n ahead in its own line, a session waits for at most 2n + 1 launches of others."""
    world = World(rules=replace(RULES, slots=1))
    for name, urgency in script:
        world.start(name, urgency)
    lines = {u: [m for m in order(world.plan) if m.turn.urgency is u] for u in (B, R)}
    launched: list[str] = []
    for _ in range(2 * len(world.asked) + 2):
        world.measured(Readings())
        for name in list(world.launching):
            launched.append(name)
            world.up(name)
            world.start(name, R)  # it crashes and is back at once
    for line in lines.values():
        for ahead, member in enumerate(line):
            assert launched.index(member.session_id) <= 2 * ahead + 1
