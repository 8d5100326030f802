"""Counters that actors raise and /metrics shows; each knows who raises it and when."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from actors.telemetry_capacity import CapacityTelemetry
from actors.telemetry_care import CareTelemetry
from actors.telemetry_health import HealthTelemetry
from actors.telemetry_inbound import InboundTelemetry
from actors.telemetry_safekeeping import SafekeepingTelemetry
from actors.telemetry_webhooks import WebhookTelemetry


class Telemetry:
    """Prometheus counters on a registry of their own (no global registry, so tests stay apart)."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.safekeeping = SafekeepingTelemetry(self.registry)
        self.care = CareTelemetry(self.registry)
        self.health = HealthTelemetry(self.registry)
        self.inbound = InboundTelemetry(self.registry)
        self.capacity = CapacityTelemetry(self.registry)
        self.webhooks = WebhookTelemetry(self.registry)
        self.launches = Counter(
            "wafleet_browser_launches",
            "Browser launches by result; raised by a session actor when a launch ends.",
            ["result"],
            registry=self.registry,
        )
        self.launch_seconds = Histogram(
            "wafleet_browser_launch_seconds",
            "Seconds from launch to a connected browser; observed by a session actor.",
            buckets=(0.25, 0.5, 1, 2, 4, 8, 16, 32),
            registry=self.registry,
        )
        self.restarts = Counter(
            "wafleet_session_restarts",
            "Session restarts by cause; raised by the supervisor when it plans one.",
            ["cause"],
            registry=self.registry,
        )
        self.service_restarts = Counter(
            "wafleet_service_restarts",
            "Restarts of pool, limiter, memory and janitor; raised by the supervisor.",
            ["service"],
            registry=self.registry,
        )
        self.exits = Counter(
            "wafleet_session_exits",
            "Ends of session actors by kind and cause; raised by the supervisor.",
            ["kind", "cause"],
            registry=self.registry,
        )
        self.forced_stops = Counter(
            "wafleet_browser_forced_stops",
            "Browsers that had to be killed; raised by a session actor after a stop.",
            registry=self.registry,
        )
        self.qr_codes = Counter(
            "wafleet_qr_codes",
            "QR codes shown; raised by a session actor.",
            registry=self.registry,
        )
        self.archives = Counter(
            "wafleet_archives",
            "Session archives by result (saved, failed, abandoned, restored, refused); raised by a"
            " session actor when one was saved or could not be, and before a launch.",
            ["result"],
            registry=self.registry,
        )
        self.archive_pause_seconds = Histogram(
            "wafleet_archive_pause_seconds",
            "Seconds that a browser stood still for a copy; observed by a session actor.",
            buckets=(0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10),
            registry=self.registry,
        )
        self.archive_seconds = Histogram(
            "wafleet_archive_seconds",
            "Seconds from freezing a browser to a kept archive; observed by a session actor.",
            buckets=(0.25, 0.5, 1, 2, 5, 10, 30, 60, 300),
            registry=self.registry,
        )
        self.archive_bytes = Histogram(
            "wafleet_archive_bytes",
            "Bytes of a kept archive; observed by a session actor.",
            buckets=tuple(2**n for n in range(16, 31, 2)),
            registry=self.registry,
        )
        self.retention_removed = Counter(
            "wafleet_retention_removed",
            "What outlived its time to live and was removed, by kind (messages, media, events);"
            " raised by the keeper after each batch.",
            ["kind"],
            registry=self.registry,
        )
        for kind in ("messages", "media", "events"):
            self.retention_removed.labels(kind=kind)  # an absent series looks like "no data"
        self.accept_to_page_seconds = Histogram(
            "wafleet_accept_to_page_seconds",
            "Seconds from accepting a message to its page call; observed by a session actor.",
            buckets=(0.002, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 1, 5, 30, 300),
            registry=self.registry,
        )
        self.turn_to_page_seconds = Histogram(
            "wafleet_turn_to_page_seconds",
            "Seconds from a message's turn (accepted, due, allowed, the one before it answered for)"
            " to its page call; observed by a session actor.",
            buckets=(0.002, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 1, 5, 30, 300),
            registry=self.registry,
        )
        self.actors_stuck = Gauge(
            "wafleet_actors_stuck",
            "Actors whose handler has not come back in time; set by the watchdog, every second.",
            registry=self.registry,
        )
        self.actor_alarms = Counter(
            "wafleet_actor_alarms",
            "Alarms about handlers that did not come back in time; raised by the watchdog.",
            ["actor"],
            registry=self.registry,
        )
        self.orphans_reaped = Counter(
            "wafleet_orphans_reaped",
            "Dead processes reaped that had no owner; raised by the reaper, as PID 1 only.",
            registry=self.registry,
        )
        self.loop_lag = Gauge(
            "wafleet_loop_lag_seconds",
            "How late the last heartbeat of a loop was; set by the loop's pulse, twice a second.",
            ["loop"],
            registry=self.registry,
        )
        self.stragglers = Gauge(
            "wafleet_bridge_stragglers",
            "Calls that missed their deadline and have not ended yet; read at each scrape.",
            ["loop"],
            registry=self.registry,
        )
