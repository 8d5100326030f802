"""Messages that come in, and the reading of both directions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from storage.events import EventType
from storage.messages import Direction, MessageRow, MessageState, NewInbound, Priority
from storage.sqlite.events import NewEvent, append_events
from storage.sqlite.rows import MESSAGE_COLUMNS, MESSAGES, content_text, message_row, storable
from storage.sqlite.scope import own_session_keys, session_keys
from storage.sqlite.statistics import RECEIVED, count
from storage.sqlite.traffic import note_traffic
from storage.sqlite.transactions import transaction
from storage.store import MessageNotFound

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from storage.sqlite.connection import Connections
    from storage.sqlite.ids import MonotonicIds
    from storage.sqlite.transactions import Transaction

SELECT_MESSAGE: Final = f"SELECT {MESSAGE_COLUMNS} FROM {MESSAGES}"  # noqa: S608 - constants only
INSERT_MESSAGE: Final = (
    "INSERT INTO messages (uuid, workspace_id, whatsapp_session_id, chat_id, contact_id, direction,"
    " chat, sender, wa_id, kind, body, content, state, priority, send_at, expires_at, created_at,"
    " updated_at, sent_at) VALUES (:uuid, :workspace, :session, :chat_id, :contact_id, :direction,"
    " :chat, :sender, :wa_id, :kind, :body, :content, :state, :priority, :send_at, :expires, :now,"
    " :now, :sent)"
)


def no_such_message(message_id: str) -> MessageNotFound:
    return MessageNotFound(f"There is no message {message_id} in this session.")


class MessageTable:
    """Writes inbound messages; reads all."""

    def __init__(self, connections: Connections, ids: MonotonicIds) -> None:
        self._connections = connections
        self._ids = ids

    @transaction
    async def record_inbound(self, tx: Transaction, new: NewInbound) -> MessageRow | None:
        jid, sender, wa_id, kind = map(storable, (new.chat, new.sender, new.wa_id, new.kind))
        session = await session_keys(tx.all, new.session_id)
        # An erased message no longer knows its chat; without looking at those too, WhatsApp's
        # repeating it would bring back what was erased.
        if await tx.one(
            "SELECT 1 FROM messages WHERE whatsapp_session_id = ? AND direction = 'inbound'"
            " AND wa_id = ? AND (chat = ? OR erased_at IS NOT NULL)",
            (session.id, wa_id, jid),
        ):
            return None
        chat = await note_traffic(tx, self._ids, session, jid, sender, new.now_ms)
        uuid = self._ids.next(new.now_ms)
        [(key,)] = await tx.all(
            f"{INSERT_MESSAGE} RETURNING id",
            {
                "uuid": uuid,
                "workspace": session.workspace,
                "session": session.id,
                "chat_id": chat.id,
                "contact_id": None if chat.contact is None else chat.contact.id,
                "direction": Direction.INBOUND,
                "chat": jid,
                "sender": sender,
                "wa_id": wa_id,
                "kind": kind,
                "body": storable(new.body),
                "content": content_text(new.content),
                "state": MessageState.RECEIVED,
                "priority": Priority.CONVERSATION,
                "send_at": None,
                "expires": None,
                "now": new.now_ms,
                "sent": new.sent_ms,
            },
        )
        if new.fetch:
            await tx.change(
                "INSERT INTO media_downloads"
                " (message_id, workspace_id, whatsapp_session_id, created_at)"
                " VALUES (?, ?, ?, ?)",
                (key, session.workspace, session.id, new.now_ms),
            )
        await count(tx, session.id, RECEIVED, new.now_ms)
        payload = {
            "message_id": uuid,
            "chat_id": chat.uuid,
            "contact_id": None if chat.contact is None else chat.contact.uuid,
            "kind": kind,
        }
        received = NewEvent(session=session, type=EventType.MESSAGE_RECEIVED, payload=payload)
        await append_events(tx, self._ids, [received], new.now_ms)
        return await stored_message(tx, uuid)

    async def message(self, workspace_id: str, session_id: str, message_id: str) -> MessageRow:
        rows = await self._connections.read(
            f"{SELECT_MESSAGE} JOIN workspaces AS w ON w.id = s.workspace_id"
            " WHERE m.uuid = ? AND s.uuid = ? AND w.uuid = ? AND s.deleted_at IS NULL",
            (message_id, session_id, workspace_id),
        )
        if not rows:
            raise no_such_message(message_id)
        return message_row(rows[0])

    async def messages(
        self,
        workspace_id: str,
        session_id: str,
        *,
        before: str | None = None,
        direction: Direction | None = None,
        chat: str | None = None,
        limit: int = 50,
    ) -> Sequence[MessageRow]:
        session = await own_session_keys(self._connections.read, workspace_id, session_id)
        where, values = ["m.whatsapp_session_id = ?"], [str(session.id)]
        for column, value in (
            ("m.uuid < ?", before),
            ("m.direction = ?", direction),
            ("m.chat = ?", chat),
        ):
            if value is not None:
                where.append(column)
                values.append(value)
        rows = await self._connections.read(
            f"{SELECT_MESSAGE} WHERE {' AND '.join(where)} ORDER BY m.uuid DESC LIMIT ?",
            (*values, max(0, limit)),
        )
        return [message_row(row) for row in rows]

    async def message_counts(self) -> Mapping[tuple[Direction, MessageState], int]:
        rows = await self._connections.read(
            "SELECT direction, state, count(*) FROM messages GROUP BY direction, state"
        )
        return {(Direction(row[0]), MessageState(row[1])): row[2] for row in rows}


async def stored_message(tx: Transaction, uuid: str) -> MessageRow:
    """Return it as it stands in this transaction. Raises MessageNotFound."""
    row = await tx.one(f"{SELECT_MESSAGE} WHERE m.uuid = ?", (uuid,))
    if row is None:
        raise no_such_message(uuid)
    return message_row(row)
