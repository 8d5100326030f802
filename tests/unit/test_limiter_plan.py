"""When something limited is allowed: tables, and properties against a reckoning by brute force."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.limiter_plan import (
    MARGIN_MS,
    Action,
    Allow,
    Drop,
    Instant,
    Limit,
    Plan,
    Postpone,
    Record,
    Recorded,
    Refuse,
    TimeCame,
    Wake,
    Wanted,
    loaded,
    settle,
    step,
    wait_ms,
    wait_of,
)
from storage.grants import Grant, GrantKind

pytestmark = pytest.mark.unit

KIND = GrantKind.QR_WINDOW
HOUR = 3_600_000
FIVE = Limit(most=5, period_ms=HOUR)


@pytest.mark.parametrize(
    ("given_", "now", "expected"),
    [
        ([], 0, 0),
        ([0, 1, 2, 3], 3, 0),
        ([0, 1, 2, 3, 4], 4, HOUR - 4),
        ([0, 1, 2, 3, 4], HOUR - 1, 1),
        ([0, 1, 2, 3, 4], HOUR, 0),  # half-open: exactly an hour later it is legal
        ([1, 2, 3, 4, HOUR], HOUR, 1),
        ([4, 3, 2, 1, 0], 4, HOUR - 4),  # in any order
        ([7] * 9, 7, HOUR),
    ],
)
def test_the_wait_for_the_next_one(given_: list[int], now: int, expected: int) -> None:
    assert wait_ms(given_, now, [FIVE]) == expected


def test_several_limits_hold_at_once() -> None:
    """As those of messages will: the longest wait counts."""
    limits = [Limit(most=2, period_ms=10), Limit(most=3, period_ms=100)]
    assert wait_ms([0, 50], 51, limits) == 0
    assert wait_ms([0, 50, 51], 52, limits) == 48
    assert wait_ms([95, 96], 97, limits) == 8
    assert wait_ms([1, 95, 96], 97, limits) == 8


def legal(log: list[int], at: int, limits: list[Limit]) -> bool:
    """By definition: no window of a limit, wherever it lies, holds more than it may."""
    times = [*log, at]
    return all(
        sum(1 for t in times if end - limit.period_ms < t <= end) <= limit.most
        for limit in limits
        for end in times
    )


several = st.lists(
    st.builds(Limit, most=st.integers(1, 4), period_ms=st.integers(1, 30)), min_size=1, max_size=3
)


@settings(max_examples=500)
@given(several, st.lists(st.integers(0, 12), max_size=40))
def test_it_allows_exactly_what_is_legal(limits: list[Limit], gaps: list[int]) -> None:
    """Equal to brute force: never one too many, never one refused that would have been legal."""
    log: list[int] = []
    now = 0
    for gap in gaps:
        now += gap
        wait = wait_ms(log, now, limits)
        assert (wait == 0) == legal(log, now, limits)
        if wait:
            assert legal(log, now + wait, limits)
            assert not legal(log, now + wait - 1, limits)
        else:
            log.append(now)


# ---- the plan ------------------------------------------------------------------------------------


def at(ms: int, boot: str = "a", wall: int = 0) -> Instant:
    return Instant(boot_id=boot, boot_ms=ms, wall_ms=wall)


def ask(plan: Plan, key: str, now: Instant, session: str = "s") -> tuple[Plan, list[Action]]:
    """Ask, and let what is recorded be safe at once."""
    plan, actions = step(plan, Wanted(session_id=session, key=key), KIND, [FIVE], now)
    answers = list(actions)
    for action in actions:
        if isinstance(action, Record):
            recorded = Recorded(session_id=session, key=key, safe=True)
            plan, more = step(plan, recorded, KIND, [FIVE], now)
            answers += more
    return plan, [a for a in answers if not isinstance(a, Wake | Record)]


def test_the_sixth_window_of_an_hour_is_refused_with_the_time() -> None:
    plan = Plan()
    for number in range(5):
        plan, answers = ask(plan, str(number), at(number * 1000))
        assert answers == [Allow(session_id="s", key=str(number), used=number + 1)]
    assert wait_of(plan, "s", [FIVE], at(5000)) == HOUR - 5000
    plan, answers = ask(plan, "5", at(5000))
    assert answers == [Refuse(session_id="s", key="5", wait_ms=HOUR - 5000)]
    _, answers = ask(plan, "0", at(5000), session="another")
    assert answers == [Allow(session_id="another", key="0", used=1)]
    plan, answers = ask(plan, "5", at(HOUR))
    assert isinstance(answers[0], Drop)
    assert answers[1:] == [Allow(session_id="s", key="5", used=5)]


def test_who_asks_again_for_the_same_window_is_counted_once() -> None:
    plan, _ = ask(Plan(), "a", at(0))
    plan, answers = ask(plan, "a", at(9))
    assert answers == [Allow(session_id="s", key="a", used=1)]
    wanted = Wanted(session_id="s", key="b")
    plan, actions = step(plan, wanted, KIND, [FIVE], at(10))
    assert any(isinstance(action, Record) for action in actions)
    plan, actions = step(plan, wanted, KIND, [FIVE], at(11))  # it is on its way to the disk
    assert [a for a in actions if not isinstance(a, Wake)] == []


def test_what_may_not_be_on_the_disk_is_not_allowed_and_counts() -> None:
    """Asked for again it is reckoned anew, and counted once all the same."""
    wanted = Wanted(session_id="s", key="a")
    plan, _ = step(Plan(), wanted, KIND, [FIVE], at(0))
    lost = Recorded(session_id="s", key="a", safe=False)
    plan, actions = step(plan, lost, KIND, [FIVE], at(10))
    assert actions == (Postpone(session_id="s", key="a"),)
    plan, actions = step(plan, wanted, KIND, [FIVE], at(5000))
    record = next(a for a in actions if isinstance(a, Record))
    assert (record.grant.boot_ms, record.used) == (5000, 1)
    for number in range(4):
        plan, _ = ask(plan, str(number), at(5000))
    plan, answers = ask(plan, "x", at(5000))
    assert answers == [Refuse(session_id="s", key="x", wait_ms=HOUR)]


@pytest.mark.parametrize(("late", "allowed"), [(MARGIN_MS, True), (MARGIN_MS + 1, False)])
def test_a_slow_disk_does_not_bring_windows_closer_together(late: int, allowed: bool) -> None:
    """What is allowed begins at most a margin after the moment that it was reckoned for."""
    plan, _ = step(Plan(), Wanted(session_id="s", key="a"), KIND, [FIVE], at(0))
    safe = Recorded(session_id="s", key="a", safe=True)
    _, actions = step(plan, safe, KIND, [FIVE], at(late))
    assert isinstance(actions[0], Allow if allowed else Postpone)


def test_what_counts_no_more_is_dropped_at_its_time() -> None:
    plan, _ = ask(Plan(), "a", at(0))
    plan, _ = ask(plan, "b", at(1000))
    plan, actions = step(plan, TimeCame(), KIND, [FIVE], at(500))
    assert actions == (Wake(ms=HOUR - 500),)
    plan, actions = step(plan, TimeCame(), KIND, [FIVE], at(HOUR))
    assert isinstance(actions[0], Drop)
    assert [grant.key for grant in actions[0].grants] == ["a"]
    assert actions[1] == Wake(ms=1000)
    _, actions = step(plan, TimeCame(), KIND, [FIVE], at(HOUR + 1000))
    assert isinstance(actions[0], Drop)
    assert len(actions) == 1


def grant(ms: int, boot: str = "a", key: str = "k") -> Grant:
    return Grant(session_id="s", kind=KIND, key=key, boot_id=boot, boot_ms=ms, wall_ms=0)


def test_what_another_boot_granted_counts_as_new_once() -> None:
    now = at(1000, "b", wall=9_999_999_999)
    settled, moved = settle([grant(5, "b", "x"), grant(5, "a", "y"), grant(2000, "b", "z")], now)
    assert [(g.key, g.boot_id, g.boot_ms) for g in settled] == [
        ("x", "b", 5),
        ("y", "b", 1000),
        ("z", "b", 1000),
    ]
    assert [g.key for g in moved] == ["y", "z"]
    assert settle(settled, at(1500, "b"))[1] == []


# ---- any course of events: restarts, crashes, jumps, reboots -------------------------------------


@dataclass
class Node:
    """A limiter with a disk, on a machine whose wall clock and boots are the test's.

    `true` is the time that passes for everybody; `opened` are the moments of it at which a window
    was opened.
    """

    limit: Limit
    true: int = 0
    boot: int = 0
    booted: int = 0
    wall: int = 0
    disk: dict[str, Grant] = field(default_factory=dict)
    plan: Plan = field(default_factory=Plan)
    opened: list[int] = field(default_factory=list)
    fresh_since: int = 0
    keys: int = 0

    def now(self) -> Instant:
        return at(self.true - self.booted, f"boot{self.boot}", self.true + self.wall)

    def restart(self) -> None:
        settled, moved = settle(self.disk.values(), self.now())
        self.disk |= {g.key: g for g in moved}
        self.plan = loaded(settled)

    def reboot(self, off: int) -> None:
        self.true += off
        self.boot += 1
        self.booted = self.true
        self.fresh_since = self.true
        self.restart()

    def ask(self, *, slow: int = 0, crash: str = "") -> int | None:
        """Ask for a window; return how long to wait, None if it was opened or nobody answered."""
        self.keys += 1
        key = str(self.keys)
        self.plan, actions = step(
            self.plan, Wanted(session_id="s", key=key), KIND, [self.limit], self.now()
        )
        for action in actions:
            match action:
                case Drop(grants=grants):
                    for each in grants:
                        self.disk.pop(each.key, None)
                case Refuse(wait_ms=wait):
                    return wait
                case Record(grant=new):
                    if crash == "before":
                        self.restart()
                        return None
                    self.true += slow
                    self.disk[key] = new
                    if crash == "after":
                        self.restart()
                        return None
                    recorded = Recorded(session_id="s", key=key, safe=True)
                    self.plan, more = step(self.plan, recorded, KIND, [self.limit], self.now())
                    if isinstance(more[0], Allow):
                        self.opened.append(self.true)
                case _:
                    pass
        return None


courses = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(0, 3000)),
        st.tuples(st.just("crash"), st.sampled_from(["before", "after"])),
        st.tuples(st.just("wait"), st.integers(0, 60_000)),
        st.tuples(st.just("jump"), st.integers(-(10**9), 10**9)),
        st.tuples(st.just("restart"), st.just(0)),
        st.tuples(st.just("reboot"), st.integers(0, 200_000)),
    ),
    max_size=60,
)


def play(node: Node, course: list[tuple[str, int | str]]) -> None:
    for what, much in course:
        match what, much:
            case "ask", int():
                node.ask(slow=int(much))
            case "crash", str():
                node.ask(crash=str(much))
            case "wait", int():
                node.true += int(much)
            case "jump", int():
                node.wall += int(much)
            case "restart", _:
                node.restart()
            case "reboot", int():
                node.reboot(int(much))
            case _:
                raise AssertionError(what)


@settings(max_examples=500)
@given(st.integers(1, 5), courses)
def test_nothing_lets_one_too_many_through(most: int, course: list[tuple[str, int | str]]) -> None:
    """Not a restart at any point, a crash, a jump of the wall clock, a reboot, or a slow disk."""
    period = 60_000
    node = Node(limit=Limit(most=most, period_ms=period + MARGIN_MS))
    node.restart()
    play(node, course)
    for first in node.opened:
        assert sum(1 for t in node.opened if first <= t < first + period) <= most


@settings(max_examples=300)
@given(st.integers(1, 5), courses)
def test_nobody_is_locked_out_for_longer_than_a_period(
    most: int, course: list[tuple[str, int | str]]
) -> None:
    """Whatever the wall clock says, and also right after a reboot."""
    node = Node(limit=Limit(most=most, period_ms=60_000 + MARGIN_MS))
    node.restart()
    play(node, course)
    wait = node.ask()
    if wait is not None:
        assert 0 < wait <= 60_000 + MARGIN_MS
        node.true += wait
        before = len(node.opened)
        assert node.ask() is None
        assert len(node.opened) == before + 1


@settings(max_examples=300)
@given(st.integers(1, 5), courses)
def test_a_jump_or_a_restart_changes_no_decision(
    most: int, course: list[tuple[str, int | str]]
) -> None:
    """Within one boot the wall clock and our own restarts are nothing to it."""
    plain = [(what, much) for what, much in course if what in {"ask", "wait"}]
    mixed = [(what, much) for what, much in course if what in {"ask", "wait", "jump", "restart"}]
    limit = Limit(most=most, period_ms=60_000 + MARGIN_MS)
    nodes = Node(limit=limit), Node(limit=limit)
    play(nodes[0], plain)
    play(nodes[1], mixed)
    assert nodes[0].opened == nodes[1].opened


def test_the_property_can_fail() -> None:
    """A limiter that forgot its log at a restart would let ten through."""
    node = Node(limit=replace(FIVE, period_ms=60_000 + MARGIN_MS))
    for _ in range(2):
        node.disk.clear()
        node.restart()
        for _ in range(5):
            node.ask()
    assert len(node.opened) == 10
