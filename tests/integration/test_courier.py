"""The courier in a real fleet: Chromium, the simulator, the limiter, the store."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from actors import courier
from actors.messages import OutboxChanged, StopKind
from simulator import requests as req
from storage.messages import MessageRow, MessageState, NewOutbound
from storage.uploads import UploadFacts
from supervisor.parts import now_ms
from tests.integration.archive_world import ALICE, ME, World, world
from tests.integration.media_samples import png
from tests.integration.outbox_support import claim_next
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

CHAT = f"{ALICE}@c.us"
SILENT = "15550100077"
ARRIVED = {MessageState.SENT, MessageState.DELIVERED, MessageState.READ}


async def accept(here: World, number: int, **fields: Any) -> MessageRow:
    fields = {"chat": CHAT, **fields}
    new = NewOutbound(
        session_id=here.session,
        wa_id=f"3EB0{number:018X}",
        body=f"text {number}",
        now_ms=now_ms(),
        **fields,
    )
    row = await here.store.accept_message(here.workspace, new)
    here.fleet.tell(OutboxChanged(session_id=here.session))
    return row


async def lose(here: World, row: MessageRow) -> None:
    """Leave it as a life does that died after the claim, before the page call."""
    await claim_next(here.store, here.session, now_ms())
    await here.store.record_unknown(row.id, "no_answer", "x", now_ms())


async def becomes(here: World, row: MessageRow, *states: MessageState) -> MessageRow:
    async def look() -> MessageRow | None:
        found = await here.store.message(here.workspace, here.session, row.id)
        return found if found.state in states else None

    found = await eventually_async(look)
    assert found is not None
    return found


def received(here: World) -> list[str]:
    """Return what WhatsApp's server got, in order, repeats too."""
    entries = here.simulator.truth.read(kinds=["message_received_from_client"], number=ME)
    return [entry["text"] for entry in entries]


