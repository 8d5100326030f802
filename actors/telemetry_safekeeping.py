"""What tells of the database's snapshots, and of a start that had to go back to one."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

RESULTS = ("taken", "full", "busy", "damaged", "failed")
CAUSES = ("damaged", "missing")


class SafekeepingTelemetry:
    """Counters and gauges on the node's registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.snapshots = Counter(
            "wafleet_snapshots",
            "Snapshots of the database by result (taken, full, busy, damaged, failed); raised by"
            " the safekeeper after each try. damaged means the database itself: start again.",
            ["result"],
            registry=registry,
        )
        self.snapshot_age = Gauge(
            "wafleet_snapshot_age_seconds",
            "Age of the newest snapshot, infinite without one; read at each scrape.",
            registry=registry,
        )
        self.restores = Counter(
            "wafleet_database_restores",
            "Starts that put a snapshot in the database's place, by cause (damaged, missing);"
            " raised by the boot.",
            ["cause"],
            registry=registry,
        )
        self.restored_age = Gauge(
            "wafleet_database_restored_age_seconds",
            "Age of the snapshot that this start put in the database's place; 0 if it did not.",
            registry=registry,
        )
        self.adopted = Counter(
            "wafleet_adopted",
            "What was found on the disk and not in a restored database, and taken in, by kind"
            " (sessions, archives); raised by the boot.",
            ["kind"],
            registry=registry,
        )
        self.restored_age.set(0)
        for result in RESULTS:  # an absent series looks like "no data"
            self.snapshots.labels(result=result)
        for cause in CAUSES:
            self.restores.labels(cause=cause)
        for kind in ("sessions", "archives"):
            self.adopted.labels(kind=kind)

    def restored(self, *, cause: str, seconds: float, sessions: int, archives: int) -> None:
        """Count a start that went back to a snapshot that old, and what it took in."""
        self.restores.labels(cause=cause).inc()
        self.restored_age.set(seconds)
        self.adopted.labels(kind="sessions").inc(sessions)
        self.adopted.labels(kind="archives").inc(archives)
