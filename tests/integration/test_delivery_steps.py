"""The courier step by step: one thing at a time, on a clock and a WhatsApp of paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from actors.delivery import DeliveryRules, UnknownPolicy
from actors.messages import OutboxChanged
from storage.messages import MessageState, NewOutbound, Priority
from tests.integration.delivery_world import MINUTE, paper_world

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.delivery_world import World

pytestmark = pytest.mark.integration

A, B, C = (f"1555123000{number}@c.us" for number in (1, 2, 3))
SENT, UNKNOWN, ACCEPTED = MessageState.SENT, MessageState.UNKNOWN, MessageState.ACCEPTED


@pytest.fixture
def world() -> Iterator[World]:
    with paper_world() as made:
        made.drain()
        yield made


def texts(world: World) -> list[int]:
    """Return the numbers of the messages that arrived, in order, repeats too."""
    return [int(arrival.text.split()[1]) for arrival in world.wire]


def break_down(world: World, fault: str) -> None:
    """Let the next hand-over go wrong so, and the session come back."""
    world.fault = fault
    world.drain()
    world.mend()
    world.drain()


def test_bulk_gets_its_turn_among_conversations(world: World) -> None:
    """One in five, however many replies there are."""
    for number in range(8):
        world.accept(A if number % 2 else B)
    bulk = world.accept(C, priority=Priority.BULK)
    world.settle()
    assert texts(world).index(8) == 4
    assert world.row(bulk).state is SENT


def test_a_cap_is_waited_for_and_nobody_is_asked_meanwhile(world: World) -> None:
    for _ in range(4):
        world.accept(A)
    world.drain()
    assert world.states() == [SENT, SENT, SENT, ACCEPTED]
    world.accept(B)
    world.drain()
    world.pass_time(MINUTE)
    world.drain()
    assert world.states().count(ACCEPTED) == 2
    world.settle()
    assert texts(world) == [0, 1, 2, 3, 4]
    world.check()


@pytest.mark.parametrize("fault", ["never", "local", "wire", "answer"])
def test_a_death_at_each_step_costs_nothing(world: World, fault: str) -> None:
    world.accept(A)
    world.accept(A)
    world.accept(B)
    break_down(world, fault)
    world.settle()
    world.check()
    assert world.states() == [SENT] * 3
    assert world.row(world.accepted[0]).attempts == (2 if fault == "never" else 1)


def test_what_is_in_doubt_holds_back_its_chat_until_it_is_known(world: World) -> None:
    world.fault = "unconfirmed"
    world.accept(A)
    world.accept(A)
    world.accept(B)
    world.drain()
    assert world.states() == [UNKNOWN, ACCEPTED, SENT]
    world.profile["3EB0" + "0" * 18].ack = 1  # its ack comes at last
    world.pass_time(5000)
    world.drain()
    assert world.states() == [SENT, SENT, SENT]
    assert texts(world) == [0, 2, 1]


def test_it_is_tried_three_times_and_then_a_person_is_asked(world: World) -> None:
    world.accept(A)
    for _ in range(5):
        world.fault = "never"
        world.drain()
        world.mend()
    world.settle()
    row = world.row(world.accepted[0])
    assert (row.state, row.attempts, row.error_code) == (UNKNOWN, 3, "attempts_exhausted")
    assert len(world.handed[row.wa_id]) == 3
    assert texts(world) == []


def test_parked_is_never_sent_again() -> None:
    with paper_world(DeliveryRules(unknown_policy=UnknownPolicy.PARK)) as world:
        world.accept(A)
        break_down(world, "never")
        world.settle()
        row = world.row(world.accepted[0])
        assert (row.state, row.attempts, row.error_code) == (UNKNOWN, 1, "parked")


def test_a_session_is_repaired_once_for_a_message_without_an_ack(world: World) -> None:
    """First by the call that had no answer, then once for the message, which goes on waiting."""
    world.deaf = True
    world.accept(A)
    break_down(world, "silent")
    assert world.repaired == 1
    for _ in range(100):
        world.pass_time(5000)
        world.drain()
        world.mend()
        world.drain()
    assert world.repaired == 2
    row = world.row(world.accepted[0])
    assert (row.state, row.error_code) == (UNKNOWN, "ack_missing")
    world.deaf = False
    world.kill_browser()
    world.settle()
    assert world.states() == [SENT]
    assert len(world.handed[row.wa_id]) == 1


def test_not_connected_is_tried_again_in_a_moment(world: World) -> None:
    world.fault = "refused"
    world.accept(A)
    world.drain()
    assert (world.states(), world.row(world.accepted[0]).attempts) == ([ACCEPTED], 0)
    world.pass_time(1000)
    world.drain()
    assert world.states() == [SENT]


def test_a_life_that_ends_with_a_grant_does_not_hold_the_number(world: World) -> None:
    """Else its next message would have to wait until the lease has run out."""
    world.accept(A)
    while not world.page_calls:
        world.step()
    world.kill_browser()
    world.settle(most_ms=10_000)
    assert world.states() == [SENT]


def test_what_was_asked_for_a_page_that_is_gone_is_given_back(world: World) -> None:
    """The limiter's answer comes when there is no page any more: no attempt, no grant."""
    row = world.accept(A)
    world.step()  # it looks
    world.step()
    while not world.main_calls:
        world.step()
    world.session.courier.halt()
    world.drain()
    found = world.row(row)
    assert (found.state, found.attempts) == (ACCEPTED, 0)
    world.session.connect()
    world.drain()
    assert world.states() == [SENT]


