"""Settings of the janitor and the memory actor: disk, profiles, memory, planned restarts.

A MB is 1,000,000 bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import field_validator
from pydantic_settings import BaseSettings

from config.fields import Count, Seconds, count, field, seconds

if TYPE_CHECKING:
    from pydantic import ValidationInfo

DAY = 86400
MOST_MB = 10_000_000


class CareSettings(BaseSettings):
    """A part of Settings."""

    profile_limit_mb: Count = count(
        100,
        1,
        MOST_MB,
        "How large a session's profile may grow before its caches are deleted, in MB.",
    )
    profile_interval: Seconds = seconds(
        300, 0.05, DAY, "How long it takes until all profiles are measured again."
    )
    profile_pause: Seconds = seconds(
        3600,
        0,
        30 * DAY,
        "How long a session is left alone once it was cleaned or restarted for its size.",
    )
    cleaning_interval: Seconds = seconds(
        DAY,
        0.1,
        30 * DAY,
        "How long it takes until sessions that do not run are cleaned again, whatever their size.",
    )
    orphan_grace: Seconds = seconds(
        7 * DAY,
        0,
        365 * DAY,
        "How long a directory of a session that is no more stays untouched before it is removed.",
    )

    disk_interval: Seconds = seconds(
        10, 0.05, 3600, "How long it takes until the free disk space is looked at again."
    )
    disk_full_mb: Count = count(
        256, 0, MOST_MB, "Below how much free disk space no browser is launched, in MB."
    )
    disk_low_mb: Count = count(
        1024,
        0,
        MOST_MB,
        "Below how much free disk space archives, media and snapshots wait, in MB; at least"
        " disk_full_mb.",
    )
    disk_margin_mb: Count = count(
        256, 0, MOST_MB, "How much above such a mark must be free until they go on, in MB."
    )

    memory_interval: Seconds = seconds(
        15, 0.05, 3600, "How long it takes until the browsers' memory is looked at again."
    )
    memory_soft_mb: Count = count(
        500, 1, MOST_MB, "Above how much memory a session's page has to collect garbage, in MB."
    )
    memory_hard_mb: Count = count(
        800,
        1,
        MOST_MB,
        "Above how much memory a session is restarted, in MB; at least memory_soft_mb.",
    )
    memory_kill_mb: Count = count(
        1200,
        1,
        MOST_MB,
        "Above how much memory a session's browser is killed, in MB; at least memory_hard_mb.",
    )
    memory_budget_mb: Count | None = field(
        None,
        f"a whole number from 1 to {MOST_MB}",
        "What all browsers together may take, in MB; unset is what cgroup or machine allow.",
    )
    memory_total_percent: Count = count(
        90, 1, 100, "Above which part of all memory the largest session is restarted, in percent."
    )
    memory_collect_pause: Seconds = seconds(
        300, 0.1, DAY, "How long a session is left alone once it has collected its garbage."
    )
    memory_recycle_pause: Seconds = seconds(
        300, 0, DAY, "How old a browser must be to be restarted for its memory."
    )
    memory_patience: Seconds = seconds(
        60, 0, DAY, "How long a restart for memory waits for a moment without a message on its way."
    )

    session_max_age: Seconds = seconds(
        3 * DAY,
        0,
        365 * DAY,
        "How old a browser may be before it is restarted at a quiet moment; 0 is for ever.",
    )
    session_quiet: Seconds = seconds(
        30, 0, DAY, "How long there must have been no traffic for such a moment to be quiet."
    )
    recycle_patience: Seconds = seconds(
        180, 1, 3600, "How long one planned restart may take before the next one is allowed."
    )

    @field_validator("disk_low_mb")
    @classmethod
    def _not_below_full(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("disk_full_mb", 0):
            raise ValueError("it is less than disk_full_mb")
        return value

    @field_validator("memory_hard_mb")
    @classmethod
    def _not_below_soft(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("memory_soft_mb", 0):
            raise ValueError("it is less than memory_soft_mb")
        return value

    @field_validator("memory_kill_mb")
    @classmethod
    def _not_below_hard(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("memory_hard_mb", 0):
            raise ValueError("it is less than memory_hard_mb")
        return value

    @field_validator("memory_budget_mb")
    @classmethod
    def _some_memory(cls, value: int | None) -> int | None:
        if value is not None and not 1 <= value <= MOST_MB:
            raise ValueError("it is out of bounds")
        return value
