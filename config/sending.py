"""Settings of how a number paces its messages and looks others up. Caps are in config.schema."""

from __future__ import annotations

import itertools
from typing import Annotated, Final

from pydantic import BeforeValidator, field_validator
from pydantic_settings import BaseSettings

from config.fields import Count, Number, Seconds, count, field, numbers, seconds

MOST_WARM_UP_DAYS: Final = 90

Counts = Annotated[tuple[Count, ...], BeforeValidator(numbers)]


class SendingSettings(BaseSettings):
    """Part of Settings."""

    send_delay: Seconds = seconds(
        0.5, 0, 600, "How long a number waits after a message before it sends the next one."
    )
    send_delay_growth: Number = field(
        2.0,
        "a number from 0 to 100",
        "How many times longer that becomes, on top, while a cap fills up.",
    )
    send_jitter: Seconds = seconds(
        1, 0, 600, "By how much more, at random, that is prolonged at most."
    )
    first_contact_delay: Seconds = seconds(
        3, 0, 3600, "How much longer it waits before it writes to somebody for the first time."
    )
    contact_checks_per_hour: Count = count(
        60, 1, 1000, "How many numbers a session may look up on WhatsApp in any hour."
    )
    warm_up: Counts = field(
        (200, 400, 800, 1600, 3200),
        f"up to {MOST_WARM_UP_DAYS} whole numbers of at least 1, none less than the one before",
        "How many messages a new number may send within a day, on its first day, its second, and"
        " so on; only days on which it sends count. Empty lets it send as others do.",
    )

    @field_validator("send_delay_growth")
    @classmethod
    def _bounded(cls, value: float) -> float:
        if not 0 <= value <= 100:  # noqa: PLR2004 - as the sentence says
            raise ValueError("it is out of bounds")
        return value

    @field_validator("warm_up")
    @classmethod
    def _never_fewer(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        falls = any(after < before for before, after in itertools.pairwise(value))
        if len(value) > MOST_WARM_UP_DAYS or any(each < 1 for each in value) or falls:
            raise ValueError("it is no schedule that rises")
        return value
