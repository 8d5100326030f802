"""What pool and limiter count and measure; each knows who raises or sets it and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge

from actors.machine import open_descriptors
from actors.mailboxes import Mailboxes

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from actors.pressure import Readings


class CapacityTelemetry:
    """A part of Telemetry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.mailboxes = Mailboxes()
        registry.register(self.mailboxes)
        self.pool_limit = Gauge(
            "wafleet_pool_limit",
            "How many sessions may run on this node; set by the pool.",
            registry=registry,
        )
        self.pool_in_use = Gauge(
            "wafleet_pool_in_use",
            "How many sessions have a place; set by the pool at each change.",
            registry=registry,
        )
        self.pool_refused = Counter(
            "wafleet_pool_refused",
            "Starts refused because the node was full; raised by the pool.",
            registry=registry,
        )
        self.launch_slots = Gauge(
            "wafleet_launch_slots",
            "How many browsers may be starting at the same time; set by the pool.",
            registry=registry,
        )
        self.launching = Gauge(
            "wafleet_launching",
            "How many sessions are launching their browser; set by the pool at each change.",
            registry=registry,
        )
        self.launches_waiting = Gauge(
            "wafleet_launches_waiting",
            "How many sessions wait for their launch; set by the pool at each change.",
            registry=registry,
        )
        self.launches_granted = Counter(
            "wafleet_launches_granted",
            "Launches granted, by urgency (person, boot, relaunch); raised by the pool.",
            ["urgency"],
            registry=registry,
        )
        self.launches_blocked = Gauge(
            "wafleet_launches_blocked",
            "1 for the cause that keeps launches waiting; set by the pool at each change.",
            ["cause"],
            registry=registry,
        )
        self.qr_windows = Counter(
            "wafleet_qr_windows",
            "QR windows of a session by result (granted, refused); raised by the limiter.",
            ["session", "result"],
            registry=registry,
        )
        self.sends = Counter(
            "wafleet_sends",
            "Messages and notes of a session by result (granted, capped); raised by the limiter.",
            ["session", "result"],
            registry=registry,
        )
        self.sends_held = Counter(
            "wafleet_sends_held",
            "How often a message was made to wait, by what binds (minute, hour, day, warm_up, pace,"
            " busy); raised by the limiter, and by a session that it has told with a grant.",
            ["window"],
            registry=registry,
        )
        for window in ("minute", "hour", "day", "warm_up", "pace", "busy"):
            self.sends_held.labels(window=window)  # an absent series looks like "no data"
        self.memory_available = Gauge(
            "wafleet_memory_available_bytes",
            "Memory left to the node, of the machine or the tightest control group; set by the"
            " pool whenever it looks.",
            registry=registry,
        )
        self.descriptors = Gauge(
            "wafleet_descriptors_used",
            "File descriptors that wafleet itself has open; read at each scrape.",
            registry=registry,
        )
        self.descriptors.set_function(open_descriptors)
        self.descriptor_limit = Gauge(
            "wafleet_descriptor_limit",
            "The soft limit of open files; set by the pool whenever it looks.",
            registry=registry,
        )

    def machine_read(self, readings: Readings) -> None:
        """The pool has looked at the machine."""
        if readings.memory_available is not None:
            self.memory_available.set(readings.memory_available)
        if readings.descriptors_limit is not None:
            self.descriptor_limit.set(readings.descriptors_limit)
