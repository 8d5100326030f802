"""Which session of a phone number may hand over its next message, and since when it counts. Pure.

One message of a number is on its way at a time: who was granted one holds the number until it says
that it is over, or its lease has run out. Sessions of one number take turns: who was told that it
is busy comes before who was not. A note to self is counted alike, and waits for no message: one
that does not leave may be what the note is to find out about.

A grant counts from the moment that it was given, and what it allows is to leave within MARGIN_MS; a
cap's period is longer by as much. What took longer counts from when it was over, since it has left
by then. Nothing is given back, except what was never committed: then nothing can have left.

Time is that of this boot, as in actors.limiter_plan. Nobody knows how long the machine was off
between two boots, but that all of an earlier one came before this one's beginning, and how far
apart it was; so it counts. The wall clock could tell better, or much worse.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from actors import caps as reckoning
from actors.caps import Line
from actors.limiter_plan import MARGIN_MS
from storage.grants import MessageGrant, NumberLog, forgotten_span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from actors.caps import Caps, Turn
    from actors.limiter_plan import Instant

BUSY: Final = "busy"
BUSY_MS: Final = 250
"""How soon to ask again for a number that is busy."""
IN_LINE_MS: Final = 2000
"""How long somebody who was told so keeps its place after the moment at which it should ask."""
DOUBT_MS: Final = 180_000
"""How long a message may be on its way to the page, at most."""
LATE_MS: Final = 3_600_000
"""How long a lease that ran out is remembered, should it be over in the end."""
NOTE: Final = "note."
"""How the key of a note to self begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A session's message is on its way, until `until_ms` at the latest."""

    session_id: str
    grant: MessageGrant
    until_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Over:
    """A hand-over that was granted has ended: the page has answered, or will not. Always told.

    Without `committed` the grant never became durable and nothing was handed over: it is free.
    With it, a message that was long on its way counts from now on, when it has left at the latest.
    """

    number: str
    key: str
    committed: bool


class LeaseBook:
    """What a node's limiter knows that is not on the disk: it outlives it, as the sessions do.

    `leases` and `late` as in Sends; `moved` by key: grants whose new time is being recorded.
    `over` is put by sessions, each in its own thread, and taken by the limiter. `sends` is what the
    limiter knows, for whoever wants to read it; None before one has read its log.
    """

    def __init__(self) -> None:
        self.over: deque[Over] = deque()
        self.sends: Sends | None = None
        self.leases: Mapping[str, Lease] = {}
        self.late: Mapping[str, Lease] = {}
        self.moved: Mapping[str, MessageGrant] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A session was told that its number is busy, and keeps its place until then."""

    session_id: str
    until_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sends:
    """All numbers. `leases` and `queues` by lane: the messages of a number, or its notes.

    `late` by key: leases that ran out before they were over.

    `moved` are grants that have another time now, which has to be recorded.
    """

    lines: Mapping[str, Line] = field(default_factory=dict)
    leases: Mapping[str, Lease] = field(default_factory=dict)
    late: Mapping[str, Lease] = field(default_factory=dict)
    queues: Mapping[str, tuple[Waiting, ...]] = field(default_factory=dict)
    moved: tuple[MessageGrant, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a session asks for; as in SendWanted."""

    session_id: str
    number: str
    key: str
    first_contact: bool
    lease_ms: int

    @property
    def lane(self) -> str:
        return lane_of(self.number, self.key)


def lane_of(number: str, key: str) -> str:
    """Return what holds one thing at a time: the messages of a number, or its notes."""
    return f"{NOTE}{number}" if key.startswith(NOTE) else number


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """Not before `wait_ms` milliseconds have passed; `window` binds."""

    wait_ms: int
    window: str


def want(sends: Sends, ask: Ask, caps: Caps, now: Instant) -> tuple[Sends, MessageGrant | Later]:
    """Return what the question makes of `sends`, and its answer."""
    sends = _expired(sends, ask, now)
    lease = sends.leases.get(ask.lane)
    if lease is not None and (lease.session_id, lease.grant.key) == (ask.session_id, ask.key):
        return sends, lease.grant  # it asks again: the answer was lost, or is on its way
    line = sends.lines.get(ask.number, Line())
    turn = reckoning.next_turn(line, caps, first_contact=ask.first_contact)
    wait = turn.at - now.boot_ms
    busy = lease is not None or not _is_next(sends, ask)
    if busy and wait < BUSY_MS:
        return _queued(sends, ask, now), Later(wait_ms=BUSY_MS, window=BUSY)
    if wait > 0:
        return sends, Later(wait_ms=wait, window=turn.window)
    return _granted(sends, ask, caps, now)


