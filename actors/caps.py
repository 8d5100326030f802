"""When a phone number may send its next message: caps, warm-up and pace. Pure.

Three caps hold at once, by the exact sliding log of actors.limiter_plan: one message is legal if
and only if, for each cap, the `most`-th before it was given a period ago. A number that is new
begins with a lower cap for a day, and may do more each day on which it sends. The pace comes on
top and only ever adds: a delay after each message that grows with how much of a cap is used, longer
before a first contact, with jitter. The jitter is reckoned from the message before, not thrown:
asking again, and starting anew, give the same.

Times are milliseconds of this boot; what was given in an earlier one has a negative one.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from actors.limiter_plan import Limit

DAY_MS: Final = 86_400_000
WARM_UP: Final = "warm_up"
PACE: Final = "pace"
STEPS: Final = 1000
"""How many messages a forecast reckons one by one: what comes later follows from these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Delays between the messages of one number, in milliseconds; all 0: none.

    `delay` is multiplied by up to 1 + `growth`, the fuller the fullest cap is.
    """

    delay_ms: int = 0
    growth: float = 0
    jitter_ms: int = 0
    first_contact_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """What a number may do. `warm_up` are the messages of its first days, never fewer each day."""

    minute: Limit
    hour: Limit
    day: Limit
    warm_up: tuple[int, ...] = ()
    pace: Pace = Pace()

    def windows(self) -> Iterator[tuple[str, Limit]]:
        """Yield the caps with their names."""
        yield "minute", self.minute
        yield "hour", self.hour
        yield "day", self.day

    def of_day(self, day: int) -> int:
        """Return how many messages a number may send within a day on this day of its warm-up."""
        if 1 <= day <= len(self.warm_up):
            return min(self.warm_up[day - 1], self.day.most)
        return self.day.most


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One number: what it was given within a day, in order, and its day of warm-up, since when.

    `day` 0: it has never sent anything.
    """

    given: Sequence[int] = ()
    day: int = 0
    since: int = 0


class Turn(NamedTuple):
    """The earliest moment for the next message, and what binds until then."""

    at: int
    window: str


ANY_TIME: Final = Turn(-(2**62), PACE)


def next_turn(line: Line, caps: Caps, *, first_contact: bool = False, jitter: bool = True) -> Turn:
    """Return when the next message is legal; it is at once if that is past.

    Without `jitter` it is the earliest that any jitter allows.
    """
    turns = [
        Turn(line.given[-limit.most] + limit.period_ms, name)
        for name, limit in caps.windows()
        if len(line.given) >= limit.most
    ]
    turns.append(_warm_turn(line, caps))
    if line.given:
        delay = _delay(line, caps, first_contact=first_contact, jitter=jitter)
        turns.append(Turn(line.given[-1] + delay, PACE))
    return max(turns, key=lambda turn: turn.at)


def _warm_turn(line: Line, caps: Caps) -> Turn:
    """What the day of warm-up allows, or the next day if that comes before."""
    today = _full_until(line, caps, max(1, line.day))
    tomorrow = line.since + DAY_MS
    if today <= tomorrow:
        return Turn(today, WARM_UP)
    return Turn(max(tomorrow, _full_until(line, caps, line.day + 1)), WARM_UP)


def _full_until(line: Line, caps: Caps, day: int) -> int:
    most = caps.of_day(day)
    if most >= caps.day.most or len(line.given) < most:
        return ANY_TIME.at
    return line.given[-most] + caps.day.period_ms


def _delay(line: Line, caps: Caps, *, first_contact: bool, jitter: bool) -> int:
    pace, last = caps.pace, line.given[-1]
    delay = float(pace.first_contact_ms) if first_contact else 0.0
    if pace.delay_ms:
        delay += pace.delay_ms * (1 + pace.growth * use(line, caps, last) ** 2)
    if jitter and pace.jitter_ms:
        delay += Random(last).uniform(0, pace.jitter_ms)  # noqa: S311 - nothing is kept secret by it
    return round(delay)


def use(line: Line, caps: Caps, at: int) -> float:
    """Return how full the fullest cap was at a moment, from 0 to 1."""
    return max(
        min(1.0, (len(line.given) - bisect_right(line.given, at - limit.period_ms)) / limit.most)
        for _, limit in caps.windows()
    )


def day_at(line: Line, at: int) -> tuple[int, int]:
    """Return the day of warm-up that a message of that moment falls into, and since when it is."""
    if line.day == 0:
        return 1, at
    if at - line.since >= DAY_MS:
        return line.day + 1, at
    return line.day, line.since


def given(line: Line, caps: Caps, at: int) -> Line:
    """Return the line with one message more; what counts no more is left out."""
    day, since = day_at(line, at)
    kept = list(line.given[bisect_right(line.given, at - caps.day.period_ms) :])
    insort(kept, at)
    return Line(given=tuple(kept), day=day, since=since)


def taken(line: Line, at: int) -> Line:
    """Return the line without the message of that moment; the day of warm-up stays."""
    place = bisect_left(line.given, at)
    if place == len(line.given) or line.given[place] != at:
        return line
    return replace(line, given=(*line.given[:place], *line.given[place + 1 :]))


def crowd(caps: Caps, until: int, span: int) -> list[int]:
    """Return the most that the caps allow within a span, each as late as can be, in order.

    Whatever else was legal within it: its n-th latest message was not later than the n-th latest of
    these. So what is legal after these is legal after what really was.
    """
    latest: list[int] = []
    since = max(until - span, until - caps.day.period_ms + 1)
    while True:
        bounds = [
            latest[-limit.most] - limit.period_ms
            for _, limit in caps.windows()
            if len(latest) >= limit.most
        ]
        at = min([until, *latest[-1:], *bounds])
        if at < since:
            return latest[::-1]
        latest.append(at)


def forecast(line: Line, caps: Caps, now: int, ahead: int, count: int) -> list[Turn]:
    """Return when each of `count` messages is legal that have `ahead` others and more before them.

    Each as early as can be, if those before it go as early as can be; the window is what binds it.
    """
    stop = ahead + count
    turns = list(_course(line, caps, now, min(stop, STEPS)))
    return [_turn_of(turns, number, caps) for number in range(ahead, stop)]


def _turn_of(turns: Sequence[Turn], number: int, caps: Caps) -> Turn:
    """No message is legal before a period after the one that was the cap's `most` before it."""
    days = number // caps.day.most if number >= len(turns) else 0
    number -= days * caps.day.most
    beyond = max(0, number - len(turns) + 1)
    hours = min(number // caps.hour.most, -(-beyond // caps.hour.most))
    number -= hours * caps.hour.most
    turn = turns[min(number, len(turns) - 1)]
    later = days * caps.day.period_ms + hours * caps.hour.period_ms
    return Turn(turn.at + later, "day" if days else "hour" if hours else turn.window)


def _course(line: Line, caps: Caps, now: int, steps: int) -> Iterator[Turn]:
    sent = list(line.given)
    for _ in range(steps):
        turn = next_turn(replace(line, given=sent), caps, jitter=False)
        at = max(now, turn.at)
        yield Turn(at, turn.window)
        day, since = day_at(line, at)
        line = replace(line, day=day, since=since)
        sent.append(at)
