"""Planned restarts archive first; QR codes are kept sealed, and only while they can be used."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import pytest

from actors import recycling
from actors.bridge import FutureReply
from actors.messages import Done, EndSession, OutboxChanged, StopKind
from storage.messages import MessageState, NewOutbound
from storage.secrets import qr_context
from storage.vault import SecretBox
from storage.vault.errors import SecretDamaged
from tests.integration.archive_support import RING
from tests.integration.archive_world import ALICE, ASK, ME, world
from tests.other_writer import other_writer
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.archive_world import World

pytestmark = pytest.mark.integration


async def test_a_restart_archives_a_connected_session_first(tmp_path: Path) -> None:
    """What the restarted session would lose its profile of, the archive gives back."""
    async with world(tmp_path) as here:
        pid = (await here.link()).browser_pid
        here.seen.clear()
        await here.end(StopKind.RESTART)
        assert await here.generations() == [1]

        async def again() -> bool:
            live = await here.live("ready")
            return live.browser_pid != pid

        await eventually_async(again)
        assert "qr_scanning" not in here.seen
        await here.end(StopKind.STOP)
        shutil.rmtree(here.profile)
        await here.start()
        await here.live("ready")
        assert "qr_scanning" not in here.seen


async def test_a_restart_without_a_login_does_not_wait(tmp_path: Path) -> None:
    """At the QR code there is nothing to archive."""
    async with world(tmp_path) as here:
        await here.start()
        first = await here.live("qr_shown")
        await here.end(StopKind.RESTART)

        async def again() -> bool:
            return (await here.live("qr_shown")).incarnation > first.incarnation

        await eventually_async(again)
        assert await here.generations() == []


async def test_a_restart_does_not_depend_on_its_archive(tmp_path: Path) -> None:
    """The archive fails, or takes too long: the session is restarted all the same."""
    async with world(tmp_path) as here:
        await here.link()
        here.data.archives.write_text("a file where the directory belongs")
        await here.end(StopKind.RESTART)
        await here.live("ready")
        here.data.archives.unlink()
        assert await here.generations() == []


async def test_a_restart_waits_only_so_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index is locked by another program: the save can't end, the restart does."""
    monkeypatch.setattr(recycling, "PATIENCE", 0.5)
    async with world(tmp_path) as here:
        pid = (await here.link()).browser_pid
        reply = FutureReply()
        ask = partial(EndSession, session_id=here.session, kind=StopKind.RESTART, reply=reply)
        async with here.archives._slots, here.archives._slots:
            here.fleet.tell(ask())
            assert await reply.wait(ASK) == Done()

            async def again() -> bool:
                return (await here.live("ready")).browser_pid != pid

            await eventually_async(again)
        assert await here.generations() == []


async def test_a_stop_overtakes_a_restart_that_archives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever stops does not wait for the archive, and nothing is started again."""
    monkeypatch.setattr(recycling, "PATIENCE", 3600.0)
    async with world(tmp_path) as here:
        await here.link()
        async with here.archives._slots, here.archives._slots:
            restart, stop = FutureReply(), FutureReply()
            ask = partial(EndSession, session_id=here.session)
            here.fleet.tell(ask(kind=StopKind.RESTART, reply=restart))
            here.fleet.tell(ask(kind=StopKind.STOP, reply=stop))
            assert await stop.wait(ASK) == Done()
            assert await restart.wait(ASK) == Done()
        await here.becomes("stopped")
        assert here.board.get(here.session) is None


async def test_what_may_have_been_sent_before_is_looked_for_first(tmp_path: Path) -> None:
    """As in a restored backup: accepted, counted as attempted, and long since at its receiver."""
    async with world(tmp_path) as here:
        await here.link()
        chat, wa_id = f"{ALICE}@c.us", "3EB0" + "B" * 18
        new = NewOutbound(session_id=here.session, chat=chat, wa_id=wa_id, body="once", now_ms=1)
        row = await here.store.accept_message(here.workspace, new)

        async def sent() -> bool:
            found = await here.store.message(here.workspace, here.session, row.id)
            return found.state in {MessageState.SENT, MessageState.DELIVERED, MessageState.READ}

        here.fleet.tell(OutboxChanged(session_id=here.session))
        await eventually_async(sent)
        assert await here.evaluate(f"!!WPP.whatsapp.MsgStore.remove('true_{chat}_{wa_id}')")
        async with other_writer(here.data.database) as connection:
            connection.execute("UPDATE messages SET state = 'accepted', attempts = 1")
        here.fleet.tell(OutboxChanged(session_id=here.session))
        await eventually_async(sent)
        received = here.simulator.truth.read(
            after=0, kinds=["message_received_from_client"], number="", limit=10
        )
        assert [event["id"] for event in received] == [wa_id]


def _stored(here: World) -> str | None:
    with closing(sqlite3.connect(here.data.database)) as connection:
        (row,) = connection.execute("SELECT qr_code FROM whatsapp_sessions").fetchall()
    found: str | None = row[0]
    return found


async def test_a_qr_code_is_stored_sealed_and_forgotten_after_the_scan(tmp_path: Path) -> None:
    """Never as the phone scans it, bound to its session, and gone with its status."""
    async with world(tmp_path) as here:
        await here.start()
        qr = (await here.live("qr_shown")).qr
        assert qr is not None

        async def stored() -> str | None:
            return await here.store.qr_code(here.workspace, here.session)

        sealed = await eventually_async(stored)
        assert sealed is not None
        assert sealed == _stored(here)
        box = SecretBox(RING)
        assert box.open(sealed, qr_context(here.session)).decode() == qr.text
        with pytest.raises(SecretDamaged):
            box.open(sealed, qr_context("01JDXQ0000000000000000000Z"))
        for part in qr.text.split(","):
            assert part not in sealed
            assert part.encode() not in here.data.database.read_bytes()
        here.simulator.desk.scan(ME, qr.text)
        await here.live("ready")
        await here.becomes("ready")
        assert _stored(here) is None


async def test_a_new_qr_code_replaces_the_stored_one(tmp_path: Path) -> None:
    """And a stop forgets it."""
    async with world(tmp_path, {"qr_first_ttl": 2.0}) as here:
        await here.start()
        await here.live("qr_shown")
        first = await eventually_async(partial(here.store.qr_code, here.workspace, here.session))

        async def replaced() -> bool:
            now = await here.store.qr_code(here.workspace, here.session)
            return now is not None and now != first

        await eventually_async(replaced)
        await here.end(StopKind.STOP)
        await here.becomes("stopped")
        assert _stored(here) is None
