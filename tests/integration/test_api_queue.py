from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from actors.live import LiveSession
from api.times import rfc3339
from storage.messages import NewOutbound, Priority
from storage.queue import MOST_BEFORE
from tests.integration.outbox_support import claim_next
from tests.integration.test_api_server import Api, running_api

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.integration

QUEUE = "/v1/sessions/a/queue"
MESSAGES = "/v1/sessions/a/messages"
TO = "+15550100199"
HOUR = 3_600_000


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


def linked(api: Api, session_id: str) -> None:
    api.live.put(
        LiveSession(
            session_id=session_id,
            incarnation=1,
            phase="connected",
            status="connected",
            reason="ready",
            since_ms=1,
            phone_number="15550100001",
        )
    )


async def accept(
    api: Api,
    session_id: str,
    number: int,
    *,
    priority: Priority = Priority.CONVERSATION,
    send_at_ms: int | None = None,
) -> str:
    session = await api.store.any_session(session_id)
    row = await api.store.accept_message(
        session.workspace_id,
        NewOutbound(
            session_id=session_id,
            chat=f"{15550100100 + number}@c.us",
            wa_id=f"3EB0{number:018X}",
            body="hello",
            now_ms=api.deps.now_ms(),
            priority=priority,
            send_at_ms=send_at_ms,
        ),
    )
    return row.id


async def test_the_queue_is_listed_in_the_order_of_sending(api: Api) -> None:
    session = await api.new_session("a")
    soon, late = api.deps.now_ms() + HOUR, api.deps.now_ms() + 2 * HOUR
    bulk = await accept(api, session, 1, priority=Priority.BULK)
    at_two = await accept(api, session, 2, send_at_ms=late)
    first = await accept(api, session, 3)
    at_one = await accept(api, session, 4, send_at_ms=soon)
    second = await accept(api, session, 5)
    other = await api.new_session("b")
    await accept(api, other, 6)
    whole = (await api.get(QUEUE)).json
    expected = [first, second, at_one, at_two, bulk]
    assert [m["id"] for m in whole["messages"]] == expected
    assert [m["position"] for m in whole["messages"]] == [1, 2, 3, 4, 5]
    assert (whole["depth"], whole["next_after"]) == (5, None)
    assert whole["messages"][2] == {
        "position": 3,
        "earliest_at": None,
        "bound_by": None,
        "id": at_one,
        "chat": "15550100104@c.us",
        "kind": "text",
        "priority": 0,
        "send_at": rfc3339(soon),
        "expires_at": None,
        "created_at": whole["messages"][2]["created_at"],
    }
    pages = []
    for after in (0, 2, 4):
        page = (await api.get(f"{QUEUE}?limit=2&after={after}")).json
        pages += [(m["position"], m["id"]) for m in page["messages"]]
        assert page["next_after"] == (after + 2 if after < 4 else None)
    assert pages == list(enumerate(expected, 1))
    for place, message in enumerate(expected):
        assert await api.deps.store.waiting_before(message) == place


async def test_each_is_told_when_it_may_go_and_what_binds(api: Api) -> None:
    session = await api.new_session("a")
    linked(api, session)
    send_at = api.deps.now_ms() + HOUR
    await accept(api, session, 1)
    await accept(api, session, 2)
    await accept(api, session, 3, send_at_ms=send_at)
    answer = (await api.get(f"{QUEUE}?after=1")).json
    assert api.forecasts.asked == [
        ("15550100001", 0, 1),
        ("15550100001", 1, 2),
    ]
    # The stand-in of the limiter says: a second for each before it, nothing binds the first.
    assert answer["bound_by"] is None
    second, third = answer["messages"]
    assert second["bound_by"] == "minute"
    assert second["earliest_at"] > answer["earliest_at"]
    assert (third["earliest_at"], third["bound_by"]) == (rfc3339(send_at), "send_at")


async def test_an_accepted_message_is_told_its_place(api: Api) -> None:
    session = await api.new_session("a")
    unlinked = (await api.post(MESSAGES, {"to": TO, "text": "hello"})).json
    assert unlinked["queue"] == {"position": 1, "earliest_at": None, "bound_by": None}
    linked(api, session)
    accepted = (await api.post(MESSAGES, {"to": TO, "text": "hello"})).json
    place = accepted["queue"]
    assert (place["position"], place["bound_by"]) == (2, "minute")
    assert place["earliest_at"] > accepted["created_at"]


async def test_a_message_is_accepted_though_nobody_can_tell_when_it_goes(api: Api) -> None:
    session = await api.new_session("a")
    linked(api, session)
    api.forecasts.known = False
    accepted = await api.post(MESSAGES, {"to": TO, "text": "hello"})
    assert accepted.status == 202
    assert accepted.json["queue"] == {"position": 1, "earliest_at": None, "bound_by": None}
    queue = await api.get(QUEUE)
    assert (queue.status, queue.json["depth"], queue.json["earliest_at"]) == (200, 1, None)


async def test_an_empty_queue_says_when_the_next_one_could_go(api: Api) -> None:
    session = await api.new_session("a")
    linked(api, session)
    answer = (await api.get(QUEUE)).json
    assert (answer["depth"], answer["messages"], answer["next_after"]) == (0, [], None)
    assert answer["earliest_at"] is not None


async def test_what_does_not_wait_has_no_place(api: Api) -> None:
    session = await api.new_session("a")
    message = await accept(api, session, 1)
    assert await api.deps.store.waiting_before(message) == 0
    await claim_next(api.store, session, api.deps.now_ms())
    assert await api.deps.store.waiting_before(message) is None
    assert await api.deps.store.waiting_before("nothing") is None
    assert (await api.get(QUEUE)).json["depth"] == 0


async def test_a_very_long_queue_is_counted_as_far_as_it_is_cheap(api: Api) -> None:
    session = await api.new_session("a")
    await accept(api, session, 0)
    copies = (
        "INSERT INTO messages (uuid, workspace_id, whatsapp_session_id, chat_id, direction, chat,"
        " wa_id, kind, body, state, created_at, updated_at) SELECT 'u' || value, workspace_id,"
        " whatsapp_session_id, chat_id, direction, chat, 'w' || value, kind, body, state,"
        " created_at, updated_at FROM messages, json_each(?)"
    )
    await api.store._connections.write(  # type: ignore[attr-defined]
        lambda tx: tx.change(copies, (str(list(range(MOST_BEFORE))),))
    )
    answer = (await api.post(MESSAGES, {"to": TO, "text": "hello"})).json
    assert answer["queue"]["position"] is None
    page = (await api.get(f"{QUEUE}?after={MOST_BEFORE}")).json
    assert (page["depth"], [m["position"] for m in page["messages"]]) == (
        MOST_BEFORE + 2,
        [MOST_BEFORE + 1, MOST_BEFORE + 2],
    )


@pytest.mark.parametrize("query", ["after=-1", "limit=0", "limit=501", "after=x", "before=1"])
async def test_wrong_queries_are_refused(api: Api, query: str) -> None:
    await api.new_session("a")
    wrong = await api.get(f"{QUEUE}?{query}")
    assert (wrong.status, wrong.code) == (422, "fields_invalid")
