"""From a contact's phone to the API: one session in real Chromium, the real store, the real API."""

from __future__ import annotations

import asyncio
import base64
import random
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from actors.check_cap import CheckCap
from actors.fetching import MOST_ATTEMPTS
from actors.limiter_plan import Limit
from actors.messages import StopKind
from actors.reading import MOST_OPEN
from api.app import build_app
from api.ports import ApiDeps
from api.server import serving
from simulator import requests as req
from storage.messages import NewInbound
from storage.space import SpaceLevel
from storage.vault import SecretBox
from supervisor.parts import instant, new_wa_id, now_ms
from tests.integration.archive_support import RING
from tests.integration.archive_world import ALICE, ME, world
from tests.integration.test_api_server import KEY
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.integration.archive_world import World

pytestmark = pytest.mark.integration

ALICE_JID = f"{ALICE}@c.us"
LARGE = random.Random(1).randbytes(1_500_000)  # noqa: S311 - three pieces that don't compress
TYPE = "image/jpeg"


class Client:
    """Asks the API for the world's one session."""

    def __init__(self, here: World, http: aiohttp.ClientSession) -> None:
        self._http = http
        self._base = f"/v1/sessions/{here.session}"

    async def get(self, path: str, **query: Any) -> tuple[int, Any]:
        async with self._http.get(f"{self._base}{path}", params=query) as answer:
            return answer.status, await answer.json()

    async def file(self, message: str) -> tuple[int, bytes, dict[str, str]]:
        async with self._http.get(f"{self._base}/messages/{message}/media") as answer:
            return answer.status, await answer.read(), dict(answer.headers)

    async def newest(self, kind: str) -> dict[str, Any]:
        """Wait for a message of this kind."""

        async def look() -> dict[str, Any] | None:
            _, page = await self.get("/messages", direction="inbound")
            found = [one for one in page["messages"] if one["kind"] == kind]
            return found[0] if found else None

        message = await eventually_async(look)
        assert message is not None
        return message

    async def kept(self, message: str) -> tuple[bytes, dict[str, str]]:
        """Wait until the file of a message is there."""

        async def look() -> tuple[int, bytes, dict[str, str]] | None:
            found = await self.file(message)
            return None if found[0] == 409 else found

        answer = await eventually_async(look)
        assert answer is not None
        status, content, headers = answer
        assert status == 200, content
        return content, headers


@asynccontextmanager
async def serving_world(here: World) -> AsyncIterator[Client]:
    deps = ApiDeps(
        store=here.store,
        live=here.board,
        fleet=here.fleet,
        workspace_id=here.workspace,
        api_key=KEY,
        now_ms=now_ms,
        new_wa_id=new_wa_id,
        telemetry=CollectorRegistry(),
        version="0",
        progress=lambda: True,
        media=here.media,
        uploads=here.uploads,
        forecasts=here.forecasts,
        checks=CheckCap(
            grants=here.store, limit=Limit(most=60, period_ms=3_600_000), instant=instant
        ),
        secrets=SecretBox(RING),
    )
    headers = {"Authorization": f"Bearer {KEY}"}
    async with (
        serving(build_app(deps), "127.0.0.1", 0) as (host, port),
        aiohttp.ClientSession(f"http://{host}:{port}", headers=headers) as http,
    ):
        yield Client(here, http)


def picture(content: bytes = LARGE, **more: Any) -> req.ContactSends:
    media = base64.b64encode(content).decode()
    return req.ContactSends(to=ME, type="image", media=media, mimetype=TYPE, **more)


async def told(here: World, kind: str) -> list[Any]:
    async def look() -> list[Any]:
        rows = await here.store.events(here.workspace, types=[kind])
        return [row.payload for row in rows]

    return await eventually_async(look)


async def test_a_file_comes_through_and_is_kept_encrypted(tmp_path: Path) -> None:
    async with world(tmp_path, media_max_mb=2) as here, serving_world(here) as client:
        await here.link()
        desk = here.simulator.desk
        desk.contact_sends(ALICE, picture(text="look", extra={"filename": "x.jpg"}))
        message = await client.newest("image")
        assert message["text"] == "look"
        assert message["content"]["file"] == {"mimetype": TYPE, "bytes": len(LARGE)}
        content, headers = await client.kept(message["id"])
        assert content == LARGE
        assert headers["Content-Type"] == TYPE
        assert headers["Content-Disposition"] == "attachment"
        (file,) = (here.data.root / "media" / here.workspace).iterdir()
        assert LARGE[:256] not in file.read_bytes()
        counted = 'wafleet_media_downloads_total{result="kept"} 1.0'
        await eventually_async(partial(_true, partial(here.metric, counted)))

        desk.contact_sends(ALICE, picture(b"x" * 2_000_001))
        too_large = await eventually_async(lambda: _failed(client, message["id"]))
        assert too_large == "media_too_large"

        desk.contact_sends(ALICE, picture(b"once", extra={"isViewOnce": True}))

        async def once() -> dict[str, Any] | None:
            newest = await client.newest("image")
            return newest if "view_once" in newest["content"] else None

        seen_once = await eventually_async(once)
        assert seen_once is not None
        status, _, _ = await client.file(seen_once["id"])
        assert status == 404

        raw = bytearray(file.read_bytes())
        raw[-40] ^= 1
        file.write_bytes(raw)
        with pytest.raises(aiohttp.ClientError):
            await client.file(message["id"])
        raw[:200] = bytes(200)
        file.write_bytes(raw)
        status, body, _ = await client.file(message["id"])
        assert (status, b"media_unreadable" in body) == (500, True)


