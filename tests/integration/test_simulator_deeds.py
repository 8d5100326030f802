"""What contacts do beside writing, over real sockets: queued, told, refused where it is wrong."""

from __future__ import annotations

import aiohttp
import pytest

from simulator import requests as req
from simulator.client import WireClient
from simulator.errors import InvalidRequestError, NotFoundError
from simulator.jid import lid_jid, pn_jid
from tests.integration.test_simulator_messages import ALICE, ANN, BOB, link, running

pytestmark = pytest.mark.integration

POLL = {"pollName": "Tea?", "pollOptions": [{"name": "yes", "localId": 0}]}


async def test_deeds_wait_for_a_device_that_is_away_and_come_after_their_message() -> None:
    async with running() as simulator:
        async with WireClient(simulator.page_port) as client:
            device, secret = await link(simulator, client)
        desk = simulator.desk
        sent = desk.contact_sends(ANN, req.ContactSends(to=ALICE, text="first"))
        desk.contact_edits(ANN, req.ContactEdits(to=ALICE, id=sent, text="second"))
        desk.contact_reacts(ANN, req.ContactReacts(to=ALICE, id=sent, emoji="👍"))
        desk.contact_revokes(ANN, req.ContactRevokes(to=ALICE, id=sent))
        async with WireClient(simulator.page_port) as client:
            await client.log_in(device, secret)
            await client.take(op="offline_done")
            ops = [frame["op"] for frame in client.frames if "stanza" in frame]
            assert ops == ["message", "edited", "reacted", "revoked"]
            edited = await client.take(op="edited")
            assert (edited["id"], edited["text"], edited["sender"]) == (sent, "second", pn_jid(ANN))
            stanzas = [frame["stanza"] for frame in client.frames if "stanza" in frame]
            await client.push("confirm", stanzas=[*stanzas, edited["stanza"]])
        async with WireClient(simulator.page_port) as client:
            (chat,) = (await client.log_in(device, secret))["chats"]
            (message,) = chat["msgs"]
            assert (message["type"], message["body"]) == ("revoked", None)
            assert (await client.take(op="offline_done"))["count"] == 0


async def test_only_what_is_there_can_be_changed_and_only_by_who_may() -> None:
    async with running() as simulator:
        desk = simulator.desk
        sent = desk.contact_sends(
            ANN, req.ContactSends(to=ALICE, type="poll_creation", extra=dict(POLL))
        )
        with pytest.raises(NotFoundError):
            desk.contact_edits(BOB, req.ContactEdits(to=ALICE, id=sent, text="x"))
        with pytest.raises(NotFoundError):
            desk.contact_revokes(ANN, req.ContactRevokes(to=ALICE, id="nothing"))
        with pytest.raises(NotFoundError):
            desk.contact_reacts(BOB, req.ContactReacts(to=ALICE, id=sent, emoji="x"))
        with pytest.raises(InvalidRequestError):
            desk.contact_votes(ANN, req.ContactVotes(to=ALICE, id=sent, options=["maybe"]))


async def test_members_of_a_group_change_for_all_and_calls_ring_only_here_and_now() -> None:
    async with running() as simulator, WireClient(simulator.page_port) as client:
        await link(simulator, client)
        base = simulator.control_url
        async with aiohttp.ClientSession(base) as http:

            async def post(path: str, **body: object) -> tuple[int, dict[str, object]]:
                async with http.post(path, json=body) as answer:
                    return answer.status, await answer.json()

            _, group = await post("/groups", name="Crew", participants=[ALICE, ANN])
            path = f"/groups/{group['id']}/participants"
            status, group = await post(path, action="add", participants=[BOB], by=ANN)
            assert (status, group["participants"]) == (200, [ALICE, ANN, BOB])
            frame = await client.take(op="members")
            assert (frame["by"], frame["members"]) == (lid_jid(ANN), [lid_jid(BOB)])
            assert len(frame["participants"]) == 3
            _, group = await post(path, action="leave", participants=[BOB])
            assert group["participants"] == [ALICE, ANN]
            status, answer = await post(path, action="explode", participants=[BOB])
            assert (status, answer["code"]) == (400, "invalid_field")

            status, call = await post(f"/contacts/{ANN}/calls", to=ALICE)
            assert status == 201
            assert (await client.take(op="call"))["id"] == call["id"]
        queued = simulator.desk.account(ALICE)["devices"][0]["queued"]
        assert queued == 2, "the members; nothing of the call"
