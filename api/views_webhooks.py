"""Show webhooks' records as answers; never a secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.schemas_webhooks import AttemptOut, DeadLetterOut
from api.times import rfc3339

if TYPE_CHECKING:
    from storage.webhooks import AttemptRow, Waiting, WebhookRecord


def _optional(ms: int | None) -> str | None:
    return None if ms is None else rfc3339(ms)


def webhook_fields(record: WebhookRecord) -> dict[str, object]:
    """Return the fields of WebhookOut for a webhook."""
    return {
        "id": record.id,
        "url": record.url,
        "description": record.description,
        "events": sorted(record.events),
        "session_id": record.session_id,
        "messages": record.messages,
        "disabled": record.disabled,
        "failing_since": _optional(record.failing_since_ms),
        "previous_secret_until": _optional(record.previous_until_ms),
        "created_at": rfc3339(record.created_ms),
        "updated_at": rfc3339(record.updated_ms),
    }


def attempt_out(row: AttemptRow) -> AttemptOut:
    """Return the answer for an attempt."""
    attempt = row.attempt
    return AttemptOut(
        id=row.id,
        event_id=attempt.event_id,
        type=attempt.type,
        number=attempt.number,
        delivered=not attempt.failed,
        code=attempt.code,
        status=attempt.status,
        took_ms=attempt.took_ms,
        at=rfc3339(attempt.at_ms),
    )


def dead_letter_out(waiting: Waiting) -> DeadLetterOut:
    """Return the answer for a dead letter."""
    return DeadLetterOut(
        event_id=waiting.event_id,
        type=waiting.type,
        attempts=waiting.attempts,
        last_at=_optional(waiting.tried_ms),
        code=waiting.code,
        status=waiting.status,
    )