def _granted(sends: Sends, ask: Ask, caps: Caps, now: Instant) -> tuple[Sends, MessageGrant]:
    line = reckoning.given(sends.lines.get(ask.number, Line()), caps, now.boot_ms)
    grant = MessageGrant(
        number=ask.number,
        key=ask.key,
        boot_id=now.boot_id,
        boot_ms=now.boot_ms,
        wall_ms=now.wall_ms,
        day=line.day,
    )
    lease = Lease(session_id=ask.session_id, grant=grant, until_ms=now.boot_ms + ask.lease_ms)
    left = tuple(w for w in sends.queues.get(ask.lane, ()) if w.session_id != ask.session_id)
    sends = replace(
        sends,
        lines={**sends.lines, ask.number: line},
        leases={**sends.leases, ask.lane: lease},
        queues={**sends.queues, ask.lane: left},
    )
    return sends, grant


def after(sends: Sends, number: str, caps: Caps, now: Instant) -> Later | None:
    """Return what a number's next message waits for, whichever it is; None if for nothing."""
    turn = reckoning.next_turn(sends.lines.get(number, Line()), caps)
    wait = turn.at - now.boot_ms
    return Later(wait_ms=wait, window=turn.window) if wait > 0 else None


def over(sends: Sends, number: str, key: str, now: Instant, *, committed: bool) -> Sends:
    """The message has left, or never will: return what that makes of `sends`."""
    lane = lane_of(number, key)
    lease = sends.leases.get(lane)
    if lease is not None and lease.grant.key == key:
        leases = {of: each for of, each in sends.leases.items() if of != lane}
        sends = replace(sends, leases=leases)
    else:
        lease = sends.late.get(key)
        if lease is None:
            return sends
        sends = replace(sends, late={of: each for of, each in sends.late.items() if of != key})
    if committed:
        sends, _ = _left_by(sends, lease.grant, now)
        return sends
    return _with_line(sends, number, reckoning.taken(sends.lines[number], lease.grant.boot_ms))


def _left_by(sends: Sends, grant: MessageGrant, now: Instant) -> tuple[Sends, MessageGrant]:
    """It has left by now, perhaps only now: what was granted long ago counts from now on."""
    if now.boot_ms - grant.boot_ms <= MARGIN_MS:
        return sends, grant
    line = reckoning.taken(sends.lines[grant.number], grant.boot_ms)
    line = replace(line, given=tuple(sorted([*line.given, now.boot_ms])))
    moved = replace(grant, boot_ms=now.boot_ms, wall_ms=now.wall_ms)
    sends = _with_line(sends, grant.number, line)
    return replace(sends, moved=(*sends.moved, moved)), moved


def _with_line(sends: Sends, number: str, line: Line) -> Sends:
    return replace(sends, lines={**sends.lines, number: line})


def _expired(sends: Sends, ask: Ask, now: Instant) -> Sends:
    """What has run out of time holds nobody up any more; a grant counts all the same."""
    queue = sends.queues.get(ask.lane, ())
    waiting = tuple(each for each in queue if each.until_ms > now.boot_ms)
    if waiting != queue:
        sends = replace(sends, queues={**sends.queues, ask.lane: waiting})
    lease = sends.leases.get(ask.lane)
    if lease is None or not (lease.until_ms <= now.boot_ms or _forsaken(lease, ask)):
        return sends
    sends, grant = _left_by(sends, lease.grant, now)
    leases = {of: each for of, each in sends.leases.items() if of != ask.lane}
    late = {k: each for k, each in sends.late.items() if each.until_ms > now.boot_ms - LATE_MS}
    late[grant.key] = replace(lease, grant=grant)
    return replace(sends, leases=leases, late=late)


def _forsaken(lease: Lease, ask: Ask) -> bool:
    """A session has one message in hand: who asks for the next one is done with that before.

    It had crashed, and its browser with it.
    """
    return lease.session_id == ask.session_id and lease.grant.key != ask.key


