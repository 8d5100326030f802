"""Every kind of message through real Chromium and the real wa-js; the simulator tells what came."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import pytest

from actors.browser.driver import MessageReceived, Outgoing
from simulator import ContactSeed, Simulator
from simulator import requests as req
from simulator.jid import lid_jid, pn_jid
from tests.integration.browser_support import Facts, until
from tests.integration.media_samples import MP4, OPUS_OGG, PDF, png
from tests.integration.whatsapp_support import (
    BOB,
    CAROL,
    ME,
    SEEDS,
    linked,
    outgoing,
    refused,
    simulating,
    truth,
    wa_id,
)

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

CHAT = f"{BOB}@c.us"
LID_CHAT = f"{CAROL}@c.us"


def own(number: int, chat: str = CHAT) -> dict[str, Any]:
    """How WhatsApp names a message of ours."""
    return {"wa_id": wa_id(number), "chat": chat, "from_me": True, "sender": None}


def theirs(message: MessageReceived) -> dict[str, Any]:
    return {
        "wa_id": message.wa_id,
        "chat": message.chat,
        "from_me": False,
        "sender": message.sender,
    }


def made(kind: str, number: int, *, chat: str = CHAT, body: str = "", **content: Any) -> Outgoing:
    return Outgoing(chat=chat, wa_id=wa_id(number), kind=kind, body=body, content=content)


def shown(simulator: Simulator, number: int, contact: str = BOB) -> dict[str, Any]:
    """What the contact's phone shows of our message."""
    found = {m["id"]: m for m in simulator.desk.shown(contact)}
    return found[wa_id(number)]


async def test_what_needs_no_file(tmp_path: Path) -> None:
    async with simulating() as simulator, linked(tmp_path, simulator, Facts()) as browser:
        place: dict[str, Any] = {
            "latitude": 48.137,
            "longitude": 11.575,
            "name": "Rathaus",
            "address": "Platz 1",
        }
        await browser.send(made("location", 1, **place))
        cards = [{"name": "Dora Ö", "phone": "15550100007@c.us"}]
        await browser.send(made("contact", 2, contacts=cards))
        both = [*cards, {"name": "Emil", "phone": "15550100008@c.us"}]
        await browser.send(made("contact", 3, contacts=both))
        await browser.send(made("poll", 4, body="Tea?", options=["yes", "no"], selectable=1))
        await browser.send(made("poll", 5, body="All?", options=["a", "b"], selectable=2))
        await browser.send(made("text", 6, body="hi @15550100003", mentions=[f"{CAROL}@c.us"]))
        await browser.send(made("text", 7, body="yes", reply_to=own(6)))

        location = shown(simulator, 1)
        assert (location["type"], location["lat"], location["lng"]) == ("location", 48.137, 11.575)
        assert location["loc"] == "Rathaus\nPlatz 1"
        card = shown(simulator, 2)
        assert (card["type"], card["vcardFormattedName"]) == ("vcard", "Dora Ö")
        assert "FN:Dora Ö" in card["body"]
        assert "+15550100007" in card["body"]
        assert [c["displayName"] for c in shown(simulator, 3)["vcardList"]] == ["Dora Ö", "Emil"]
        poll = shown(simulator, 4)
        assert (poll["type"], poll["pollName"]) == ("poll_creation", "Tea?")
        assert [o["name"] for o in poll["pollOptions"]] == ["yes", "no"]
        assert poll["pollSelectableOptionsCount"] == 1
        assert shown(simulator, 5)["pollSelectableOptionsCount"] == 0  # any number
        assert shown(simulator, 6)["mentionedJidList"] == [f"{CAROL}@c.us"]
        assert shown(simulator, 7)["quotedStanzaID"] == wa_id(6)
        assert len(truth(simulator, "message_received_from_client")) == 7


