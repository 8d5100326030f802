"""How a message's state moves, and the event of each move.

The pure rule is storage.delivery; the times are filled in once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from storage.delivery import SEND_REFUSED, advance, reached
from storage.events import EventType
from storage.messages import MessageState
from storage.sqlite.events import NewEvent
from storage.sqlite.scope import SessionKeys
from storage.sqlite.statistics import SENT, count, newly_sent

if TYPE_CHECKING:
    from storage.sqlite.transactions import Row, Transaction

EVENT_REF: Final = (
    "m.id, m.uuid, m.state, m.kind, m.whatsapp_session_id, m.workspace_id, c.uuid, m.erased_at"
    " FROM messages AS m JOIN chats AS c ON c.id = m.chat_id"
)
_WITH_CODE: Final = frozenset({MessageState.FAILED, MessageState.UNKNOWN})
_ADVANCE: Final = (
    "UPDATE messages SET state = :state, error_code = :code, error_detail = :detail,"
    " sent_at = coalesce(sent_at, :sent), delivered_at = coalesce(delivered_at, :delivered),"
    " read_at = coalesce(read_at, :read), updated_at = :now WHERE id = :id"
)


class MessageRef(NamedTuple):
    """What a move and its event need to know of a message; a row of EVENT_REF."""

    id: int
    uuid: str
    state: MessageState
    kind: str
    session: SessionKeys
    chat: str
    erased: bool


def message_ref(row: Row) -> MessageRef:
    """Map a row of EVENT_REF."""
    key, uuid, state, kind, session, workspace, chat, erased_at = row
    keys = SessionKeys(session, workspace)
    return MessageRef(key, uuid, MessageState(state), kind, keys, chat, erased_at is not None)


async def find_message(tx: Transaction, uuid: str) -> MessageRef | None:
    """Look a message up by its public id, whosever it is."""
    row = await tx.one(f"SELECT {EVENT_REF} WHERE m.uuid = ?", (uuid,))
    return None if row is None else message_ref(row)


def message_event(ref: MessageRef, state: MessageState, *, code: str | None = None) -> NewEvent:
    """Return the event of an outbound message's move to `state`."""
    payload: dict[str, Any] = {"message_id": ref.uuid, "chat_id": ref.chat, "kind": ref.kind}
    if state in _WITH_CODE:
        payload["code"] = code
    return NewEvent(session=ref.session, type=EventType(f"message.{state}"), payload=payload)


async def apply_ack(tx: Transaction, ref: MessageRef, ack: int, now_ms: int) -> NewEvent | None:
    """Advance one message by a receipt; return the event if that changed it."""
    after = advance(ref.state, ack)
    if after is ref.state:
        return None
    refused = after is MessageState.FAILED
    await tx.change(
        _ADVANCE,
        {
            "id": ref.id,
            "state": after,
            "code": SEND_REFUSED if refused else None,
            "detail": "WhatsApp refused the message." if refused else None,
            "sent": now_ms if reached(after, MessageState.SENT) else None,
            "delivered": now_ms if reached(after, MessageState.DELIVERED) else None,
            "read": now_ms if reached(after, MessageState.READ) else None,
            "now": now_ms,
        },
    )
    if newly_sent(ref.state, after):
        await count(tx, ref.session.id, SENT, now_ms)
    return message_event(ref, after, code=SEND_REFUSED if refused else None)
