"""Figures of what comes in."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter


class InboundTelemetry:
    """Registered once, by Telemetry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.downloads = Counter(
            "wafleet_media_downloads",
            "Files of contacts' messages that were fetched from a page, by result.",
            ["result"],
            registry=registry,
        )