async def _true(look: Callable[[], bool]) -> bool:
    return look()


async def _failed(client: Client, but: str) -> str | None:
    """Return why the newest picture has no file, once that is known."""
    newest = await client.newest("image")
    if newest["id"] == but:
        return None
    status, answer = await client.get(f"/messages/{newest['id']}/media")
    return answer["reason"] if (status, answer["code"]) == (404, "media_failed") else None


async def test_a_file_that_can_not_be_had_is_tried_again_and_then_given_up(tmp_path: Path) -> None:
    async with world(tmp_path, media_retry=0.5) as here, serving_world(here) as client:
        await here.link()
        hub = here.simulator.desk._hub
        lost = picture(b"lost")
        here.simulator.desk.contact_sends(ALICE, lost)
        kept, hub.delivery.media = hub.delivery.media, {}
        message = (await client.newest("image"))["id"]

        def attempts(code: str, count: int) -> Callable[[], bool]:
            line = f'wafleet_media_downloads_total{{result="{code}"}} {count:.1f}'
            return partial(here.metric, line)

        await eventually_async(partial(_true, attempts("media_unavailable", 2)))
        hub.delivery.media = kept
        assert (await client.kept(message))[0] == b"lost"

        hub.delivery.media = {}
        here.simulator.desk.contact_sends(ALICE, picture(b"gone"))
        hub.delivery.media = {}
        reason = await eventually_async(lambda: _failed(client, message))
        assert reason == "media_unavailable"
        assert here.metric('wafleet_media_downloads_total{result="kept"} 1.0')


async def test_a_file_waits_for_room_however_long_that_takes(tmp_path: Path) -> None:
    async with (
        world(tmp_path, media_retry=0.05, disk_interval=3600.0) as here,
        serving_world(here) as client,
    ):
        await here.link()
        here.space.set(SpaceLevel.LOW)
        here.simulator.desk.contact_sends(ALICE, picture(b"patient"))
        message = (await client.newest("image"))["id"]
        many = f'wafleet_media_downloads_total{{result="disk_low"}} {MOST_ATTEMPTS + 2:.1f}'
        await eventually_async(partial(_true, partial(here.metric, many)))
        here.space.set(SpaceLevel.PLENTY)
        assert (await client.kept(message))[0] == b"patient"
        (event,) = await told(here, "message.media")
        assert (event["message_id"], event["code"]) == (message, None)


async def test_a_file_that_was_wanted_is_fetched_in_the_next_life(tmp_path: Path) -> None:
    async with world(tmp_path, media_retry=0.3) as here, serving_world(here) as client:
        await here.link()
        await here.end(StopKind.STOP)
        here.simulator.desk.contact_sends(ALICE, picture())
        # as if the session had died right after it had stored the message
        wire = here.simulator.desk.account(ME)["messages"][-1]
        row = await here.store.record_inbound(
            NewInbound(
                session_id=here.session,
                chat=ALICE_JID,
                sender=ALICE_JID,
                wa_id=wire["id"],
                kind="image",
                body="",
                sent_ms=1,
                now_ms=now_ms(),
                content={"file": {"mimetype": TYPE}},
                fetch=True,
            )
        )
        assert row is not None
        status, answer = await client.get(f"/messages/{row.id}/media")
        assert (status, answer["code"]) == (409, "media_pending")
        await here.start()
        await here.live("ready")
        content, _ = await client.kept(row.id)
        assert content == LARGE


