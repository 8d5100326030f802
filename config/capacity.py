"""Settings of what one node takes on: places, memory, and the pressure that stops launches.

A session that has its place may still have to wait for its launch. Pressure has two marks: above
the high one nothing new is launched, until it has fallen below the low one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

from config.fields import ALLOWED, Count, Number, Seconds, count, seconds

if TYPE_CHECKING:
    from pydantic import ValidationInfo

MOST_SESSIONS: Final = 50
"""What one node is built and measured for; more sessions need more nodes."""


def _mark(default: float, highest: float, description: str, below: str = "") -> Any:
    """Make the field of a mark; `below` names the high mark that belongs to a low one."""
    bound = f", and not above {below}" if below else ""
    return Field(
        default=default,
        gt=0,
        le=highest,
        allow_inf_nan=False,
        description=description,
        json_schema_extra={ALLOWED: f"a number above 0, at most {highest:g}{bound}"},
    )


class CapacitySettings(BaseSettings):
    """A part of Settings."""

    max_sessions: Count = count(
        MOST_SESSIONS, 1, MOST_SESSIONS, "How many sessions may run on this node."
    )
    browser_memory_mb: Count = count(
        300, 1, 65536, "How much memory, in MB, must be available for one more browser."
    )
    memory_reserve_mb: Count = count(
        512, 0, 16_777_216, "How much memory, in MB, stays free for everything but new browsers."
    )
    pressure_interval: Seconds = seconds(
        1, 0.01, 60, "How long it takes until a launch that waits for the machine is tried again."
    )
    cpu_pressure_high: Number = _mark(
        99, 100, "The percentage of time with work waiting for a processor that stops new launches."
    )
    cpu_pressure_low: Number = _mark(
        95, 100, "The percentage of it below which launches go on.", "cpu_pressure_high"
    )
    memory_pressure_high: Number = _mark(
        20, 100, "The percentage of time with work waiting for memory that stops new launches."
    )
    memory_pressure_low: Number = _mark(
        5, 100, "The percentage of it below which launches go on.", "memory_pressure_high"
    )
    load_high: Number = _mark(
        8, 1000, "The load per processor that stops new launches where the kernel has no PSI."
    )
    load_low: Number = _mark(4, 1000, "The load below which launches go on.", "load_high")
    memory_used_high: Number = _mark(
        95, 100, "The percentage of memory in use that stops new launches, where there is no PSI."
    )
    memory_used_low: Number = _mark(
        90, 100, "The percentage of it below which launches go on.", "memory_used_high"
    )

    @field_validator(
        "cpu_pressure_low", "memory_pressure_low", "load_low", "memory_used_low", mode="after"
    )
    @classmethod
    def _not_above_the_high_mark(cls, value: float, info: ValidationInfo) -> float:
        high = str(info.field_name).removesuffix("_low") + "_high"
        if value > info.data.get(high, value):
            raise ValueError(f"it is above {high}")
        return value
