"""One number's sends: leases, turns, and what survives; properties over any course of events."""

from __future__ import annotations

import pytest

from actors.caps import Caps
from actors.limiter_plan import MARGIN_MS, Instant, Limit
from actors.send_plan import (
    BUSY_MS,
    DOUBT_MS,
    Ask,
    Later,
    Lease,
    LeaseBook,
    Sends,
    loaded,
    over,
    settle,
    want,
)
from storage.grants import MessageGrant, NumberLog

pytestmark = pytest.mark.unit

ONE = "15550100001"
CAPS = Caps(
    minute=Limit(most=3, period_ms=10_000 + MARGIN_MS),
    hour=Limit(most=6, period_ms=60_000 + MARGIN_MS),
    day=Limit(most=12, period_ms=300_000 + MARGIN_MS),
)
LEASE_MS = 75_000


def at(ms: int, boot: str = "a", wall: int = 0) -> Instant:
    return Instant(boot_id=boot, boot_ms=ms, wall_ms=wall)


def ask(key: str, session: str = "s", *, first: bool = False, number: str = ONE) -> Ask:
    return Ask(session_id=session, number=number, key=key, first_contact=first, lease_ms=LEASE_MS)


def granted(sends: Sends, asked: Ask, now: Instant) -> tuple[Sends, MessageGrant]:
    sends, answer = want(sends, asked, CAPS, now)
    assert isinstance(answer, MessageGrant)
    return sends, answer


def refused(sends: Sends, asked: Ask, now: Instant) -> tuple[Sends, Later]:
    sends, answer = want(sends, asked, CAPS, now)
    assert isinstance(answer, Later)
    return sends, answer


def sent(sends: Sends, key: str, ms: int, session: str = "s") -> Sends:
    """Send one that leaves at once."""
    sends, _ = granted(sends, ask(key, session), at(ms))
    return over(sends, ONE, key, at(ms + 10), committed=True)


def test_one_send_at_a_time_whichever_session_of_the_number_asks() -> None:
    sends, grant = granted(Sends(), ask("a"), at(0))
    assert grant == MessageGrant(number=ONE, key="a", boot_id="a", boot_ms=0, wall_ms=0, day=1)
    assert want(sends, ask("a"), CAPS, at(5))[1] == grant, "asked again: the same one"
    sends, later = refused(sends, ask("b", "t"), at(5))
    assert later == Later(wait_ms=BUSY_MS, window="busy")
    _, another = granted(sends, ask("c", "u", number="15550100002"), at(5))
    assert another.number == "15550100002"
    sends = over(sends, ONE, "a", at(10), committed=True)
    granted(sends, ask("b", "t"), at(10))


def test_the_fourth_within_the_window_waits_exactly_as_long_as_it_must() -> None:
    sends = Sends()
    for number in range(3):
        sends = sent(sends, str(number), number * 1000)
    sends, later = refused(sends, ask("x"), at(4000))
    assert later == Later(wait_ms=10_000 + MARGIN_MS - 4000, window="minute")
    sends, _ = refused(sends, ask("x"), at(10_000 + MARGIN_MS - 1))
    granted(sends, ask("x"), at(10_000 + MARGIN_MS))


def test_what_was_never_committed_is_free_again_and_what_was_is_not() -> None:
    for committed, wait in ((False, 0), (True, 10_000 + MARGIN_MS - 2010)):
        sends = sent(sent(Sends(), "0", 0), "1", 1000)
        sends, _ = granted(sends, ask("2"), at(2000))
        sends = over(sends, ONE, "2", at(2010), committed=committed)
        _, answer = want(sends, ask("3"), CAPS, at(2010))
        assert (answer.wait_ms if isinstance(answer, Later) else 0) == wait


def test_what_was_long_on_its_way_counts_from_when_it_was_over() -> None:
    sends, _ = granted(Sends(), ask("0"), at(0))
    sends = over(sends, ONE, "0", at(MARGIN_MS), committed=True)
    assert (sends.lines[ONE].given, sends.moved) == ((0,), ())
    sends, _ = granted(sends, ask("1"), at(5000))
    sends = over(sends, ONE, "1", at(9000), committed=True)
    assert sends.lines[ONE].given == (0, 9000)
    assert [(g.key, g.boot_ms) for g in sends.moved] == [("1", 9000)]


def test_a_lease_that_runs_out_frees_the_number_and_counts() -> None:
    sends, _ = granted(Sends(), ask("0"), at(0))
    sends, later = refused(sends, ask("1", "t"), at(LEASE_MS - 1))
    assert later.window == "busy"
    sends, _ = granted(sends, ask("1", "t"), at(LEASE_MS + 1))
    assert sends.lines[ONE].given == (LEASE_MS + 1, LEASE_MS + 1), "it left by then"
    sends = over(sends, ONE, "0", at(LEASE_MS + 9000), committed=True)
    assert sends.lines[ONE].given == (LEASE_MS + 1, LEASE_MS + 9000)
    again = over(sends, ONE, "0", at(LEASE_MS + 20_000), committed=True)
    assert again == sends, "told once more"


def test_a_session_that_lost_its_message_in_a_crash_does_not_wait_for_itself() -> None:
    sends, _ = granted(Sends(), ask("0"), at(0))
    sends, _ = granted(sends, ask("1"), at(1000))
    assert len(sends.lines[ONE].given) == 2
    refused(sends, ask("2", "t"), at(1002))