def _is_next(sends: Sends, ask: Ask) -> bool:
    queue = sends.queues.get(ask.lane, ())
    return not queue or queue[0].session_id == ask.session_id


def _queued(sends: Sends, ask: Ask, now: Instant) -> Sends:
    """It keeps the place that it has, or takes the last one."""
    until_ms = now.boot_ms + BUSY_MS + IN_LINE_MS
    place = Waiting(session_id=ask.session_id, until_ms=until_ms)
    queue = sends.queues.get(ask.lane, ())
    if any(each.session_id == ask.session_id for each in queue):
        queue = tuple(place if w.session_id == ask.session_id else w for w in queue)
    else:
        queue = (*queue, place)
    return replace(sends, queues={**sends.queues, ask.lane: queue})


# ---- the log on the disk -------------------------------------------------------------------------


def settle(log: NumberLog, now: Instant) -> NumberLog | None:
    """Return a number's log with the times that count in this boot, None if they are those.

    A message that was on its way when we died may have left just before that: it counts from now.
    """
    newest = max(log.grants, key=lambda grant: grant.boot_ms, default=None)
    doubtful = (
        newest is not None
        and log.in_doubt
        and newest.boot_id == now.boot_id
        and now.boot_ms - newest.boot_ms < DOUBT_MS
    )
    ends = _ends(log)
    grants = [
        replace(g, boot_id=now.boot_id, boot_ms=_settled(g.boot_id, g.boot_ms, ends, now))
        for g in log.grants
    ]
    if doubtful and newest is not None:
        grants[log.grants.index(newest)] = replace(newest, boot_ms=now.boot_ms)
    since = _settled(log.since_boot_id, log.since_boot_ms, ends, now)
    settled = replace(log, grants=grants, since_boot_id=now.boot_id, since_boot_ms=since)
    return None if settled == replace(log, grants=list(log.grants)) else settled


def _ends(log: NumberLog) -> dict[str, int]:
    """Return the last moment of each boot that is known of."""
    ends = {log.since_boot_id: log.since_boot_ms}
    for grant in log.grants:
        ends[grant.boot_id] = max(grant.boot_ms, ends.get(grant.boot_id, grant.boot_ms))
    return ends


def _settled(boot_id: str, boot_ms: int, ends: Mapping[str, int], now: Instant) -> int:
    """An earlier boot's last moment was before this one's first; a machine may be put back, too."""
    if boot_id == now.boot_id:
        return min(boot_ms, now.boot_ms)
    return boot_ms - ends[boot_id]


def loaded(logs: Iterable[NumberLog], book: LeaseBook, caps: Caps) -> Sends:
    """Return what a limiter knows that has read its log; the logs are settled.

    The book is what the one before it knew: its grants may be on the disk or not yet, or with the
    time that they had before. What was forgotten counts as if it had been the most that the caps
    allow, as late as they do.
    """
    logs = list(logs)
    given = {log.number: {grant.key: grant.boot_ms for grant in log.grants} for log in logs}
    lines = {log.number: Line(day=log.day, since=log.since_boot_ms) for log in logs}
    held = [lease.grant for lease in (*book.leases.values(), *book.late.values())]
    for grant in (*held, *book.moved.values()):
        lines.setdefault(grant.number, Line(day=grant.day, since=grant.boot_ms))
        times = given.setdefault(grant.number, {})
        times[grant.key] = max(grant.boot_ms, times.get(grant.key, grant.boot_ms))
    return Sends(
        lines={
            number: replace(line, given=tuple(sorted(_counted(given[number], caps))))
            for number, line in lines.items()
        },
        leases=dict(book.leases),
        late=dict(book.late),
    )


def _counted(times: Mapping[str, int], caps: Caps) -> Iterator[int]:
    for key, boot_ms in times.items():
        span = forgotten_span(key)
        yield from (boot_ms,) if span is None else reckoning.crowd(caps, boot_ms, span)


def forecast(sends: Sends, number: str, caps: Caps, now: int, ahead: int, count: int) -> list[Turn]:
    """Return when each of these messages of a number may go at the earliest."""
    line = sends.lines.get(number, Line())
    return reckoning.forecast(line, caps, now, ahead, count)
