"""Traffic makes contacts; export shows all of one, erasure leaves nothing, retention in time."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import pytest

from storage.messages import MessageState
from storage.privacy import ContactSession, NewMedia
from storage.sqlite import SqliteStore, open_store
from storage.store import MessageNotFound
from storage.tenants import Retention
from tests.integration.outbox_support import claim_next
from tests.integration.tenant_support import (
    GROUP,
    NOW,
    OTHER,
    PERSON,
    furnish,
    home_of,
    inbound,
    outbound,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from storage.privacy import Purged
    from storage.sqlite.transactions import Transaction

pytestmark = pytest.mark.integration


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with open_store(tmp_path / "wafleet.db") as opened:
        yield opened


async def two_sessions(store: SqliteStore, home: str) -> tuple[str, str]:
    rows = [(await store.create_session(home, name, NOW))[0] for name in ("a", "b")]
    return rows[0].id, rows[1].id


async def counters(store: SqliteStore, home: str, jid: str) -> dict[str, tuple[int, int, int]]:
    contact = await store.contact_with_jid(home, jid)
    return {
        c.session_id: (c.first_interaction_ms, c.last_interaction_ms, c.total_messages)
        for c in await store.contact_sessions(home, contact.id)
    }


async def test_every_message_counts_for_its_contact(store: SqliteStore) -> None:
    home = await home_of(store)
    a, b = await two_sessions(store, home)
    await store.accept_message(home, outbound(a, "A1", now_ms=NOW + 1))
    await store.record_inbound(inbound(a, "B1", now_ms=NOW + 2))
    await store.record_inbound(inbound(a, "B1", now_ms=NOW + 9))  # a repeat
    await store.record_inbound(inbound(b, "B1", now_ms=NOW + 3))
    await store.record_inbound(inbound(a, "B2", chat=GROUP, sender=PERSON, now_ms=NOW + 4))
    await store.record_inbound(inbound(a, "B3", chat=GROUP, sender=OTHER, now_ms=NOW + 5))
    await store.accept_message(home, outbound(a, "A2", chat=GROUP, now_ms=NOW + 6))
    await store.record_inbound(inbound(a, "B4", chat="status@broadcast", sender=OTHER))
    await store.record_inbound(inbound(a, "B5", chat="1@newsletter"))
    assert await counters(store, home, PERSON) == {
        a: (NOW + 1, NOW + 4, 3),
        b: (NOW + 3, NOW + 3, 1),
    }
    assert await counters(store, home, OTHER) == {a: (NOW, NOW + 5, 2)}
    assert {c.jid for c in await store.contacts(home)} == {PERSON, OTHER}
    assert (await store.contact_with_jid(home, PERSON)).phone_number == "15551230001"
    rows = await store._connections.read(
        "SELECT jid, kind, contact_id IS NOT NULL, last_message_at - ? FROM chats ORDER BY id",
        (NOW,),
    )
    assert rows == [
        (PERSON, "contact", 1, 2),
        (PERSON, "contact", 1, 3),
        (GROUP, "group", 0, 6),
        ("status@broadcast", "other", 0, 0),
        ("1@newsletter", "other", 0, 0),
    ]


async def test_a_lid_is_a_contact_without_a_number(store: SqliteStore) -> None:
    home = await home_of(store)
    a, _ = await two_sessions(store, home)
    await store.record_inbound(inbound(a, "B1", chat="99887766@lid"))
    assert (await store.contact_with_jid(home, "99887766@lid")).phone_number is None


async def test_traffic_at_once_makes_one_contact(store: SqliteStore) -> None:
    home = await home_of(store)
    a, b = await two_sessions(store, home)
    await asyncio.gather(
        *(store.record_inbound(inbound(s, f"B{n}")) for n in range(25) for s in (a, b)),
        *(store.accept_message(home, outbound(a, f"A{n}")) for n in range(25)),
    )
    assert len(await store.contacts(home)) == 1
    assert {s: c[2] for s, c in (await counters(store, home, PERSON)).items()} == {a: 50, b: 25}


async def test_a_deleted_session_keeps_its_history(store: SqliteStore) -> None:
    tenant = await furnish(store, "acme")

    async def campaign(tx: Transaction) -> None:
        await tx.change(
            "INSERT INTO campaigns (uuid, workspace_id, whatsapp_session_id, name, created_at,"
            " updated_at) SELECT 'c', workspace_id, id, 'spring', 1, 1 FROM whatsapp_sessions"
        )
        await tx.change(
            "INSERT INTO campaign_logs (uuid, workspace_id, campaign_id, whatsapp_session_id,"
            " message_id, created_at, updated_at) SELECT 'l', c.workspace_id, c.id,"
            " c.whatsapp_session_id, m.id, 1, 1 FROM campaigns AS c, messages AS m LIMIT 1"
        )

    await store._connections.write(campaign)
    await store.delete_session(tenant.session, NOW)
    for table in ("chats", "campaigns", "campaign_logs", "contact_sessions"):
        query = f"SELECT count(*) FROM {table} WHERE whatsapp_session_id IS NOT NULL"  # noqa: S608
        assert await store._connections.read(query) == [(1,)], table
    export = await store.export_contact(tenant.workspace, tenant.contact)
    assert len(export.messages) == 2
    # Once even the row is gone, what outlives it does not point to it any more.

    async def empty(tx: Transaction) -> None:
        for table in ("events", "messages", "media"):
            await tx.change(f"DELETE FROM {table}")  # noqa: S608
        await tx.change("DROP TRIGGER access_logs_are_not_deleted")
        await tx.change("DELETE FROM whatsapp_session_access_logs")
        await tx.change("DELETE FROM whatsapp_sessions")

    await store._connections.write(empty)
    for table, left in (("chats", 1), ("campaigns", 1), ("campaign_logs", 1)):
        query = f"SELECT count(*) FROM {table} WHERE whatsapp_session_id IS NULL"  # noqa: S608
        assert await store._connections.read(query) == [(left,)], table
    assert await store._connections.read("SELECT count(*) FROM contact_sessions") == [(0,)]


async def test_an_export_is_whole(store: SqliteStore) -> None:
    home = await home_of(store)
    a, b = await two_sessions(store, home)
    for number in range(5):
        await store.accept_message(home, outbound(a, f"A{number}"))
        await store.record_inbound(inbound(b, f"B{number}"))
        await store.record_inbound(inbound(b, f"C{number}", chat=GROUP, sender=PERSON))
        await store.record_inbound(inbound(b, f"D{number}", chat=GROUP, sender=OTHER))
    received = (await store.messages(home, b, chat=PERSON))[0]
    media = await store.record_media(
        NewMedia(message_id=received.id, path="media/1", sha256="cd" * 32, bytes=7, now_ms=NOW)
    )
    await store.delete_session(b, NOW)
    contact = await store.contact_with_jid(home, PERSON)
    after, pages = None, []
    while True:
        pages.append(await store.export_contact(home, contact.id, after=after, limit=4))
        after = pages[-1].next_after
        if after is None:
            break
    messages = [message for page in pages for message in page.messages]
    assert [len(page.messages) for page in pages] == [4, 4, 4, 3]
    wanted = {f"{letter}{number}" for letter in "ABC" for number in range(5)}
    assert {message.wa_id for message in messages} == wanted
    assert [m.id for m in messages] == sorted({m.id for m in messages})
    assert [m for page in pages for m in page.media] == [media]
    assert pages[0].contact == contact
    assert pages[0].sessions == await store.contact_sessions(home, contact.id)
    assert ContactSession(
        session_id=b, first_interaction_ms=NOW, last_interaction_ms=NOW, total_messages=10
    ) in list(pages[0].sessions)


def all_bytes(directory: Path) -> bytes:
    return b"".join(file.read_bytes() for file in directory.iterdir())


async def test_an_erased_contact_is_nowhere(tmp_path: Path, store: SqliteStore) -> None:
    """Not in a row, not in a free page, not in the log: nowhere in any of the database's files."""
    home = await home_of(store)
    a, b = await two_sessions(store, home)
    for number in range(40):
        body = f"canary {number} " + "x" * 300
        await store.record_inbound(inbound(a, f"B{number}", body=body))
        await store.record_inbound(inbound(b, f"C{number}", chat=GROUP, sender=PERSON, body=body))
        await store.record_inbound(inbound(b, f"D{number}", chat=GROUP, sender=OTHER))
    received = (await store.messages(home, a))[0]
    media = await store.record_media(
        NewMedia(message_id=received.id, path="media/1", sha256="cd" * 32, bytes=7, now_ms=NOW)
    )
    contact = await store.contact_with_jid(home, PERSON)
    erased = await store.erase_contact(home, contact.id, NOW + 1, batch=7)
    assert (erased.messages, erased.media) == (80, [media])
    row = erased.contact
    assert (row.id, row.phone_number, row.name, row.erased_ms) == (contact.id, None, None, NOW + 1)
    assert row.jid == f"erased:{contact.id}"
    everything = all_bytes(tmp_path)
    for canary in (b"canary", b"15551230001"):
        assert canary not in everything
    assert b"15551230002" in everything, "another contact's stays"
    assert await store.contact_sessions(home, contact.id) == []
    page = await store.export_contact(home, contact.id)
    assert {(m.body, m.error_detail) for m in page.messages} == {("", None)}
    assert {m.chat for m in page.messages} == {row.jid, GROUP}
    assert {m.sender for m in page.messages} == {row.jid}
    again = await store.erase_contact(home, contact.id, NOW + 2)
    assert (again.messages, again.media, again.contact) == (0, [], row)


