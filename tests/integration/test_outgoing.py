"""What a page is given, made of what is stored: on a real database and real files."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from actors.browser.driver import Outgoing, PageRefused, SessionPaths
from actors.messages import OutboxChanged
from actors.outgoing import OutgoingDesk
from storage.messages import MessageRow, MessageState, NewOutbound
from storage.sqlite import open_store
from storage.upload_files import UploadFiles
from storage.uploads import Upload, UploadFacts
from tests.integration.archive_support import RING
from tests.integration.archive_world import ALICE, World, world
from tests.integration.media_samples import png
from tests.integration.tenant_support import GROUP, NOW, OTHER, PERSON, home_of, inbound
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from storage.sqlite.store import SqliteStore

pytestmark = pytest.mark.integration

DATA = bytes(range(256)) * 4000


class Place:
    """A store with one session, its uploads, and a desk."""

    def __init__(self, folder: Path, store: SqliteStore, home: str, session: str) -> None:
        self.store, self.home, self.session = store, home, session
        self.uploads = UploadFiles(data=folder, index=store, keyring=RING, now_ms=lambda: NOW)
        self.tmp = folder / "tmp"
        self.tmp.mkdir(mode=0o700)
        self.desk = OutgoingDesk(
            store=store,
            index=store,
            uploads=self.uploads,
            paths=lambda _: SessionPaths(profile=folder / "profile", tmp=self.tmp),
        )

    async def upload(self) -> Upload:
        facts = UploadFacts(mimetype="image/png", size=len(DATA), problem=None)
        return await self.uploads.save_upload(self.home, [DATA], lambda: facts, filename="a.png")

    async def accepted(
        self, kind: str = "text", wa_id: str = "M1", chat: str = PERSON, **content: Any
    ) -> MessageRow:
        new = NewOutbound(
            session_id=self.session,
            chat=chat,
            wa_id=wa_id,
            kind=kind,
            body="body",
            content=content,
            now_ms=NOW,
        )
        return await self.store.accept_message(self.home, new)

    async def refused(self, row: MessageRow) -> str:
        with pytest.raises(PageRefused) as caught:
            await self.desk.prepare(row)
        assert not list(self.tmp.iterdir())
        return caught.value.reason


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with open_store(tmp_path / "wafleet.db") as store:
        home = await home_of(store)
        session, _ = await store.create_session(home, "a", NOW)
        yield Place(tmp_path, store, home, session.id)


async def test_a_text_is_given_as_it_is(place: Place) -> None:
    row = await place.accepted(mentions=[OTHER])
    assert await place.desk.prepare(row) == Outgoing(
        chat=PERSON, wa_id="M1", kind="text", body="body", content={"mentions": [OTHER]}
    )


async def test_a_file_is_decrypted_for_this_user_alone_and_gone_afterwards(place: Place) -> None:
    row = await place.accepted("image", media=(await place.upload()).id, mimetype="image/png")
    for _ in range(2):  # also over one that a crash has left
        outgoing = await place.desk.prepare(row)
        assert outgoing.media is not None
        assert outgoing.media.parent == place.tmp
        assert await asyncio.to_thread(outgoing.media.read_bytes) == DATA
        assert outgoing.media.stat().st_mode & 0o777 == 0o600
    await place.desk.discard(outgoing)
    await place.desk.discard(outgoing)
    assert not list(place.tmp.iterdir())


async def test_other_messages_are_named_as_whatsapp_names_them(place: Place) -> None:
    theirs = await place.store.record_inbound(
        inbound(place.session, "IN1", chat=GROUP, sender=OTHER)
    )
    assert theirs is not None
    own = await place.accepted(wa_id="M0")
    row = await place.accepted("text", chat=GROUP, reply_to=theirs.id, target=own.id)
    assert (await place.desk.prepare(row)).content == {
        "reply_to": {"wa_id": "IN1", "chat": GROUP, "from_me": False, "sender": OTHER},
        "target": {"wa_id": "M0", "chat": PERSON, "from_me": True, "sender": None},
    }


async def test_what_is_gone_is_refused_for_good(place: Place, tmp_path: Path) -> None:
    theirs = await place.store.record_inbound(inbound(place.session, "IN1"))
    assert theirs is not None
    missing = await place.accepted(wa_id="M1", target="01J9ZS8XQ2N4B6D8F0H2K4M6P8")
    assert await place.refused(missing) == "target_not_found"
    no_file = await place.accepted("image", wa_id="M2", media="01J9ZS8XQ2N4B6D8F0H2K4M6P8")
    assert await place.refused(no_file) == "media_unreadable"

    upload = await place.upload()
    broken = await place.accepted("image", wa_id="M3", media=upload.id)
    [file] = list((tmp_path / "media").rglob("*.wfm"))
    raw = bytearray(file.read_bytes())
    raw[-20] ^= 1
    file.write_bytes(raw)
    assert await place.refused(broken) == "media_unreadable"

    forward = await place.accepted("forward", wa_id="M4", chat=OTHER, target=theirs.id)
    contact = await place.store.contact_with_jid(place.home, PERSON)
    await place.store.erase_contact(place.home, contact.id, NOW)
    assert await place.refused(forward) == "target_not_found"
    assert await place.refused(broken) == "target_not_found"  # it was erased itself


# ---- the whole way -------------------------------------------------------------------------------


async def became(here: World, row: MessageRow, *states: MessageState) -> MessageRow:
    async def look() -> MessageRow | None:
        now = await here.store.message(here.workspace, here.session, row.id)
        return now if now.state in states else None

    found = await eventually_async(look)
    assert found is not None
    return found


async def test_from_the_upload_to_the_other_phone(tmp_path: Path) -> None:
    """A picture, an answer to it, a reaction that can't be, and a text after it: in order."""
    async with world(tmp_path) as here:
        await here.link()
        uploads = UploadFiles(
            data=here.data.root, index=here.store, keyring=RING, now_ms=lambda: NOW
        )
        data = png()
        facts = UploadFacts(mimetype="image/png", size=len(data), problem=None)
        upload = await uploads.save_upload(here.workspace, [data], lambda: facts, filename="a.png")
        make = partial(NewOutbound, session_id=here.session, chat=f"{ALICE}@c.us", now_ms=NOW)
        content = {"media": upload.id, "mimetype": "image/png", "filename": "a.png"}
        accept = partial(here.store.accept_message, here.workspace)
        picture = await accept(make(wa_id="3EB01", kind="image", body="look", content=content))
        answer = await accept(make(wa_id="3EB02", body="nice", content={"reply_to": picture.id}))
        gone = {"target": "01J9ZS8XQ2N4B6D8F0H2K4M6P8"}
        lost = await accept(make(wa_id="3EB03", kind="reaction", body="👍", content=gone))
        last = await accept(make(wa_id="3EB04", body="and on"))
        here.fleet.tell(OutboxChanged(session_id=here.session))
        done = (MessageState.SENT, MessageState.DELIVERED, MessageState.READ)
        for row in (picture, answer, last):
            await became(here, row, *done)
        failed = await became(here, lost, MessageState.FAILED)
        assert failed.error_code == "target_not_found"
        shown = here.simulator.desk.shown(ALICE)
        assert [message["id"] for message in shown] == ["3EB01", "3EB02", "3EB04"]
        assert (shown[0]["caption"], shown[0]["size"]) == ("look", len(data))
        assert shown[1]["quotedStanzaID"] == "3EB01"

        async def tidy() -> bool:
            tmp = here.data.paths(here.session).tmp
            return not list(tmp.rglob("outgoing-*"))

        await eventually_async(tidy)