async def test_messages_leave_in_order_each_under_a_grant(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.link()
        rows = [await accept(here, number) for number in range(5)]
        for row in rows:
            await becomes(here, row, *ARRIVED)
        assert received(here) == [f"text {number}" for number in range(5)]
        [log] = await here.store.number_logs()
        assert log.number == ME
        keys = [grant.key.partition(".")[0] for grant in log.grants]
        assert sorted(keys) == sorted(row.id for row in rows)


async def test_a_cap_that_is_reached_holds_the_next_one_back(tmp_path: Path) -> None:
    async with world(tmp_path, send_per_minute=2) as here:
        await here.link()
        rows = [await accept(here, number) for number in range(3)]
        for row in rows[:2]:
            await becomes(here, row, *ARRIVED)
        assert (await becomes(here, rows[2], MessageState.ACCEPTED)).attempts == 0
        assert received(here) == ["text 0", "text 1"]


async def test_what_whatsapp_never_got_is_sent_again_under_its_id(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.link()
        await here.end(StopKind.STOP)
        lost, after = await accept(here, 1), await accept(here, 2)
        await lose(here, lost)
        await here.start()
        found = await becomes(here, lost, *ARRIVED)
        assert (found.attempts, found.possible_duplicate) == (2, False)
        await becomes(here, after, *ARRIVED)
        assert received(here) == ["text 1", "text 2"]


async def test_what_is_parked_waits_for_a_person_and_holds_back_its_chat(tmp_path: Path) -> None:
    async with world(tmp_path, unknown_policy="park") as here:
        lost, after = await accept(here, 1), await accept(here, 2)
        await lose(here, lost)
        await here.link()

        async def parked() -> bool:
            row = await here.store.message(here.workspace, here.session, lost.id)
            return row.error_code == "parked"

        await eventually_async(parked)
        assert (await becomes(here, lost, MessageState.UNKNOWN)).attempts == 1
        await becomes(here, after, MessageState.ACCEPTED)
        assert received(here) == []
        await here.store.record_failed(lost.id, "resolved", "a person said so", now_ms())
        here.fleet.tell(OutboxChanged(session_id=here.session))
        await becomes(here, after, *ARRIVED)


async def test_what_arrived_before_the_browser_died_is_not_sent_again(tmp_path: Path) -> None:
    """The server has it, its ack is lost: the page finds out by itself; nobody sees it twice."""
    async with world(tmp_path, restart_backoff_first=0.1) as here:
        await here.link()
        here.simulator.desk.set_fault("drop_acks", ME, {})
        row = await accept(here, 1)

        async def arrived() -> bool:
            return received(here) == ["text 1"]

        await eventually_async(arrived)
        live = here.board.get(here.session)
        assert live is not None
        assert live.browser_pid is not None
        here.simulator.desk.clear_faults(None)
        os.kill(live.browser_pid, signal.SIGKILL)
        await becomes(here, row, *ARRIVED)
        assert set(received(here)) == {"text 1"}
        shown = here.simulator.truth.read(kinds=["contact_received"])
        assert len(shown) == 1


async def test_an_ack_counts_although_the_page_never_answers(tmp_path: Path) -> None:
    """It is kept back while the answer is waited for, and written down once there is none."""
    async with world(tmp_path, send_timeout=1) as here:
        await here.link()
        here.simulator.desk.add_contact(req.NewContact(number=SILENT, receipts="none"))
        assert await here.evaluate(
            "(() => { const there = WPP.loader.loadModule('WAWebSendMsgChatAction');"
            " const send = there.addAndSendMsgToChat; there.addAndSendMsgToChat ="
            " async (...all) => [(await send(...all))[0], new Promise(() => {})];"
            " return there.addAndSendMsgToChat !== send; })()"
        )
        row = await accept(here, 1, chat=f"{SILENT}@c.us")
        await becomes(here, row, MessageState.SENT)
        told = [event.type for event in await here.store.events(here.workspace)]
        assert "message.sent" in told
        assert "message.unknown" not in told


async def test_a_scheduled_message_leaves_by_itself_when_its_time_has_come(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.link()
        time = now_ms() + 1500
        later = await accept(here, 1, send_at_ms=time)
        at_once = await accept(here, 2)
        await becomes(here, at_once, *ARRIVED)
        found = await becomes(here, later, *ARRIVED)
        assert found.attempted_ms is not None
        assert found.attempted_ms >= time
        assert received(here) == ["text 2", "text 1"]


async def test_typing_is_shown_before_a_reply_only(tmp_path: Path) -> None:
    async with world(tmp_path, typing_before_reply=0.3) as here:
        await here.link()
        await becomes(here, await accept(here, 1), *ARRIVED)
        assert here.simulator.truth.read(kinds=["presence"]) == []
        here.simulator.desk.contact_sends(ALICE, req.ContactSends(to=ME, text="hi"))

        async def heard() -> bool:
            rows = await here.store.messages(here.workspace, here.session)
            return any(row.body == "hi" for row in rows)

        await eventually_async(heard)
        await becomes(here, await accept(here, 2), *ARRIVED)
        kinds = ["presence", "message_received_from_client"]
        seen = [one.get("state") or one["text"] for one in here.simulator.truth.read(kinds=kinds)]
        assert seen == ["text 1", "composing", "paused", "text 2"]


async def test_a_file_gets_the_time_of_its_upload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ack comes after a text's time; the page's deadline and the courier's both wait for it."""
    monkeypatch.setattr(courier, "SEND_SLACK", 0.3)
    data = png(padding=bytes(512 * 1024))
    facts = UploadFacts(mimetype="image/png", size=len(data), problem=None)
    async with world(tmp_path, {"ack_delay": 2.0}, send_timeout=1) as here:
        await here.link()
        upload = await here.uploads.save_upload(
            here.workspace, [data], lambda: facts, filename="a.png"
        )
        content = {"media": upload.id, "mimetype": "image/png", "size": upload.size}
        row = await accept(here, 1, kind="image", content={**content, "filename": "a.png"})
        found = await becomes(here, row, MessageState.UNKNOWN, *ARRIVED)
        assert found.state in ARRIVED


async def test_a_restart_forgets_no_grant(tmp_path: Path) -> None:
    async with world(tmp_path, send_per_minute=2) as here:
        await here.link()
        for number in range(2):
            await becomes(here, await accept(here, number), *ARRIVED)
        await here.end(StopKind.STOP)
        await here.start()
        await here.live("ready")
        held = await accept(here, 2)
        await becomes(here, held, MessageState.ACCEPTED)
        assert len(received(here)) == 2


async def test_a_new_login_can_not_know_what_the_last_one_sent(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        lost = await accept(here, 1)
        await lose(here, lost)
        await here.link()
        found = await becomes(here, lost, *ARRIVED)
        assert (found.attempts, found.possible_duplicate) == (2, True)
