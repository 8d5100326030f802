"""Messages under a key, many at once, later, taken back, resolved; and what they may say."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import pytest

from actors.messages import OutboxChanged
from api.accepting import CHUNK
from api.times import rfc3339
from storage.messages import MessageRow, MessageState, NewInbound, Priority
from storage.store import Desired, SessionStatus, StoreBusy
from storage.tenants import PlanLimits
from tests.integration.test_api_server import KEY, UNKNOWN_ID, Api, Reached, running_api
from tests.waiting import PATIENCE, eventually, eventually_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from storage.acceptance import RequestKey
    from storage.messages import NewOutbound
    from storage.tenants import PlanLimitReached

pytestmark = pytest.mark.integration

MESSAGES: Final = "/v1/sessions/a/messages"
BATCH: Final = f"{MESSAGES}/batch"
TO: Final = "+1 (555) 010-0199"
CHAT: Final = "15550100199@c.us"
OTHER: Final = "15550100200@c.us"
TEXT: Final = {"to": TO, "text": "hello"}
HOUR: Final = 3_600_000


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


async def keyed(api: Api, path: str, body: object, *keys: str) -> Reached:
    headers = [("Authorization", f"Bearer {KEY}"), *(("Idempotency-Key", key) for key in keys)]
    return await api.call("POST", path, json=body, headers=headers)


def told(answer: Reached) -> dict[str, Any]:
    """Return what an answer says of the message; its place in the queue is always that of now."""
    return {name: value for name, value in answer.json.items() if name != "queue"}


async def stored(api: Api) -> list[MessageRow]:
    """Return all messages of the session `a`, oldest first."""
    session = await api.store.session_named(api.deps.workspace_id, "a")
    rows = await api.store.messages(api.deps.workspace_id, session.id, limit=5000)
    return list(rows)[::-1]


async def unknown(api: Api, session_id: str, count: int = 1) -> list[str]:
    """Send messages whose fate is not known; return their ids."""
    ids = []
    for _ in range(count):
        ids.append((await api.post(MESSAGES, TEXT)).json["id"])
        await api.store.claim_next(session_id, api.deps.now_ms())
        await api.store.record_unknown(ids[-1], "no_answer", "x", api.deps.now_ms())
    return ids


# ---- one request, once ---------------------------------------------------------------------------


async def test_a_repeat_gets_the_same_answer(api: Api) -> None:
    session_id = await api.new_session("a")
    first = await keyed(api, MESSAGES, TEXT, "order-1")
    assert "Idempotency-Replayed" not in first.headers
    again = await keyed(api, MESSAGES, TEXT, "order-1")
    assert again.headers["Idempotency-Replayed"] == "true"
    assert told(again) == told(first)
    assert (again.status, again.headers["Location"]) == (202, first.headers["Location"])
    assert len(await stored(api)) == 1
    assert api.fleet.messages == [OutboxChanged(session_id=session_id)]
    # The same by its meaning, though not by its letters; and a name instead of the id.
    spelled = {"text": "hello", "to": "15550100199"}
    path = f"/v1/sessions/{session_id}/messages"
    assert told(await keyed(api, path, spelled, "order-1")) == told(first)
    assert (await keyed(api, MESSAGES, TEXT, "order-2")).json["id"] != first.json["id"]
    assert (await api.post(MESSAGES, TEXT)).json["id"] != first.json["id"]


async def test_a_repeat_gets_the_same_answer_whatever_happened_since(api: Api) -> None:
    session_id = await api.new_session("a")
    late = {**TEXT, "expires_at": rfc3339(api.deps.now_ms() + 400)}
    first = await keyed(api, MESSAGES, late, "k")
    assert first.status == 202
    await api.store.claim_next(session_id, api.deps.now_ms())
    await api.store.record_sent(first.json["id"], 3, api.deps.now_ms())
    await api.store.set_desired(
        api.deps.workspace_id, session_id, Desired.STOPPED, api.deps.now_ms()
    )
    await api.set_status(session_id, SessionStatus.FAILED, "banned")
    [row] = await stored(api)
    over = row.expires_ms or 0
    await asyncio.to_thread(eventually, lambda: api.deps.now_ms() > over)
    assert (await api.post(MESSAGES, TEXT)).code == "session_stopped"
    again = await keyed(api, MESSAGES, late, "k")
    assert (again.status, told(again)) == (202, told(first))
    assert again.json["state"] == "accepted"


async def test_a_key_is_for_one_request(api: Api) -> None:
    await api.new_session("a")
    await api.new_session("b")
    await keyed(api, MESSAGES, TEXT, "k")
    for path, body in (
        (MESSAGES, {**TEXT, "text": "hello!"}),
        (MESSAGES, {**TEXT, "to": OTHER}),
        (MESSAGES, {**TEXT, "priority": "bulk"}),
        ("/v1/sessions/b/messages", TEXT),
        (BATCH, {"messages": [TEXT]}),
    ):
        reused = await keyed(api, path, body, "k")
        assert (reused.status, reused.code) == (422, "idempotency_key_reused"), body
    assert len(await stored(api)) == 1


@pytest.mark.parametrize("keys", [("",), ("a b",), ("ä",), ("x" * 256,), ("a", "a")])
async def test_a_key_is_plain(api: Api, keys: tuple[str, ...]) -> None:
    await api.new_session("a")
    for path, body in ((MESSAGES, TEXT), (BATCH, {"messages": [TEXT]})):
        refused = await keyed(api, path, body, *keys)
        assert (refused.status, refused.fields) == (422, ["Idempotency-Key"])
    assert await stored(api) == []
    assert (await keyed(api, MESSAGES, TEXT, "!~" + "x" * 253)).status == 202


async def test_a_refused_request_does_not_use_its_key_up(api: Api) -> None:
    session_id = await api.new_session("a", desired=Desired.STOPPED)
    assert (await keyed(api, MESSAGES, TEXT, "k")).code == "session_stopped"
    now = api.deps.now_ms()
    await api.store.set_desired(api.deps.workspace_id, session_id, Desired.RUNNING, now)
    assert (await keyed(api, MESSAGES, TEXT, "k")).status == 202


class SlowStore:
    """The real store, whose accepting waits for a gate: a request that is being worked on."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.begun = asyncio.Event()
        self.gate = asyncio.Event()
        self.failure: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def accept_messages(
        self,
        workspace_id: str,
        session_id: str,
        items: Mapping[int, NewOutbound],
        *,
        key: RequestKey | None = None,
    ) -> Mapping[int, MessageRow | PlanLimitReached | None]:
        if self.failure is not None and 0 not in items:
            raise self.failure
        self.begun.set()
        await self.gate.wait()
        found: Mapping[int, MessageRow | PlanLimitReached | None]
        found = await self._store.accept_messages(workspace_id, session_id, items, key=key)
        return found


