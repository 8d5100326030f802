"""Marking chats as read and showing that we type, over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from actors.browser.reading import MarkRead, MarkTyping
from actors.messages import Refused
from actors.page_messages import ReadPage
from tests.integration.test_api_server import Api, running_api

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.integration

CHAT = "/v1/sessions/a/chats/+1 555 010 0199"
JID = "15550100199@c.us"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        await running.new_session("a")
        yield running


async def test_the_page_is_asked_to_show_it(api: Api) -> None:
    assert (await api.post(f"{CHAT}/read")).status == 204
    assert (await api.post(f"{CHAT}/typing", {})).status == 204
    assert (await api.post(f"{CHAT}/typing", {"seconds": 60, "recording": True})).status == 204
    queries = [m.query for m in api.fleet.messages if isinstance(m, ReadPage)]
    assert queries == [
        MarkRead(jid=JID),
        MarkTyping(jid=JID, seconds=5),
        MarkTyping(jid=JID, seconds=60, recording=True),
    ]


@pytest.mark.parametrize("seconds", [-1, 61, 1.5, "5"])
async def test_typing_has_its_limits(api: Api, seconds: object) -> None:
    answer = await api.post(f"{CHAT}/typing", {"seconds": seconds})
    assert (answer.status, answer.fields) == (422, ["seconds"])
    assert api.fleet.messages == []


async def test_a_chat_that_is_not_there_and_a_session_that_is_not_connected(api: Api) -> None:
    api.fleet.answer = Refused(code="chat_unknown", message="WhatsApp Web has no such chat.")
    answer = await api.post(f"{CHAT}/read")
    assert (answer.status, answer.code) == (404, "chat_unknown")
    api.fleet.answer = Refused(code="not_connected", message="The session is not connected.")
    answer = await api.post(f"{CHAT}/typing", {})
    assert (answer.status, answer.code) == (409, "not_connected")
    answer = await api.post("/v1/sessions/a/chats/nobody/read")
    assert (answer.status, answer.code) == (404, "chat_unknown")
