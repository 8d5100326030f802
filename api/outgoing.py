"""From what a client wants sent to what the outbox stores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from api.errors import ApiError, FieldError, fields_invalid
from storage.messages import NewOutbound, Priority

if TYPE_CHECKING:
    from api.drafts import Drafts
    from api.ports import ApiDeps
    from api.schemas import Sending
    from api.schemas_messages import AnyMessage
    from storage.store import SessionRow

FURTHEST_MS: Final = 366 * 86_400_000
"""How far ahead a message may be put off, in milliseconds."""

_PRIORITIES: Final = {"conversation": Priority.CONVERSATION, "bulk": Priority.BULK}


async def outbound(
    deps: ApiDeps, drafts: Drafts, session: SessionRow, body: AnyMessage, priority: Priority
) -> NewOutbound:
    """Return the message with a WhatsApp id of its own; `priority` if it asks for none.

    Raises ApiError fields_invalid, and StoreErrors.
    """
    now_ms = deps.now_ms()
    require_times(body, now_ms)
    draft = await drafts.draft(session, body, now_ms)
    return NewOutbound(
        session_id=session.id,
        chat=draft.chat,
        wa_id=deps.new_wa_id(),
        kind=draft.kind,
        body=draft.body,
        content=draft.content,
        priority=priority if body.priority is None else _PRIORITIES[body.priority],
        send_at_ms=body.send_at,
        expires_ms=body.expires_at,
        now_ms=now_ms,
    )


def require_times(body: Sending, now_ms: int) -> None:
    """Raise ApiError fields_invalid for times that leave no time to send it.

    A `send_at` that has passed is now: clocks differ, and it may have waited on its way here.
    """
    if body.send_at is not None and body.send_at > now_ms + FURTHEST_MS:
        raise _wrong("send_at", "is at most 366 days ahead")
    if body.expires_at is None:
        return
    if body.expires_at <= now_ms:
        raise _wrong("expires_at", "has passed already; leave it out, or set a later time")
    if body.send_at is not None and body.expires_at <= body.send_at:
        raise _wrong("expires_at", "is later than send_at")


def _wrong(field: str, sentence: str) -> ApiError:
    return fields_invalid((FieldError(field, sentence),))
