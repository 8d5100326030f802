"""What each session takes of the machine, as it was measured last, for /metrics. Pure data.

The memory and the janitor actor put whole measurements, so that what is gone is gone from here too;
anybody reads them, from any thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.browser.profile_facts import ProfileSize


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """One browser with all of its processes; `age` is how long its main process has run (s).

    `pss` is its share of memory in bytes: what is shared with others counts in part.
    """

    pss: int
    processes: int
    descriptors: int
    age: float


class UsageBoard:
    """By session id: `browsers` of those that run, `profiles` of all that have a directory."""

    def __init__(self) -> None:
        self.browsers: Mapping[str, Footprint] = MappingProxyType({})
        self.profiles: Mapping[str, ProfileSize] = MappingProxyType({})
