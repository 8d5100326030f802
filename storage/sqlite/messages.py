"""The messages half of the store: the outbox, receipts, what came in, and listings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from storage.sqlite.receipts import apply_ack
from storage.sqlite.rows import MESSAGE_COLUMNS, MESSAGES, message_row, storable
from storage.sqlite.sessions import no_such_session, require_session
from storage.store import (
    Direction,
    MessageNotFound,
    MessageRow,
    MessageState,
    NewInbound,
    NewOutbound,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from storage.sqlite.connection import Connections, Transaction
    from storage.sqlite.ids import MonotonicIds

_SELECT: Final = f"SELECT {MESSAGE_COLUMNS} FROM {MESSAGES}"  # noqa: S608 - constants only
_INSERT: Final = (
    "INSERT INTO messages (uuid, whatsapp_session_id, direction, chat, sender, wa_id, kind, body,"
    " state, created_at, updated_at, sent_at) VALUES (:uuid, :session, :direction, :chat, :sender,"
    " :wa_id, :kind, :body, :state, :now, :now, :sent)"
)
_BATCH: Final = 500  # ids per statement, below SQLite's limit of parameters


def _no_such_message(message_id: str) -> MessageNotFound:
    return MessageNotFound(f"There is no message {message_id} in this session.")


class MessageTable:
    """Reads and writes messages."""

    def __init__(self, connections: Connections, ids: MonotonicIds) -> None:
        self._connections = connections
        self._ids = ids

    # ---- outbound ----

    async def accept_message(self, new: NewOutbound) -> MessageRow:
        async with self._connections.write() as tx:
            key = await require_session(tx, new.session_id)
            uuid = self._ids.next(new.now_ms)
            await tx.change(
                _INSERT,
                {
                    "uuid": uuid,
                    "session": key,
                    "direction": Direction.OUTBOUND,
                    "chat": new.chat,
                    "sender": None,
                    "wa_id": new.wa_id,
                    "kind": "text",
                    "body": storable(new.body),
                    "state": MessageState.ACCEPTED,
                    "now": new.now_ms,
                    "sent": None,
                },
            )
            return await _message(tx, uuid)

    async def claim_next(self, session_id: str, now_ms: int) -> MessageRow | None:
        async with self._connections.write() as tx:
            claimed = await tx.one(
                "UPDATE messages SET state = 'sending', attempts = attempts + 1, updated_at = ?,"
                " error_code = NULL, error_detail = NULL WHERE id = ("
                "SELECT m.id FROM messages AS m JOIN whatsapp_sessions AS s"
                " ON s.id = m.whatsapp_session_id WHERE s.uuid = ? AND s.deleted_at IS NULL"
                " AND m.state = 'accepted' ORDER BY m.id LIMIT 1) RETURNING uuid",
                (now_ms, session_id),
            )
            return None if claimed is None else await _message(tx, claimed[0])

    async def record_sent(self, message_id: str, ack: int, now_ms: int) -> MessageRow:
        async with self._connections.write() as tx:
            found = await tx.one(
                "SELECT id, state, whatsapp_session_id FROM messages"
                " WHERE uuid = ? AND direction = 'outbound'",
                (message_id,),
            )
            if found is None:
                raise _no_such_message(message_id)
            if await apply_ack(tx, found[0], MessageState(found[1]), ack, now_ms):
                await _note_activity(tx, found[2], now_ms)
            return await _message(tx, message_id)

    async def record_failed(
        self, message_id: str, code: str, detail: str, now_ms: int
    ) -> MessageRow:
        async with self._connections.write() as tx:
            await tx.change(
                "UPDATE messages SET state = 'failed', error_code = ?, error_detail = ?,"
                " updated_at = ? WHERE uuid = ? AND state IN ('accepted', 'sending', 'unknown')",
                (code, storable(detail), now_ms, message_id),
            )
            return await _message(tx, message_id)

    async def record_unknown(self, message_id: str, code: str, detail: str, now_ms: int) -> None:
        async with self._connections.write() as tx:
            await tx.change(
                "UPDATE messages SET state = 'unknown', error_code = ?, error_detail = ?,"
                " updated_at = ? WHERE uuid = ? AND state = 'sending'",
                (code, storable(detail), now_ms, message_id),
            )

    async def record_unsent(self, message_id: str, now_ms: int) -> None:
        async with self._connections.write() as tx:
            await tx.change(
                "UPDATE messages SET state = 'accepted', attempts = attempts - 1, updated_at = ?"
                " WHERE uuid = ? AND state = 'sending'",
                (now_ms, message_id),
            )

    async def record_acks(
        self, session_id: str, wa_ids: Sequence[str], ack: int, now_ms: int
    ) -> int:
        wanted = sorted({storable(wa_id) for wa_id in wa_ids})
        changed = 0
        async with self._connections.write() as tx:
            for start in range(0, len(wanted), _BATCH):
                batch = wanted[start : start + _BATCH]
                rows = await tx.all(
                    "SELECT m.id, m.state FROM messages AS m"  # noqa: S608 - only question marks
                    " JOIN whatsapp_sessions AS s ON s.id = m.whatsapp_session_id"
                    " WHERE s.uuid = ? AND m.direction = 'outbound'"
                    f" AND m.wa_id IN ({', '.join('?' * len(batch))})",
                    (session_id, *batch),
                )
                for key, state in rows:
                    changed += await apply_ack(tx, key, MessageState(state), ack, now_ms)
        return changed

    async def unknown_messages(self, session_id: str, limit: int = 100) -> Sequence[MessageRow]:
        rows = await self._connections.read(
            f"{_SELECT} WHERE s.uuid = ? AND m.state = 'unknown' ORDER BY m.id LIMIT ?",
            (session_id, max(0, limit)),
        )
        return [message_row(row) for row in rows]

    # ---- inbound ----

    async def record_inbound(self, new: NewInbound) -> MessageRow | None:
        async with self._connections.write() as tx:
            key = await require_session(tx, new.session_id)
            uuid = self._ids.next(new.now_ms)
            stored = await tx.change(
                f"{_INSERT} ON CONFLICT (whatsapp_session_id, direction, chat, wa_id) DO NOTHING",
                {
                    "uuid": uuid,
                    "session": key,
                    "direction": Direction.INBOUND,
                    "chat": storable(new.chat),
                    "sender": storable(new.sender),
                    "wa_id": storable(new.wa_id),
                    "kind": storable(new.kind),
                    "body": storable(new.body),
                    "state": MessageState.RECEIVED,
                    "now": new.now_ms,
                    "sent": new.sent_ms,
                },
            )
            if not stored:
                return None
            await _note_activity(tx, key, new.now_ms)
            return await _message(tx, uuid)

    # ---- reading ----

    async def message(self, session_id: str, message_id: str) -> MessageRow:
        rows = await self._connections.read(
            f"{_SELECT} WHERE m.uuid = ? AND s.uuid = ? AND s.deleted_at IS NULL",
            (message_id, session_id),
        )
        if not rows:
            raise _no_such_message(message_id)
        return message_row(rows[0])

    async def messages(
        self,
        session_id: str,
        *,
        before: str | None = None,
        direction: Direction | None = None,
        chat: str | None = None,
        limit: int = 50,
    ) -> Sequence[MessageRow]:
        found = await self._connections.read(
            "SELECT id FROM whatsapp_sessions WHERE uuid = ? AND deleted_at IS NULL", (session_id,)
        )
        if not found:
            raise no_such_session(session_id)
        where, values = ["m.whatsapp_session_id = ?"], [found[0][0]]
        for column, value in (
            ("m.uuid < ?", before),
            ("m.direction = ?", direction),
            ("m.chat = ?", chat),
        ):
            if value is not None:
                where.append(column)
                values.append(value)
        rows = await self._connections.read(
            f"{_SELECT} WHERE {' AND '.join(where)} ORDER BY m.uuid DESC LIMIT ?",
            (*values, max(0, limit)),
        )
        return [message_row(row) for row in rows]

    async def message_counts(self) -> Mapping[tuple[Direction, MessageState], int]:
        rows = await self._connections.read(
            "SELECT direction, state, count(*) FROM messages GROUP BY direction, state"
        )
        return {(Direction(row[0]), MessageState(row[1])): row[2] for row in rows}


async def _message(tx: Transaction, uuid: str) -> MessageRow:
    row = await tx.one(f"{_SELECT} WHERE m.uuid = ?", (uuid,))
    if row is None:
        raise _no_such_message(uuid)
    return message_row(row)


async def _note_activity(tx: Transaction, key: int, now_ms: int) -> None:
    await tx.change("UPDATE whatsapp_sessions SET last_activity_at = ? WHERE id = ?", (now_ms, key))