@pytest.mark.parametrize(
    ("kind", "data", "mimetype", "content", "type_"),
    [
        ("image", png(), "image/png", {"view_once": True}, "image"),
        ("video", MP4, "video/mp4", {"gif": True}, "video"),
        ("document", PDF, "application/pdf", {"filename": "Bericht ü.pdf"}, "document"),
        ("audio", OPUS_OGG, "audio/ogg; codecs=opus", {}, "audio"),
        ("voice", OPUS_OGG, "audio/ogg; codecs=opus", {}, "ptt"),
    ],
)
async def test_a_file_arrives_byte_by_byte_and_once(
    tmp_path: Path,
    kind: str,
    data: bytes,
    mimetype: str,
    content: dict[str, Any],
    type_: str,
) -> None:
    file = tmp_path / "outgoing"
    file.write_bytes(data)
    fields = {"mimetype": mimetype, "filename": "some.bin", **content}
    has_caption = kind in {"image", "video", "document"}
    message = replace(made(kind, 1, body="look ✓" if has_caption else "", **fields), media=file)
    async with simulating() as simulator, linked(tmp_path, simulator, Facts()) as browser:
        for _ in range(2):
            sent = await browser.send(message, again=True)
            assert sent.ack >= 1
        got = shown(simulator, 1)
        assert (got["type"], got["mimetype"], got["size"]) == (type_, mimetype, len(data))
        assert got.get("caption") == ("look ✓" if has_caption else None)
        assert got.get("isViewOnce", False) == content.get("view_once", False)
        assert got.get("isGif", False) == content.get("gif", False)
        if kind == "document":
            assert got["filename"] == "Bericht ü.pdf"
        filehash = base64.b64encode(hashlib.sha256(data).digest()).decode()
        assert got["filehash"] == filehash
        assert base64.b64decode(simulator.desk._hub.delivery.media[filehash]) == data
        assert len(truth(simulator, "message_received_from_client")) == 1


async def test_what_changes_another_message(tmp_path: Path) -> None:
    facts = Facts()
    async with simulating() as simulator, linked(tmp_path, simulator, facts) as browser:
        await browser.send(outgoing(CHAT, wa_id(1), "first"))
        answer = await facts.next(MessageReceived)
        await browser.send(made("poll", 2, body="Tea?", options=["a", "b", "c"], selectable=2))

        for _ in range(2):  # again changes nothing
            await browser.send(made("reaction", 3, body="👍🏽", target=own(1)), again=True)
            await browser.send(made("edit", 4, body="second", target=own(1)), again=True)
            await browser.send(made("vote", 5, target=own(2), options=["a", "c"]), again=True)
        got = shown(simulator, 1)
        assert (got["reactions"], got["body"], got["edited"]) == ({ME: "👍🏽"}, "second", True)
        assert shown(simulator, 2)["votes"] == {ME: ["a", "c"]}

        await browser.send(made("reaction", 6, body="", target=own(1)))
        await browser.send(made("vote", 7, target=own(2), options=[]))
        await browser.send(made("reaction", 8, body="❤️", target=theirs(answer)))
        assert shown(simulator, 1)["reactions"] == {}
        assert shown(simulator, 2)["votes"] == {}
        reacted = truth(simulator, "reacted")[-1]
        assert (reacted["id"], reacted["reaction"]) == (answer.wa_id, "❤️")

        for _ in range(2):
            await browser.send(made("revoke", 9, target=own(1)), again=True)
        assert (shown(simulator, 1)["type"], shown(simulator, 1)["body"]) == ("revoked", None)
        assert len(truth(simulator, "revoked")) == 1
        assert len(truth(simulator, "message_received_from_client")) == 2


