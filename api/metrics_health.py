"""What /metrics shows of the sessions' health: how old the signs of life and the states are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from actors.live import LiveSession


@dataclass(frozen=True, slots=True, kw_only=True)
class Ages:
    """Seconds, by (workspace, session name, rung) and by (…, status, reason)."""

    rungs: dict[tuple[str, str, str], float] = field(default_factory=dict)
    states: dict[tuple[str, str, str, str], float] = field(default_factory=dict)

    def add(self, workspace: str, name: str, live: LiveSession, monotonic: float) -> None:
        """Take a running session in, as it is at this moment of the monotonic clock."""
        for rung, proof in live.proofs.items():
            if proof is not None:
                self.rungs[workspace, name, rung] = monotonic - proof
        if live.entered is not None:
            self.states[workspace, name, live.status, live.reason] = monotonic - live.entered


def health_metrics(ages: Ages) -> Iterator[Metric]:
    """Render them."""
    rungs = GaugeMetricFamily(
        "wafleet_session_rung_age_seconds",
        "Time since the last sign of life on each rung of the ladder (cdp, page, socket, end).",
        labels=["workspace", "session", "rung"],
    )
    for rung, seconds in sorted(ages.rungs.items()):
        rungs.add_metric(list(rung), seconds)
    yield rungs
    states = GaugeMetricFamily(
        "wafleet_session_state_seconds",
        "Time for which a running session has been in its state.",
        labels=["workspace", "session", "status", "reason"],
    )
    for state, seconds in sorted(ages.states.items()):
        states.add_metric(list(state), seconds)
    yield states
