"""When a session is archived: the plan as tables, and what never happens as properties."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.archive_plan import (
    REFUSALS,
    Action,
    ArchiveTimes,
    ArmArchive,
    Asked,
    BeginArchive,
    Connected,
    Disconnected,
    Ended,
    Leaving,
    Plan,
    PlanEvent,
    RefuseArchive,
    TimeCame,
    step,
)

pytestmark = pytest.mark.unit

TIMES = ArchiveTimes(delay=60, interval=21600, retry=300)
GOOD, BAD = Ended(saved=True), Ended(saved=False)
FIRST = ArmArchive(seconds=60)
BEGIN = BeginArchive()
NEXT = ArmArchive(seconds=21600)
AGAIN = ArmArchive(seconds=300)
OFF = ArmArchive(seconds=None)
NOT_CONNECTED = RefuseArchive(code="not_connected")
STOPPING = RefuseArchive(code="session_stopping")


def play(*events: PlanEvent, times: ArchiveTimes = TIMES) -> list[Action]:
    """Return all actions of a story, without jitter."""
    plan = Plan()
    done: list[Action] = []
    for event in events:
        plan, actions = step(plan, event, times, lambda low, high: (low + high) / 2)
        done += actions
    return done


@pytest.mark.parametrize(
    ("story", "actions"),
    [
        # by itself: after the delay, then again and again
        ((Connected(), TimeCame(), GOOD, TimeCame(), GOOD), [FIRST, BEGIN, NEXT, BEGIN, NEXT]),
        # a failed one is tried again sooner
        ((Connected(), TimeCame(), BAD, TimeCame(), GOOD), [FIRST, BEGIN, AGAIN, BEGIN, NEXT]),
        # a short loss of the connection does not start the delay anew
        ((Connected(), Disconnected(), Connected(), TimeCame()), [FIRST, BEGIN]),
        # its time came while it was away: some time after it is back
        ((Connected(), Disconnected(), TimeCame(), Connected()), [FIRST, FIRST]),
        ((Connected(), TimeCame(), Disconnected(), BAD, Connected()), [FIRST, BEGIN, AGAIN]),
        # on demand: at once, and the schedule counts from there
        ((Connected(), Asked(), GOOD), [FIRST, BEGIN, NEXT]),
        ((Connected(), Asked(), Asked(), GOOD, Asked()), [FIRST, BEGIN, NEXT, BEGIN]),
        # the time comes while one is under way: one is enough
        ((Connected(), Asked(), TimeCame(), GOOD), [FIRST, BEGIN, NEXT]),
        # not now
        ((Asked(),), [NOT_CONNECTED]),
        ((Connected(), Disconnected(), Asked()), [FIRST, NOT_CONNECTED]),
        ((Connected(), Leaving(), Asked()), [FIRST, OFF, STOPPING]),
        # never once it is leaving
        ((Leaving(), Connected(), TimeCame()), [OFF]),
        ((Connected(), TimeCame(), Leaving(), GOOD, TimeCame()), [FIRST, BEGIN, OFF]),
    ],
)
def test_stories(story: tuple[PlanEvent, ...], actions: list[Action]) -> None:
    """What is done, in order."""
    assert play(*story) == actions


def test_a_retry_is_never_later_than_the_schedule() -> None:
    """With an interval of a minute, a failed archive waits a minute."""
    times = ArchiveTimes(delay=1, interval=60, retry=300)
    assert play(Connected(), TimeCame(), BAD, times=times)[-1] == ArmArchive(seconds=60)


def test_jitter_moves_the_schedule_both_ways() -> None:
    """By a tenth at most: fifty sessions that start together do not stay together."""
    plan = Plan(connected=True, running=True)
    _, (soonest,) = step(plan, GOOD, TIMES, lambda low, _: low)
    _, (latest,) = step(plan, GOOD, TIMES, lambda _, high: high)
    assert isinstance(soonest, ArmArchive)
    assert isinstance(latest, ArmArchive)
    assert (soonest.seconds, latest.seconds) == pytest.approx((21600 * 0.9, 21600 * 1.1))


def test_every_refusal_has_a_sentence() -> None:
    """The codes of the plan are those of the table."""
    assert set(REFUSALS) == {"not_connected", "session_stopping"}


EVENTS = st.sampled_from([Connected(), Disconnected(), TimeCame(), Asked(), GOOD, BAD, Leaving()])


@given(st.lists(EVENTS, max_size=40))
def test_never_two_at_once_never_disconnected_never_leaving(events: list[PlanEvent]) -> None:
    """Whatever happens in whatever order; an Ended comes only after a Begin."""
    plan, running, connected, closed = Plan(), False, False, False
    for event in events:
        if isinstance(event, Ended) and not running:
            continue
        plan, actions = step(plan, event, TIMES, lambda low, _: low)
        connected = isinstance(event, Connected) or (
            connected and not isinstance(event, Disconnected)
        )
        closed = closed or isinstance(event, Leaving)
        running = running and not isinstance(event, Ended)
        for action in actions:
            if isinstance(action, BeginArchive):
                assert not running
                assert connected
                assert not closed
                running = True
            if isinstance(action, ArmArchive) and action.seconds is not None:
                assert not closed


@given(st.lists(EVENTS, max_size=40))
def test_a_connected_session_always_has_its_next_archive_ahead(events: list[PlanEvent]) -> None:
    """There is a timer or an archive under way: nothing that happened can end the schedule."""
    plan, armed, running = Plan(), False, False
    for event in events:
        if (isinstance(event, Ended) and not running) or (
            isinstance(event, TimeCame) and not armed
        ):
            continue
        armed = armed and not isinstance(event, TimeCame)
        running = running and not isinstance(event, Ended)
        plan, actions = step(plan, event, TIMES, lambda low, _: low)
        for action in actions:
            running = running or isinstance(action, BeginArchive)
            if isinstance(action, ArmArchive):
                armed = action.seconds is not None
        assert not plan.connected or armed or running
