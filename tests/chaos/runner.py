"""Runs faults, one after the other, each with a deadline; what breaks in one is its result."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import aiohttp

from supervisor.demo_parts import DemoFailed
from supervisor.processes import ProgramFailed
from tests.chaos.faults import Result

if TYPE_CHECKING:
    from tests.chaos.faults import Fault, Options
    from tests.chaos.stage import Stage

FAILURES: Final = (
    AssertionError,
    DemoFailed,
    ProgramFailed,
    aiohttp.ClientError,
    OSError,  # also TimeoutError
    ExceptionGroup,
)


def run_fault(fault: Fault, stage: Stage, options: Options) -> Result:
    """Run one and judge it. A fault that is not survived leaves the next a fresh shared fleet."""
    began = time.monotonic()
    try:
        figures = asyncio.run(fault.run(stage, options))
    except FAILURES as error:
        sentence = f"{type(error).__name__}: {error}".strip()
        result = Result(fault=fault, seconds=time.monotonic() - began, failure=sentence)
    else:
        result = Result(
            fault=fault,
            figures=figures,
            seconds=time.monotonic() - began,
            quick=options.quick,
        )
    if not result.held:
        stage.drop_shared()
    return result
