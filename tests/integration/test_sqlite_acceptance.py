"""Accepting messages, on a real file: batches, keys, and programs that are killed."""

from __future__ import annotations

import asyncio
import secrets
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.acceptance import KEY_KEPT_MS, KeyReused
from storage.messages import MessageRow, MessageState
from storage.sqlite import SqliteStore, open_store
from storage.store import SessionInactive, SessionNotFound, StoreError
from storage.tenants import PlanLimitReached, PlanLimits, Retention
from tests.integration.outbox_support import (
    NOBODY,
    all_bytes,
    claim_next,
    events,
    ids,
    key,
    keys_kept,
    sha256,
    some,
)
from tests.integration.tenant_support import NOW, OTHER, PERSON, home_of, outbound
from tests.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.integration


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with open_store(tmp_path / "wafleet.db", busy_timeout_ms=10_000) as opened:
        yield opened


@pytest.fixture
async def home(store: SqliteStore) -> str:
    return await home_of(store)


@pytest.fixture
async def session(store: SqliteStore, home: str) -> str:
    return (await store.create_session(home, "sales", NOW))[0].id


async def test_a_batch_is_stored_in_order_with_its_events(
    store: SqliteStore, home: str, session: str
) -> None:
    wanted = {7: outbound(session, "A7"), 2: outbound(session, "A2", chat=OTHER)}
    found = await store.accept_messages(home, session, wanted)
    assert list(found) == [2, 7]
    rows = [row for row in found.values() if isinstance(row, MessageRow)]
    assert [(row.wa_id, row.chat, row.state) for row in rows] == [
        ("A2", OTHER, MessageState.ACCEPTED),
        ("A7", PERSON, MessageState.ACCEPTED),
    ]
    assert rows[0].id < rows[1].id
    assert [await store.message(home, session, row.id) for row in rows] == rows
    assert await events(store, home, "message.accepted") == [row.id for row in rows]
    assert (await store.usage(home, NOW)).messages == 2
    assert await store.accept_messages(home, session, {}) == {}


async def test_a_batch_fills_the_plan_s_day_and_no_more(store: SqliteStore) -> None:
    await store.create_plan("small", PlanLimits(messages=5), NOW)
    home = (await store.create_workspace("acme", NOW, "small")).id
    session = (await store.create_session(home, "sales", NOW))[0].id
    await store.accept_message(home, outbound(session, "B1"))
    found = await store.accept_messages(home, session, some(session, range(6)))
    assert list(ids(found)) == [0, 1, 2, 3]
    told = [found[4], found[5]]
    for refused in told:
        assert isinstance(refused, PlanLimitReached)
        assert (refused.limit_name, refused.limit, refused.used) == ("messages", 5, 5)
        assert refused.plan == "small"
    none = await store.accept_messages(home, session, some(session, range(6, 8)))
    assert ids(none) == {}
    assert (await store.usage(home, NOW)).messages == 5
    assert len(await store.messages(home, session)) == 5


async def test_nothing_of_a_batch_is_stored_if_one_can_t_be(
    store: SqliteStore, home: str, session: str
) -> None:
    wanted = {**some(session, range(3)), 3: outbound(session, "A0")}  # one id twice
    with pytest.raises(StoreError):
        await store.accept_messages(home, session, wanted, key=key("k"))
    assert await store.messages(home, session) == []
    assert await events(store, home, "message.accepted") == []
    assert (await store.usage(home, NOW)).messages == 0
    assert await store.accepted_before(home, session, key("k")) is None


async def test_a_deactivated_or_missing_session_takes_nothing(
    store: SqliteStore, home: str, session: str
) -> None:
    with pytest.raises(SessionNotFound):
        await store.accept_messages(home, NOBODY, some(NOBODY, range(2)))
    await store.deactivate(home, session, NOW)
    with pytest.raises(SessionInactive):
        await store.accept_messages(home, session, some(session, range(2)))


# ---- keys ----------------------------------------------------------------------------------------


