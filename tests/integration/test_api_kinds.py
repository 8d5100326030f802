"""Messages of every kind over HTTP: what is stored of them, and what is refused before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from api.drafts import EDIT_MS, REVOKE_MS
from storage.messages import MessageRow, NewInbound
from tests.integration.media_samples import JPEG, MP4, OPUS_OGG, PDF, png
from tests.integration.test_api_server import KEY, UNKNOWN_ID, Api, Reached, running_api

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.integration

MESSAGES = "/v1/sessions/a/messages"
TO = "15550100199"
CHAT = f"{TO}@c.us"
OTHER = "15550100198@c.us"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        await running.new_session("a")
        yield running


async def upload(api: Api, data: bytes, name: str = "file.bin") -> str:
    headers = {"Authorization": f"Bearer {KEY}"}
    path = f"/v1/media?filename={name}"
    answer = await api.call("POST", path, data=data, headers=headers)
    assert answer.status == 201
    return str(answer.json["id"])


async def stored(api: Api, answer: Reached) -> MessageRow:
    assert answer.status == 202, answer.raw
    session = answer.json["session_id"]
    return await api.store.message(api.deps.workspace_id, session, answer.json["id"])


async def sent(
    api: Api, body: dict[str, Any] | None = None, *, at: int | None = None
) -> MessageRow:
    """Accept a message and let WhatsApp have it."""
    row = await stored(api, await api.post(MESSAGES, body or {"to": TO, "text": "hello"}))
    await api.store.record_sent(row.id, 1, at if at is not None else api.deps.now_ms())
    return await api.store.message(api.deps.workspace_id, row.session_id, row.id)


async def received(api: Api, kind: str = "chat", chat: str = CHAT, **content: Any) -> MessageRow:
    session = await api.store.session_named(api.deps.workspace_id, "a")
    new = NewInbound(
        session_id=session.id,
        chat=chat,
        sender=chat,
        wa_id="IN1",
        kind=kind,
        body="question",
        sent_ms=api.deps.now_ms(),
        now_ms=api.deps.now_ms(),
        content=content,
    )
    row = await api.store.record_inbound(new)
    assert row is not None
    return row


async def refused(api: Api, body: dict[str, Any]) -> str:
    """Have it refused; return the field and the sentence. Nothing is stored."""
    before = (await api.get(MESSAGES)).json["messages"]
    answer = await api.post(MESSAGES, body)
    assert (answer.status, answer.code) == (422, "fields_invalid")
    assert (await api.get(MESSAGES)).json["messages"] == before
    [error] = answer.json["errors"]
    return f"{error['field']} {error['message']}"


@pytest.mark.parametrize(
    ("body", "text", "content"),
    [
        ({"text": "x"}, "x", {}),
        ({"text": "x", "mentions": [OTHER], "link_preview": True}, "x", None),
        (
            {"kind": "location", "latitude": 1.5, "longitude": -2, "name": "here"},
            "",
            {"latitude": 1.5, "longitude": -2.0, "name": "here"},
        ),
        (
            {"kind": "contact", "contacts": [{"name": "Dora", "phone": "+1 555 010 0007"}]},
            "",
            {"contacts": [{"name": "Dora", "phone": "15550100007@c.us"}]},
        ),
        (
            {"kind": "poll", "question": "Tea?", "options": ["yes", "no"]},
            "Tea?",
            {"options": ["yes", "no"], "selectable": 1},
        ),
    ],
)
async def test_what_needs_nothing_but_itself(
    api: Api, body: dict[str, Any], text: str, content: dict[str, Any] | None
) -> None:
    row = await stored(api, await api.post(MESSAGES, {"to": TO, **body}))
    expected = {"mentions": [OTHER], "link_preview": True} if content is None else content
    assert (row.chat, row.kind, row.body) == (CHAT, body.get("kind", "text"), text)
    assert row.content == expected


@pytest.mark.parametrize(
    ("kind", "data", "more"),
    [
        ("image", png(), {"caption": "look", "view_once": True}),
        ("video", MP4, {"caption": "look", "gif": True}),
        ("document", PDF, {"caption": "look"}),
        ("audio", OPUS_OGG, {}),
        ("voice", OPUS_OGG, {"view_once": True}),
    ],
)
async def test_what_has_a_file(api: Api, kind: str, data: bytes, more: dict[str, Any]) -> None:
    media = await upload(api, data)
    body = {"kind": kind, "to": TO, "media": media, **more}
    row = await stored(api, await api.post(MESSAGES, body))
    caption = more.pop("caption", "")
    assert (row.kind, row.body) == (kind, caption)
    assert row.content["media"] == media
    assert (row.content["size"], row.content["filename"]) == (len(data), "file.bin")
    assert {name: row.content[name] for name in more} == more


async def test_a_document_goes_by_the_name_that_it_is_given(api: Api) -> None:
    media = await upload(api, PDF)
    body = {"kind": "document", "to": TO, "media": media, "filename": "Bericht.pdf"}
    row = await stored(api, await api.post(MESSAGES, body))
    assert row.content["filename"] == "Bericht.pdf"


async def test_files_that_do_not_fit_are_refused(api: Api) -> None:
    for kind, data, problem in (
        ("image", PDF, "is no image/jpeg"),
        ("image", JPEG[:-9], "is broken"),
        ("video", png(), "is no video/mp4"),
        ("voice", b"ID3 music", "is no audio/ogg; codecs=opus"),
    ):
        body = {"kind": kind, "to": TO, "media": await upload(api, data)}
        assert f"media {problem}" in await refused(api, body)
        document = {**body, "kind": "document"}
        assert (await api.post(MESSAGES, document)).status == 202
    nothing = {"kind": "image", "to": TO, "media": UNKNOWN_ID}
    assert "media is no upload" in await refused(api, nothing)


async def test_what_changes_another_message_goes_to_its_chat(api: Api) -> None:
    own, theirs = await sent(api), await received(api)
    poll = await sent(api, {"kind": "poll", "to": TO, "question": "?", "options": ["a", "b"]})
    for body, text, content in (
        ({"kind": "reaction", "message": theirs.id, "emoji": "👍"}, "👍", {"target": theirs.id}),
        ({"kind": "reaction", "message": own.id, "emoji": ""}, "", {"target": own.id}),
        ({"kind": "edit", "message": own.id, "text": "better"}, "better", {"target": own.id}),
        ({"kind": "revoke", "message": own.id}, "", {"target": own.id}),
        (
            {"kind": "vote", "message": poll.id, "options": ["b"]},
            "",
            {"target": poll.id, "options": ["b"]},
        ),
    ):
        row = await stored(api, await api.post(MESSAGES, body))
        assert (row.chat, row.kind, row.body) == (CHAT, body["kind"], text)
        assert row.content == content


async def test_forwards_and_replies_name_the_other_message_by_our_id_only(api: Api) -> None:
    theirs = await received(api)
    forward = {"kind": "forward", "to": OTHER, "message": theirs.id}
    row = await stored(api, await api.post(MESSAGES, forward))
    assert (row.chat, row.content) == (OTHER, {"target": theirs.id})
    reply = {"to": TO, "text": "answer", "reply_to": theirs.id}
    row = await stored(api, await api.post(MESSAGES, reply))
    assert row.content == {"reply_to": theirs.id}


async def test_what_can_not_be_done_to_a_message_is_refused(api: Api) -> None:
    now = api.deps.now_ms()
    theirs = await received(api)
    old = await sent(api, at=now - EDIT_MS - 60_000)
    oldest = await sent(api, at=now - REVOKE_MS - 60_000)
    poll = await sent(api, {"kind": "poll", "to": TO, "question": "?", "options": ["a", "b"]})
    failed = await stored(api, await api.post(MESSAGES, {"to": TO, "text": "x"}))
    await api.store.record_failed(failed.id, "send_refused", "no", now)
    reaction = await sent(api, {"kind": "reaction", "message": poll.id, "emoji": "👍"})
    for body, problem in (
        ({"kind": "edit", "message": theirs.id, "text": "x"}, "message is not our own"),
        ({"kind": "revoke", "message": theirs.id}, "message is not our own"),
        ({"kind": "edit", "message": old.id, "text": "x"}, "message can be edited for 15 minutes"),
        ({"kind": "revoke", "message": oldest.id}, "message can be deleted for 60 hours"),
        ({"kind": "edit", "message": poll.id, "text": "x"}, "message has no text to edit"),
        ({"kind": "vote", "message": old.id, "options": []}, "message is no poll"),
        ({"kind": "vote", "message": poll.id, "options": ["z"]}, "options are not all options"),
        ({"kind": "vote", "message": poll.id, "options": ["a", "b"]}, "options are at most 1"),
        ({"kind": "forward", "to": TO, "message": poll.id}, "message can't be forwarded"),
        ({"kind": "reaction", "message": failed.id, "emoji": "👍"}, "message was never sent"),
        ({"kind": "reaction", "message": reaction.id, "emoji": "👍"}, "message is no message by"),
        ({"kind": "revoke", "message": UNKNOWN_ID}, "message is no message of this session"),
        ({"to": TO, "text": "x", "reply_to": UNKNOWN_ID}, "reply_to is no message of this"),
        ({"to": OTHER, "text": "x", "reply_to": old.id}, "reply_to is a message of another chat"),
    ):
        assert problem in await refused(api, body), body
    assert (await api.post(MESSAGES, {"kind": "revoke", "message": old.id})).status == 202


async def test_messages_of_another_session_can_not_be_referred_to(api: Api) -> None:
    own = await sent(api)
    await api.new_session("b")
    answer = await api.post("/v1/sessions/b/messages", {"kind": "revoke", "message": own.id})
    assert (answer.status, answer.fields) == (422, ["message"])
