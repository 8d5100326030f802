"""What /metrics shows of each session's size: memory, descriptors, processes, profile."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client import Metric

    from actors.browser.profile_facts import ProfileSize
    from actors.usage import Footprint

Label = tuple[str, str]
"""Workspace and session name: two workspaces may both have a `sales`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """By session: what its browser takes while it runs, and what its profile takes."""

    browsers: Mapping[Label, Footprint] = field(default_factory=dict)
    profiles: Mapping[Label, ProfileSize] = field(default_factory=dict)


def usage_metrics(usage: Usage) -> Iterator[Metric]:
    """Render it."""
    labels = ["workspace", "session"]
    memory = GaugeMetricFamily(
        "wafleet_session_memory_bytes",
        "Memory of a session's browser: the proportional share (PSS) of all its processes.",
        labels=labels,
    )
    descriptors = GaugeMetricFamily(
        "wafleet_session_descriptors", "Open descriptors of a session's browser.", labels=labels
    )
    processes = GaugeMetricFamily(
        "wafleet_session_processes", "Processes of a session's browser.", labels=labels
    )
    ages = GaugeMetricFamily(
        "wafleet_session_browser_age_seconds", "How long its browser has run.", labels=labels
    )
    for label, browser in sorted(usage.browsers.items()):
        memory.add_metric(label, browser.pss)
        descriptors.add_metric(label, browser.descriptors)
        processes.add_metric(label, browser.processes)
        ages.add_metric(label, browser.age)
    profiles = GaugeMetricFamily(
        "wafleet_session_profile_bytes",
        "Bytes of a session's profile: kept (login and data), waste (caches), scratch.",
        labels=[*labels, "kind"],
    )
    for label, size in sorted(usage.profiles.items()):
        for kind in ("kept", "waste", "scratch"):
            profiles.add_metric([*label, kind], getattr(size, kind))
    yield from (memory, descriptors, processes, ages, profiles)
