"""What tells of webhooks: what was tried and how it ended, and what is left to be delivered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram

from actors.webhook_plan import Verdict

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


class WebhookTelemetry:
    """Counters and gauges on the node's registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.attempts = Counter(
            "wafleet_webhook_attempts",
            "Attempts to deliver an event to a webhook by verdict; raised by its worker.",
            ["verdict"],
            registry=registry,
        )
        for verdict in Verdict:
            self.attempts.labels(verdict=verdict.value)  # an absent series looks like "no data"
        self.dead_letters = Counter(
            "wafleet_webhook_dead_letters",
            "Events that a webhook did not take in all of its attempts; raised by its worker.",
            registry=registry,
        )
        self.disabled = Counter(
            "wafleet_webhooks_disabled",
            "Webhooks disabled by wafleet, by reason (gone, failing); raised by their worker.",
            ["reason"],
            registry=registry,
        )
        self.enabled = Gauge(
            "wafleet_webhooks_enabled",
            "Webhooks that are told of events; set by the desk.",
            registry=registry,
        )
        self.open_breakers = Gauge(
            "wafleet_webhook_breakers_open",
            "Webhooks that only get probes, because they failed; read at each scrape.",
            registry=registry,
        )
        self.seconds = Histogram(
            "wafleet_webhook_seconds",
            "Seconds from an event to an endpoint's answer, if the first attempt delivered it;"
            " observed by the webhook's worker.",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 600),
            registry=registry,
        )
