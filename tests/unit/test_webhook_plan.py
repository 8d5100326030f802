"""When a webhook's events are tried again: tables and properties of the pure plan."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.webhook_plan import (
    JITTER,
    LONGEST_RETRY_AFTER,
    Answer,
    Breaker,
    RetryRules,
    Verdict,
    after_failure,
    interests,
    look,
    retry_after,
    too_long,
    verdict_of,
)
from storage.webhooks import Waiting, WebhookRecord

pytestmark = pytest.mark.unit

NOW = 1_800_000_000_000
RULES = RetryRules(
    pauses=(5.0, 300.0, 1800.0), failures=3, first_pause=5.0, longest_pause=60.0, patience=100.0
)


def middle(low: float, high: float) -> float:
    return (low + high) / 2


def waiting(lane: str = "a", event: str = "E1", **more: int) -> Waiting:
    return Waiting(**{"event_id": event, "type": "x", "lane": lane, "next_ms": NOW, **more})  # type: ignore[arg-type]


def answer(verdict: Verdict = Verdict.REFUSED, **more: object) -> Answer:
    parts = {"status": 500, "retry_after": None, "at_ms": NOW, "took_ms": 3, **more}
    return Answer(verdict=verdict, **parts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.DELIVERED),
        (204, Verdict.DELIVERED),
        (299, Verdict.DELIVERED),
        (199, Verdict.REFUSED),
        (300, Verdict.REDIRECTED),
        (302, Verdict.REDIRECTED),
        (399, Verdict.REDIRECTED),
        (400, Verdict.REFUSED),
        (404, Verdict.REFUSED),
        (410, Verdict.GONE),
        (429, Verdict.REFUSED),
        (500, Verdict.REFUSED),
    ],
)
def test_only_2xx_is_delivered(status: int, verdict: Verdict) -> None:
    assert verdict_of(status) is verdict


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("9" * 400, LONGEST_RETRY_AFTER),
        ("Fri, 15 Jan 2027 08:01:00 GMT", 60.0),
        ("Fri, 15 Jan 2027 08:01:00", 60.0),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0.0),
        ("Fri, 15 Jan 2038 07:00:00 GMT", LONGEST_RETRY_AFTER),
        ("Fri, 99 Jan 2027 08:01:00 GMT", None),
    ],
)
def test_retry_after_is_read_and_bounded(header: str | None, seconds: float | None) -> None:
    """1,800,000,000 is Friday, 15 January 2027, 08:00 UTC."""
    assert retry_after(header, NOW) == seconds


@given(st.text())
def test_no_retry_after_breaks_anything(header: str) -> None:
    """What stands there is the endpoint's, that is anybody's."""
    seconds = retry_after(header, NOW)
    assert seconds is None or 0 <= seconds <= LONGEST_RETRY_AFTER


def test_an_event_follows_its_schedule_and_then_is_dead() -> None:
    """As many attempts as pauses, and one."""
    event, at, seen = waiting(), NOW, []
    while not event.dead:
        event = after_failure(event, answer(at_ms=at), RULES, middle)
        seen.append((event.next_ms - at) / 1000)
        at = event.next_ms
    assert seen == [5.0, 300.0, 1800.0, 0.0]
    assert (event.attempts, event.code, event.status) == (4, "refused", 500)


@given(uniform=st.floats(0, 1), step=st.integers(0, 2), asked=st.none() | st.floats(0, 86_400))
def test_jitter_and_retry_after_stay_in_bounds(
    uniform: float, step: int, asked: float | None
) -> None:
    """Within a fifth of the pause, and never before the endpoint wants it."""
    before = replace(waiting(), step=step)
    after = after_failure(
        before,
        answer(retry_after=asked),
        RULES,
        lambda low, high: low + uniform * (high - low),
    )
    pause = (after.next_ms - NOW) / 1000
    least = RULES.pauses[step] * (1 - JITTER)
    assert pause >= max(least, asked or 0.0) - 0.001
    assert pause <= max(RULES.pauses[step] * (1 + JITTER), asked or 0.0) + 0.001


def test_a_probe_before_its_time_uses_up_nothing() -> None:
    """It is the endpoint that is asked after, not the event."""
    before = waiting(next_ms=NOW + 1000, step=2)
    after = after_failure(before, answer(), RULES, middle)
    assert (after.step, after.next_ms, after.attempts) == (2, NOW + 1000, 1)
    last = after_failure(waiting(next_ms=NOW + 1, step=3), answer(), RULES, middle)
    assert not last.dead


def test_an_endpoint_that_is_gone_costs_the_event_nothing() -> None:
    after = after_failure(waiting(step=3), answer(Verdict.GONE, status=410), RULES, middle)
    assert (after.step, after.next_ms, after.dead, after.attempts) == (3, NOW, False, 1)


def test_the_breaker_opens_after_failures_in_a_row_and_doubles_its_pauses() -> None:
    """Up to its longest; one success closes it."""
    breaker, moment, pauses = Breaker(rules=RULES), 1000.0, []
    for _ in range(2):
        breaker = breaker.failed(moment, None, middle)
        assert breaker.closed
        assert not breaker.holds(moment)
    for _ in range(6):
        breaker = breaker.failed(moment, None, middle)
        assert not breaker.closed
        assert breaker.holds(moment)
        pauses.append(breaker.until - moment)
        moment = breaker.until
        assert not breaker.holds(moment)
    assert pauses == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
    assert breaker.succeeded() == Breaker(rules=RULES)


def test_requests_under_way_do_not_lengthen_the_pause() -> None:
    """Eight that were sent together and failed together are one finding."""
    breaker = Breaker(rules=RULES)
    for _ in range(3):
        breaker = breaker.failed(0.0, None, middle)
    until = breaker.until
    for _ in range(8):
        breaker = breaker.failed(0.1, None, middle)
    assert breaker.until == until
    assert breaker.failed(until, None, middle).until == until + 10.0


def test_retry_after_holds_a_breaker_that_is_closed() -> None:
    breaker = Breaker(rules=RULES).failed(0.0, 30.0, middle)
    assert breaker.closed
    assert breaker.holds(29.9)
    assert not breaker.holds(30.0)


@given(st.lists(st.booleans(), max_size=60))
def test_an_open_breaker_always_opens_again(outcomes: list[bool]) -> None:
    """No row of outcomes leaves an endpoint without a probe for longer than the longest pause."""
    breaker, moment = Breaker(rules=RULES), 0.0
    for ok in outcomes:
        moment = max(moment, breaker.until) if breaker.until > 0 else moment
        breaker = breaker.succeeded() if ok else breaker.failed(moment, None, middle)
        assert breaker.until - moment <= RULES.longest_pause * (1 + JITTER)
        assert not ok or breaker.closed


def opened(moment: float = 0.0) -> Breaker:
    breaker = Breaker(rules=RULES)
    for _ in range(RULES.failures):
        breaker = breaker.failed(moment, None, middle)
    return breaker


def test_a_round_takes_what_is_due_and_knows_when_the_next_is() -> None:
    heads = [waiting("a"), waiting("b", "E2", next_ms=NOW + 2500), waiting("c", "E3", next_ms=0)]
    sight = look(heads, Breaker(rules=RULES), moment=0.0, now_ms=NOW)
    assert [head.lane for head in sight.lanes] == ["a", "c"]
    assert (sight.fresh, sight.probe, sight.pause) == (True, False, 2.5)
    assert look([], Breaker(rules=RULES), moment=0.0, now_ms=NOW).pause is None


def test_while_the_breaker_holds_nothing_is_sent() -> None:
    sight = look([waiting()], opened(), moment=1.0, now_ms=NOW)
    assert (sight.lanes, sight.fresh, sight.pause) == ((), False, 4.0)


def test_a_probe_is_what_was_not_tried_for_the_longest() -> None:
    """Due or not: one bad event must not be the only one that asks after the endpoint."""
    heads = [
        waiting("a", "E1", tried_ms=NOW - 10),
        waiting("b", "E2", tried_ms=NOW - 50, next_ms=NOW + 99_000),
        waiting("c", "E3", tried_ms=NOW - 20),
    ]
    sight = look(heads, opened(), moment=5.0, now_ms=NOW)
    assert [head.lane for head in sight.lanes] == ["b"]
    assert (sight.fresh, sight.probe) == (True, True)


@pytest.mark.parametrize(
    ("since", "patience", "expected"),
    [
        (None, 100.0, False),
        (NOW - 100_000, 100.0, False),
        (NOW - 100_001, 100.0, True),
        (0, 0.0, False),
    ],
)
def test_an_endpoint_may_fail_for_so_long(
    since: int | None, patience: float, *, expected: bool
) -> None:
    assert too_long(since, NOW, replace(RULES, patience=patience)) is expected


def test_no_types_are_all_types() -> None:
    webhook = WebhookRecord(
        id="",
        workspace_id="",
        session_id=None,
        url="",
        description="",
        events=frozenset(),
        messages=True,
        secret="",
        previous_secret=None,
        previous_until_ms=None,
        disabled=None,
        place=None,
        failing_since_ms=None,
        created_ms=0,
        updated_ms=0,
    )
    some = replace(webhook, events=frozenset({"message.received"}))
    assert interests(webhook, "session.status")
    assert interests(some, "message.received")
    assert not interests(some, "session.status")