async def test_deeds_reach_the_rows_the_events_and_the_api(tmp_path: Path) -> None:
    async with (
        world(tmp_path, reject_calls=True, media_download=False) as here,
        serving_world(here) as client,
    ):
        status, answer = await client.get("/chats")
        assert (status, answer["code"]) == (409, "not_connected")
        await here.link()
        desk = here.simulator.desk
        sent = desk.contact_sends(ALICE, req.ContactSends(to=ME, text="first"))
        message = await client.newest("text")
        desk.contact_edits(ALICE, req.ContactEdits(to=ME, id=sent, text="second"))
        desk.contact_reacts(ALICE, req.ContactReacts(to=ME, id=sent, emoji="👍"))
        assert (await told(here, "message.reaction"))[0]["message_id"] == message["id"]
        _, row = await client.get(f"/messages/{message['id']}")
        assert row["text"] == "second"
        assert row["edited_at"] is not None
        _, reactions = await client.get(f"/messages/{message['id']}/reactions")
        assert [(one["from"], one["emoji"]) for one in reactions["reactions"]] == [
            (ALICE_JID, "👍")
        ]
        desk.contact_revokes(ALICE, req.ContactRevokes(to=ME, id=sent))
        assert len(await told(here, "message.revoked")) == 1

        poll = {
            "pollName": "Tea?",
            "pollOptions": [{"name": "yes", "localId": 0}, {"name": "no", "localId": 1}],
        }
        sent = desk.contact_sends(ALICE, req.ContactSends(to=ME, type="poll_creation", extra=poll))
        asked = await client.newest("poll")
        desk.contact_votes(ALICE, req.ContactVotes(to=ME, id=sent, options=["yes"]))
        await told(here, "message.poll_vote")
        _, votes = await client.get(f"/messages/{asked['id']}/votes")
        assert [(one["from"], one["options"]) for one in votes["votes"]] == [(ALICE_JID, ["yes"])]

        call = desk.contact_calls(ALICE, req.ContactCalls(to=ME))
        (event,) = await told(here, "call.received")
        assert (event["rejected"], event["video"]) == (True, False)
        rejected = here.simulator.truth.read(kinds=["call_rejected"])
        assert [entry["id"] for entry in rejected] == [call]

        group = desk.add_group(req.NewGroup(name="Crew", participants=[ME]))
        desk.change_members(group["id"], req.ChangeMembers(action="join", participants=[ALICE]))
        (event,) = await told(here, "group.participants")
        assert event["action"] == "join"

        desk.contact_sends(ALICE, picture())
        unfetched = await client.newest("image")
        status, answer = await client.get(f"/messages/{unfetched['id']}/media")
        assert (status, answer["code"]) == (404, "media_not_kept")

        await _reads(client, group["jid"])


async def test_a_page_that_is_busy_is_not_asked_without_bound(tmp_path: Path) -> None:
    async with world(tmp_path) as here, serving_world(here) as client:
        await here.link()
        hang = "(() => { const until = Date.now() + 1500; while (Date.now() < until); })()"
        hanging = asyncio.create_task(here.evaluate(hang))
        answers = await asyncio.gather(*(client.get("/chats") for _ in range(40)))
        await hanging
        refused = [answer for status, answer in answers if status == 503]
        assert {answer["code"] for answer in refused} == {"page_busy"}
        assert len([status for status, _ in answers if status == 200]) == 40 - len(refused)
        assert MOST_OPEN <= 40 - len(refused) < 40
        status, _ = await client.get("/chats")
        assert status == 200, "it is free again"


async def _reads(client: Client, group: str) -> None:
    """The lists, as the page of the session has them."""
    answers = await asyncio.gather(
        client.get("/contacts/check", number=f"+{ALICE}"),
        client.get("/contacts/check", number="15550199999"),
        client.get("/contacts"),
        client.get("/chats"),
        client.get("/groups"),
        client.get(f"/groups/{group}"),
        client.get(f"/chats/{ALICE}/messages"),
    )
    refused = await asyncio.gather(
        client.get("/chats/15550199999/messages"),
        client.get("/chats/nonsense/messages"),
        client.get("/groups/120363999@g.us"),
        client.get("/contacts/check", number=group),
    )
    found, missing, contacts, chats, groups, one, history = answers
    assert (found[1]["exists"], found[1]["jid"]) == (True, ALICE_JID)
    assert missing == (200, {"exists": False, "jid": None, "lid": None, "business": False})
    assert [person["jid"] for person in contacts[1]["contacts"]] == [ALICE_JID]
    assert {chat["jid"] for chat in chats[1]["chats"]} == {ALICE_JID, group}
    assert [(g["jid"], g["size"]) for g in groups[1]["groups"]] == [(group, 2)]
    assert {member["jid"] for member in one[1]["members"]} == {ALICE_JID, f"{ME}@c.us"}
    kinds = [message["kind"] for message in history[1]["messages"]]
    assert sorted(kinds) == ["image", "poll", "revoked"]
    assert [(status, answer["code"]) for status, answer in refused] == [
        (404, "chat_unknown"),
        (404, "chat_unknown"),
        (404, "chat_unknown"),
        (422, "fields_invalid"),
    ]
