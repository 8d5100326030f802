"""The rule by which receipts move a message: only forward, and the same in any order."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.delivery import advance, reached
from storage.messages import MessageState as S

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.unit

ORDER = (S.ACCEPTED, S.SENDING, S.UNKNOWN, S.FAILED, S.SENT, S.DELIVERED, S.READ, S.PLAYED)
ACKS = st.integers(min_value=-3, max_value=6)


@pytest.mark.parametrize(
    ("state", "ack", "after"),
    [
        (S.SENDING, 1, S.SENT),
        (S.SENDING, 2, S.DELIVERED),
        (S.SENT, 2, S.DELIVERED),
        (S.SENT, 3, S.READ),
        (S.READ, 4, S.PLAYED),
        # a receipt repairs what we had given up or lost sight of
        (S.UNKNOWN, 1, S.SENT),
        (S.FAILED, 2, S.DELIVERED),
        (S.ACCEPTED, 1, S.SENT),
        # never backwards
        (S.READ, 1, S.READ),
        (S.PLAYED, 3, S.PLAYED),
        (S.DELIVERED, 1, S.DELIVERED),
        # a refusal counts only while nothing better is known
        (S.SENDING, -1, S.FAILED),
        (S.UNKNOWN, -1, S.FAILED),
        (S.SENT, -1, S.SENT),
        (S.PLAYED, -1, S.PLAYED),
        # pending, and what nobody has defined, change nothing
        (S.SENDING, 0, S.SENDING),
        (S.SENT, 5, S.SENT),
        (S.SENDING, -7, S.SENDING),
        # inbound messages have no receipts of this kind
        (S.RECEIVED, 3, S.RECEIVED),
    ],
)
def test_one_receipt(state: S, ack: int, after: S) -> None:
    assert advance(state, ack) is after


def apply(state: S, acks: Sequence[int]) -> S:
    for ack in acks:
        state = advance(state, ack)
    return state


@given(st.sampled_from(ORDER), ACKS)
def test_never_backwards(state: S, ack: int) -> None:
    assert ORDER.index(advance(state, ack)) >= ORDER.index(state)


@given(st.sampled_from(list(S)), ACKS)
def test_a_repeated_receipt_changes_nothing(state: S, ack: int) -> None:
    once = advance(state, ack)
    assert advance(once, ack) is once


@given(st.sampled_from(list(S)), st.lists(ACKS), st.randoms())
def test_any_order_ends_the_same(state: S, acks: list[int], shuffle: object) -> None:
    shuffled = list(acks)
    shuffle.shuffle(shuffled)  # type: ignore[attr-defined]
    assert apply(state, acks) is apply(state, shuffled)


def test_reached_follows_the_order() -> None:
    for mark in (S.SENT, S.DELIVERED, S.READ):
        flags = [reached(state, mark) for state in ORDER]
        assert all(later >= earlier for earlier, later in pairwise(flags))
        assert reached(mark, mark)
        assert not reached(S.RECEIVED, mark)
    assert not reached(S.FAILED, S.SENT)
