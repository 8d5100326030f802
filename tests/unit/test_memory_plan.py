"""What is done about memory: the plan as stories."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from actors.memory_events import (
    Cause,
    Collect,
    CollectionOver,
    Kill,
    LookSoon,
    MemoryAction,
    MemoryEvent,
    MemoryRules,
    Plan,
    RecycleAccepted,
    RecycleRefused,
    Restart,
    Sampled,
    Tell,
    Use,
)
from actors.memory_plan import step
from tests.fitting import require_fit

pytestmark = pytest.mark.unit

RULES = MemoryRules(
    soft=100,
    hard=200,
    kill=300,
    total=0.9,
    collect_pause=50,
    settle=1,
    recycle_pause=500,
    total_pause=60,
    patience=30,
    max_age=None,
    quiet=20,
    recovery=180,
)
AGED = replace(RULES, max_age=10_000)
OLD = 9000.0


def use(memory: int, *, age: float = OLD, life: int = 1, connected: bool = True) -> Use:
    return Use(incarnation=life, memory=memory, age=age, connected=connected)


def sample(used: int = 0, **uses: Use | int) -> Sampled:
    """A sample of sessions by name; a number stands for an old one that takes so much."""
    made = {key: use(each) if isinstance(each, int) else each for key, each in uses.items()}
    return Sampled(uses=made, used=used, limit=1000)


def collected(key: str = "a", life: int = 1, failed: str | None = None) -> CollectionOver:
    return CollectionOver(session_id=key, incarnation=life, seconds=0.2, failed=failed)


def accepted(key: str = "a", life: int = 1) -> RecycleAccepted:
    return RecycleAccepted(session_id=key, incarnation=life)


def refused(key: str = "a", life: int = 1) -> RecycleRefused:
    return RecycleRefused(session_id=key, incarnation=life)


Story = list[MemoryEvent | float]


def play(*story: MemoryEvent | float, rules: MemoryRules = RULES) -> list[MemoryAction]:
    """Return all actions of a story; numbers let so many seconds pass. No jitter."""
    plan, now, done = Plan(), 1000.0, list[MemoryAction]()
    for each in story:
        if isinstance(each, int | float):
            now += each
        else:
            plan, actions = step(plan, each, rules, now, lambda low, high: (low + high) / 2)
            done += actions
    for told in done:
        if isinstance(told, Tell):
            require_fit("memory", told.payload)
    return done


def words(actions: list[MemoryAction]) -> list[str]:
    """Name what is done, and to whom: `collect a`, `restart a hard_limit`, `kill a`."""
    found = []
    for each in actions:
        match each:
            case Collect(session_id=key, cause=cause):
                found.append(f"collect {key} {cause.value}")
            case Restart(session_id=key, cause=cause, quiet=quiet):
                found.append(f"restart {key} {cause.value} {quiet}")
            case Kill(session_id=key):
                found.append(f"kill {key}")
            case _:
                pass
    return found


def told(actions: list[MemoryAction]) -> list[tuple[str, str, Any, Any]]:
    """The events: action, cause, before, after."""
    return [
        (p["action"], p["cause"], p["before"], p.get("after"))
        for p in (each.payload for each in actions if isinstance(each, Tell))
    ]


@pytest.mark.parametrize(
    ("story", "actions"),
    [
        ([sample(a=99)], []),
        ([sample(a=100)], ["collect a soft_limit"]),
        # one at a time, and then a pause
        ([sample(a=150), 1, sample(a=150)], ["collect a soft_limit"]),
        ([sample(a=150), collected(), 49, sample(a=150)], ["collect a soft_limit"]),
        ([sample(a=150), collected(), 50, sample(a=150)], ["collect a soft_limit"] * 2),
        # each session by itself
        ([sample(a=150, b=120)], ["collect a soft_limit", "collect b soft_limit"]),
        # a collection that nobody ever answers blocks only so long
        ([sample(a=150), 180, sample(a=150)], ["collect a soft_limit"]),
        ([sample(a=150), 181, sample(a=150), 50, sample(a=150)], ["collect a soft_limit"] * 2),
        # what belongs to a former life is nothing to the next one
        ([sample(a=150), 1, sample(a=use(150, life=2))], ["collect a soft_limit"] * 2),
        ([sample(a=150), collected(life=9), 60, sample(a=150)], ["collect a soft_limit"]),
        ([collected()], []),
    ],
)
def test_above_the_soft_limit_the_page_collects(story: Story, actions: list[str]) -> None:
    assert words(play(*story)) == actions


def test_a_collection_is_told_with_what_it_brought() -> None:
    done = play(sample(a=150), 0.5, collected(), 1, sample(a=60))
    assert told(done) == [
        ("collect", "soft_limit", 150, None),
        ("collected", "soft_limit", 150, 60),
    ]
    assert LookSoon(seconds=1) in done  # not only when the next sample is due
    payload = next(e.payload for e in reversed(done) if isinstance(e, Tell))
    assert payload["seconds"] == 0.2


def test_it_is_judged_once_and_not_before_the_system_has_it_back() -> None:
    done = play(sample(a=150), collected(), 0.9, sample(a=60), 0.2, sample(a=50), 9, sample(a=40))
    assert told(done)[1:] == [("collected", "soft_limit", 150, 50)]


def test_one_that_fails_is_told_with_the_code() -> None:
    done = play(sample(a=150), collected(failed="call_timed_out"), 1, sample(a=150))
    assert told(done)[1:] == [("collect_failed", "soft_limit", 150, 150)]
    assert play(sample(a=150), 181, sample(a=150))[-1] == Tell(
        session_id="a",
        payload={
            "action": "collect_failed",
            "cause": "soft_limit",
            "before": 150,
            "after": 150,
            "seconds": 0,
            "code": "no_answer",
        },
    )


TRIED: Story = [sample(a=250), collected(), 1]
HARD = "collect a hard_limit"
RESTART = "restart a hard_limit 0.0"


@pytest.mark.parametrize(
    ("story", "actions"),
    [
        # the milder thing first; if it is enough, that is all
        ([sample(a=250)], [HARD]),
        ([*TRIED, sample(a=150)], [HARD]),
        ([*TRIED, sample(a=250)], [HARD, RESTART]),
        # a failed collection is one that was tried
        ([sample(a=250), collected(failed="page_gone"), 1, sample(a=250)], [HARD, RESTART]),
        # not before it was judged
        ([sample(a=250), sample(a=250), 0.5, collected(), 0.5, sample(a=250)], [HARD]),
        # it has just collected for the soft limit: again, after a shorter pause
        (
            [sample(a=150), collected(), 9, sample(a=250), 1, sample(a=250)],
            ["collect a soft_limit", HARD],
        ),
        # a browser that has just been started is left alone
        ([*TRIED, sample(a=use(250, age=499))], [HARD]),
        ([*TRIED, sample(a=use(250, age=500))], [HARD, RESTART]),
        # asked once, until there is an answer
        ([*TRIED, sample(a=250), 1, sample(a=250)], [HARD, RESTART]),
        ([*TRIED, sample(a=250), refused(), 1, sample(a=250)], [HARD, RESTART, RESTART]),
        ([*TRIED, sample(a=250), accepted(), 1, sample(a=250)], [HARD, RESTART]),
        # it is never at rest: after some patience, whatever it is doing
        (
            [*TRIED, sample(a=250), refused(), 29, sample(a=250)],
            [HARD, RESTART, "restart a hard_limit None"],
        ),
        # an answer that is not to this question changes nothing
        ([*TRIED, sample(a=250), refused("b"), sample(a=250)], [HARD, RESTART]),
        ([*TRIED, sample(a=250), refused(life=2), sample(a=250)], [HARD, RESTART]),
        ([*TRIED, sample(a=250), accepted(), refused(), sample(a=250)], [HARD, RESTART]),
    ],
)
def test_above_the_hard_limit_it_is_restarted(story: Story, actions: list[str]) -> None:
    assert words(play(*story)) == actions


def test_a_restart_is_told_when_it_begins_and_when_the_session_is_back() -> None:
    done = play(
        *TRIED,
        sample(a=250),
        accepted(),
        3,
        sample(),  # it is away
        1,
        sample(a=use(40, life=2, age=0.5, connected=False)),  # not yet
        1,
        sample(a=use(60, life=2, age=1.5)),
    )
    assert told(done)[2:] == [
        ("recycle", "hard_limit", 250, None),
        ("recycled", "hard_limit", 250, 60),
    ]
    assert [e.payload.get("seconds") for e in done if isinstance(e, Tell)][-1] == 5


def test_one_that_does_not_come_back_is_told_and_lets_the_next_one_go() -> None:
    two = sample(a=250, b=250)
    story: Story = [two, collected("a"), collected("b"), 1, two, accepted("a"), 180, sample(b=250)]
    assert words(play(*story))[2:] == [RESTART, "collect b hard_limit"]
    done = play(*story, 1, sample(b=250), collected("b"), 1, sample(b=250))
    assert ("recycle_unfinished", "hard_limit", 250, None) in told(done)
    assert words(done)[-1] == "restart b hard_limit None"


def test_two_restarts_take_turns_and_who_was_refused_lets_the_other_go() -> None:
    two = sample(a=250, b=260)
    start: Story = [two, collected("a"), collected("b"), 1, two]
    assert words(play(*start))[2:] == ["restart b hard_limit 0.0"]
    done = play(*start, refused("b"), 1, two, refused("a"), 1, two)
    assert [each.split()[1] for each in words(done)[2:]] == ["b", "a", "b"]
    both: Story = [*start, accepted("b"), 1, sample(a=250), 5, sample(a=250, b=use(50, life=2))]
    assert words(play(*both))[3:] == [RESTART]


@pytest.mark.parametrize(
    ("story", "actions"),
    [
        ([sample(a=299)], [HARD]),
        ([sample(a=300)], ["kill a"]),
        # a young one too, one that collects, and one that is being restarted
        ([sample(a=use(300, age=1))], ["kill a"]),
        ([sample(a=250), sample(a=300)], [HARD, "kill a"]),
        ([*TRIED, sample(a=250), accepted(), sample(a=300)], [HARD, RESTART, "kill a"]),
        # once each life
        ([sample(a=300), 1, sample(a=350)], ["kill a"]),
        ([sample(a=300), 1, sample(a=use(350, life=2))], ["kill a"] * 2),
        # and its neighbours go on
        ([sample(a=300, b=99)], ["kill a"]),
        # nothing else is done about one that is as good as dead
        ([sample(a=300), 1, sample(a=250)], ["kill a", HARD]),
        ([sample(a=300), sample(a=250), collected(), 1, sample(a=250)], ["kill a", HARD]),
    ],
)
def test_above_the_kill_limit_it_is_killed(story: Story, actions: list[str]) -> None:
    assert words(play(*story)) == actions


def test_a_kill_is_told_and_so_is_the_recovery() -> None:
    done = play(sample(a=300, b=90), 2, sample(b=90), 2, sample(a=use(50, life=2), b=90))
    assert told(done) == [("kill", "kill_limit", 300, None), ("recovered", "kill_limit", 300, 50)]
    lost = play(sample(a=300), 181, sample())
    assert told(lost)[1:] == [("not_recovered", "kill_limit", 300, None)]


TOTAL = "collect a total_limit"


@pytest.mark.parametrize(
    ("story", "actions"),
    [
        ([sample(used=899, a=80, b=70)], []),
        # the largest first, and the mildest thing first
        ([sample(used=900, a=80, b=70)], [TOTAL]),
        (
            [sample(used=900, a=80, b=70), collected(), 1, sample(used=900, a=80, b=70)],
            [TOTAL, "restart a total_limit 0.0"],
        ),
        ([sample(used=900, a=80), collected(), 1, sample(used=800, a=50)], [TOTAL]),
        # not before the largest has tried
        ([sample(used=900, a=80, b=70), 1, sample(used=900, a=80, b=70)], [TOTAL]),
        # a young one is spared; the next largest pays
        (
            [
                sample(used=900, a=use(80, age=10), b=70),
                collected(),
                1,
                sample(used=900, a=use(80, age=11), b=70),
            ],
            [TOTAL, "restart b total_limit 0.0"],
        ),
        # whatever it is doing, after some patience
        (
            [sample(used=900, a=80), collected(), 30, sample(used=900, a=80)],
            [TOTAL, "restart a total_limit None"],
        ),
        ([sample(used=950)], []),  # others use it: there is nobody to restart
    ],
)
def test_when_all_memory_is_nearly_used(story: Story, actions: list[str]) -> None:
    assert words(play(*story)) == actions


def test_after_a_restart_for_the_total_there_is_a_pause() -> None:
    full = sample(used=900, a=80, b=70)
    back = sample(used=900, a=use(80, life=2), b=70)
    story: Story = [full, collected(), 1, full, accepted(), 5, back, collected(life=2), 1, back]
    assert words(play(*story))[2:] == [TOTAL]
    assert words(play(*story, 59, back))[2:] == [TOTAL, TOTAL]
    done = words(play(*story, 59, back, collected(life=2), 1, back))
    assert done[-1] == "restart a total_limit None"


@pytest.mark.parametrize(
    ("story", "actions"),
    [
        ([sample(a=use(10, age=9999))], []),
        ([sample(a=use(10, age=10_000))], ["restart a max_age 20"]),
        ([sample(a=use(10, age=10_000, connected=False))], []),  # a QR code would start anew
        # the oldest first, one at a time; who is not at rest lets the next one go
        (
            [sample(a=use(10, age=10_000), b=use(10, age=11_000))],
            ["restart b max_age 20"],
        ),
        (
            [
                sample(a=use(10, age=10_000), b=use(10, age=11_000)),
                refused("b"),
                1,
                sample(a=use(10, age=10_000), b=use(10, age=11_000)),
            ],
            ["restart b max_age 20", "restart a max_age 20"],
        ),
    ],
)
def test_planned_restarts_by_age(story: Story, actions: list[str]) -> None:
    assert words(play(*story, rules=AGED)) == actions
    assert words(play(*story)) == []  # off


def test_ages_are_jittered_and_each_life_has_its_own() -> None:
    plan = Plan()
    draws = iter([0.9, 1.1, 1.0])
    plan, _ = step(plan, sample(a=1, b=1), AGED, 0.0, lambda _low, _high: next(draws))
    assert {key: watch.ripe_age for key, watch in plan.watches.items()} == {
        "a": 9000.0,
        "b": 11_000.0,
    }
    plan, _ = step(plan, sample(a=1, b=use(1, life=2)), AGED, 1.0, lambda _low, _high: next(draws))
    assert plan.watches["a"].ripe_age == 9000.0
    assert plan.watches["b"].ripe_age == 10_000.0


def test_causes_have_names_of_their_own() -> None:
    assert len({cause.value for cause in Cause}) == 5