async def test_a_repeat_under_the_same_key_finds_what_was_accepted(
    store: SqliteStore, home: str, session: str
) -> None:
    assert await store.accepted_before(home, session, key("k")) is None
    first = await store.accept_messages(home, session, {0: outbound(session, "A1")}, key=key("k"))
    again = await store.accept_messages(home, session, {0: outbound(session, "A2")}, key=key("k"))
    assert again == first
    assert [row.wa_id for row in await store.messages(home, session)] == ["A1"]
    assert len(await events(store, home, "message.accepted")) == 1
    assert (await store.usage(home, NOW)).messages == 1
    before = await store.accepted_before(home, session, key("k"))
    assert before is not None
    assert (before.session_status, before.messages) == ("connected", first)
    other = await store.accept_messages(home, session, {0: outbound(session, "A3")}, key=key("K"))
    assert ids(other) != ids(first), "another key is another request"


async def test_repeats_at_once_are_accepted_once(tmp_path: Path, store: SqliteStore) -> None:
    """From two programs, so that nothing but the database keeps them apart."""
    home = await home_of(store)
    session = (await store.create_session(home, "sales", NOW))[0].id
    async with open_store(tmp_path / "wafleet.db", busy_timeout_ms=10_000) as other:
        found = await asyncio.gather(
            *(
                each.accept_messages(
                    home, session, {0: outbound(session, f"A{n}{which}")}, key=key("k")
                )
                for n in range(10)
                for which, each in enumerate((store, other))
            )
        )
    assert len({tuple(ids(one).items()) for one in found}) == 1
    assert len(await store.messages(home, session)) == 1


async def test_a_key_is_for_one_request(store: SqliteStore, home: str, session: str) -> None:
    await store.accept_messages(home, session, {0: outbound(session, "A1")}, key=key("k"))
    other = (await store.create_session(home, "support", NOW))[0].id
    with pytest.raises(KeyReused) as refused:
        await store.accept_messages(
            home, session, {0: outbound(session, "A2")}, key=key("k", "another body")
        )
    assert refused.value.code == "idempotency_key_reused"
    with pytest.raises(KeyReused):
        await store.accepted_before(home, session, key("k", "another body"))
    with pytest.raises(KeyReused):
        await store.accepted_before(home, other, key("k"))
    with pytest.raises(KeyReused):
        await store.accept_messages(home, other, {0: outbound(other, "A2")}, key=key("k"))
    assert len(await store.messages(home, session)) == 1
    assert await store.messages(home, other) == []


async def test_a_key_belongs_to_its_workspace(store: SqliteStore, home: str, session: str) -> None:
    await store.accept_messages(home, session, {0: outbound(session, "A1")}, key=key("k"))
    theirs = (await store.create_workspace("acme", NOW)).id
    foreign = (await store.create_session(theirs, "sales", NOW))[0].id
    assert await store.accepted_before(theirs, foreign, key("k", "x")) is None
    found = await store.accept_messages(
        theirs, foreign, {0: outbound(foreign, "A1")}, key=key("k", "x")
    )
    assert len(ids(found)) == 1
    assert len(await store.messages(theirs, foreign)) == 1


async def test_a_batch_that_was_cut_off_goes_on_where_it_stopped(
    store: SqliteStore, home: str, session: str
) -> None:
    first = await store.accept_messages(home, session, some(session, range(3)), key=key("k"))
    repeat = {n: outbound(session, f"B{n}") for n in range(1, 6)}
    second = await store.accept_messages(home, session, repeat, key=key("k"))
    assert {n: ids(second)[n] for n in (1, 2)} == {n: ids(first)[n] for n in (1, 2)}
    assert sorted(row.wa_id for row in await store.messages(home, session)) == [
        "A0",
        "A1",
        "A2",
        "B3",
        "B4",
        "B5",
    ]
    before = await store.accepted_before(home, session, key("k"))
    assert before is not None
    assert sorted(before.messages) == [0, 1, 2, 3, 4, 5]


