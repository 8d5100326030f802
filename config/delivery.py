"""Settings of the delivery of messages."""

from __future__ import annotations

from typing import Literal

from pydantic_settings import BaseSettings

from config.fields import Seconds, field, seconds


class DeliverySettings(BaseSettings):
    """Part of Settings."""

    unknown_policy: Literal["resend_same_id", "park"] = field(
        "resend_same_id",
        "resend_same_id or park",
        "What to do with a message whose sending was cut off and that WhatsApp Web does not know:"
        " send it again under the same id, at most 3 times in all, or leave it to a person.",
    )
    typing_before_reply: Seconds = seconds(
        0,
        0,
        25,
        "For how long a contact sees that we type before it gets a reply; 0 does not show it.",
    )
    pending_timeout: Seconds = seconds(
        60,
        0.1,
        3600,
        "How long a message whose sending was cut off may be without WhatsApp's ack before its"
        " session is repaired.",
    )