async def test_what_is_not_there_or_not_permitted_is_refused_before(tmp_path: Path) -> None:
    facts = Facts()
    async with simulating() as simulator, linked(tmp_path, simulator, facts) as browser:
        await browser.send(outgoing(CHAT, wa_id(1), "first"))
        answer = await facts.next(MessageReceived)
        poll = made("poll", 2, body="Tea?", options=["a", "b"], selectable=1)
        await browser.send(poll)
        before = len(truth(simulator, "message_received_from_client"))
        for number, (message, reason) in enumerate(
            (
                (made("text", 10, body="x", reply_to=own(99)), "target_not_found"),
                (made("reaction", 11, body="👍", target=own(99)), "target_not_found"),
                (made("edit", 12, body="x", target=theirs(answer)), "not_permitted"),
                (made("revoke", 13, target=theirs(answer)), "not_permitted"),
                (made("vote", 14, target=own(1), options=["a"]), "not_permitted"),
                (made("vote", 15, target=own(2), options=["z"]), "not_permitted"),
                (made("forward", 16, target=own(99)), "target_not_found"),
                (made("image", 17, mimetype="image/png"), "media_unreadable"),
                (made("carrier_pigeon", 18), "unsupported_kind"),
            )
        ):
            assert await refused(browser.send(message)) == reason, number
        assert len(truth(simulator, "message_received_from_client")) == before
        assert truth(simulator, "reacted", "edited", "revoked", "voted") == []


async def test_forwards_go_anywhere_under_our_own_id(tmp_path: Path) -> None:
    facts = Facts()
    file = tmp_path / "outgoing"
    file.write_bytes(png())
    async with simulating() as simulator, linked(tmp_path, simulator, facts) as browser:
        await browser.send(outgoing(CHAT, wa_id(1), "first"))
        answer = await facts.next(MessageReceived)
        picture = made("image", 2, body="look", mimetype="image/png", filename="a.png")
        await browser.send(replace(picture, media=file))
        for _ in range(2):
            forward = made("forward", 3, chat=LID_CHAT, target=theirs(answer))
            await browser.send(forward, again=True)
            await browser.send(made("forward", 4, chat=LID_CHAT, target=own(2)), again=True)
        text, image = shown(simulator, 3, CAROL), shown(simulator, 4, CAROL)
        assert (text["type"], text["body"], text["isForwarded"]) == ("chat", "first", True)
        assert (image["type"], image["caption"], image["isForwarded"]) == ("image", "look", True)
        assert image["filehash"] == shown(simulator, 2)["filehash"]
        assert len(simulator.desk.shown(CAROL)) == 2


async def test_in_groups_and_chats_by_lid(tmp_path: Path) -> None:
    facts = Facts()
    async with simulating() as simulator:
        group = simulator.desk.add_group(req.NewGroup(name="Team", participants=[ME, BOB, CAROL]))
        jid = group["jid"]
        async with linked(tmp_path, simulator, facts) as browser:
            simulator.desk.group_sends(jid, req.GroupSends(sender=CAROL, text="who comes?"))
            asked = await facts.next(MessageReceived)
            mine = theirs(asked)
            await browser.send(made("text", 1, chat=jid, body="me", reply_to=mine))
            await browser.send(made("reaction", 2, chat=jid, body="👍", target=mine))
            await browser.send(
                made("poll", 3, chat=jid, body="?", options=["a", "b"], selectable=1)
            )
            await browser.send(made("vote", 4, chat=jid, target=own(3, jid), options=["b"]))
            await browser.send(made("edit", 5, chat=jid, body="us", target=own(1, jid)))
            assert shown(simulator, 1)["quotedStanzaID"] == asked.wa_id
            assert shown(simulator, 1, CAROL)["body"] == "us"
            assert shown(simulator, 3, CAROL)["votes"] == {ME: ["b"]}
            assert truth(simulator, "reacted")[0]["id"] == asked.wa_id
            await browser.send(outgoing(LID_CHAT, wa_id(6), "by lid"))
            await browser.send(
                made("edit", 7, chat=LID_CHAT, body="edited", target=own(6, LID_CHAT))
            )
            assert shown(simulator, 6, CAROL)["body"] == "edited"


