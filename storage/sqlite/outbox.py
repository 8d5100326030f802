"""The messages that go out: claimed in order, and what became of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from storage.messages import MessageRow, MessageState
from storage.sqlite.events import append_events
from storage.sqlite.messages import SELECT_MESSAGE, no_such_message, stored_message
from storage.sqlite.receipts import (
    EVENT_REF,
    MessageRef,
    apply_ack,
    find_message,
    message_event,
    message_ref,
)
from storage.sqlite.rows import message_row, storable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storage.sqlite.connection import Connections, Transaction
    from storage.sqlite.ids import MonotonicIds

_BATCH: Final = 500  # ids per statement, below SQLite's limit of parameters
_MAY_FAIL: Final = frozenset({MessageState.ACCEPTED, MessageState.SENDING, MessageState.UNKNOWN})
ERASED_CODE: Final = "contact_erased"
ERASED_DETAIL: Final = "The contact was erased before the message's turn."


class OutboxTable:
    """Reads and writes outbound messages."""

    def __init__(self, connections: Connections, ids: MonotonicIds) -> None:
        self._connections = connections
        self._ids = ids

    async def claim_next(self, session_id: str, now_ms: int) -> MessageRow | None:
        async with self._connections.write() as tx:
            claimed = await tx.one(
                "UPDATE messages SET state = 'sending', attempts = attempts + 1, updated_at = ?1,"
                " attempted_at = ?1, error_code = NULL, error_detail = NULL WHERE id = ("
                "SELECT m.id FROM messages AS m JOIN whatsapp_sessions AS s"
                " ON s.id = m.whatsapp_session_id WHERE s.uuid = ?2 AND s.deleted_at IS NULL"
                " AND s.is_active = 1 AND m.state = 'accepted' ORDER BY m.id LIMIT 1)"
                " RETURNING uuid",
                (now_ms, session_id),
            )
            return None if claimed is None else await stored_message(tx, claimed[0])

    async def record_sent(self, message_id: str, ack: int, now_ms: int) -> MessageRow:
        async with self._connections.write() as tx:
            ref = await find_message(tx, message_id)
            if ref is None or ref.state is MessageState.RECEIVED:
                raise no_such_message(message_id)
            event = await apply_ack(tx, ref, ack, now_ms)
            if event is not None:
                await tx.change(
                    "UPDATE whatsapp_sessions SET last_activity_at = ? WHERE id = ?",
                    (now_ms, ref.session.id),
                )
                await append_events(tx, self._ids, [event], now_ms)
            return await stored_message(tx, message_id)

    async def record_failed(
        self, message_id: str, code: str, detail: str, now_ms: int
    ) -> MessageRow:
        async with self._connections.write() as tx:
            ref = await find_message(tx, message_id)
            if ref is not None and ref.state in _MAY_FAIL:
                await self._end(tx, ref, MessageState.FAILED, (code, detail), now_ms)
            return await stored_message(tx, message_id)

    async def record_unknown(self, message_id: str, code: str, detail: str, now_ms: int) -> None:
        async with self._connections.write() as tx:
            ref = await find_message(tx, message_id)
            if ref is not None and ref.state is MessageState.SENDING:
                await self._end(tx, ref, MessageState.UNKNOWN, (code, detail), now_ms)

    async def record_unsent(self, message_id: str, now_ms: int) -> None:
        async with self._connections.write() as tx:
            ref = await find_message(tx, message_id)
            if ref is None or ref.state is not MessageState.SENDING:
                return
            if ref.erased:
                why = (ERASED_CODE, ERASED_DETAIL)
                await self._end(tx, ref, MessageState.FAILED, why, now_ms)
                return
            await tx.change(
                "UPDATE messages SET state = 'accepted', attempts = attempts - 1, updated_at = ?"
                " WHERE id = ?",
                (now_ms, ref.id),
            )

    async def record_acks(
        self, session_id: str, wa_ids: Sequence[str], ack: int, now_ms: int
    ) -> int:
        wanted = sorted({storable(wa_id) for wa_id in wa_ids})
        events = []
        async with self._connections.write() as tx:
            for start in range(0, len(wanted), _BATCH):
                batch = wanted[start : start + _BATCH]
                rows = await tx.all(
                    f"SELECT {EVENT_REF} WHERE m.whatsapp_session_id ="  # noqa: S608 - marks only
                    " (SELECT id FROM whatsapp_sessions WHERE uuid = ?)"
                    " AND m.direction = 'outbound'"
                    f" AND m.wa_id IN ({', '.join('?' * len(batch))})",
                    (session_id, *batch),
                )
                for row in rows:
                    event = await apply_ack(tx, message_ref(row), ack, now_ms)
                    if event is not None:
                        events.append(event)
            await append_events(tx, self._ids, events, now_ms)
        return len(events)

    async def unknown_messages(self, session_id: str, limit: int = 100) -> Sequence[MessageRow]:
        rows = await self._connections.read(
            f"{SELECT_MESSAGE} WHERE s.uuid = ? AND m.state = 'unknown' ORDER BY m.id LIMIT ?",
            (session_id, max(0, limit)),
        )
        return [message_row(row) for row in rows]

    async def _end(
        self,
        tx: Transaction,
        ref: MessageRef,
        state: MessageState,
        why: tuple[str, str],
        now_ms: int,
    ) -> None:
        code, detail = why
        # What the page says may repeat whom it was for.
        kept = ERASED_DETAIL if ref.erased else storable(detail)
        await tx.change(
            "UPDATE messages SET state = ?, error_code = ?, error_detail = ?, updated_at = ?"
            " WHERE id = ?",
            (state, code, kept, now_ms, ref.id),
        )
        await append_events(tx, self._ids, [message_event(ref, state, code=code)], now_ms)
