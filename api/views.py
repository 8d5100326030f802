"""Show records as answers."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from actors.reasons import REASONS
from api.keys import caller_of
from api.schemas import (
    AccessOut,
    EventOut,
    MessageError,
    MessageOut,
    NumberOut,
    SessionOut,
    StatisticsOut,
)
from api.times import rfc3339
from storage.messages import Direction, MessageState
from storage.store import SessionStatus

if TYPE_CHECKING:
    from actors.live import LiveSession
    from storage.audit import AccessEntry
    from storage.events import EventRow
    from storage.keys import ApiKeyRecord
    from storage.messages import MessageRow
    from storage.store import SessionRow


def _optional(ms: int | None) -> str | None:
    return None if ms is None else rfc3339(ms)


def as_of_now(row: SessionRow, live: LiveSession | None) -> SessionRow:
    """Return the row with the public state that the board shows; `live` is None without an actor.

    The board is ahead of the store while a change is being written, and for states that are never
    written, like queued.
    """
    if live is None:
        return row
    return replace(
        row,
        status=SessionStatus(live.status),
        reason=live.reason,
        detail=live.detail,
        since_ms=live.since_ms,
        phone_number=live.phone_number or row.phone_number,
    )


def session_out(row: SessionRow, live: LiveSession | None) -> SessionOut:
    """Return the answer for a session; `live` is None while no actor runs for it."""
    row = as_of_now(row, live)
    return SessionOut(
        id=row.id,
        name=row.name,
        provider_type=row.provider,
        is_primary=row.is_primary,
        is_active=row.is_active,
        phone_number=row.phone_number,
        status=row.status,
        reason=row.reason,
        # A database written by another version may know reasons that this one does not.
        reason_text=REASONS.get(row.reason, row.reason),
        detail=row.detail,
        since=rfc3339(row.since_ms),
        evidence_at=_optional(live.evidence_ms if live else None),
        desired=row.desired,
        last_connected_at=_optional(row.last_connected_ms),
        created_at=rfc3339(row.created_ms),
        updated_at=rfc3339(row.updated_ms),
        qr_available=live is not None and live.qr is not None,
        statistics=StatisticsOut(**asdict(row.statistics)),
    )


def number_out(row: SessionRow, live: LiveSession | None) -> NumberOut:
    """Return a session as a number; `live` is None while no actor runs for it."""
    row = as_of_now(row, live)
    return NumberOut(
        session_id=row.id,
        name=row.name,
        phone_number=row.phone_number,
        provider_type=row.provider,
        is_primary=row.is_primary,
        is_active=row.is_active,
        status=row.status,
        reason=row.reason,
        reason_text=REASONS.get(row.reason, row.reason),
        since=rfc3339(row.since_ms),
        evidence_at=_optional(live.evidence_ms if live else None),
        last_activity_at=_optional(row.last_activity_ms),
        last_connected_at=_optional(row.last_connected_ms),
    )


def event_out(row: EventRow) -> EventOut:
    """Return the answer for an event."""
    return EventOut(
        id=row.id,
        type=row.type,
        version=row.version,
        session_id=row.session_id,
        payload=dict(row.payload),
        created_at=rfc3339(row.created_ms),
    )


def access_out(entry: AccessEntry) -> AccessOut:
    """Return the answer for an entry of the access log."""
    return AccessOut(
        id=entry.id,
        number=entry.number,
        who=entry.who,
        key=entry.key,
        action=entry.action,
        result=entry.result,
        session_id=entry.session_id,
        ip_address=entry.ip_address,
        detail=dict(entry.detail),
        created_at=rfc3339(entry.created_ms),
        previous_hash=entry.previous_hash,
        hash=entry.hash,
    )


def api_key_fields(record: ApiKeyRecord) -> dict[str, object]:
    """Return the fields of ApiKeyOut for a key: never its hash."""
    caller = caller_of(record)
    return {
        "id": record.id,
        "key_id": record.key_id,
        "name": record.name,
        "scopes": sorted(caller.scopes),
        "sessions": None if caller.sessions is None else sorted(caller.sessions),
        "expires_at": _optional(record.expires_ms),
        "last_used_at": _optional(record.last_used_ms),
        "revoked_at": _optional(record.revoked_ms),
        "created_at": rfc3339(record.created_ms),
    }


def message_fields(row: MessageRow) -> dict[str, object]:
    """Return the fields of MessageOut for a message."""
    error = None
    if row.error_code is not None:
        error = MessageError(code=row.error_code, message=row.error_detail or row.error_code)
    return {
        "id": row.id,
        "session_id": row.session_id,
        "direction": row.direction,
        "chat": row.chat,
        "sender": row.sender,
        "text": row.body,
        "kind": row.kind,
        "content": dict(row.content),
        "state": row.state,
        "error": error,
        "attempts": row.attempts,
        "priority": _priority(row),
        "possible_duplicate": row.possible_duplicate,
        "send_at": _optional(row.send_at_ms),
        "expires_at": _optional(row.expires_ms),
        "created_at": rfc3339(row.created_ms),
        "sent_at": _optional(row.sent_ms),
        "delivered_at": _optional(row.delivered_ms),
        "read_at": _optional(row.read_ms),
        "edited_at": _optional(row.edited_ms),
        "revoked_at": _optional(row.revoked_ms),
    }


def _priority(row: MessageRow) -> str | None:
    return row.priority.name.lower() if row.direction is Direction.OUTBOUND else None


def as_accepted(row: MessageRow) -> MessageRow:
    """Return the message as it was when it was accepted, to be told to who repeats the request."""
    return replace(
        row,
        state=MessageState.ACCEPTED,
        error_code=None,
        error_detail=None,
        attempts=0,
        possible_duplicate=False,
        sent_ms=None,
        delivered_ms=None,
        read_ms=None,
    )


def message_out(row: MessageRow) -> MessageOut:
    """Return the answer for a message."""
    return MessageOut.model_validate(message_fields(row))
