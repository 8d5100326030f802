"""A request that is repeated under its key is carried out once, and answered alike."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from actors.messages import OutboxChanged
from api.accepting import CHUNK
from api.times import rfc3339
from storage.store import Desired, SessionStatus, StoreBusy
from tests.integration.api_outbox_support import (
    BATCH,
    MESSAGES,
    OTHER,
    TEXT,
    keyed,
    stored,
    told,
)
from tests.integration.outbox_support import claim_next
from tests.integration.test_api_server import Api, running_api
from tests.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from storage.acceptance import RequestKey, Taken
    from storage.messages import MessageRow, NewOutbound
    from storage.tenants import PlanLimitReached

pytestmark = pytest.mark.integration


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


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
    await claim_next(api.store, session_id, api.deps.now_ms())
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


async def test_the_document_tells_where_a_key_is_heeded(api: Api) -> None:
    paths = (await api.get("/v1/openapi.json")).json["paths"]
    heeded = {
        (method, path)
        for path, methods in paths.items()
        for method, operation in methods.items()
        for parameter in operation["parameters"]
        if parameter["in"] == "header" and parameter["name"] == "Idempotency-Key"
    }
    messages = "/v1/sessions/{session}/messages"
    assert heeded == {("post", messages), ("post", f"{messages}/batch")}


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
        self.reads = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def message(self, workspace_id: str, session_id: str, message_id: str) -> MessageRow:
        if self.failure is not None and self.reads:
            raise self.failure
        row: MessageRow = await self._store.message(workspace_id, session_id, message_id)
        return row

    async def accept_messages(
        self,
        workspace_id: str,
        session_id: str,
        items: Mapping[int, NewOutbound],
        *,
        key: RequestKey | None = None,
    ) -> Mapping[int, MessageRow | PlanLimitReached | None]:
        if self.failure is not None and not self.reads and 0 not in items:
            raise self.failure
        self.begun.set()
        await self.gate.wait()
        found: Mapping[int, MessageRow | PlanLimitReached | None]
        found = await self._store.accept_messages(workspace_id, session_id, items, key=key)
        return found

    async def accept_one(self, workspace_id: str, new: NewOutbound, **how: Any) -> Taken:
        self.begun.set()
        await self.gate.wait()
        taken: Taken = await self._store.accept_one(workspace_id, new, **how)
        return taken


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
    async with asyncio.timeout(PATIENCE):  # one that is let through waits at the gate
        await store.begun.wait()
        busy = await keyed(api, MESSAGES, TEXT, "k")
    assert (busy.status, busy.code) == (409, "idempotency_in_flight")
    assert busy.headers["Retry-After"] == "1"
    store.gate.set()
    assert (await first).status == 202
    again = await keyed(api, MESSAGES, TEXT, "k")
    assert again.json["id"] == (await first).json["id"]
    assert len(await stored(api)) == 1


@pytest.mark.parametrize("reads", [False, True])
async def test_what_was_accepted_of_a_batch_is_told_if_the_rest_fails(
    slow: tuple[Api, SlowStore], reads: bool
) -> None:
    """Whether the store fails to write, or to read what one is the answer to."""
    api, store = slow
    store.gate.set()
    body = {"messages": [{**TEXT, "text": f"{n}"} for n in range(2 * CHUNK + 1)]}
    if reads:
        [quoted] = (await api.post(BATCH, {"messages": [TEXT]})).json["results"]
        body["messages"][CHUNK]["reply_to"] = quoted["message"]["id"]
    store.failure, store.reads = StoreBusy("secret path"), reads
    cut = await keyed(api, BATCH, body, "k")
    assert (cut.status, cut.json["accepted"], cut.json["refused"]) == (202, CHUNK, CHUNK + 1)
    assert {one["error"]["code"] for one in cut.json["results"][CHUNK:]} == {"storage_busy"}
    assert b"secret" not in cut.raw
    store.failure = None
    whole = await keyed(api, BATCH, body, "k")
    assert (whole.json["accepted"], whole.json["refused"]) == (2 * CHUNK + 1, 0)
    assert whole.json["results"][:CHUNK] == cut.json["results"][:CHUNK]
    new = [row.body for row in await stored(api)][1 if reads else 0 :]
    assert new == [f"{n}" for n in range(2 * CHUNK + 1)]