async def test_what_was_erased_does_not_come_back(store: SqliteStore) -> None:
    home = await home_of(store)
    a, _ = await two_sessions(store, home)
    await store.record_inbound(inbound(a, "B1"))
    contact = await store.contact_with_jid(home, PERSON)
    await store.erase_contact(home, contact.id, NOW)
    assert await store.record_inbound(inbound(a, "B1")) is None, "WhatsApp repeats itself"
    assert [c.id for c in await store.contacts(home)] == [contact.id]
    assert await store.record_inbound(inbound(a, "B2")) is not None
    new = await store.contact_with_jid(home, PERSON)
    assert new.id != contact.id
    assert (await counters(store, home, PERSON))[a][2] == 1
    await store.erase_contact(home, new.id, NOW)
    assert len(await store.contacts(home)) == 2


async def test_what_waits_for_an_erased_contact_fails(store: SqliteStore) -> None:
    home = await home_of(store)
    a, b = await two_sessions(store, home)
    sessions = (a, b, a, a)
    rows = [
        await store.accept_message(home, outbound(session, f"A{n}"))
        for n, session in enumerate(sessions)
    ]
    for session in (a, b):
        await claim_next(store, session, NOW)
    contact = await store.contact_with_jid(home, PERSON)
    await store.erase_contact(home, contact.id, NOW)
    assert await claim_next(store, a, NOW) is None
    await store.record_unsent(rows[0].id, NOW)
    await store.record_unknown(rows[1].id, "no_answer", f"no answer for {PERSON}", NOW)
    after = [await store.message(home, row.session_id, row.id) for row in rows]
    assert [(m.state, m.error_code) for m in after] == [
        (MessageState.FAILED, "contact_erased"),
        (MessageState.UNKNOWN, "no_answer"),
        (MessageState.FAILED, "contact_erased"),
        (MessageState.FAILED, "contact_erased"),
    ]
    assert PERSON not in json.dumps([asdict(m) for m in after])
    assert await store.record_acks(b, ["A1"], 2, NOW) == 1, "receipts still find it"
    with pytest.raises(MessageNotFound):
        await store.record_media(
            NewMedia(message_id=rows[0].id, path="x", sha256="0" * 64, bytes=1, now_ms=NOW)
        )


