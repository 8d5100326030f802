"""What is posted to a webhook's endpoint, from an event and the message that it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api.schemas_webhooks import DeliveryBody
from api.times import rfc3339
from api.views import message_out

if TYPE_CHECKING:
    from storage.events import EventRow
    from storage.messages import MessageRow


def delivery_body(event: EventRow, message: MessageRow | None, shows_messages: bool) -> str:
    """Return the JSON text of a delivery: the same event and message give the same text."""
    data: dict[str, Any] = dict(event.payload)
    if shows_messages and event.type.startswith("message."):
        shown = None
        if message is not None:
            shown = message_out(message).model_dump(mode="json", by_alias=True)
        data["message"] = shown
    return DeliveryBody(
        id=event.id,
        type=event.type,
        version=event.version,
        timestamp=rfc3339(event.created_ms),
        session_id=event.session_id,
        data=data,
    ).model_dump_json()
