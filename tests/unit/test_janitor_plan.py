"""The care of the disk: the plan as tables, and what never happens as properties."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.browser.profile_facts import Directory, ProfileSize
from actors.janitor_plan import (
    Clean,
    CleanAll,
    DiskSeen,
    JanitorAction,
    JanitorEvent,
    JanitorRules,
    Note,
    Plan,
    ProfileSeen,
    ProfilesSeen,
    Restart,
    RestartRefused,
    SetLevel,
    Tell,
    level_at,
    orphans,
    oversize_note,
    step,
)
from storage.space import SpaceLevel
from tests.fitting import require_fit

pytestmark = pytest.mark.unit

RULES = JanitorRules(limit=100, low=1000, full=300, margin=50, pause=60, grace=500)
PLENTY, LOW, FULL = SpaceLevel.PLENTY, SpaceLevel.LOW, SpaceLevel.FULL
A = "01JDXQ0000000000000000000A"
B = "01JDXQ0000000000000000000B"


def play(*story: JanitorEvent | float, plan: Plan | None = None) -> list[JanitorAction]:
    """Return all actions of a story; numbers let so many seconds pass."""
    plan, now, done = plan or Plan(), 0.0, list[JanitorAction]()
    for each in story:
        if isinstance(each, int | float):
            now += each
        else:
            plan, actions = step(plan, each, RULES, now)
            done += actions
    for told in done:
        if isinstance(told, Tell):
            require_fit("storage", told.payload)
    return done


def words(actions: list[JanitorAction]) -> list[str]:
    """Name actions shortly; events by their action."""
    return [
        str(each.payload["action"]) if isinstance(each, Tell) else type(each).__name__
        for each in actions
    ]


def seen(kept: int = 0, waste: int = 0, scratch: int = 0, lives: bool = True) -> ProfileSeen:
    size = ProfileSize(kept=kept, waste=waste, scratch=scratch)
    return ProfileSeen(session_id=A, incarnation=7 if lives else None, size=size)


def disk(free: int) -> DiskSeen:
    return DiskSeen(free=free)


@pytest.mark.parametrize(
    ("frees", "levels"),
    [
        ([5000, 1000], []),  # at the mark is not below it
        ([5000, 999], [LOW]),
        ([5000, 299], [FULL]),  # both marks at once
        ([5000, 999, 299], [LOW, FULL]),
        # better only with the margin, step by step or at once
        ([5000, 299, 300, 349, 350], [FULL, LOW]),
        ([5000, 999, 1000, 1049, 1050], [LOW, PLENTY]),
        ([5000, 299, 5000], [FULL, PLENTY]),
        ([5000, 299, 1049], [FULL, LOW]),
        # nothing flaps at a mark
        ([5000, 999, 1000, 999, 1000, 999], [LOW]),
        ([299], [FULL]),  # the first look counts
    ],
)
def test_the_level_of_the_disk(frees: list[int], levels: list[SpaceLevel]) -> None:
    done = play(*map(disk, frees))
    assert [each.level for each in done if isinstance(each, SetLevel)] == levels


def test_a_worse_level_is_told_with_how_long_the_last_one_was_and_cleans_at_once() -> None:
    done = play(disk(5000), 10, disk(999), 5, disk(299), 7, disk(5000))
    told = [each.payload for each in done if isinstance(each, Tell)]
    assert told == [
        {"action": "disk_low", "cause": "disk_recovered", "free": 999, "seconds": 10},
        {"action": "disk_full", "cause": "disk_low", "free": 299, "seconds": 5},
        {"action": "disk_recovered", "cause": "disk_full", "free": 5000, "seconds": 7},
    ]
    assert [type(each) for each in done] == [
        *(SetLevel, Tell, CleanAll),
        *(SetLevel, Tell, CleanAll),
        *(SetLevel, Tell),
    ]


def test_a_janitor_that_starts_anew_tells_of_a_shortage_again_and_sees_its_end() -> None:
    """The flags outlive it: what it finds set, it can take back."""
    assert words(play(disk(999), disk(999), plan=Plan(level=LOW)))[:2] == ["SetLevel", "disk_low"]
    (level, _) = play(disk(5000), plan=Plan(level=FULL))
    assert level == SetLevel(level=PLENTY)


@pytest.mark.parametrize(
    ("story", "actions"),
    [
        # within the limit: nothing, however much of it is waste
        ([seen(kept=10, waste=90)], []),
        ([seen(waste=100, lives=False)], []),
        # too large, and cleaning will do
        ([seen(kept=50, waste=51)], ["Restart"]),
        ([seen(kept=50, waste=40, scratch=11)], ["Restart"]),
        ([seen(kept=50, waste=51, lives=False)], ["Clean"]),
        # again only after a pause, unless it was refused
        ([seen(kept=50, waste=51), 59, seen(kept=50, waste=51)], ["Restart"]),
        ([seen(kept=50, waste=51), 60, seen(kept=50, waste=51)], ["Restart"] * 2),
        (
            [seen(kept=50, waste=51), RestartRefused(session_id=A), 1, seen(kept=50, waste=51)],
            ["Restart"] * 2,
        ),
        ([seen(waste=200, lives=False), 1, seen(waste=200, lives=False)], ["Clean"]),
        # too large because of what is kept: told once, never deleted, no restart for crumbs
        ([seen(kept=150), 1, seen(kept=150)], ["oversized", "Note"]),
        ([seen(kept=150, waste=24)], ["oversized", "Note"]),
        ([seen(kept=150, lives=False)], ["oversized"]),
        # but what is worth it is cleaned all the same
        ([seen(kept=150, waste=25)], ["oversized", "Note", "Restart"]),
        ([seen(kept=150, waste=1, lives=False)], ["oversized", "Clean"]),
        # told again when it has grown a lot
        ([seen(kept=150), seen(kept=187), seen(kept=188)], ["oversized", "Note"] * 2),
        # and when it fits again
        ([seen(kept=150), seen(kept=100), seen(kept=100)], ["oversized", "Note", "fits", "Note"]),
        ([seen(kept=150), seen(kept=99, lives=False)], ["oversized", "Note", "fits"]),
        # a session that is no more is forgotten
        (
            [seen(kept=150), ProfilesSeen(session_ids=frozenset({B})), seen(kept=150)],
            ["oversized", "Note"] * 2,
        ),
        (
            [seen(kept=150), ProfilesSeen(session_ids=frozenset({A})), seen(kept=150)],
            ["oversized", "Note"],
        ),
    ],
)
def test_what_is_done_about_a_profile(
    story: list[JanitorEvent | float], actions: list[str]
) -> None:
    assert words(play(*story)) == actions


def test_the_note_says_how_large_it_is_and_goes_when_it_fits() -> None:
    notes = [each for each in play(seen(kept=150), seen(kept=10)) if isinstance(each, Note)]
    assert [each.note is None for each in notes] == [False, True]
    assert {(each.session_id, each.incarnation) for each in notes} == {(A, 7)}
    text = oversize_note(ProfileSize(kept=131_000_000), 100_000_000)
    assert text is not None
    assert "131 MB" in text
    assert "100 MB" in text
    assert "never deleted" in text


DIRECTORIES = (Directory(session_id=A, touched=1000.0), Directory(session_id=B, touched=1400.0))


@pytest.mark.parametrize(
    ("known", "now", "gone"),
    [
        ({"x"}, 1500.0, ()),  # exactly the grace is not longer than it
        ({"x"}, 1501.0, (A,)),
        ({"x"}, 1901.0, (A, B)),
        ({A}, 1901.0, (B,)),
        ({A, B}, 9999.0, ()),
        ({"x"}, 900.0, ()),  # the clock went back
        (set[str](), 9999.0, ()),  # a lost database is not a reason to lose every login
    ],
)
def test_which_directories_may_go(known: set[str], now: float, gone: tuple[str, ...]) -> None:
    assert orphans(DIRECTORIES, frozenset(known), RULES, now) == gone


# ---- what never happens --------------------------------------------------------------------------

sizes = st.builds(
    ProfileSize,
    kept=st.integers(0, 300),
    waste=st.integers(0, 300),
    scratch=st.integers(0, 50),
)
profiles = st.builds(
    ProfileSeen,
    session_id=st.sampled_from([A, B]),
    incarnation=st.none() | st.integers(1, 3),
    size=sizes,
)
moments = st.lists(
    st.tuples(
        st.floats(0, 100),
        profiles
        | st.builds(DiskSeen, free=st.integers(0, 2000))
        | st.builds(RestartRefused, session_id=st.sampled_from([A, B])),
    ),
    max_size=40,
)


@given(moments)
def test_nothing_is_done_without_need_and_everything_is_told(
    story: list[tuple[float, JanitorEvent]],
) -> None:
    plan, now = Plan(), 0.0
    restarts: dict[str, float] = {}
    for wait, event in story:
        now += wait
        plan, actions = step(plan, event, RULES, now)
        for action in actions:
            match action:
                case Restart(session_id=session_id) | Clean(session_id=session_id):
                    assert isinstance(event, ProfileSeen)
                    assert event.size.total > RULES.limit
                    assert event.size.disposable > 0
                    assert isinstance(action, Clean) == (event.incarnation is None)
                    assert now - restarts.get(session_id, -RULES.pause) >= RULES.pause
                    restarts[session_id] = now
                case SetLevel():
                    assert any(isinstance(each, Tell) for each in actions)
                case Note(note=note):
                    assert isinstance(event, ProfileSeen)
                    assert (note is None) == (event.size.total <= RULES.limit)
                case _:
                    pass
        if isinstance(event, RestartRefused):
            restarts.pop(event.session_id, None)
        if isinstance(event, ProfileSeen) and event.size.kept > RULES.limit:
            assert event.session_id in plan.oversized


@given(st.lists(st.integers(0, 2000), min_size=1, max_size=40))
def test_the_level_is_never_better_than_what_is_free(frees: list[int]) -> None:
    level = PLENTY
    for free in frees:
        before, level = level, level_at(free, level, RULES)
        if free < RULES.full:
            assert level is FULL
        elif free < RULES.low:
            assert level >= LOW
        if level < before:  # it got better: there is more than the mark that was left
            left = {FULL: RULES.full, LOW: RULES.low}[before]
            assert free >= left + RULES.margin
    assert level_at(RULES.low + RULES.margin, level, RULES) is PLENTY


def test_a_note_follows_the_limit() -> None:
    assert oversize_note(ProfileSize(kept=100), 100) is None
    assert oversize_note(ProfileSize(waste=101), 100) is not None