async def test_an_erasure_that_was_interrupted_goes_on(store: SqliteStore) -> None:
    home = await home_of(store)
    a, _ = await two_sessions(store, home)
    for number in range(60):
        await store.record_inbound(inbound(a, f"B{number}"))
    contact = await store.contact_with_jid(home, PERSON)
    erasing = asyncio.create_task(store.erase_contact(home, contact.id, NOW, batch=1))
    seen = 0
    while not seen:
        seen = (
            await store._connections.read(
                "SELECT count(*) FROM messages WHERE erased_at IS NOT NULL"
            )
        )[0][0]
    erasing.cancel()
    await asyncio.gather(erasing, return_exceptions=True)
    assert (await store.erase_contact(home, contact.id, NOW)).messages > 0
    page = await store.export_contact(home, contact.id)
    assert {m.body for m in page.messages} == {""}
    assert len(page.messages) == 60


async def purge_all(store: SqliteStore, now_ms: int, limit: int) -> list[Purged]:
    rounds = [await store.purge_expired(now_ms, limit)]
    while rounds[-1].more:
        rounds.append(await store.purge_expired(now_ms, limit))
    return rounds


async def test_retention_takes_what_is_too_old_and_no_more(store: SqliteStore) -> None:
    home = await home_of(store)
    other = await furnish(store, "acme")
    a, _ = await two_sessions(store, home)
    for number in range(20):
        row = await store.record_inbound(inbound(a, f"B{number}", now_ms=NOW + number))
        assert row is not None
        await store.record_media(
            NewMedia(
                message_id=row.id,
                path=f"media/{number}",
                sha256="0" * 64,
                bytes=1,
                now_ms=NOW + number,
            )
        )
    waiting = await store.accept_message(home, outbound(a, "A1", now_ms=NOW))
    assert (await store.purge_expired(NOW + 10**12)).more is False, "for ever is the default"
    assert len(await store.messages(home, a)) == 21

    ttl = Retention(messages_ms=1000, media_ms=995, events_ms=500)
    await store.set_retention(home, ttl, NOW)
    before = await store.access_log(other.workspace)
    rounds = await purge_all(store, NOW + 1010, limit=4)
    assert all(max(r.messages, r.events, len(r.media)) <= 4 for r in rounds)
    assert sum(r.messages for r in rounds) == 10
    assert {m.path for r in rounds for m in r.media} == {f"media/{n}" for n in range(15)}
    left = [m.wa_id for m in await store.messages(home, a)]
    assert sorted(left) == sorted(["A1", *(f"B{n}" for n in range(10, 20))])
    assert (await store.message(home, a, waiting.id)).state is MessageState.ACCEPTED
    assert len(await store.events(home)) == 1, "the newest of the log, whatever its age"
    assert (await counters(store, home, PERSON))[a][2] == 21, "numbers outlive what they count"

    await store.set_retention(home, Retention(messages_ms=1000), NOW)
    last = await purge_all(store, NOW + 1015, limit=100)
    assert [m.path for m in last[0].media] == [], "already taken"
    gone = await purge_all(store, NOW + 2000, limit=100)
    assert {m.path for r in gone for m in r.media} == {f"media/{n}" for n in range(15, 20)}

    assert await store.access_log(other.workspace) == before
    assert len(await store.messages(other.workspace, other.session)) == 2
    assert await store.events(other.workspace) != []


