"""Write what a receipt changes: the pure rule is storage.delivery, the times are filled in once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from storage.delivery import SEND_REFUSED, advance, reached
from storage.store import MessageState

if TYPE_CHECKING:
    from storage.sqlite.connection import Transaction

_ADVANCE: Final = (
    "UPDATE messages SET state = :state, error_code = :code, error_detail = :detail,"
    " sent_at = coalesce(sent_at, :sent), delivered_at = coalesce(delivered_at, :delivered),"
    " read_at = coalesce(read_at, :read), updated_at = :now WHERE id = :id"
)


async def apply_ack(tx: Transaction, key: int, state: MessageState, ack: int, now_ms: int) -> bool:
    """Advance one message by a receipt; return whether that changed it."""
    after = advance(state, ack)
    if after is state:
        return False
    refused = after is MessageState.FAILED
    await tx.change(
        _ADVANCE,
        {
            "id": key,
            "state": after,
            "code": SEND_REFUSED if refused else None,
            "detail": "WhatsApp refused the message." if refused else None,
            "sent": now_ms if reached(after, MessageState.SENT) else None,
            "delivered": now_ms if reached(after, MessageState.DELIVERED) else None,
            "read": now_ms if reached(after, MessageState.READ) else None,
            "now": now_ms,
        },
    )
    return True
