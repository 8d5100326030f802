"""That the chaos suite judges rightly: its arithmetic, its catalogue, its mutants. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.chaos.catalogue import FAULTS
from tests.chaos.faults import FIGURES, NONE, Fault, Result, below, exactly
from tests.chaos.mutants import MUTANTS, REPOSITORY
from tests.chaos.traffic import Sent, judge

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.rows import Bar
    from tests.chaos.faults import Figures, Options
    from tests.chaos.mutants import Mutant
    from tests.chaos.stage import Stage

pytestmark = pytest.mark.unit

SENT = {"a": "sent", "b": "sent", "c": "sent"}


def sent(*received: tuple[str, str], states: dict[str, str] | None = None) -> Sent:
    """Return what became of the messages a, b and c, accepted in this order."""
    return Sent(accepted=list("abc"), states=states or SENT, received=received)


def inbound(written: str, stored: str) -> Sent:
    """Return what became of messages that were written to us, each of one letter."""
    return Sent(accepted=[], states={}, received=[], written=list(written), stored=list(stored))


@pytest.mark.parametrize(
    ("what", "wrong"),
    [
        (sent(("a", "1"), ("b", "2"), ("c", "3")), {}),
        (sent(("a", "1"), ("b", "2")), {"lost": 1}),
        (sent(("a", "1"), ("c", "3"), ("b", "2")), {"disordered": 1}),
        (sent(("a", "1"), ("b", "2"), ("b", "4"), ("c", "3")), {"duplicated": 1}),
        (sent(("a", "1"), ("b", "2"), ("b", "2"), ("c", "3")), {}),  # the same id: shown once
        (sent(("a", "1"), ("b", "2"), states={**SENT, "c": "unknown"}), {"unknown": 1}),
        (sent(("a", "1"), ("b", "2"), states={**SENT, "c": "accepted"}), {"waiting": 1}),
        (sent(("a", "1"), ("b", "2"), states={**SENT, "c": "gone"}), {"lost": 1}),
        (sent(("a", "1"), ("b", "2"), states={**SENT, "c": "failed"}), {"lost": 1}),
        (sent(("a", "1"), ("b", "2"), ("c", "3"), ("x", "9")), {}),  # of nobody's asking
        (inbound("uv", "u"), {"missed": 1}),
        (inbound("u", "uu"), {"duplicated": 1}),
    ],
)
def test_what_became_of_messages_is_judged(what: Sent, wrong: dict[str, int]) -> None:
    """Every figure that is not named is 0."""
    assert {name: count for name, count in judge(what).items() if count} == wrong


async def _nothing(_stage: Stage, _options: Options) -> Figures:
    return {}


@pytest.mark.parametrize(
    ("figures", "missed"),
    [
        ({"recovered": 4.9, "lost": 0, "restarts": 1}, []),
        ({"recovered": 5, "lost": 0, "restarts": 1}, ["recovered is 5, must be < 5"]),
        ({"recovered": 1, "lost": 1, "restarts": 1}, ["lost is 1, must be <= 0"]),
        ({"recovered": 1, "lost": 0, "restarts": 0}, ["restarts is 0, must be >= 1"]),
        ({"recovered": 1, "lost": 0, "restarts": 2}, ["restarts is 2, must be <= 1"]),
        ({"lost": 0, "restarts": 1}, ["recovered was not measured"]),
    ],
)
def test_figures_are_held_against_their_bars(figures: Figures, missed: list[str]) -> None:
    """A figure that is missing misses its bar."""
    bars: dict[str, Bar | tuple[Bar, ...]] = {
        "recovered": below(5),
        "lost": NONE,
        "restarts": exactly(1),
    }
    fault = Fault(name="x", what="x", scale="x", run=_nothing, bars=bars)
    assert fault.judge(figures) == missed
    assert Result(fault=fault, figures=figures).held is not bool(missed)


def test_a_fault_that_broke_has_not_held() -> None:
    """Whatever its figures are."""
    fault = Fault(name="x", what="x", scale="x", run=_nothing, bars={})
    assert Result(fault=fault).held
    assert not Result(fault=fault, failure="it broke").held


def test_the_catalogue_is_sound() -> None:
    """Each name once; bars on figures that exist."""
    assert [n for n, count in Counter(f.name for f in FAULTS).items() if count > 1] == []
    assert {name for fault in FAULTS for name in fault.bars} <= FIGURES.keys()
    assert all(fault.bars for fault in FAULTS)


@pytest.mark.parametrize("mutant", [pytest.param(m, id=m.name) for m in MUTANTS])
def test_a_mutant_still_fits_the_code(mutant: Mutant, tmp_path: Path) -> None:
    """What it changes is there once, and what it leaves is Python."""
    copy = tmp_path / mutant.file
    copy.parent.mkdir(parents=True)
    copy.write_text((REPOSITORY / mutant.file).read_text("utf-8"), "utf-8")
    mutant.apply(tmp_path)
    compile(copy.read_text("utf-8"), mutant.file, "exec")
    assert mutant.fault in {fault.name for fault in FAULTS}
