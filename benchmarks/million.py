"""million: the way of a message through the store, with a million messages and events before it.

The store alone, on two files that differ only in what they hold. In each round a message goes its
whole way on both in turn, so that a busy machine slows both sides; the verdict is the ratio of the
medians.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
import statistics
import time
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from benchmarks.accepting import empty_and_full
from benchmarks.rows import Bar, Options, Row
from storage.grants import MessageGrant
from storage.messages import NewInbound, NewOutbound
from storage.outbox import Receipt
from storage.sqlite import open_store
from storage.tenants import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from storage.sqlite import SqliteStore

ROUNDS: Final = 500
CHATS: Final = 50
NUMBER: Final = "15550200000"
PAGE: Final = 100
BAR: Final = Bar(relation="<=", limit=1.2)
STEPS: Final = {
    "accept": "one message accepted",
    "queue": "how many are before it",
    "due": "which is to be sent next",
    "claim": "sending and the grant committed",
    "sent": "WhatsApp's answer recorded",
    "receipts": "delivered and read recorded",
    "inbound": "one message received",
    "feed": "events since the last look, for streams",
    "webhook": "the same of one workspace, for webhooks",
    "list": f"the newest {PAGE} messages",
}


@dataclass
class Side:
    """One of the two files: where it stands, and the milliseconds of each step."""

    store: SqliteStore
    home: str
    session: str
    place: str
    took: dict[str, list[float]] = field(default_factory=lambda: {step: [] for step in STEPS})

    async def step(self, name: str, work: Coroutine[Any, Any, Any]) -> Any:
        """Run one step and note its time."""
        began = time.perf_counter()
        answer = await work
        self.took[name].append(1000 * (time.perf_counter() - began))
        return answer


def run(options: Options) -> list[Row]:
    with empty_and_full() as (empty, full):
        took = asyncio.run(_measure(empty, full, options.runs_or(ROUNDS)))
        with closing(sqlite3.connect(full)) as connection:
            [(messages, events)] = connection.execute(
                "SELECT (SELECT count(*) FROM messages), (SELECT count(*) FROM events)"
            )
    return _rows(*took, f"{messages:,} messages and {events:,} events in the full one")


async def _measure(
    empty: Path, full: Path, rounds: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    async with open_store(empty) as one, open_store(full) as other:
        sides = [await _side(store) for store in (one, other)]
        for number in range(rounds):
            for side in sides if number % 2 else reversed(sides):
                await _round(side, number)
    return sides[0].took, sides[1].took


async def _side(store: SqliteStore) -> Side:
    home = (await store.workspace_named(DEFAULT)).id
    session = (await store.session_named(home, "sender")).id
    return Side(store=store, home=home, session=session, place=await store.newest_event() or "")


async def _round(side: Side, number: int) -> None:
    """Let one message go its whole way; another one comes in, and readers look at the log."""
    store, now, chat = side.store, time.time_ns() // 1_000_000, f"1555010{number % CHATS:04}@c.us"
    wa_id = f"3EB0{secrets.token_hex(9).upper()}"
    new = NewOutbound(session_id=side.session, chat=chat, wa_id=wa_id, body="x" * 200, now_ms=now)
    found = await side.step("accept", store.accept_messages(side.home, side.session, {0: new}))
    key = found[0].id
    await side.step("queue", store.waiting_before(key))
    due = await side.step("due", store.due(side.session, now))
    grant = MessageGrant(
        number=NUMBER, key=f"{due.message.id}.1", boot_id="bench", boot_ms=now, wall_ms=now
    )
    await side.step("claim", store.claim(due.message.id, grant, now))
    await side.step("sent", store.record_sent(key, 1, now))
    receipts = [Receipt([wa_id], ack, now) for ack in (2, 3)]
    await side.step("receipts", store.record_receipts(side.session, lambda: receipts))
    answer = NewInbound(
        session_id=side.session,
        chat=chat,
        sender=chat,
        wa_id=f"{wa_id}A",
        kind="text",
        body="y" * 200,
        sent_ms=now,
        now_ms=now,
    )
    await side.step("inbound", store.record_inbound(answer))
    place, events = side.place, await side.step("feed", store.all_events(after=side.place))
    side.place = events[-1].id
    await side.step("webhook", store.events(side.home, after=place, session_id=side.session))
    await side.step("list", store.messages(side.home, side.session, limit=PAGE))


def _rows(empty: dict[str, list[float]], full: dict[str, list[float]], note: str) -> list[Row]:
    rows = []
    for step, what in STEPS.items():
        one, other = statistics.median(empty[step]), statistics.median(full[step])
        rows.append(
            Row(
                name=f"million.{step}",
                what=what,
                unit="x",
                samples=(other / one,),
                bar=BAR,
                note=f"{one:.2f} ms empty, {other:.2f} ms full; {note}",
            )
        )
    return rows
