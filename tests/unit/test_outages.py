"""Which repair comes next, and what is remembered: rungs as tables, bounds as properties."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.health_book import HealthBook
from actors.outages import (
    DAMAGE,
    END_TO_END,
    LONGEST_PAUSE,
    ONCE,
    RELOADABLE,
    RUNGS,
    History,
    Repair,
    RepairPolicy,
    Rung,
    failed,
    last_repair,
    may_free,
    mend,
    mends_in,
    rung_of,
    take_over,
    wants_snapshot,
    well,
)
from actors.reasons import REASONS

pytestmark = pytest.mark.unit

POLICY = RepairPolicy(reloads=3, reload_period=300, snapshot_after=3, pause=120, take_overs=2)
NEW, AGAIN, WAIT = Repair.RELOAD, Repair.RESTART, None


def mending(*story: tuple[float, str], policy: RepairPolicy = POLICY) -> list[Repair | None]:
    """Return what is done about each trouble, at these times, while nothing gets well."""
    history, done = History(), []
    for now, cause in story:
        history, repair = mended(history, cause, now, policy)
        done.append(repair)
    return done


def mended(
    history: History, cause: str, now: float, policy: RepairPolicy = POLICY
) -> tuple[History, Repair | None]:
    """Choose a repair and begin it."""
    history, repair = mend(history, cause, now, policy)
    return failed(history, cause, now) if repair is Repair.RESTART else history, repair


@pytest.mark.parametrize(
    ("story", "repairs"),
    [
        # a crashed page is loaded anew, but not for ever
        ([(t, "page_crashed") for t in (0, 10, 20, 30)], [NEW, NEW, NEW, AGAIN]),
        ([(t, "page_unresponsive") for t in (0, 10, 20, 30)], [NEW, NEW, NEW, AGAIN]),
        ([(0, "page_crashed"), (301, "page_crashed")], [NEW, NEW]),
        ([(t, "page_crashed") for t in (0, 10, 20, 301)], [NEW, NEW, NEW, NEW]),
        # what a new page did not mend a second one does not mend
        ([(0, "socket_timeout"), (60, "socket_timeout")], [NEW, AGAIN]),
        ([(0, "evidence_missing"), (20, "evidence_missing")], [NEW, AGAIN]),
        # these need a new browser at once
        ([(0, "browser_unresponsive")], [AGAIN]),
        ([(0, "browser_exited")], [AGAIN]),
        ([(0, "acks_missing")], [AGAIN]),
        # without a proof from end to end restarts come ever slower
        (
            [(t, "acks_missing") for t in (0, 119, 120, 359, 360, 839, 840)],
            [AGAIN, WAIT, AGAIN, WAIT, AGAIN, WAIT, AGAIN],
        ),
        (
            [(0, "evidence_missing"), (20, "evidence_missing"), (60, "evidence_missing")],
            [NEW, AGAIN, WAIT],
        ),
        # but a browser that hangs meanwhile is a different matter
        ([(0, "acks_missing"), (10, "browser_unresponsive")], [AGAIN, AGAIN]),
    ],
)
def test_rungs(story: list[tuple[float, str]], repairs: list[Repair | None]) -> None:
    """The gentlest repair that may help, and never the same one for ever."""
    assert mending(*story) == repairs


def test_without_reloads_the_browser_is_restarted() -> None:
    """A setting of 0 takes that rung away."""
    assert mending((0, "page_crashed"), policy=replace(POLICY, reloads=0)) == [AGAIN]


def test_the_pause_between_restarts_has_a_ceiling() -> None:
    """A session without proof is tried at least once an hour."""
    history = History(repairs=(Repair.RESTART,) * 1000, mended=0)
    assert mends_in(history, 0, POLICY) == LONGEST_PAUSE
    assert mends_in(history, LONGEST_PAUSE, POLICY) == 0


def test_a_well_session_begins_anew() -> None:
    """Its repairs and failures are over; its reloads are still counted."""
    history, _ = mend(failed(History(), "page_crashed", 0), "page_crashed", 1, POLICY)
    assert last_repair(history) is Repair.RELOAD
    after = well(history)
    assert after == History(reloads=(1,), mended=1)
    assert last_repair(after) is Repair.NONE


@pytest.mark.parametrize(
    ("failures", "wanted"),
    [
        (["page_crashed"] * 2, False),
        (["page_crashed"] * 3, True),
        (["launch_failed"] * 4, True),
        (["login_lost"], True),
        (["page_crashed", "page_crashed", "launch_failed"], False),
        (["launch_failed", "page_crashed", "page_crashed", "page_crashed"], True),
        # what WhatsApp or the network may be the cause of
        *[([cause] * 9, False) for cause in sorted(END_TO_END)],
        *[([cause] * 9, False) for cause in ("socket_timeout", "sync_timeout", "open_timeout")],
        *[([cause] * 9, False) for cause in ("unreachable", "update_required")],
    ],
)
def test_a_snapshot_is_for_a_profile_that_does_not_come_up(
    failures: list[str], wanted: bool
) -> None:
    """After so many restarts for the same cause, and only for what a damaged profile can cause."""
    history = History()
    for cause in failures:
        history = failed(history, cause, 0)
    assert wants_snapshot(history, POLICY) is wanted
    assert not wants_snapshot(replace(history, snapshot_tried=True), POLICY)
    assert not wants_snapshot(well(history), POLICY)


def test_a_busy_page_is_freed_once_in_a_while() -> None:
    """If it hangs again soon, that was no cure."""
    freed = History(freed=100.0)
    assert may_free(History(), 0, POLICY)
    assert not may_free(freed, 399, POLICY)
    assert may_free(freed, 400, POLICY)


def test_a_login_is_taken_back_so_often_within_an_hour() -> None:
    """Then it is left to the other window."""
    history, taken = History(), []
    for now in (0, 10, 20, 3600, 3605, 3610):
        history, takes = take_over(history, now, POLICY)
        taken.append(takes)
    assert taken == [True, True, False, True, False, True]
    assert take_over(History(), 0, replace(POLICY, take_overs=0)) == (History(), False)


def test_every_cause_has_a_sentence_and_a_rung() -> None:
    """What is not found on a rung of its own is WhatsApp's own word."""
    assert set(RUNGS) | END_TO_END | RELOADABLE | DAMAGE | ONCE <= set(REASONS)
    assert rung_of("socket_lost") is Rung.SOCKET
    assert rung_of("browser_exited") is Rung.PROCESS
    assert {rung_of(cause) for cause in END_TO_END} == {Rung.END}


