"""What the store writes into the event log fits the schemas; of the actors see tests.fitting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from storage.events import EventType
from storage.sqlite import open_store
from storage.store import SessionStatus, StatusChange
from tests.fitting import fitting
from tests.integration.outbox_support import claim_next
from tests.integration.tenant_support import NOW, PERSON, furnish, inbound, outbound

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration


async def test_every_event_of_the_store_fits_its_schema(tmp_path: Path) -> None:
    async with open_store(tmp_path / "wafleet.db") as store:
        one = await furnish(store, "one")
        session, home = one.session, one.workspace
        for number, status in enumerate(SessionStatus):
            await store.record_status(
                StatusChange(
                    session_id=session,
                    incarnation=1,
                    sequence=number + 1,
                    status=status,
                    reason="ready",
                    detail=None if number % 2 else "why",
                    since_ms=NOW,
                )
            )
        for number in range(3):
            await store.accept_message(
                home, outbound(session, f"C{number}", chat=f"1555123100{number}@c.us")
            )
        await store.record_inbound(
            inbound(session, "D1", chat="120363000000000001@g.us", sender=PERSON)
        )
        first = await claim_next(store, session, NOW)
        assert first is not None
        await store.record_sent(first.id, 1, NOW)
        for ack in (2, 3, 4):
            await store.record_acks(session, [first.wa_id], ack, NOW)
        second = await claim_next(store, session, NOW)
        assert second is not None
        await store.record_unknown(second.id, "timeout", "why", NOW)
        third = await claim_next(store, session, NOW)
        assert third is not None
        await store.record_failed(third.id, "no_account", "why", NOW)
        await store.deactivate(home, session, NOW)
        await store.activate(home, session, NOW)
        await store.delete_session(session, NOW)
        rows = fitting(await store.all_events(limit=1000))
        assert {
            EventType.SESSION_CREATED,
            EventType.SESSION_STATUS,
            EventType.SESSION_PRIMARY,
            EventType.SESSION_ACTIVE,
            EventType.SESSION_DELETED,
            EventType.MESSAGE_ACCEPTED,
            EventType.MESSAGE_SENT,
            EventType.MESSAGE_DELIVERED,
            EventType.MESSAGE_READ,
            EventType.MESSAGE_PLAYED,
            EventType.MESSAGE_FAILED,
            EventType.MESSAGE_UNKNOWN,
            EventType.MESSAGE_RECEIVED,
        } <= {EventType(row.type) for row in rows}
