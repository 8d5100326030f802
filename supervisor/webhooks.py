"""The delivery of webhooks, as a part of the node: beside the API, on the main loop."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from actors.webhook_desk import WebhookDesk
from actors.webhook_plan import RetryRules
from actors.webhook_sender import WebhookSender
from actors.webhook_worker import WebhookDeps
from api.webhook_body import delivery_body
from supervisor.keeper import keeping
from supervisor.parts import now_ms, uniform
from supervisor.wiring import VERSION, net_rules

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from actors.webhook_worker import WebhookStore
    from supervisor.parts import Parts


@asynccontextmanager
async def delivering(parts: Parts, store: WebhookStore) -> AsyncIterator[WebhookDesk]:
    """Tell webhooks what happens while the block runs; what is under way then gets a moment."""
    settings = parts.settings
    sender = WebhookSender(
        rules=net_rules(settings),
        timeout=settings.webhook_timeout,
        agent=f"wafleet/{VERSION}",
        now_ms=now_ms,
    )
    try:
        desk = WebhookDesk(
            WebhookDeps(
                store=store,
                sender=sender,
                secrets=parts.secrets,
                render=delivery_body,
                rules=RetryRules(
                    pauses=settings.webhook_retries, patience=settings.webhook_patience
                ),
                telemetry=parts.telemetry.webhooks,
                now_ms=now_ms,
                monotonic=time.monotonic,
                uniform=uniform,
            )
        )
        async with keeping(desk):
            yield desk
    finally:
        await sender.close()
