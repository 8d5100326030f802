"""How much room the disk has, as the janitor saw it last: who may still write something large.

One flag for the whole node. Who writes archives, media or snapshots asks it first, and refuses with
its sentence; the database, which is small and must go on, does not.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class SpaceLevel(IntEnum):
    """Worse is greater."""

    PLENTY = 0
    LOW = 1  # archives, media and snapshots wait
    FULL = 2  # no browser is launched, either


LOW_CODE: Final = "disk_low"
_SENTENCE: Final = (
    "The disk has less free space than disk_low_mb asks for, so archives, media and snapshots "
    "wait; make room, and they go on by themselves."
)


class Space:
    """Set by the janitor, read by anybody, from any thread: one word, changed as a whole."""

    def __init__(self) -> None:
        self._level = SpaceLevel.PLENTY

    @property
    def level(self) -> SpaceLevel:
        return self._level

    def set(self, level: SpaceLevel) -> None:
        self._level = level

    def refusal(self) -> str | None:
        """Return why nothing large may be written now, in a sentence (its code is LOW_CODE)."""
        return None if self._level is SpaceLevel.PLENTY else _SENTENCE