async def test_a_refused_place_may_be_tried_again(store: SqliteStore) -> None:
    await store.create_plan("small", PlanLimits(messages=1), NOW)
    home = (await store.create_workspace("acme", NOW, "small")).id
    session = (await store.create_session(home, "sales", NOW))[0].id
    first = await store.accept_messages(home, session, some(session, range(2)), key=key("k"))
    assert list(ids(first)) == [0]
    await store.set_plan_limits("small", PlanLimits(messages=2), NOW)
    again = {n: outbound(session, f"B{n}") for n in range(2)}
    second = await store.accept_messages(home, session, again, key=key("k"))
    assert ids(second) == {**ids(first), 1: ids(second)[1]}
    nothing = await store.accept_messages(home, session, {0: outbound(session, "C")}, key=key("n"))
    assert isinstance(nothing[0], PlanLimitReached)
    assert await store.accepted_before(home, session, key("n")) is None


REQUESTS = st.lists(
    st.tuples(
        st.sampled_from("kl"),  # the key
        st.sampled_from("xy"),  # the body
        st.sets(st.integers(min_value=0, max_value=5), min_size=1),  # what came through of it
    ),
    max_size=12,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests=REQUESTS)
async def test_any_order_of_requests_and_repeats_makes_each_message_once(
    store: SqliteStore, home: str, session: str, requests: list[tuple[str, str, set[int]]]
) -> None:
    run = secrets.token_hex(8)
    bodies: dict[str, str] = {}
    made: dict[tuple[str, int], str] = {}
    before = (await store.usage(home, NOW)).messages
    for number, (name, body, places) in enumerate(requests):
        given_key = key(f"{run}{name}", body)
        items = {n: outbound(session, f"{run}{number}{n}") for n in places}
        if bodies.get(name, body) != body:
            with pytest.raises(KeyReused):
                await store.accept_messages(home, session, items, key=given_key)
            continue
        bodies[name] = body
        found = ids(await store.accept_messages(home, session, items, key=given_key))
        assert found.keys() == places
        for place, message_id in found.items():
            assert made.setdefault((name, place), message_id) == message_id
        known = await store.accepted_before(home, session, given_key)
        assert known is not None
        assert ids(known.messages) == {p: i for (n, p), i in made.items() if n == name}
    assert len(set(made.values())) == len(made)
    assert (await store.usage(home, NOW)).messages - before == len(made)


async def test_an_erased_contact_leaves_nothing_of_its_requests(
    tmp_path: Path, store: SqliteStore, home: str, session: str
) -> None:
    wanted = {0: outbound(session, "A1"), 1: outbound(session, "A2", chat=OTHER)}
    first = await store.accept_messages(home, session, wanted, key=key("k"))
    kept = {0: outbound(session, "A3", chat=OTHER)}
    await store.accept_messages(home, session, kept, key=key("other", "kept"))
    contact = await store.contact_with_jid(home, PERSON)
    await store.erase_contact(home, contact.id, NOW)
    everything = all_bytes(tmp_path)
    assert sha256("body").encode() not in everything
    assert sha256("kept").encode() in everything
    for body in ("body", "no longer known"):
        again = await store.accept_messages(home, session, wanted, key=key("k", body))
        assert ids(again) == ids(first)
    row = again[0]
    assert isinstance(row, MessageRow)
    assert (row.body, row.chat) == ("", f"erased:{contact.id}")
    other = (await store.create_session(home, "support", NOW))[0].id
    with pytest.raises(KeyReused):
        await store.accepted_before(home, other, key("k"))


async def test_a_key_is_kept_for_a_day_and_until_all_is_sent(
    store: SqliteStore, home: str, session: str
) -> None:
    found = await store.accept_messages(home, session, some(session, range(3)), key=key("k"))
    await store.accept_messages(
        home, session, {0: outbound(session, "C1", now_ms=NOW + 10)}, key=key("c")
    )
    rows = list(ids(found).values())
    await store.record_sent(rows[0], 1, NOW)
    await store.record_failed(rows[1], "x", "y", NOW)
    await store.purge_expired(NOW + KEY_KEPT_MS)
    assert await keys_kept(store) == 2
    later = NOW + KEY_KEPT_MS + 5
    await store.purge_expired(later)
    assert await store.accepted_before(home, session, key("k")) is not None, "one still waits"
    await store.record_sent(rows[2], 1, later)
    await store.purge_expired(later + KEY_KEPT_MS)
    assert await store.accepted_before(home, session, key("k")) is not None, "not looked at yet"
    await store.purge_expired(later + KEY_KEPT_MS + 1)
    assert await store.accepted_before(home, session, key("k")) is None
    assert await store.accepted_before(home, session, key("c")) is not None, "it waits as well"
    assert await store._connections.read("SELECT count(*) FROM idempotency_items") == [(1,)]


