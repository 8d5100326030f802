"""From what a client wants sent to what the outbox stores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from api.errors import ApiError, FieldError, fields_invalid
from storage.messages import MessageState, NewOutbound, Priority
from storage.store import MessageNotFound

if TYPE_CHECKING:
    from api.ports import ApiDeps
    from api.schemas import NewMessage, Sending
    from storage.store import SessionRow

FURTHEST_MS: Final = 366 * 86_400_000
"""How far ahead a message may be put off, in milliseconds."""

_NEVER_SENT: Final = frozenset({MessageState.FAILED, MessageState.EXPIRED, MessageState.CANCELLED})
_PRIORITIES: Final = {"conversation": Priority.CONVERSATION, "bulk": Priority.BULK}


async def outbound(
    deps: ApiDeps, session: SessionRow, body: NewMessage, priority: Priority
) -> NewOutbound:
    """Return the message with a WhatsApp id of its own; `priority` if it asks for none.

    `content` gets what is wanted of `reply_to` (our id), `mentions` (jids) and `link_preview`
    (true). Raises ApiError fields_invalid, and StoreErrors.
    """
    now_ms = deps.now_ms()
    require_times(body, now_ms)
    return NewOutbound(
        session_id=session.id,
        chat=body.to,
        wa_id=deps.new_wa_id(),
        body=body.text,
        content=await _content(deps, session, body),
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


async def _content(deps: ApiDeps, session: SessionRow, body: NewMessage) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if body.reply_to is not None:
        content["reply_to"] = await _quoted(deps, session, body.to, body.reply_to)
    if body.mentions:
        content["mentions"] = list(dict.fromkeys(body.mentions))
    if body.link_preview:
        content["link_preview"] = True
    return content


async def _quoted(deps: ApiDeps, session: SessionRow, chat: str, message_id: str) -> str:
    """Return the id of the message that is answered; what else the page needs is read at its turn.

    Its sender's jid would stay behind in our message when the sender's data are erased.
    """
    try:
        row = await deps.store.message(session.workspace_id, session.id, message_id)
    except MessageNotFound:
        raise _wrong("reply_to", "is no message of this session") from None
    if row.chat != chat:
        raise _wrong("reply_to", "is a message of another chat")
    if row.state in _NEVER_SENT:
        raise _wrong("reply_to", "was never sent")
    return row.id


def _wrong(field: str, sentence: str) -> ApiError:
    return fields_invalid((FieldError(field, sentence),))
