"""Who is told of which event, and how much is kept for one who is slow."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.feed import End, Subscription, Told, Wanted
from storage.events import EventRow

pytestmark = pytest.mark.unit

WORKSPACES = ["W1", "W2"]
SESSIONS = ["S1", "S2", None]
TYPES = ["memory", "storage", "session.status"]


def row(
    number: int = 1, *, workspace: str = "W1", session: str | None = "S1", kind: str = "memory"
) -> EventRow:
    return EventRow(
        id=f"{number:026d}",
        workspace_id=workspace,
        session_id=session,
        type=kind,
        version=1,
        payload={"n": number},
        created_ms=1_700_000_000_123,
    )


rows = st.builds(
    row,
    workspace=st.sampled_from(WORKSPACES),
    session=st.sampled_from(SESSIONS),
    kind=st.sampled_from(TYPES),
)


@pytest.mark.parametrize(
    ("wanted", "takes"),
    [
        (Wanted(), True),
        (Wanted(workspace_id="W1"), True),
        (Wanted(workspace_id="W2"), False),
        (Wanted(session_id="S1"), True),
        (Wanted(session_id="S2"), False),
        (Wanted(types=frozenset({"memory", "storage"})), True),
        (Wanted(types=frozenset({"storage"})), False),
        (Wanted(visible=frozenset({"S1", "S2"})), True),
        (Wanted(visible=frozenset({"S2"})), False),
        (Wanted(visible=frozenset()), False),
    ],
)
def test_each_wish_restricts(wanted: Wanted, *, takes: bool) -> None:
    assert wanted.takes(row()) is takes


def test_what_is_of_no_session_is_for_keys_without_a_list_only() -> None:
    assert Wanted(workspace_id="W1").takes(row(session=None))
    assert not Wanted(workspace_id="W1", session_id="S1").takes(row(session=None))
    assert not Wanted(workspace_id="W1", visible=frozenset({"S1"})).takes(row(session=None))


@given(
    event=rows,
    workspace=st.sampled_from(WORKSPACES),
    session=st.sampled_from(SESSIONS),
    types=st.frozensets(st.sampled_from(TYPES)),
    visible=st.none() | st.frozensets(st.sampled_from(["S1", "S2"])),
)
def test_nothing_passes_that_one_wish_keeps_out(
    event: EventRow,
    workspace: str,
    session: str | None,
    types: frozenset[str],
    visible: frozenset[str] | None,
) -> None:
    parts = {
        "workspace_id": workspace,
        "session_id": session,
        "types": types,
        "visible": visible,
    }
    alone = [Wanted(**{name: value}) for name, value in parts.items()]  # type: ignore[arg-type]
    together = Wanted(**parts)  # type: ignore[arg-type]
    assert together.takes(event) is all(wanted.takes(event) for wanted in alone)


@given(st.lists(st.integers(0, 30), max_size=20), st.integers(1, 10))
def test_a_reader_gets_all_in_order_or_is_cut_off(bursts: list[int], room: int) -> None:
    """Bursts of events with the reader's taking between them: all of each, up to one too large."""
    subscription, number = Subscription(Wanted(), room), 0
    subscription.open()
    for burst in bursts:
        offered = [Told(row(number + n)) for n in range(burst)]
        kept = [subscription.offer(told) for told in offered]
        taken = subscription.take()
        if burst > room:
            assert kept.count(False) == 1  # told of once
            assert (taken, subscription.end) == ([], End.TOO_SLOW)
            break
        assert all(kept)
        assert (taken, subscription.end) == (offered, None)
        number += burst
    if subscription.end is not None:
        assert subscription.offer(Told(row()))
        assert subscription.take() == []


def test_nothing_is_kept_before_it_is_opened() -> None:
    subscription = Subscription(Wanted(), 10)
    assert subscription.offer(Told(row(1)))
    known = [subscription.up_to_date]
    subscription.open()
    known.append(subscription.up_to_date)
    assert subscription.offer(Told(row(2)))
    known.append(subscription.up_to_date)
    assert [told.row for told in subscription.take()] == [row(2)]
    assert [*known, subscription.up_to_date] == [False, True, False, True]


async def test_the_end_wakes_and_keeps_awake_and_the_first_reason_counts() -> None:
    subscription = Subscription(Wanted(), 10)
    subscription.finish(End.SHUTDOWN)
    subscription.finish(End.LEFT)
    for _ in range(2):
        await subscription.wait(30.0)
        assert subscription.take() == []
    assert subscription.end is End.SHUTDOWN
    assert not subscription.up_to_date


def test_the_json_is_that_of_the_page() -> None:
    assert json.loads(Told(row(7)).json) == {
        "id": f"{7:026d}",
        "type": "memory",
        "version": 1,
        "session_id": "S1",
        "payload": {"n": 7},
        "created_at": "2023-11-14T22:13:20.123Z",
    }
