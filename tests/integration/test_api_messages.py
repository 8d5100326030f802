from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING

import pytest

from actors.messages import OutboxChanged
from storage.messages import NewInbound
from storage.store import Desired, SessionStatus
from tests.integration.outbox_support import claim_next
from tests.integration.test_api_server import UNKNOWN_ID, Api, running_api

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.integration

MESSAGES = "/v1/sessions/a/messages"
TO = "+1 (555) 010-0199"
CHAT = "15550100199@c.us"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


async def test_a_message_is_accepted_stored_and_announced(api: Api) -> None:
    session_id = await api.new_session("a")
    accepted = await api.post(MESSAGES, {"to": TO, "text": "hello\n🙂"})
    assert accepted.status == 202
    message = accepted.json
    assert accepted.headers["Location"] == f"/v1/sessions/{session_id}/messages/{message['id']}"
    assert message.pop("session_status") == "disconnected"
    assert message.pop("queue") == {"position": 1, "earliest_at": None, "bound_by": None}
    assert set(message) == {
        "id",
        "session_id",
        "direction",
        "chat",
        "from",
        "text",
        "kind",
        "state",
        "error",
        "attempts",
        "priority",
        "possible_duplicate",
        "send_at",
        "expires_at",
        "created_at",
        "sent_at",
        "delivered_at",
        "read_at",
        "content",
        "edited_at",
        "revoked_at",
    }
    assert (message["chat"], message["text"], message["state"], message["attempts"]) == (
        CHAT,
        "hello\n🙂",
        "accepted",
        0,
    )
    assert api.fleet.messages == [OutboxChanged(session_id=session_id)]
    assert (await api.get(accepted.headers["Location"])).json == message
    claimed = await claim_next(api.store, session_id, api.deps.now_ms())
    assert claimed is not None
    assert (claimed.id, claimed.body) == (message["id"], "hello\n🙂")
    assert re.fullmatch(r"3EB0[0-9A-F]{18}", claimed.wa_id)


async def test_messages_accepted_together_all_have_their_own_id(api: Api) -> None:
    await api.new_session("a")
    accepted = await asyncio.gather(
        *(api.post(MESSAGES, {"to": TO, "text": f"{n}"}) for n in range(30))
    )
    assert {a.status for a in accepted} == {202}
    assert len({a.json["id"] for a in accepted}) == 30


@pytest.mark.parametrize(
    ("desired", "status", "reason", "taken"),
    [
        (Desired.RUNNING, SessionStatus.DISCONNECTED, "socket_lost", True),
        (Desired.RUNNING, SessionStatus.FAILED, "crash_loop", True),
        (Desired.RUNNING, SessionStatus.QR_SCANNING, "qr_shown", True),
        (Desired.STOPPED, SessionStatus.CONNECTED, "ready", True),
        (Desired.STOPPED, SessionStatus.DISCONNECTED, "stopped", False),
        (Desired.STOPPED, SessionStatus.FAILED, "banned", False),
    ],
)
async def test_only_a_session_that_is_meant_to_run_takes_messages(
    api: Api, desired: Desired, status: SessionStatus, reason: str, taken: bool
) -> None:
    session_id = await api.new_session("a", desired=desired)
    await api.set_status(session_id, status, reason)
    answer = await api.post(MESSAGES, {"to": TO, "text": "hello"})
    if taken:
        assert (answer.status, answer.json["session_status"]) == (202, status)
    else:
        assert (answer.status, answer.code) == (409, "session_stopped")
        assert (answer.json["session_status"], answer.json["session_reason"]) == (status, reason)
        assert (await api.get(MESSAGES)).json["messages"] == []


async def test_a_message_is_kept_even_if_nobody_could_be_told(api: Api) -> None:
    await api.new_session("a")
    api.fleet.running = False
    assert (await api.post(MESSAGES, {"to": TO, "text": "hello"})).status == 202
    assert len((await api.get(MESSAGES)).json["messages"]) == 1