async def in_each_state(store: SqliteStore, home: str, session: str) -> set[MessageState]:
    """Make messages of NOW, one in each state that there is."""
    acks = {"SENT": 1, "DELIVERED": 2, "READ": 3, "PLAYED": 4}
    for number, name in enumerate([*acks, "FAILED", "UNKNOWN", "SENDING"]):
        chat = f"1555123300{number}@c.us"
        row = await store.accept_message(home, outbound(session, name, chat=chat))
        assert await claim_next(store, session, NOW) is not None
        if name in acks:
            await store.record_sent(row.id, acks[name], NOW)
        elif name == "FAILED":
            await store.record_failed(row.id, "x", "y", NOW)
        elif name == "UNKNOWN":
            await store.record_unknown(row.id, "x", "y", NOW)
    late = replace(outbound(session, "EXPIRED"), expires_ms=NOW + 1)
    await store.accept_message(home, late)
    await store.expire_messages(NOW + 1)
    gone = await store.accept_message(home, outbound(session, "CANCELLED"))
    await store.cancel_message(home, session, gone.id, NOW)
    await store.accept_message(home, outbound(session, "ACCEPTED"))
    await store.record_inbound(inbound(session, "RECEIVED"))
    return {row.state for row in await store.messages(home, session)}


async def test_age_takes_only_what_has_ended(store: SqliteStore) -> None:
    """Whether an unknown message was sent is still to be found out, however long that takes."""
    home = await home_of(store)
    a, _ = await two_sessions(store, home)
    assert await in_each_state(store, home, a) == set(MessageState)
    await store.set_retention(home, Retention(messages_ms=1000), NOW)
    await purge_all(store, NOW + 10**12, 3)
    left = {row.state for row in await store.messages(home, a)}
    assert left == {MessageState.ACCEPTED, MessageState.SENDING, MessageState.UNKNOWN}
