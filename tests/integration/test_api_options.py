"""What a message may say besides its text: when, how urgent, to what it is an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from api.times import rfc3339
from storage.messages import NewInbound, Priority
from tests.integration.api_outbox_support import (
    CHAT,
    HOUR,
    MESSAGES,
    OTHER,
    TEXT,
    TO,
    stored,
)
from tests.integration.test_api_server import UNKNOWN_ID, Api, running_api

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


pytestmark = pytest.mark.integration


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


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
