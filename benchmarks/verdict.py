"""What the simulator's own log says of the messages that were to arrive. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

RECEIVED: Final = "message_received_from_client"
WINDOWS: Final = {60: 20, 3600: 500, 86_400: 5000}
"""The caps: by seconds, how many messages of one number may fall in any such time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How many messages were lost, came twice, or before one of their chat that was accepted first.

    `worst` is the most that any number sent within any window, by the window's seconds; `arrived`
    when each text came (seconds of the machine's monotonic clock).
    """

    lost: int
    duplicates: int
    out_of_order: int
    worst: Mapping[int, int]
    arrived: Mapping[str, float]

    @property
    def above_cap(self) -> int:
        """How many windows hold more than they may."""
        return sum(self.worst[seconds] > most for seconds, most in WINDOWS.items())


def judge(accepted: Mapping[str, Sequence[str]], entries: Iterable[Mapping[str, Any]]) -> Verdict:
    """Judge texts, unique ones, that each number's session accepted in this order, one chat each.

    `entries` are those of the simulator's log, in its order.
    """
    came: dict[str, list[str]] = defaultdict(list)
    times: dict[str, list[float]] = defaultdict(list)
    arrived: dict[str, float] = {}
    for entry in entries:
        if entry["kind"] != RECEIVED:
            continue
        at = entry["mono_ns"] / 1e9
        came[entry["number"]].append(entry["text"])
        times[entry["number"]].append(at)
        arrived.setdefault(entry["text"], at)
    counts = Counter(text for texts in came.values() for text in texts)
    places = {text: place for texts in accepted.values() for place, text in enumerate(texts)}
    return Verdict(
        lost=len(places.keys() - counts.keys()),
        duplicates=sum(count - 1 for count in counts.values()),
        out_of_order=sum(
            later < earlier
            for texts in came.values()
            for earlier, later in pairwise([places[text] for text in texts if text in places])
        ),
        worst={
            seconds: max((fullest(each, seconds) for each in times.values()), default=0)
            for seconds in WINDOWS
        },
        arrived=arrived,
    )


def fullest(times: Sequence[float], seconds: float) -> int:
    """Return the most of these times that any span of this length holds; its start is not in it."""
    within: deque[float] = deque()
    most = 0
    for at in sorted(times):
        within.append(at)
        while at - within[0] >= seconds:
            within.popleft()
        most = max(most, len(within))
    return most
