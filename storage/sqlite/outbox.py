"""The messages that go out: claimed in order, and what became of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from storage.delivery import advance
from storage.messages import MessageRow, MessageState
from storage.outbox import Receipt
from storage.sqlite.events import append_events
from storage.sqlite.messages import SELECT_MESSAGE, no_such_message, stored_message
from storage.sqlite.number_grants import record_message_grant
from storage.sqlite.own_acts import act_on_target
from storage.sqlite.receipts import (
    EVENT_REF,
    MessageRef,
    apply_ack,
    find_message,
    message_event,
    message_ref,
)
from storage.sqlite.rows import message_row, storable
from storage.sqlite.statistics import newly_sent
from storage.sqlite.transactions import transaction
from storage.sqlite.turns import BLOCKING, due_message

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from storage.grants import MessageGrant
    from storage.outbox import Due
    from storage.sqlite.connection import Connections
    from storage.sqlite.events import NewEvent
    from storage.sqlite.ids import MonotonicIds
    from storage.sqlite.transactions import Transaction

_BATCH: Final = 500  # ids per statement, below SQLite's limit of parameters
_MAY_FAIL: Final = frozenset({MessageState.ACCEPTED, MessageState.SENDING, MessageState.UNKNOWN})
ERASED_CODE: Final = "contact_erased"
ERASED_DETAIL: Final = "The contact was erased before the message's turn."
EXPIRED_CODE: Final = "expired"
EXPIRED_DETAIL: Final = "Its time was over before it could be sent."
TRIED_DETAIL: Final = "Its time is over; whether an earlier attempt was sent is not known."
FORGOTTEN_DETAIL: Final = "Its time is over, and the restored login can't tell if it was sent."
# An unknown message may go before others in doubt that were accepted after it.
_CLAIM: Final = (
    "UPDATE messages AS m SET state = 'sending', attempts = attempts + 1, updated_at = :now,"  # noqa: S608
    " attempted_at = :now, error_code = NULL, error_detail = NULL, forgotten = 0,"
    " possible_duplicate = possible_duplicate OR (forgotten AND attempts > 0)"
    " WHERE m.uuid = :message AND m.state IN ('accepted', 'unknown') AND m.erased_at IS NULL"
    " AND (m.send_at IS NULL OR m.send_at <= :now)"
    " AND (m.expires_at IS NULL OR m.expires_at > :now)"
    f" AND NOT EXISTS ({BLOCKING} AND b.id <> m.id"
    " AND (b.state = 'sending' OR m.state = 'accepted' OR b.id < m.id))"
    " AND EXISTS (SELECT 1 FROM whatsapp_sessions AS s WHERE s.id = m.whatsapp_session_id"
    " AND s.deleted_at IS NULL AND s.is_active = 1)"
)

_FORGET: Final = (
    "UPDATE messages SET forgotten = 1, updated_at = :now WHERE whatsapp_session_id ="
    " (SELECT id FROM whatsapp_sessions WHERE uuid = :session)"
    " AND coalesce(attempted_at, updated_at) >= :archived AND forgotten = 0"
)


class OutboxTable:
    """Reads and writes outbound messages."""

    def __init__(self, connections: Connections, ids: MonotonicIds) -> None:
        self._connections = connections
        self._ids = ids

    async def due(self, session_id: str, now_ms: int, *, bulk_first: bool = False) -> Due:
        return await self._connections.look_in_turn(
            lambda query: due_message(query, session_id, now_ms, bulk_first=bulk_first)
        )

    @transaction
    async def claim(
        self, tx: Transaction, message_id: str, grant: MessageGrant, now_ms: int
    ) -> MessageRow | None:
        if await tx.change(_CLAIM, {"message": message_id, "now": now_ms}) == 0:
            return None
        await record_message_grant(tx, grant)
        return await stored_message(tx, message_id)

    async def record_sent(
        self, message_id: str, ack: int, now_ms: int, *, patient: bool = False
    ) -> None:
        await self._connections.write(
            lambda tx: self._sent(tx, message_id, ack, now_ms), patient=patient
        )

    async def _sent(self, tx: Transaction, message_id: str, ack: int, now_ms: int) -> None:
        ref = await find_message(tx, message_id)
        if ref is None or ref.state is MessageState.RECEIVED:
            raise no_such_message(message_id)
        await append_events(tx, self._ids, await _advance(tx, ref, ack, now_ms), now_ms)

    @transaction
    async def record_failed(
        self, tx: Transaction, message_id: str, code: str, detail: str, now_ms: int
    ) -> None:
        ref = await find_message(tx, message_id)
        if ref is None:
            raise no_such_message(message_id)
        if ref.state in _MAY_FAIL:
            await self._end(tx, ref, MessageState.FAILED, (code, detail), now_ms)

    @transaction
    async def record_unknown(
        self, tx: Transaction, message_id: str, code: str, detail: str, now_ms: int
    ) -> None:
        ref = await find_message(tx, message_id)
        if ref is not None and ref.state is MessageState.SENDING:
            await self._end(tx, ref, MessageState.UNKNOWN, (code, detail), now_ms)

    @transaction
    async def record_stuck(
        self, tx: Transaction, message_id: str, code: str, detail: str, now_ms: int
    ) -> None:
        ref = await find_message(tx, message_id)
        if ref is None or ref.state is not MessageState.UNKNOWN:
            return
        if (await stored_message(tx, message_id)).error_code != code:
            await self._end(tx, ref, MessageState.UNKNOWN, (code, detail), now_ms)

    @transaction
    async def record_unsent(self, tx: Transaction, message_id: str, now_ms: int) -> None:
        ref = await find_message(tx, message_id)
        if ref is None or ref.state is not MessageState.SENDING:
            return
        again = (await stored_message(tx, message_id)).attempts > 1
        if ref.erased and not again:
            why = (ERASED_CODE, ERASED_DETAIL)
            await self._end(tx, ref, MessageState.FAILED, why, now_ms)
            return
        await tx.change(
            "UPDATE messages SET state = ?, attempts = attempts - 1, updated_at = ? WHERE id = ?",
            (MessageState.UNKNOWN if again else MessageState.ACCEPTED, now_ms, ref.id),
        )

    @transaction
    async def record_expired(self, tx: Transaction, message_id: str, now_ms: int) -> None:
        ref = await find_message(tx, message_id)
        if ref is None or ref.state is not MessageState.UNKNOWN:
            return
        doubt = await tx.one(
            "SELECT error_code FROM messages WHERE id = ? AND forgotten = 1", (ref.id,)
        )
        if doubt is None:
            why = (EXPIRED_CODE, EXPIRED_DETAIL)
            await self._end(tx, ref, MessageState.EXPIRED, why, now_ms)
        elif doubt[0] != EXPIRED_CODE:
            why = (EXPIRED_CODE, FORGOTTEN_DETAIL)
            await self._end(tx, ref, MessageState.UNKNOWN, why, now_ms)

    @transaction
    async def record_restored(
        self, tx: Transaction, session_id: str, archived_ms: int, now_ms: int
    ) -> int:
        values: dict[str, object] = {
            "session": session_id,
            "archived": archived_ms,
            "now": now_ms,
        }
        # Twice, so that each goes by its own index.
        doubted = await tx.change(f"{_FORGET} AND state IN ('sending', 'unknown')", values)
        again = await tx.change(f"{_FORGET} AND state = 'accepted' AND attempts > 0", values)
        return doubted + again

    async def expire_messages(self, now_ms: int, limit: int = 100) -> int:
        late = "SELECT 1 FROM messages WHERE state = 'accepted' AND expires_at <= ? LIMIT 1"
        if not await self._connections.read(late, (now_ms,)):
            return 0  # most of the time, and nobody has to wait for it
        return await self._expire_late(now_ms, max(0, limit))

    @transaction
    async def record_acks(
        self, tx: Transaction, session_id: str, wa_ids: Sequence[str], ack: int, now_ms: int
    ) -> int:
        return await self._apply(tx, session_id, Receipt(wa_ids, ack, now_ms))

    async def record_receipts(self, session_id: str, take: Callable[[], Sequence[Receipt]]) -> int:
        async def body(tx: Transaction) -> int:
            return sum([await self._apply(tx, session_id, receipt) for receipt in take()])

        return await self._connections.write(body, patient=True)

    async def _apply(self, tx: Transaction, session_id: str, receipt: Receipt) -> int:
        wanted = sorted({storable(wa_id) for wa_id in receipt.wa_ids})
        changed, events = 0, []
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
                found = await _advance(tx, message_ref(row), receipt.ack, receipt.now_ms)
                changed += bool(found)
                events += found
        await append_events(tx, self._ids, events, receipt.now_ms)
        return changed

    async def unknown_messages(self, session_id: str, limit: int = 100) -> Sequence[MessageRow]:
        rows = await self._connections.read(
            f"{SELECT_MESSAGE} WHERE s.uuid = ? AND m.state = 'unknown' ORDER BY m.id LIMIT ?",
            (session_id, max(0, limit)),
        )
        return [message_row(row) for row in rows]

    @transaction
    async def _expire_late(self, tx: Transaction, now_ms: int, limit: int) -> int:
        rows = await tx.all(
            f"SELECT {EVENT_REF} WHERE m.state = 'accepted' AND m.expires_at <= ?"
            " ORDER BY m.expires_at LIMIT ?",
            (now_ms, limit),
        )
        for row in rows:
            await self._expire(tx, message_ref(row), now_ms)
        return len(rows)

    async def _expire(self, tx: Transaction, ref: MessageRef, now_ms: int) -> None:
        """An earlier attempt may have been sent: that it was not is for WhatsApp to say."""
        tried = await tx.one("SELECT 1 FROM messages WHERE id = ? AND attempts > 0", (ref.id,))
        state = MessageState.EXPIRED if tried is None else MessageState.UNKNOWN
        detail = EXPIRED_DETAIL if tried is None else TRIED_DETAIL
        await self._end(tx, ref, state, (EXPIRED_CODE, detail), now_ms)

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


async def _advance(tx: Transaction, ref: MessageRef, ack: int, now_ms: int) -> list[NewEvent]:
    """Apply a receipt, and what follows for another message; nothing if that changed nothing."""
    event = await apply_ack(tx, ref, ack, now_ms)
    if event is None:
        return []
    acted = None
    if newly_sent(ref.state, advance(ref.state, ack)):
        acted = await act_on_target(tx, ref, now_ms)
    return [event] if acted is None else [event, acted]
