"""A number's sends over any course of events: crashes, reboots, jumps, slow disks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.caps import Caps, Pace
from actors.limiter_plan import MARGIN_MS, Instant
from actors.send_plan import (
    Later,
    LeaseBook,
    Sends,
    after,
    loaded,
    over,
    settle,
    want,
)
from storage.grants import Forgotten, MessageGrant, NumberLog
from tests.unit.test_send_plan import CAPS, LEASE_MS, ONE, ask, at

pytestmark = pytest.mark.unit


@dataclass
class Flight:
    grant: MessageGrant
    committed: bool = False
    left: bool = False


@dataclass
class Node:
    """A number with two sessions, its limiter and its disk, and a wall clock of the test's.

    `true` is the time that passes for everybody; `wires` are the moments at which messages left.
    """

    caps: Caps = CAPS
    true: int = 0
    boot: int = 0
    booted: int = 0
    wall: int = 0
    disk: dict[str, MessageGrant] = field(default_factory=dict)
    day: MessageGrant | None = None
    fates: dict[str, str] = field(default_factory=dict)
    sends: Sends = field(default_factory=Sends)
    flights: dict[str, Flight] = field(default_factory=dict)
    wires: list[int] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    keys: int = 0
    book: LeaseBook = field(default_factory=LeaseBook)
    slow: bool = False
    kept: Any = None
    unheard: list[tuple[str, bool]] = field(default_factory=list)

    def now(self) -> Instant:
        return at(self.true - self.booted, f"boot{self.boot}", self.true + self.wall)

    def keep(self, sends: Sends) -> None:
        self.book.leases, self.book.late = sends.leases, sends.late
        self.book.moved = {**self.book.moved, **{grant.key: grant for grant in sends.moved}}
        self.sends = replace(sends, moved=())
        if not self.slow:
            self.catch_up()

    def catch_up(self) -> None:
        """The disk takes what was moved."""
        for grant in self.book.moved.values():
            self.record(grant)
        self.book.moved = {}

    def record(self, grant: MessageGrant) -> None:
        self.disk[grant.key] = grant
        if self.day is None or grant.day > self.day.day:
            self.day = grant

    def ask(self, session: str, *, first: bool = False) -> Later | None:
        if session in self.flights:
            return None
        self.keys += 1
        key = str(self.keys)
        sends, answer = want(self.sends, ask(key, session, first=first), self.caps, self.now())
        self.keep(sends)
        self.answers.append(
            (answer.wait_ms, answer.window) if isinstance(answer, Later) else answer.boot_ms
        )
        if isinstance(answer, Later):
            return answer
        self.flights[session] = Flight(answer)
        return None

    def commit(self, session: str) -> None:
        flight = self.flights.get(session)
        if flight is not None and not flight.committed:
            flight.committed = True
            self.record(flight.grant)
            self.fates[flight.grant.key] = "sending"

    def leave(self, session: str) -> None:
        """The page sends it, as long as somebody waits for that."""
        flight = self.flights.get(session)
        if flight is not None and flight.committed and not flight.left:
            late = self.now().boot_ms - flight.grant.boot_ms >= LEASE_MS
            if not late:
                flight.left = True
                self.wires.append(self.true)

    def end(self, session: str) -> None:
        flight = self.flights.pop(session, None)
        if flight is not None:
            key = flight.grant.key
            self.keep(over(self.sends, ONE, key, self.now(), committed=flight.committed))
            self.fates[key] = "sent"

    def end_unheard(self, session: str) -> None:
        """The limiter is not there to hear of it."""
        flight = self.flights.pop(session, None)
        if flight is not None:
            self.unheard.append((flight.grant.key, flight.committed))
            self.fates[flight.grant.key] = "sent"

    def snapshot(self) -> None:
        self.kept = (self.true, dict(self.disk), self.day, dict(self.fates))

    def restore(self) -> None:
        """All died, and the disk is what it was then; what it was is known by a clock."""
        if self.kept is None:
            return
        self.catch_up()
        since, disk, day, fates = self.kept
        now = self.now()
        gone = Forgotten(
            since_ms=since, boot_id=now.boot_id, boot_ms=now.boot_ms, wall_ms=self.true
        )
        mark = MessageGrant(
            number=ONE, key=gone.key, boot_id=now.boot_id, boot_ms=now.boot_ms, wall_ms=self.true
        )
        self.disk, self.fates = {**disk, gone.key: mark}, dict(fates)
        self.day = day or mark
        self.all_die()

    def tell_again(self) -> None:
        """Of what was heard meanwhile as well."""
        for key, committed in (*self.unheard, *self.unheard):
            self.keep(over(self.sends, ONE, key, self.now(), committed=committed))
        self.unheard.clear()

    def send(self, session: str) -> None:
        self.ask(session)
        self.commit(session)
        self.leave(session)
        self.end(session)

    def read(self, *, held: bool = False) -> list[NumberLog]:
        if self.day is None:
            return []
        grants = list(self.disk.values())
        newest = max(grants, key=lambda g: g.boot_ms)
        found = NumberLog(
            number=ONE,
            day=self.day.day,
            since_boot_id=self.day.boot_id,
            since_boot_ms=self.day.boot_ms,
            grants=grants,
            in_doubt=self.fates.get(newest.key) == "sending" and not held,
        )
        log = settle(found, self.now()) or found
        self.disk = {grant.key: grant for grant in log.grants}
        self.day = replace(
            self.day, boot_id=log.since_boot_id, boot_ms=log.since_boot_ms, day=log.day
        )
        return [log]

    def limiter_anew(self) -> None:
        self.sends = loaded(self.read(held=ONE in self.book.leases), self.book, self.caps)
        if not self.slow:
            self.catch_up()

    def session_dies(self, session: str) -> None:
        """Its browser dies with it; nobody tells the limiter."""
        self.flights.pop(session, None)

    def all_die(self) -> None:
        self.flights.clear()
        self.unheard.clear()
        self.catch_up()
        self.book = LeaseBook()
        self.sends = loaded(self.read(), self.book, self.caps)

    def reboot(self, off: int) -> None:
        self.flights.clear()
        self.unheard.clear()
        self.catch_up()
        self.book = LeaseBook()
        self.true += off
        self.boot += 1
        self.booted = self.true
        self.sends = loaded(self.read(), self.book, self.caps)

    def play(self, course: list[tuple[str, Any]]) -> None:
        for what, much in course:
            if what == "wait":
                self.true += much
            elif what == "jump":
                self.wall += much
            elif what == "settled":
                if not self.flights:
                    self.all_die()
            elif what == "slow":
                self.slow = much
            elif what in {"limiter_anew", "all_die", "tell_again", "snapshot", "restore"}:
                getattr(self, what)()
            else:
                getattr(self, what)(much)


def windows(caps: Caps) -> list[tuple[int, int]]:
    return [(limit.most, limit.period_ms - MARGIN_MS) for _, limit in caps.windows()]


def assert_within(node: Node) -> None:
    """What left the node exceeds no cap, in no window wherever it lies."""
    for most, period in windows(node.caps):
        for first in node.wires:
            assert sum(1 for t in node.wires if first <= t < first + period) <= most


session = st.sampled_from(["s", "t"])

wait = st.tuples(st.just("wait"), st.one_of(st.integers(0, 3000), st.integers(0, 80_000)))

steps = st.one_of(
    st.tuples(st.just("send"), session),
    st.tuples(
        st.sampled_from(["ask", "commit", "leave", "end", "end_unheard", "session_dies"]), session
    ),
    wait,
    st.tuples(st.just("slow"), st.booleans()),
    st.tuples(st.just("jump"), st.integers(-(10**10), 10**10)),
    st.tuples(
        st.sampled_from(["limiter_anew", "all_die", "tell_again", "snapshot", "restore"]),
        st.just(None),
    ),
    st.tuples(st.just("reboot"), st.integers(0, 200_000)),
)


@settings(max_examples=1000)
@given(st.lists(steps, max_size=80))
def test_nothing_lets_one_too_many_leave(course: list[tuple[str, Any]]) -> None:
    """No crash of a session, the limiter or all, no reboot, jump, slow disk, page or session."""
    node = Node()
    node.play(course)
    assert_within(node)


@settings(max_examples=300)
@given(st.lists(steps, max_size=60))
def test_nobody_is_locked_out_for_longer_than_a_cap(course: list[tuple[str, Any]]) -> None:
    """Whatever the wall clock says, and right after a reboot, too."""
    node = Node()
    node.play(course)
    node.flights.clear()
    for _ in range(8):
        later = node.ask("s")
        if later is None:
            break
        assert later.wait_ms <= max(LEASE_MS, CAPS.day.period_ms)
        node.true += later.wait_ms + (LEASE_MS if later.window == "busy" else 0)
    else:
        pytest.fail("it was never allowed")


quick = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["send", "ask", "commit", "leave", "end"]), st.just("s")), wait
    ),
    max_size=50,
)


@settings(max_examples=300)
@given(
    quick,
    st.lists(st.tuples(st.integers(0, 50), st.sampled_from(["limiter_anew", "settled"]))),
    st.lists(st.tuples(st.integers(0, 50), st.integers(-(10**10), 10**10))),
)
def test_a_restart_or_a_jump_at_any_point_changes_nothing(
    course: list[tuple[str, Any]], restarts: list[tuple[int, str]], jumps: list[tuple[int, int]]
) -> None:
    """Not a moment of any answer, the pace and its jitter included.

    The limiter is started anew at any point, everything while nothing is on its way.
    """
    pace = Pace(delay_ms=300, growth=2, jitter_ms=900, first_contact_ms=1000)
    nodes = [Node(caps=replace(CAPS, pace=pace, warm_up=(4, 8))) for _ in range(2)]
    disturbed = list(course)
    for place, what in restarts:
        disturbed.insert(place, (what, None))
    for place, much in jumps:
        disturbed.insert(place, ("jump", much))
    nodes[0].play(course)
    nodes[1].play(disturbed)
    assert nodes[0].answers == nodes[1].answers
    assert nodes[0].wires == nodes[1].wires


@settings(max_examples=300)
@given(quick)
def test_what_a_grant_says_of_the_next_message_is_what_asking_would_say(
    course: list[tuple[str, Any]],
) -> None:
    """To the millisecond: who waits for so long is neither early nor late."""
    pace = Pace(delay_ms=300, growth=2, jitter_ms=900, first_contact_ms=1000)
    node = Node(caps=replace(CAPS, pace=pace, warm_up=(4, 8)))
    node.play(course)
    node.end("s")
    later = node.ask("s")
    node.true += later.wait_ms if later is not None else 0
    assert later is None or node.ask("s") is None
    told = after(node.sends, ONE, node.caps, node.now())
    node.commit("s")
    node.end("s")
    assert node.ask("s") == told
    if told is not None:
        node.true += told.wait_ms
        assert node.ask("s") is None


def test_the_properties_can_fail() -> None:
    """A limiter that forgot its log at a restart would let six through."""
    node = Node()
    for _ in range(2):
        node.disk.clear()
        node.day = None
        node.all_die()
        for _ in range(3):
            node.send("s")
    assert len(node.wires) == 6
    with pytest.raises(AssertionError):
        assert_within(node)
