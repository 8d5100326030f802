"""Many messages at once, messages taken back, and doubts that a person ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from actors.messages import OutboxChanged
from api.accepting import CHUNK
from storage.messages import MessageState, Priority
from storage.store import Desired
from storage.tenants import PlanLimits
from tests.integration.api_outbox_support import (
    BATCH,
    MESSAGES,
    OTHER,
    TEXT,
    TO,
    keyed,
    stored,
)
from tests.integration.outbox_support import claim_next
from tests.integration.test_api_server import UNKNOWN_ID, Api, running_api
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


pytestmark = pytest.mark.integration


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


async def unknown(api: Api, session_id: str, count: int = 1) -> list[str]:
    """Send messages whose fate is not known; return their ids."""
    ids = []
    for number in range(count):
        text = {**TEXT, "to": f"+1555123{number:04}"}  # in a chat only one is on its way
        ids.append((await api.post(MESSAGES, text)).json["id"])
        await claim_next(api.store, session_id, api.deps.now_ms())
        await api.store.record_unknown(ids[-1], "no_answer", "x", api.deps.now_ms())
    return ids


# ---- many at once --------------------------------------------------------------------------------


async def test_a_batch_has_a_result_for_each(api: Api) -> None:
    session_id = await api.new_session("a")
    given = [
        {"to": TO, "text": "one"},
        {"to": "nobody", "text": " "},
        {"to": OTHER, "text": "two", "priority": "conversation"},
        {"to": TO},
        {"to": TO, "text": "three", "send_at": "soon"},
        {"to": TO, "text": "four"},
    ]
    answer = await api.post(BATCH, {"messages": given})
    assert answer.status == 202
    whole = answer.json
    assert (whole["accepted"], whole["refused"], whole["session_status"]) == (3, 3, "disconnected")
    assert [one["index"] for one in whole["results"]] == list(range(6))
    rows = await stored(api)
    assert [row.body for row in rows] == ["one", "two", "four"]
    assert [row.priority for row in rows] == [Priority.BULK, Priority.CONVERSATION, Priority.BULK]
    shown = [one["message"]["id"] for one in whole["results"] if one["message"]]
    assert shown == [row.id for row in rows]
    errors = {n: whole["results"][n]["error"] for n in (1, 3, 4)}
    assert {e["code"] for e in errors.values()} == {"fields_invalid"}
    fields = {n: sorted(f["field"] for f in e["errors"]) for n, e in errors.items()}
    assert fields == {1: ["text", "to"], 3: ["text"], 4: ["send_at"]}
    assert api.fleet.messages == [OutboxChanged(session_id=session_id)]
    assert (await api.get(f"{MESSAGES}/{shown[0]}")).json == whole["results"][0]["message"]


async def test_the_largest_batch_is_accepted_in_order_and_once(api: Api) -> None:
    await api.new_session("a")
    body = {"messages": [{"to": f"1555010{n % 50:04}", "text": f"{n}"} for n in range(1000)]}
    first = await keyed(api, BATCH, body, "k")
    assert (first.status, first.json["accepted"]) == (202, 1000)
    again = await keyed(api, BATCH, body, "k")
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.raw == first.raw
    assert [row.body for row in await stored(api)] == [f"{n}" for n in range(1000)]


async def test_others_are_served_while_a_batch_is_accepted(api: Api) -> None:
    await api.new_session("a")
    await api.new_session("b")
    body = {"messages": [TEXT] * 500}
    batch = asyncio.ensure_future(api.post(BATCH, body))
    await eventually_async(lambda: stored(api))
    served = await api.post("/v1/sessions/b/messages", TEXT)
    assert served.status == 202
    assert not batch.done()
    assert (await batch).json["accepted"] == 500
    theirs = (await api.get("/v1/sessions/b/messages")).json["messages"]
    assert theirs[0]["id"] < (await stored(api))[-1].id, "not only after the whole batch"


@pytest.mark.parametrize(
    ("messages", "fields"),
    [
        ([], ["messages"]),
        ([TEXT] * 1001, ["messages"]),
        (None, ["messages"]),
        ([TEXT, 5], ["messages.1"]),
    ],
    ids=["none", "too many", "null", "no object"],
)
async def test_what_is_no_batch(api: Api, messages: object, fields: list[str]) -> None:
    await api.new_session("a")
    refused = await api.post(BATCH, {"messages": messages})
    assert (refused.status, refused.fields) == (422, fields)
    assert await stored(api) == []


async def test_a_batch_for_a_stopped_session_is_refused_as_a_whole(api: Api) -> None:
    session_id = await api.new_session("a", desired=Desired.STOPPED)
    refused = await api.post(BATCH, {"messages": [TEXT]})
    assert (refused.status, refused.code) == (409, "session_stopped")
    now, home = api.deps.now_ms(), api.deps.workspace_id
    await api.store.set_desired(home, session_id, Desired.RUNNING, now)
    body = {"messages": [TEXT, {"to": TO}]}
    first = await keyed(api, BATCH, body, "k")
    await api.store.set_desired(home, session_id, Desired.STOPPED, now)
    again = await keyed(api, BATCH, body, "k")
    assert again.raw == first.raw


async def test_a_batch_goes_as_far_as_the_plan(api: Api) -> None:
    await api.new_session("a")
    store, now = api.deps.store, api.deps.now_ms()
    await store.create_plan("small", PlanLimits(messages=CHUNK + 2), now)
    await store.set_plan(api.deps.workspace_id, "small", now)
    answer = await api.post(BATCH, {"messages": [TEXT] * (CHUNK + 5)})
    assert (answer.json["accepted"], answer.json["refused"]) == (CHUNK + 2, 3)
    error = answer.json["results"][-1]["error"]
    assert (error["status"], error["code"]) == (429, "plan_limit_reached")


async def test_the_access_log_tells_how_many(api: Api) -> None:
    session_id = await api.new_session("a")
    await api.post(BATCH, {"messages": [TEXT, {"to": TO}]})
    [message] = await stored(api)
    await api.post(f"{MESSAGES}/{message.id}/cancel")
    entries = {}
    for entry in (await api.get("/v1/audit")).json["entries"]:
        entries[entry["action"]] = (entry["result"], entry["session_id"], entry["detail"])
    assert entries == {
        "message.send_batch": ("done", session_id, {"accepted": "1", "refused": "1"}),
        "message.cancel": ("done", session_id, {"message_id": message.id}),
    }


# ---- cancelling and resolving --------------------------------------------------------------------


async def test_what_waits_is_taken_back(api: Api) -> None:
    session_id = await api.new_session("a")
    message = (await api.post(MESSAGES, TEXT)).json
    for _ in range(2):
        taken = await api.post(f"{MESSAGES}/{message['id']}/cancel")
        assert (taken.status, taken.json["state"], taken.json["error"]) == (200, "cancelled", None)
    assert (await api.get(f"{MESSAGES}/{message['id']}")).json == taken.json
    assert await claim_next(api.store, session_id, api.deps.now_ms()) is None
    assert api.fleet.messages == [OutboxChanged(session_id=session_id)] * 3


async def test_what_is_on_its_way_is_not_taken_back(api: Api) -> None:
    session_id = await api.new_session("a")
    message = (await api.post(MESSAGES, TEXT)).json
    await claim_next(api.store, session_id, api.deps.now_ms())
    late = await api.post(f"{MESSAGES}/{message['id']}/cancel")
    assert (late.status, late.code) == (409, "message_state_wrong")
    assert late.json["message_state"] == "sending"
    [row] = await stored(api)
    assert row.state is MessageState.SENDING


@pytest.mark.parametrize(
    ("action", "state", "code"), [("resend", "accepted", None), ("fail", "failed", "given_up")]
)
async def test_a_doubt_is_ended_by_hand(
    api: Api, action: str, state: str, code: str | None
) -> None:
    session_id = await api.new_session("a")
    one, *rest = await unknown(api, session_id, 3)
    waiting = (await api.post(MESSAGES, TEXT)).json["id"]
    ended = await api.post(f"{MESSAGES}/{one}/resolve", {"action": action})
    assert (ended.status, ended.json["state"]) == (200, state)
    assert (ended.json["error"] or {}).get("code") == code
    again = await api.post(f"{MESSAGES}/{one}/resolve", {"action": action})
    assert (again.status, again.code, again.json["message_state"]) == (
        409,
        "message_state_wrong",
        state,
    )
    whole = await api.post(f"{MESSAGES}/resolve", {"action": action})
    assert (whole.status, whole.json) == (200, {"resolved": 2})
    states = {row.id: row.state for row in await stored(api)}
    assert states == {**dict.fromkeys([one, *rest], state), waiting: "accepted"}
    assert api.fleet.messages[-1] == OutboxChanged(session_id=session_id)
    none = await api.post(f"{MESSAGES}/resolve", {"action": action})
    assert none.json == {"resolved": 0}


async def test_all_that_is_unknown_is_resolved_however_much_it_is(api: Api) -> None:
    session_id = await api.new_session("a")
    await unknown(api, session_id, 205)
    whole = await api.post(f"{MESSAGES}/resolve", {"action": "fail"})
    assert whole.json == {"resolved": 205}
    assert {row.state for row in await stored(api)} == {MessageState.FAILED}


@pytest.mark.parametrize("body", [{}, {"action": "forget"}, {"action": None}, {"action": 1}])
async def test_an_unknown_action_is_refused(api: Api, body: object) -> None:
    session_id = await api.new_session("a")
    [one] = await unknown(api, session_id)
    for path in (f"{MESSAGES}/{one}/resolve", f"{MESSAGES}/resolve"):
        refused = await api.post(path, body)
        assert (refused.status, refused.fields) == (422, ["action"])
    assert (await stored(api))[0].state is MessageState.UNKNOWN


@pytest.mark.parametrize("message_id", [UNKNOWN_ID, "1", UNKNOWN_ID.lower(), "ä"])
async def test_what_is_not_there_is_not_found(api: Api, message_id: str) -> None:
    await api.new_session("a")
    for path, body in (("cancel", None), ("resolve", {"action": "fail"})):
        missing = await api.post(f"{MESSAGES}/{message_id}/{path}", body)
        assert (missing.status, missing.code) == (404, "message_not_found")