def test_a_login_that_was_put_back_is_told_of(world: World) -> None:
    world.keep_archive()
    world.pass_time(1000)
    world.fault = "answer"
    row = world.accept(A)
    world.drain()
    world.kill_browser(restore=True)
    world.settle()
    found = world.row(row)
    assert (found.state, found.attempts, found.possible_duplicate) == (SENT, 2, True)
    assert texts(world) == [0, 0], "twice at the server, under one id"
    world.check()


def test_the_number_of_a_message_is_free_for_a_look_in_the_middle_of_a_wait(world: World) -> None:
    """A page that is loaded anew while a cap is waited for is asked after what is in doubt."""
    world.fault = "unconfirmed"
    for _ in range(4):
        world.accept(A)
        world.accept(B)
    world.drain()
    assert world.states()[0] is UNKNOWN
    world.reload()
    world.drain()
    assert world.states()[0] is SENT


def test_every_attempt_has_a_grant_of_its_own(world: World) -> None:
    """What was handed over twice counts twice, also for the limiter of the next life."""
    world.accept(A)
    for _ in range(2):
        world.fault = "never"
        world.drain()
        world.mend()
    world.drain()
    assert world.row(world.accepted[0]).attempts == 3
    [log] = world.run(world.store.number_logs())
    assert len(log.grants) == 3


def test_a_login_that_was_put_back_can_not_say_that_something_expired(world: World) -> None:
    world.keep_archive()
    world.fault = "answer"
    row = world.accept(A, expires_in=30_000)
    world.drain()
    world.now_ms += 30_000
    world.kill_browser(restore=True)
    world.settle()
    found = world.row(row)
    assert (found.state, found.error_code) == (UNKNOWN, "expired")
    assert len(world.handed[row.wa_id]) == 1


def test_a_life_that_is_over_gives_its_lease_back(world: World) -> None:
    """Another session of the number need not wait until it has run out."""
    world.accept(A)
    while not world.page_calls:
        world.step()
    assert world.deps.book.leases
    world.session.courier.release()
    while world.mail:
        world.mail.popleft()()
    assert not world.deps.book.leases


def test_after_a_cap_a_new_message_is_heard_at_once(world: World) -> None:
    for _ in range(4):
        world.accept(A)
    world.settle()
    world.pass_time(2 * MINUTE)
    world.drain()
    world.accept(A)
    world.drain()
    assert world.states() == [SENT] * 5


def test_what_is_written_late_is_seen_in_time(world: World) -> None:
    """The next look waits for what became of the last message, or it would find its chat closed."""
    world.accept(A)
    world.accept(A)
    while not world.wire:
        world.step()
    world.step()  # the answer is heard, and is being written
    assert len(world.main_calls) == 1
    world.drain()
    assert world.states() == [SENT, SENT]


def test_a_number_is_kept_busy_for_the_time_of_an_upload(world: World) -> None:
    """Or another session of the number would send beside it."""

    def leased(content: dict[str, object]) -> int:
        new = NewOutbound(
            session_id=world.session_id,
            chat=A,
            wa_id=f"3EB{len(content)}",
            kind="video" if content else "text",
            body="",
            now_ms=world.now_ms,
            content=content,
        )
        world.run(world.store.accept_message(world.workspace_id, new))
        world.session.courier.handle(OutboxChanged(session_id=world.session_id))
        while not world.deps.book.leases:
            assert world.step()
        [lease] = world.deps.book.leases.values()
        since = world.deps.instant().wall_ms
        world.kill_supervisor()
        world.drain()
        return int(lease.until_ms - since)

    text = leased({})
    film = leased({"media": "M", "size": 64 * 1024 * 1024, "mimetype": "video/mp4"})
    assert film - text == 512_000
