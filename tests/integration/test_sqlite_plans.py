"""Every statement goes by an index, however many rows there are."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from storage.acceptance import KEY_KEPT_MS, RequestKey, Resolution
from storage.archives_index import NewArchive
from storage.audit import NewAccess
from storage.events import EventType
from storage.grants import Grant, GrantKind, MessageGrant
from storage.inbound import Call, Participation, Target
from storage.messages import Direction, MessageRow
from storage.privacy import NewMedia
from storage.sqlite import SqliteStore, open_store
from storage.sqlite.connection import READERS
from storage.store import Desired, SessionStatus, StatusChange
from storage.tenants import PlanLimits, Retention
from storage.uploads import NewUpload, UploadFacts
from tests.integration.outbox_support import claim_next
from tests.integration.tenant_support import (
    GROUP,
    NOW,
    OTHER,
    PERSON,
    furnish,
    inbound,
    new_key,
    outbound,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.integration

# What may be read from end to end: tables of few rows, and indexes of exceptions.
REQUEST = RequestKey(key_hash="12" * 32, body_hash="34" * 32, session_status="connected")
SMALL = {"workspaces", "subscription_plans", "w", "p", "sending_numbers"}
EXCEPTIONS = ("messages_blocking", "media_orphans")


async def tour(store: SqliteStore) -> None:
    """Call every method of every port at least once."""
    await store.create_plan("small", PlanLimits(sessions=5), NOW)
    await store.set_plan_limits("small", PlanLimits(sessions=9), NOW)
    await store.plans()
    tenant = await furnish(store, "acme")
    home, session = tenant.workspace, tenant.session
    await store.set_plan(home, "small", NOW)
    await store.set_retention(home, Retention(messages_ms=1, media_ms=1, events_ms=1), NOW)
    await store.workspace(home)
    await store.workspace_named("acme")
    await store.workspaces()
    await store.usage(home, NOW)
    await _sessions(store, home, session)
    await _messages(store, home, session)
    await _inbound(store, home, session)
    await _rest(store, home, session, tenant.key)
    contact = await store.contact_with_jid(home, PERSON)
    await store.contacts(home)
    await store.contact_sessions(home, contact.id)
    await store.export_contact(home, contact.id, after="0")
    await store.contact_answers(home, contact.id)
    await store.erase_contact(home, contact.id, NOW)
    await store.purge_expired(NOW + 100)
    await store.purge_expired(NOW + 2 * KEY_KEPT_MS)
    await store.settle_after_boot("supervisor_died", ("launching", "stopping"), NOW)
    await store.delete_session(session, NOW)


async def _sessions(store: SqliteStore, home: str, session: str) -> None:
    await store.create_session(home, "sales", NOW)
    await store.session_named(home, "sales")
    await store.any_session(session)
    await store.sessions(home, after="0")
    await store.all_sessions(after="0")
    await store.set_desired(home, session, Desired.RUNNING, NOW)
    await store.set_primary(home, session, NOW)
    await store.deactivate(home, session, NOW)
    await store.activate(home, session, NOW)
    await store.record_qr_code(session, "sealed", NOW)
    await store.qr_code(home, session)
    await store.record_status(
        StatusChange(
            session_id=session,
            incarnation=await store.next_incarnation(session),
            sequence=1,
            status=SessionStatus.CONNECTED,
            reason="ready",
            detail=None,
            since_ms=NOW,
        )
    )


async def _inbound(store: SqliteStore, home: str, session: str) -> None:
    row = await store.record_inbound(inbound(session, "C1", chat=GROUP, sender=OTHER, fetch=True))
    assert row is not None
    target = Target(session_id=session, wa_id="C1", chats=(GROUP, PERSON), now_ms=NOW)
    await store.record_edit(target, "new", NOW)
    for emoji in ("a", "b", ""):
        await store.record_reaction(target, PERSON, emoji, NOW)
    await store.record_vote(target, PERSON, ["a"], NOW)
    await store.reactions(home, session, row.id)
    await store.votes(home, session, row.id)
    change = Participation(
        session_id=session, chat=GROUP, action="add", by=OTHER, members=(PERSON,), now_ms=NOW
    )
    await store.record_participants(change)
    call = Call(
        session_id=session, sender=PERSON, video=False, group=False, rejected=False, now_ms=NOW
    )
    await store.record_call(call)
    await store.next_download(session, NOW)
    await store.count_download(row.id, 1, NOW)
    await store.end_download(row.id, "media_torn", NOW)
    await store.end_download(row.id, None, NOW)
    await store.message_file(home, session, row.id)
    await store.record_revoke(target, None, NOW)


async def _messages(store: SqliteStore, home: str, session: str) -> None:
    row = await store.accept_message(home, outbound(session, "A7", chat="15551230010@c.us"))
    await store.queue_depth(session)
    await store.queue_page(session, after=5)
    await store.waiting_before(row.id)
    for number in range(2):  # for the first time, and again
        given = {place: outbound(session, f"{number}{place}") for place in range(number + 2)}
        found = await store.accept_messages(home, session, given, key=REQUEST)
    await store.accepted_before(home, session, REQUEST)
    for one in found.values():
        assert isinstance(one, MessageRow)
        await store.cancel_message(home, session, one.id, NOW)
    await claim_next(store, session, NOW)
    await store.record_unsent(row.id, NOW)
    await _turns(store, home, session)
    for number, resolution in enumerate(Resolution):
        grant = MessageGrant(number="1", key=f"y.{number}", boot_id="b", boot_ms=1, wall_ms=NOW)
        assert await store.claim(row.id, grant, NOW) is not None
        await store.record_unknown(row.id, "no_answer", "x", NOW)
        await store.unknown_messages(session)
        await store.resolve_message(home, session, row.id, resolution, NOW)
    await store.resolve_messages(home, session, Resolution.RESEND, NOW, after=row.id)
    await store.record_failed(row.id, "x", "y", NOW)
    await store.record_sent(row.id, 1, NOW)
    await store.record_acks(session, ["A7", "A8"], 2, NOW)
    await store.record_inbound(inbound(session, "B7", chat=GROUP, sender=OTHER))
    await store.message(home, session, row.id)
    for direction in (None, Direction.INBOUND):
        for chat in (None, PERSON):
            await store.messages(home, session, before=row.id, direction=direction, chat=chat)


async def _turns(store: SqliteStore, home: str, session: str) -> None:
    new = outbound(session, "A8", chat="15551230009@c.us")
    message = (await store.accept_message(home, new)).id
    await store.due(session, NOW)
    grant = MessageGrant(number="15550100001", key="x.1", boot_id="b", boot_ms=1, wall_ms=NOW)
    assert await store.claim(message, grant, NOW) is not None
    await store.record_unknown(message, "no_answer", "x", NOW)
    await store.record_stuck(message, "parked", "x", NOW)
    await store.record_restored(session, NOW, NOW)
    await store.record_expired(message, NOW)
    late = replace(new, chat=OTHER, expires_ms=NOW + 1, send_at_ms=NOW)
    await store.accept_message(home, late)
    await store.accept_message(home, replace(late, chat=GROUP, send_at_ms=NOW + 1))
    await store.due(session, NOW)
    await store.expire_messages(NOW + 1)
    await store.due(session, NOW)


async def _rest(store: SqliteStore, home: str, session: str, key: str) -> None:
    for after in (None, "0"):
        await store.all_events(after=after)
        await store.events(home, after=after, types={"session.status"})
        await store.events(home, after=after, session_id=session)
    await store.last_event(home)
    await store.newest_event()
    access = NewAccess(action="a", result="b", now_ms=NOW, key=key, session_id=session)
    await store.append_access(home, access)
    await store.access_log(home, before=5)
    await store.access_log(home, before=5, session_id=session)
    await store.verify_access_log(home)
    await store.create_key(home, new_key("k2"), NOW)
    await store.keys(home)
    await store.key_with_id("k2")
    await store.touch_key("k2", NOW)
    await store.revoke_key(home, key, NOW)
    archive = NewArchive(
        session_id=session,
        generation=await store.next_generation(session),
        path="p",
        sha256="0" * 64,
        bytes=1,
        now_ms=NOW,
    )
    await store.add_archive(archive)
    await store.archives(session)
    await store.drop_archives(session, 0)
    message = (await store.messages(home, session, direction=Direction.INBOUND))[0].id
    await store.message_workspace(message)
    media = await store.record_media(
        NewMedia(message_id=message, path="m", sha256="0" * 64, bytes=1, now_ms=NOW)
    )
    await store.media(home, media.id)
    await store.pointed_media(["m", "n"])
    await store.drop_media(home, media.id)
    upload = await store.record_upload(
        NewUpload(
            workspace_id=home,
            path="u",
            sha256="0" * 64,
            bytes=1,
            facts=UploadFacts(mimetype="image/png", size=1, problem=None),
            filename=None,
            now_ms=NOW,
        )
    )
    await store.upload_record(home, upload.id)
    grant = Grant(
        session_id=session,
        kind=GrantKind.QR_WINDOW,
        key="1",
        boot_id="b",
        boot_ms=1,
        wall_ms=NOW,
    )
    for _ in range(2):  # for the first time, and once more
        await store.record_grant(grant, EventType.SESSION_QR, {})
    await store.record_event(session, EventType.LIMITER, {}, NOW)
    message_grant = MessageGrant(number="1", key="1", boot_id="b", boot_ms=1, wall_ms=NOW)
    for _ in range(2):
        await store.record_message_grant(message_grant)
    for log in await store.number_logs():
        await store.move_number_log(log)
    await store.drop_message_grants("1", 5)
    await store.grants(GrantKind.QR_WINDOW)
    await store.move_grants([grant])
    await store.drop_grants([grant])


async def traced(store: SqliteStore, act: Callable[[SqliteStore], object]) -> list[str]:
    """Return every statement that `act` runs, with its values."""
    connections = store._connections
    readers = [await connections._readers.get() for _ in range(READERS)]
    for reader in readers:
        connections._readers.put_nowait(reader)
    statements: list[str] = []
    for connection in (connections._writer, *readers):
        await connection.set_trace_callback(statements.append)
    await act(store)  # type: ignore[misc]
    for connection in (connections._writer, *readers):
        await connection.set_trace_callback(None)  # type: ignore[arg-type]
    return [s for s in statements if s.startswith(("SELECT", "UPDATE", "INSERT", "DELETE"))]


def reads_everything(step: str) -> bool:
    if step.startswith("USE TEMP B-TREE"):
        return True
    verb, name, *_ = step.split()
    if name.startswith("(subquery"):  # what was found, not where
        return False
    return verb == "SCAN" and name not in SMALL and not step.endswith(EXCEPTIONS)


async def test_no_call_reads_a_whole_table(tmp_path: Path) -> None:
    path = tmp_path / "wafleet.db"
    async with open_store(path) as store:
        statements = await traced(store, tour)
    with closing(sqlite3.connect(path)) as plain:
        plans = {
            statement: [step[3] for step in plain.execute(f"EXPLAIN QUERY PLAN {statement}")]
            for statement in statements
        }
    assert len(plans) > 100
    slow = {
        statement: plan
        for statement, plan in plans.items()
        if any(reads_everything(step) for step in plan)
    }
    assert not slow
    [receipts] = [" ".join(plan) for statement, plan in plans.items() if "wa_id IN" in statement]
    assert "wa_id=?" in receipts, "not by session alone"
    turns = [
        step
        for statement, plan in plans.items()
        if "UNION ALL" in statement and "m.send_at" in statement
        for step in plan
        if " m " in step
    ]
    assert {step.partition(" INDEX ")[2].partition(" ")[0] for step in turns} == {
        "messages_ready",
        "messages_turn",
    }
    assert all("send_at" in step for step in turns), "those that wait are not looked at"