@pytest.fixture
async def slow(tmp_path: Path) -> AsyncIterator[tuple[Api, SlowStore]]:
    async with running_api(tmp_path) as first:
        slow = SlowStore(first.deps.store)
        (tmp_path / "other").mkdir()
        home = first.deps.workspace_id
        async with running_api(tmp_path / "other", store=slow, workspace_id=home) as api:
            api.store = first.store
            await first.new_session("a")
            yield api, slow


async def test_a_request_that_is_being_worked_on_is_not_begun_again(
    slow: tuple[Api, SlowStore],
) -> None:
    api, store = slow
    first = asyncio.ensure_future(keyed(api, MESSAGES, TEXT, "k"))
    await store.begun.wait()
    async with asyncio.timeout(PATIENCE):  # one that is let through waits at the gate
        busy = await keyed(api, MESSAGES, TEXT, "k")
    assert (busy.status, busy.code) == (409, "idempotency_in_flight")
    assert busy.headers["Retry-After"] == "1"
    store.gate.set()
    assert (await first).status == 202
    again = await keyed(api, MESSAGES, TEXT, "k")
    assert again.json["id"] == (await first).json["id"]
    assert len(await stored(api)) == 1


async def test_what_was_accepted_of_a_batch_is_told_if_the_rest_fails(
    slow: tuple[Api, SlowStore],
) -> None:
    api, store = slow
    store.gate.set()
    store.failure = StoreBusy("secret path")
    body = {"messages": [{**TEXT, "text": f"{n}"} for n in range(2 * CHUNK + 1)]}
    cut = await keyed(api, BATCH, body, "k")
    assert (cut.status, cut.json["accepted"], cut.json["refused"]) == (202, CHUNK, CHUNK + 1)
    assert {one["error"]["code"] for one in cut.json["results"][CHUNK:]} == {"storage_busy"}
    assert b"secret" not in cut.raw
    store.failure = None
    whole = await keyed(api, BATCH, body, "k")
    assert (whole.json["accepted"], whole.json["refused"]) == (2 * CHUNK + 1, 0)
    assert whole.json["results"][:CHUNK] == cut.json["results"][:CHUNK]
    assert [row.body for row in await stored(api)] == [f"{n}" for n in range(2 * CHUNK + 1)]


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


# ---- when, and how urgent ------------------------------------------------------------------------


async def test_a_message_may_be_put_off(api: Api) -> None:
    await api.new_session("a")
    now = api.deps.now_ms()
    body = {
        **TEXT,
        "send_at": rfc3339(now + HOUR),
        "expires_at": rfc3339(now + 2 * HOUR),
        "priority": "bulk",
    }
    accepted = await api.post(MESSAGES, body)
    assert accepted.status == 202
    assert {name: accepted.json[name] for name in body if name not in TEXT} == {
        name: value for name, value in body.items() if name not in TEXT
    }
    [row] = await stored(api)
    assert (row.send_at_ms, row.expires_ms, row.priority) == (
        now + HOUR,
        now + 2 * HOUR,
        Priority.BULK,
    )
    plain = (await api.post(MESSAGES, TEXT)).json
    assert (plain["priority"], plain["send_at"], plain["expires_at"]) == (
        "conversation",
        None,
        None,
    )


