"""What the memory plan never does, whatever happens."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from actors.memory_events import (
    Cause,
    Collect,
    CollectionOver,
    Kill,
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
)
from actors.memory_plan import step

pytestmark = pytest.mark.unit

RULES = MemoryRules(
    soft=100,
    hard=200,
    kill=300,
    collect_pause=50,
    settle=1,
    recycle_pause=20,
    total_pause=10,
    patience=30,
    max_age=400,
    recovery=60,
)
KEYS = ("a", "b", "c")

uses = st.builds(
    Use,
    incarnation=st.integers(1, 3),
    memory=st.integers(0, 350),
    age=st.floats(0, 500),
    connected=st.booleans(),
)
lives = st.tuples(st.sampled_from(KEYS), st.integers(1, 3))
events = st.one_of(
    st.builds(
        Sampled,
        uses=st.dictionaries(st.sampled_from(KEYS), uses, max_size=3),
        used=st.integers(0, 1100),
        limit=st.just(1000),
    ),
    lives.map(lambda it: RecycleAccepted(session_id=it[0], incarnation=it[1])),
    lives.map(lambda it: RecycleRefused(session_id=it[0], incarnation=it[1])),
    st.tuples(lives, st.none() | st.just("call_timed_out")).map(
        lambda it: CollectionOver(
            session_id=it[0][0], incarnation=it[0][1], seconds=0.1, failed=it[1]
        )
    ),
)
stories = st.lists(st.tuples(st.floats(0, 70), events), max_size=60)


def aged(**lives: tuple[int, float]) -> Sampled:
    """Return a sample of connected sessions that use nothing, by incarnation and age."""
    uses = {
        key: Use(incarnation=life, memory=0, age=age, connected=True)
        for key, (life, age) in lives.items()
    }
    return Sampled(uses=uses, used=0, limit=1000)


@given(stories)
@example([(0.0, aged(b=(1, 400.0))), (0.0, aged(a=(1, 400.0), b=(2, 0.0)))])
def test_every_rule_holds_in_every_story(story: list[tuple[float, MemoryEvent]]) -> None:
    plan, now = Plan(), 0.0
    for wait, event in story:
        now += wait
        before = plan
        plan, actions = step(plan, event, RULES, now, lambda low, high: (low + high) / 2)
        told = {(t.session_id, t.payload["action"]) for t in actions if isinstance(t, Tell)}
        for action in actions:
            match action:
                case Kill(session_id=key, incarnation=life):
                    _kill_is_due(event, key, life)
                    assert (key, "kill") in told
                    killed = before.killed.get(key)
                    assert killed is None or killed.incarnation != life or _is_late(killed, now)
                case Collect(session_id=key):
                    assert isinstance(event, Sampled)
                    tight = event.used >= event.limit * RULES.total
                    assert event.uses[key].memory < RULES.kill
                    assert event.uses[key].memory >= RULES.soft or tight
                    assert (key, "collect") in told
                case Restart(session_id=key, incarnation=life):
                    _restart_is_due(event, key, life, action.cause)
                case _:
                    pass
        asked = [each for each in actions if isinstance(each, Restart)]
        assert len(asked) <= 1
        if asked and before.restarting is not None:
            # never two at once: the last one is over, or nobody has answered for too long
            key, last = before.restarting
            over = {(key, "recycled"), (key, "recycle_unfinished")} & told
            # and a life that came by itself needs no restart, whoever had asked for one
            assert over if last.accepted else _is_late(last, now) or _is_younger(event, key, last)
        if isinstance(event, RecycleAccepted):
            began = plan.restarting != before.restarting
            assert began == ((event.session_id, "recycle") in told)


def _is_late(pending: Pending, now: float) -> bool:
    return now - pending.began > RULES.recovery


def _is_younger(event: MemoryEvent, key: str, pending: Pending) -> bool:
    use = event.uses.get(key) if isinstance(event, Sampled) else None
    return use is not None and use.connected and use.incarnation > pending.incarnation


def _kill_is_due(event: MemoryEvent, key: str, life: int) -> None:
    assert isinstance(event, Sampled)
    assert event.uses[key].memory >= RULES.kill
    assert event.uses[key].incarnation == life


def _restart_is_due(event: MemoryEvent, key: str, life: int, cause: Cause) -> None:
    assert isinstance(event, Sampled)
    use = event.uses[key]
    assert use.incarnation == life
    match cause:
        case Cause.HARD:
            assert use.memory >= RULES.hard
            assert use.age >= RULES.recycle_pause
        case Cause.TOTAL:
            assert event.used >= event.limit * RULES.total
            assert use.age >= RULES.recycle_pause
        case Cause.AGE:
            assert use.connected
            assert use.age >= 400
        case _:
            raise AssertionError(cause)


@given(stories)
def test_collections_of_one_life_keep_their_distance(
    story: list[tuple[float, MemoryEvent]],
) -> None:
    """At least the short pause between the end of one and the beginning of the next."""
    plan, now = Plan(), 0.0
    ended: dict[str, float] = {}
    for wait, event in story:
        now += wait
        before = plan
        plan, actions = step(plan, event, RULES, now, lambda low, high: (low + high) / 2)
        for key, watch in plan.watches.items():
            last = watch.collection
            if last is not None and last.ended is not None:
                ended[key] = last.ended
        for action in actions:
            if isinstance(action, Collect):
                last_watch = before.watches.get(action.session_id)
                same = last_watch is not None and last_watch.incarnation == action.incarnation
                if same and last_watch is not None and last_watch.collection is not None:
                    assert now - ended[action.session_id] >= RULES.collect_pause / 5


@given(st.integers(0, 199), st.integers(0, 899))
def test_a_session_within_its_limits_is_left_alone(memory: int, used: int) -> None:
    """Once it has collected, being above the soft limit is all right."""
    plan = Plan()
    for moment in range(0, 40, 2):
        use = Use(incarnation=1, memory=memory, age=350, connected=True)
        sampled = Sampled(uses={"a": use}, used=used, limit=1000)
        plan, actions = step(plan, sampled, RULES, float(moment), lambda _low, high: high)
        assert not [each for each in actions if isinstance(each, Kill | Restart)]