@pytest.mark.parametrize("state", ["sending", "unknown"])
async def test_a_key_is_kept_while_a_message_is_in_doubt(
    store: SqliteStore, home: str, session: str, state: str
) -> None:
    found = await store.accept_messages(home, session, some(session, range(1)), key=key("k"))
    await claim_next(store, session, NOW)
    if state == "unknown":
        await store.record_unknown(ids(found)[0], "no_answer", "x", NOW)
    await store.purge_expired(NOW + 2 * KEY_KEPT_MS)
    assert await keys_kept(store) == 1
    await store.record_sent(ids(found)[0], 1, NOW)
    await store.purge_expired(NOW + 4 * KEY_KEPT_MS)
    assert await keys_kept(store) == 0


async def test_keys_are_taken_a_few_at_a_time(store: SqliteStore, home: str, session: str) -> None:
    for n in range(7):
        found = await store.accept_messages(
            home, session, {0: outbound(session, f"A{n}")}, key=key(f"k{n}")
        )
        await store.record_sent(ids(found)[0], 1, NOW)
    rounds = [await store.purge_expired(NOW + 2 * KEY_KEPT_MS, limit=30)]
    assert await keys_kept(store) == 4
    while rounds[-1].more:
        rounds.append(await store.purge_expired(NOW + 2 * KEY_KEPT_MS, limit=30))
    assert await keys_kept(store) == 0
    assert len(rounds) == 3


async def test_a_repeat_is_not_sent_even_if_retention_took_the_message(
    store: SqliteStore, home: str, session: str
) -> None:
    found = await store.accept_messages(home, session, some(session, range(1)), key=key("k"))
    await store.record_sent(ids(found)[0], 1, NOW)
    await store.set_retention(home, Retention(messages_ms=1000), NOW)
    await store.purge_expired(NOW + 2000)
    assert await store.messages(home, session) == []
    again = {0: outbound(session, "A9", now_ms=NOW + 3000)}
    assert await store.accept_messages(home, session, again, key=key("k")) == {0: None}
    before = await store.accepted_before(home, session, key("k"))
    assert before is not None
    assert before.messages == {0: None}
    assert await store.messages(home, session) == []


# ---- killed --------------------------------------------------------------------------------------

CHILD = """
import asyncio, sys
from pathlib import Path
from storage.sqlite import open_store
from tests.integration.tenant_support import outbound
from tests.integration.outbox_support import key

async def main():
    async with open_store(Path(sys.argv[1])) as store:
        home, session = sys.argv[2:4]
        for start in range(0, 200, 4):
            chunk = {n: outbound(session, f"A{n}") for n in range(start, start + 4)}
            await store.accept_messages(home, session, chunk, key=key("k"))
            print(start, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("chunks", [1, 9])
async def test_a_batch_is_accepted_once_though_its_program_was_killed(
    tmp_path: Path, chunks: int
) -> None:
    path = tmp_path / "wafleet.db"
    async with open_store(path) as store:
        home = await home_of(store)
        session = (await store.create_session(home, "sales", NOW))[0].id
    arguments = ("-c", CHILD, str(path), home, session)
    child = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    for _ in range(chunks):
        assert await asyncio.wait_for(child.stdout.readline(), PATIENCE)
    child.kill()
    await child.communicate()
    async with open_store(path) as store:
        left = await store.accepted_before(home, session, key("k"))
        assert left is not None
        assert 4 * chunks <= len(left.messages) < 200, "it was killed in the middle"
        repeat = {n: outbound(session, f"B{n}") for n in range(200)}
        found = ids(await store.accept_messages(home, session, repeat, key=key("k")))
        rows = (await store.messages(home, session, limit=500))[::-1]
        assert [row.id for row in rows] == [found[n] for n in range(200)]
        first = len(left.messages)
        assert [row.wa_id for row in rows] == [
            f"{'A' if n < first else 'B'}{n}" for n in range(200)
        ]
        assert await events(store, home, "message.accepted") == [row.id for row in rows]
