"""What our own edits and deletions for everyone do to the message that they name.

They are messages of the outbox as any other, and change the other one once WhatsApp has them. The
page may tell of the same (storage.sqlite.inbound): whichever is heard first counts, and is told of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from storage.events import EventType
from storage.sqlite.events import NewEvent
from storage.sqlite.receipts import EVENT_REF, MessageRef, message_ref

if TYPE_CHECKING:
    from storage.sqlite.transactions import Row, Transaction

_EDIT: Final = "edit"
_REVOKE: Final = "revoke"
_ACT: Final = (
    "SELECT json_extract(content, '$.target'), body, coalesce(attempted_at, :now) FROM messages"
    " WHERE id = :id AND erased_at IS NULL"
)
_REFERENCE, _, _TABLES = EVENT_REF.partition(" FROM ")
_TARGET: Final = (
    f"SELECT {_REFERENCE}, m.body, m.edited_at FROM {_TABLES} WHERE m.uuid = ?"  # noqa: S608 - constants only
    " AND m.whatsapp_session_id = ? AND m.direction = 'outbound' AND m.revoked_at IS NULL"
    " AND m.erased_at IS NULL"
)


async def act_on_target(tx: Transaction, ref: MessageRef, now_ms: int) -> NewEvent | None:
    """Do to the other message what this one does, which proved to be sent; return what tells so."""
    if ref.kind not in {_EDIT, _REVOKE}:
        return None
    act = await tx.one(_ACT, {"id": ref.id, "now": now_ms})
    if act is None:
        return None
    target, body, at_ms = act
    found = await tx.one(_TARGET, (target, ref.session.id))
    if found is None:
        return None
    if ref.kind == _REVOKE:
        await tx.change(
            "UPDATE messages SET revoked_at = ?, updated_at = ? WHERE id = ?",
            (at_ms, now_ms, found[0]),
        )
        return _event(EventType.MESSAGE_REVOKED, found)
    *_, before, edited_ms = found
    # A later edit may be known already: this one was in doubt, and its ack came only now.
    if edited_ms is not None and (edited_ms >= at_ms or before == body):
        return None
    await tx.change(
        "UPDATE messages SET body = ?, edited_at = ?, updated_at = ? WHERE id = ?",
        (body, at_ms, now_ms, found[0]),
    )
    return _event(EventType.MESSAGE_EDITED, found)


def _event(kind: EventType, found: Row) -> NewEvent:
    ref = message_ref(tuple(found[:-2]))
    payload = {"message_id": ref.uuid, "chat_id": ref.chat, "kind": ref.kind}
    return NewEvent(session=ref.session, type=kind, payload=payload)