@pytest.mark.parametrize(
    ("send_in", "expire_in", "fields"),
    [
        (-HOUR, None, []),
        (366 * 24 * HOUR - 60_000, None, []),
        (366 * 24 * HOUR + 60_000, None, ["send_at"]),
        (None, -1, ["expires_at"]),
        (None, 60_000, []),
        (HOUR, HOUR, ["expires_at"]),
        (HOUR, HOUR + 1, []),
        (-HOUR, -1, ["expires_at"]),
    ],
)
async def test_times_leave_time_to_send(
    api: Api, send_in: int | None, expire_in: int | None, fields: list[str]
) -> None:
    await api.new_session("a")
    now = api.deps.now_ms()
    body: dict[str, object] = dict(TEXT)
    for name, after in (("send_at", send_in), ("expires_at", expire_in)):
        if after is not None:
            body[name] = rfc3339(now + after)
    answer = await api.post(MESSAGES, body)
    assert answer.status == (422 if fields else 202)
    assert answer.fields == fields


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("send_at", 1_893_553_445_678),
        ("send_at", "2030-01-02T03:04:05"),
        ("expires_at", True),
        ("priority", "urgent"),
        ("priority", 0),
        ("link_preview", "no"),
        ("mentions", [TO] * 1025),
        ("mentions", ["nobody"]),
        ("reply_to", "1"),
        ("wa_id", "3EB0"),
    ],
    ids=lambda value: str(value)[:24],
)
async def test_wrong_options_are_named(api: Api, field: str, value: object) -> None:
    await api.new_session("a")
    refused = await api.post(MESSAGES, {**TEXT, field: value})
    assert refused.status == 422
    assert [name.split(".")[0] for name in refused.fields] == [field]
    assert await stored(api) == []


# ---- what a text may have ------------------------------------------------------------------------


async def test_options_of_a_text_are_stored(api: Api) -> None:
    await api.new_session("a")
    await api.post(MESSAGES, TEXT)
    mentions = [TO, OTHER, "15550100199", "99887766@lid"]
    await api.post(MESSAGES, {**TEXT, "mentions": mentions, "link_preview": True})
    await api.post(MESSAGES, {**TEXT, "mentions": [], "link_preview": False})
    assert [row.content for row in await stored(api)] == [
        {},
        {"mentions": [CHAT, OTHER, "99887766@lid"], "link_preview": True},
        {},
    ]


async def test_a_reply_names_a_message_of_its_chat(api: Api) -> None:
    session_id = await api.new_session("a")
    received = await api.store.record_inbound(
        NewInbound(
            session_id=session_id,
            chat=CHAT,
            sender=CHAT,
            wa_id="3A0",
            kind="text",
            body="hi",
            sent_ms=1,
            now_ms=api.deps.now_ms(),
        )
    )
    assert received is not None
    own = (await api.post(MESSAGES, TEXT)).json["id"]
    for quoted in (received.id, own):
        assert (await api.post(MESSAGES, {**TEXT, "reply_to": quoted})).status == 202
        assert (await stored(api))[-1].content == {"reply_to": quoted}
    await api.new_session("b")
    foreign = (await api.post("/v1/sessions/b/messages", TEXT)).json["id"]
    gone = (await api.post(MESSAGES, TEXT)).json["id"]
    await api.post(f"{MESSAGES}/{gone}/cancel")
    before = len(await stored(api))
    for quoted, to in ((foreign, TO), (UNKNOWN_ID, TO), (received.id, OTHER), (gone, TO)):
        refused = await api.post(MESSAGES, {"to": to, "text": "x", "reply_to": quoted})
        assert (refused.status, refused.fields) == (422, ["reply_to"])
    assert len(await stored(api)) == before


# ---- cancelling and resolving --------------------------------------------------------------------


async def test_what_waits_is_taken_back(api: Api) -> None:
    session_id = await api.new_session("a")
    message = (await api.post(MESSAGES, TEXT)).json
    for _ in range(2):
        taken = await api.post(f"{MESSAGES}/{message['id']}/cancel")
        assert (taken.status, taken.json["state"], taken.json["error"]) == (200, "cancelled", None)
    assert (await api.get(f"{MESSAGES}/{message['id']}")).json == taken.json
    assert await api.store.claim_next(session_id, api.deps.now_ms()) is None
    assert api.fleet.messages == [OutboxChanged(session_id=session_id)] * 3


async def test_what_is_on_its_way_is_not_taken_back(api: Api) -> None:
    session_id = await api.new_session("a")
    message = (await api.post(MESSAGES, TEXT)).json
    await api.store.claim_next(session_id, api.deps.now_ms())
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
