"""Metrics of streams and broadcasts, registered once on the registry that they are given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


class BroadcastMetrics:
    """`result` is sent, failed (it is tried again), refused, or superseded while it waited."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.published = Counter(
            "wafleet_broadcasts",
            "Broadcasts for the Pusher server, by what became of them.",
            ("name", "result"),
            registry=registry,
        )


class StreamMetrics:
    """`kind` is sse or websocket; `code` why a stream ended (api.feed.End)."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.open = Gauge(
            "wafleet_event_streams",
            "Streams of events that are open.",
            ("kind",),
            registry=registry,
        )
        self.ended = Counter(
            "wafleet_event_streams_ended",
            "Streams of events that ended, by why.",
            ("kind", "code"),
            registry=registry,
        )
        self.events = Counter(
            "wafleet_events_streamed",
            "Events written to streams.",
            ("kind",),
            registry=registry,
        )
