"""Counters of the sessions' health; each knows who raises it and when."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

SECONDS = (0.05, 0.1, 0.5, 1, 2, 5, 10, 15, 20, 25, 30, 60, 120, 300, 900, 3600)


class HealthTelemetry:
    """Raised by session actors (actors.health)."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.outages = Counter(
            "wafleet_health_outages",
            "Sessions found not to be connected any more, by cause and rung of the ladder.",
            ["cause", "rung"],
            registry=registry,
        )
        self.detection_seconds = Histogram(
            "wafleet_health_detection_seconds",
            "Seconds from the last sign of life on its rung until an outage was found.",
            ["cause"],
            buckets=SECONDS,
            registry=registry,
        )
        self.recovery_seconds = Histogram(
            "wafleet_health_recovery_seconds",
            "Seconds from the finding of an outage until the session was proven connected again.",
            ["cause"],
            buckets=SECONDS,
            registry=registry,
        )
        self.repairs = Counter(
            "wafleet_health_repairs",
            "Repairs begun (free, take_over, reload, restart, snapshot), by cause.",
            ["repair", "cause"],
            registry=registry,
        )
        self.probes = Counter(
            "wafleet_health_probes",
            "Notes to self by verdict (acked, old, refused, silent, impossible, later).",
            ["verdict"],
            registry=registry,
        )
        self.notes_left = Counter(
            "wafleet_health_notes_left",
            "Notes to self that could not be deleted at once; the next one's deletion takes them.",
            registry=registry,
        )
        self.missed_beats = Counter(
            "wafleet_health_missed_beats",
            "Signs of life that were not given in time, by rung.",
            ["rung"],
            registry=registry,
        )
