"""What the memory and the janitor actor count, and /metrics shows; per session see actors.usage."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

CLEANINGS = ("launch", "limit", "round", "disk_low")
COLLECTIONS = ("soft_limit", "hard_limit", "total_limit")
RECYCLES = ("hard_limit", "total_limit", "max_age", "storage")


class CareTelemetry:
    """Counters and gauges on the registry that is given."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.disk_free = Gauge(
            "wafleet_disk_free_bytes",
            "Free space where the data directory is; set by the janitor at each look.",
            registry=registry,
        )
        self.disk_level = Gauge(
            "wafleet_disk_level",
            "0: plenty; 1: low, archives, media and snapshots wait; 2: full, no launches either.",
            registry=registry,
        )
        self.cleanings = Counter(
            "wafleet_profile_cleanings",
            "Profiles cleaned, by cause (launch, limit, round, disk_low).",
            ["cause"],
            registry=registry,
        )
        self.cleaned_bytes = Counter(
            "wafleet_profile_cleaned_bytes",
            "Bytes of caches and the like that were deleted, by cause.",
            ["cause"],
            registry=registry,
        )
        self.oversized = Gauge(
            "wafleet_profiles_oversized",
            "Profiles above the limit because of what must be kept; set after each measurement.",
            registry=registry,
        )
        self.orphans_removed = Counter(
            "wafleet_orphan_directories_removed",
            "Directories of sessions that are no more; raised by the janitor.",
            registry=registry,
        )
        self.measure_seconds = Histogram(
            "wafleet_profiles_measure_seconds",
            "Seconds that it took to measure all profiles.",
            buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30),
            registry=registry,
        )
        self.memory_used = Gauge(
            "wafleet_memory_used_bytes",
            "Memory used under the limit that binds first; set by the memory actor.",
            registry=registry,
        )
        self.memory_limit = Gauge(
            "wafleet_memory_limit_bytes",
            "That limit: the configured budget, else the tightest of cgroup and machine.",
            registry=registry,
        )
        self.sample_seconds = Histogram(
            "wafleet_memory_sample_seconds",
            "Seconds that one look at the memory of all browsers took.",
            buckets=(0.003, 0.01, 0.03, 0.1, 0.3, 1, 3),
            registry=registry,
        )
        self.collections = Counter(
            "wafleet_memory_collections",
            "Forced garbage collections begun, by cause (soft_limit, hard_limit, total_limit).",
            ["cause"],
            registry=registry,
        )
        self.recycles = Counter(
            "wafleet_session_recycles",
            "Planned restarts begun, by cause (hard_limit, total_limit, max_age, storage).",
            ["cause"],
            registry=registry,
        )
        self.memory_kills = Counter(
            "wafleet_memory_kills",
            "Browsers killed because they were above the kill limit.",
            registry=registry,
        )
        # an absent series looks like "no data" to an alert
        for counter, causes in (
            (self.cleanings, CLEANINGS),
            (self.cleaned_bytes, CLEANINGS),
            (self.collections, COLLECTIONS),
            (self.recycles, RECYCLES),
        ):
            for cause in causes:
                counter.labels(cause=cause)
