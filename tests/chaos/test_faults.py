"""The quick half of the chaos suite: each fault injected for real and held against its bars."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.chaos.catalogue import FAULTS
from tests.chaos.faults import Options
from tests.chaos.runner import run_fault
from tests.chaos.stage import Stage, stage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.chaos.faults import Fault

pytestmark = pytest.mark.chaos


@pytest.fixture(scope="module")
def scene(scratch: Path) -> Iterator[Stage]:
    """Give the stage; its simulator and its shared fleet belong to no single test."""
    assert scratch.is_dir()
    with stage() as made:
        yield made


@pytest.fixture(scope="module")
def shared(scene: Stage) -> Stage:
    """Give the stage with its shared fleet running, so that no test leaves it behind."""
    asyncio.run(scene.shared())
    return scene


@pytest.mark.parametrize("fault", [pytest.param(f, id=f.name) for f in FAULTS if f.quick])
def test_a_fault_is_survived(fault: Fault, shared: Stage) -> None:
    """Detected and recovered in time, and nothing lost, doubled, left behind or disturbed."""
    result = run_fault(fault, shared, Options(quick=True))
    assert not result.missed, f"{fault.what}: {result.missed}; all figures: {result.figures}"
