"""What a change of status counts."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.messages import MessageState as M
from storage.sqlite.statistics import moved, newly_sent, statistics
from storage.store import SessionStatus as S

pytestmark = pytest.mark.unit

CONNECTED, DISCONNECTED, FAILED = S.CONNECTED, S.DISCONNECTED, S.FAILED


@pytest.mark.parametrize(
    ("before", "after", "counted"),
    [
        (DISCONNECTED, CONNECTED, {"connects": 1}),
        (S.AUTHENTICATED, CONNECTED, {"connects": 1}),
        (CONNECTED, DISCONNECTED, {"disconnects": 1, "connected_ms": 5000}),
        (CONNECTED, FAILED, {"disconnects": 1, "connected_ms": 5000, "failures": 1}),
        (DISCONNECTED, FAILED, {"failures": 1}),
        (DISCONNECTED, S.QR_SCANNING, {}),
    ],
)
def test_one_change(before: S, after: S, counted: dict[str, int]) -> None:
    assert json.loads(moved('{"meta":{}}', before, after, 5000)) == {
        "meta": {},
        "statistics": counted,
    }


@pytest.mark.parametrize("status", list(S))
def test_no_change_counts_nothing(status: S) -> None:
    assert moved('{"meta": {}}', status, status, 5000) == '{"meta": {}}'


def test_a_clock_that_was_set_back_takes_nothing_away() -> None:
    found = json.loads(moved('{"statistics":{"connected_ms":7}}', CONNECTED, FAILED, -9))
    assert found["statistics"]["connected_ms"] == 7


@given(st.lists(st.sampled_from(S)))
def test_every_connection_is_either_over_or_the_last(path: list[S]) -> None:
    metadata, before = "{}", DISCONNECTED
    for after in path:
        metadata, before = moved(metadata, before, after, 1), after
    found = statistics(metadata)
    assert found.connects - found.disconnects == (before is CONNECTED)
    assert found.connected_ms == found.disconnects


@pytest.mark.parametrize(
    ("before", "after", "counts"),
    [
        (M.SENDING, M.SENT, True),
        (M.UNKNOWN, M.READ, True),
        (M.FAILED, M.DELIVERED, True),
        (M.SENT, M.DELIVERED, False),
        (M.SENDING, M.FAILED, False),
    ],
)
def test_a_message_is_sent_once(before: M, after: M, *, counts: bool) -> None:
    assert newly_sent(before, after) is counts