async def test_the_longest_text_fits(api: Api) -> None:
    await api.new_session("a")
    text = "🙂" * 65_536
    escaped = json.dumps({"to": TO, "text": text})  # the longest way to write it
    accepted = await api.call(
        "POST",
        MESSAGES,
        data=escaped,
        headers={
            "Authorization": f"Bearer {api.deps.api_key}",
            "Content-Type": "application/json; charset=UTF-8",
        },
    )
    assert accepted.status == 202
    assert (await api.get(f"{MESSAGES}/{accepted.json['id']}")).json["text"] == text


async def fill(api: Api) -> list[str]:
    """Make six messages, inbound and outbound by turns; return the ids, newest first."""
    session_id = await api.new_session("a")
    ids = []
    for n in range(3):
        row = await api.store.record_inbound(
            NewInbound(
                session_id=session_id,
                chat="15550100200@c.us",
                sender="15550100200@c.us",
                wa_id=f"3A{n}",
                kind="text",
                body=f"in {n}",
                sent_ms=n,
                now_ms=api.deps.now_ms(),
            )
        )
        assert row is not None
        out = await api.post(MESSAGES, {"to": TO, "text": f"out {n}"})
        ids += [row.id, out.json["id"]]
    return ids[::-1]


async def test_messages_are_listed_newest_first_page_by_page(api: Api) -> None:
    ids = await fill(api)
    seen: list[str] = []
    path = f"{MESSAGES}?limit=4"
    while path:
        page = (await api.get(path)).json
        seen += [m["id"] for m in page["messages"]]
        before = page["next_before"]
        path = f"{MESSAGES}?limit=4&before={before}" if before else ""
    assert seen == ids


@pytest.mark.parametrize(
    ("query", "texts"),
    [
        ("direction=inbound", ["in 2", "in 1", "in 0"]),
        ("direction=outbound&limit=1", ["out 2"]),
        ("chat=15550100199%40c.us", ["out 2", "out 1", "out 0"]),
        ("chat=%2B1%20555%200100200", ["in 2", "in 1", "in 0"]),
        ("chat=15550100200@s.whatsapp.net&direction=outbound", []),
    ],
)
async def test_messages_are_filtered(api: Api, query: str, texts: list[str]) -> None:
    await fill(api)
    found = (await api.get(f"{MESSAGES}?{query}")).json["messages"]
    assert [m["text"] for m in found] == texts


async def test_an_inbound_message_tells_who_sent_it(api: Api) -> None:
    await fill(api)
    [message] = (await api.get(f"{MESSAGES}?direction=inbound&limit=1")).json["messages"]
    assert (message["from"], message["state"]) == ("15550100200@c.us", "received")


@pytest.mark.parametrize("message_id", [UNKNOWN_ID, "1", UNKNOWN_ID.lower(), "%00", "ä"])
async def test_an_unknown_message_is_not_found(api: Api, message_id: str) -> None:
    await api.new_session("a")
    unknown = await api.get(f"{MESSAGES}/{message_id}")
    assert (unknown.status, unknown.code) == (404, "message_not_found")


async def test_a_message_of_another_session_is_not_found(api: Api) -> None:
    await fill(api)
    await api.new_session("b")
    [message] = (await api.get(f"{MESSAGES}?limit=1")).json["messages"]
    other = await api.get(f"/v1/sessions/b/messages/{message['id']}")
    assert (other.status, other.code) == (404, "message_not_found")


async def test_messages_of_an_unknown_session_are_not_found(api: Api) -> None:
    for answer in (
        await api.get(MESSAGES),
        await api.get(f"{MESSAGES}/{UNKNOWN_ID}"),
        await api.post(MESSAGES, {"to": TO, "text": "hello"}),
    ):
        assert (answer.status, answer.code) == (404, "session_not_found")