def test_a_note_waits_for_no_message_and_counts_like_one() -> None:
    """A message that does not leave may be what the note finds out about."""
    sends, _ = granted(Sends(), ask("1"), at(0))
    sends, _ = granted(sends, ask("note.n"), at(1000))
    assert len(sends.lines[ONE].given) == 2
    refused(sends, ask("2", "t"), at(1001))
    sends, later = refused(sends, ask("note.n", "t"), at(1001))
    assert later.window == "busy", "one note at a time"
    sends = over(sends, ONE, "1", at(1002), committed=True)
    sends, _ = granted(sends, ask("2", "t"), at(1002))
    sends = over(sends, ONE, "note.n", at(1003), committed=True)
    assert refused(sends, ask("note.n", "t"), at(1003))[1].window == "minute", "its caps hold"


def test_sessions_of_a_number_take_turns() -> None:
    """Whoever was told that it is busy comes next, however fast the other one asks again."""
    sends, _ = granted(Sends(), ask("0", "s"), at(0))
    sends, _ = refused(sends, ask("0", "t"), at(1))
    sends = over(sends, ONE, "0", at(2), committed=True)
    sends, later = refused(sends, ask("1", "s"), at(2))
    assert later.window == "busy"
    sends, _ = granted(sends, ask("0", "t"), at(1 + BUSY_MS))
    sends = over(sends, ONE, "0", at(300), committed=True)
    granted(sends, ask("1", "s"), at(300))


def test_who_does_not_come_back_holds_nobody_up() -> None:
    sends, _ = granted(Sends(), ask("0", "s"), at(0))
    sends, _ = refused(sends, ask("0", "t"), at(1))
    sends = over(sends, ONE, "0", at(2), committed=True)
    sends, _ = refused(sends, ask("1", "s"), at(3))
    granted(sends, ask("1", "s"), at(1 + BUSY_MS + 2000))


# ---- the log -------------------------------------------------------------------------------------


def note(ms: int, boot: str = "a", key: str = "") -> MessageGrant:
    return MessageGrant(number=ONE, key=key or str(ms), boot_id=boot, boot_ms=ms, wall_ms=0)


def log_of(*grants: MessageGrant, in_doubt: bool = False, since: MessageGrant) -> NumberLog:
    return NumberLog(
        number=ONE,
        day=1,
        since_boot_id=since.boot_id,
        since_boot_ms=since.boot_ms,
        grants=grants,
        in_doubt=in_doubt,
    )


def times(log: NumberLog | None) -> list[int]:
    assert log is not None
    assert {g.boot_id for g in log.grants} | {log.since_boot_id} == {"b"}
    return [g.boot_ms for g in log.grants]


def test_what_an_earlier_boot_granted_counts_as_before_this_one() -> None:
    """As far apart as it was; nobody knows how long the machine was off."""
    now = at(1000, "b", wall=9_999_999_999)
    settled = settle(log_of(note(500), note(900), since=note(100)), now)
    assert times(settled) == [-400, 0]
    assert settled is not None
    assert settled.since_boot_ms == -800
    assert settle(settled, at(2000, "b")) is None


def test_a_machine_that_was_put_back_has_granted_it_now() -> None:
    log = log_of(note(500, "b"), note(2000, "b"), since=note(500, "b"))
    assert times(settle(log, at(1000, "b"))) == [500, 1000]


@pytest.mark.parametrize(
    ("in_doubt", "age", "moved"), [(True, 5000, True), (True, DOUBT_MS, False), (False, 1, False)]
)
def test_what_was_on_its_way_when_we_died_counts_from_now(
    in_doubt: bool, age: int, moved: bool
) -> None:
    log = log_of(note(100, "b"), note(500, "b"), since=note(100, "b"), in_doubt=in_doubt)
    settled = settle(log, at(500 + age, "b"))
    assert settled is None or times(settled) == [100, 500 + age]
    assert (settled is not None) == moved


def book_of(held: Lease) -> LeaseBook:
    book = LeaseBook()
    book.leases = {ONE: held}
    return book


def test_a_new_limiter_knows_what_the_one_before_it_let_go() -> None:
    """Also what is not on the disk yet, and once what is."""
    held = Lease(session_id="s", grant=note(50), until_ms=LEASE_MS)
    for grants in ((note(10), note(50)), (note(10),)):
        sends = loaded([log_of(*grants, since=note(10))], book_of(held), CAPS)
        assert sends.lines[ONE].given == (10, 50)
        assert want(sends, ask("50"), CAPS, at(60))[1] == note(50)
        refused(sends, ask("9", "t"), at(60))
    sends = loaded([], book_of(held), CAPS)
    assert (sends.lines[ONE].given, sends.lines[ONE].day) == ((50,), 1)


def test_a_new_limiter_knows_what_took_too_long() -> None:
    """It counts from later on, though the disk may say otherwise; and it may be over only now."""
    book = LeaseBook()
    book.moved = {"50": note(9000, key="50")}
    book.late = {"60": Lease(session_id="s", grant=note(60), until_ms=LEASE_MS)}
    for grants in ((note(10), note(50)), (note(10), note(50), note(60))):
        sends = loaded([log_of(*grants, since=note(10))], book, CAPS)
        assert sends.lines[ONE].given == (10, 60, 9000)
        assert not sends.leases
        sends = over(sends, ONE, "60", at(20_000), committed=True)
        assert sends.lines[ONE].given == (10, 9000, 20_000)