CAUSES = st.sampled_from(sorted(RELOADABLE | END_TO_END | {"browser_unresponsive"}))
STORY = st.lists(st.tuples(st.floats(0, 200), CAUSES), max_size=40)


@given(STORY)
def test_reloads_are_bounded_in_any_period(story: list[tuple[float, str]]) -> None:
    """A reload loop becomes a crash, which the supervisor counts."""
    history, now, reloads = History(), 0.0, list[float]()
    for gap, cause in story:
        now += gap
        history, repair = mended(history, cause, now)
        if repair is Repair.RELOAD:
            assert cause in RELOADABLE
            reloads.append(now)
        recent = [time for time in reloads if now - time < POLICY.reload_period]
        assert len(recent) <= POLICY.reloads


@given(STORY)
def test_restarts_for_want_of_proof_lie_ever_further_apart(story: list[tuple[float, str]]) -> None:
    """A repair that does not help is not repeated like one that does."""
    history, now, restarts = History(), 0.0, list[float]()
    for gap, _ in story:
        now += gap
        history, repair = mended(history, "acks_missing", now)
        if repair is Repair.RESTART:
            restarts.append(now)
    gaps = [after - before for before, after in pairwise(restarts)]
    for number, gap in enumerate(gaps):
        assert gap >= min(LONGEST_PAUSE, POLICY.pause * 2**number) - 1e-6


def test_a_book_keeps_what_there_is_to_keep() -> None:
    """By session, and nothing of a session without a history."""
    book, history = HealthBook(), History(failures=1)
    book.put("a", history)
    assert (book.get("a"), book.get("b")) == (history, History())
    book.put("a", History())
    assert book.get("a") == History()
    assert book._histories == {}