@pytest.mark.parametrize("addressing", ["lid", "pn"])
async def test_mentions_name_members_as_their_group_does(
    tmp_path: Path, addressing: Literal["lid", "pn"]
) -> None:
    """Bob is known by his chat, Carol's lid must be asked for, and Dora is not in the group."""
    facts = Facts()
    dora = "15550100007"
    contacts = (*SEEDS["contacts"], ContactSeed(number=dora, name="Dora"))
    wanted = {
        n: (lid_jid if addressing == "lid" else pn_jid)(n).split("@")[0] for n in (BOB, CAROL)
    }
    server = {"lid": "lid", "pn": "c.us"}[addressing]
    async with simulating(contacts=contacts) as simulator:
        group = simulator.desk.add_group(
            req.NewGroup(name="Team", participants=[ME, BOB, CAROL], addressing=addressing)
        )
        jid = group["jid"]
        simulator.desk.contact_sends(BOB, req.ContactSends(to=ME, text="hi"))
        async with linked(tmp_path, simulator, facts) as browser:
            body = f"@{BOB}, @{CAROL}! @{dora}? @{BOB}1 {BOB}"
            mentions = [pn_jid(BOB), pn_jid(CAROL), pn_jid(dora)]
            await browser.send(made("text", 1, chat=jid, body=body, mentions=mentions))
            got = shown(simulator, 1)
            assert got["body"] == (f"@{wanted[BOB]}, @{wanted[CAROL]}! @{dora}? @{BOB}1 {BOB}")
            assert got["mentionedJidList"] == [f"{wanted[n]}@{server}" for n in (BOB, CAROL)]

            # by either address, in captions, too
            file = tmp_path / "outgoing"
            file.write_bytes(png())
            named = {"mentions": [lid_jid(BOB)], "mimetype": "image/png", "filename": "a.png"}
            picture = made("image", 2, chat=jid, body=f"@{lid_jid(BOB)[:-4]}", **named)
            await browser.send(replace(picture, media=file))
            got = shown(simulator, 2)
            assert got["caption"] == f"@{wanted[BOB]}"
            assert got["mentionedJidList"] == [f"{wanted[BOB]}@{server}"]
            nobody = made("text", 3, chat=jid, body=f"@{dora}", mentions=[pn_jid(dora)])
            await browser.send(nobody)
            assert shown(simulator, 3)["body"] == f"@{dora}"
            assert not shown(simulator, 3).get("mentionedJidList")

            # what comes in names them by their numbers, in the text as well
            text = f"@{wanted[CAROL]} @{wanted[BOB]}"
            extra = {"mentionedJidList": [f"{wanted[n]}@{server}" for n in (CAROL, BOB)]}
            simulator.desk.contact_sends(BOB, req.ContactSends(to=jid, text=text, extra=extra))
            told = await facts.next(MessageReceived, lambda one: one.chat == jid)
            assert told.body == f"@{CAROL} @{BOB}"
            assert told.content["mentions"] == [pn_jid(CAROL), pn_jid(BOB)]


async def test_a_large_file_passes_neither_through_us_nor_through_the_pipe(tmp_path: Path) -> None:
    """Its bytes would be seen on the pipe: the largest frame that goes out stays small."""
    data = png(padding=b"\7" * (12 * 1024 * 1024))
    file = tmp_path / "outgoing"
    file.write_bytes(data)
    async with simulating() as simulator, linked(tmp_path, simulator, Facts()) as browser:
        sizes: list[int] = []
        connection = browser._connection
        call = connection.call

        def counted(method: str, params: Any, session: Any) -> Any:
            sizes.append(len(str(params)))
            return call(method, params, session)

        connection.call = counted  # type: ignore[method-assign]
        picture = made("image", 1, mimetype="image/png", filename="a.png")
        await browser.send(replace(picture, media=file))
        await until(lambda: simulator.desk.shown(BOB))
        assert shown(simulator, 1)["size"] == len(data)
        assert sizes
        assert max(sizes) < 100_000
