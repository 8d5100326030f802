"""GET /metrics: the Prometheus text format, built fresh at every scrape.

Sessions and messages are gathered from the store and the live board first, then rendered; the
registry that was given at build time (actors' counters, HTTP metrics) follows in the same answer.
"""

from __future__ import annotations

import platform
import time
from collections import Counter as Tally
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from api.lookup import every_session
from api.metrics_health import Ages, health_metrics
from api.metrics_usage import Usage, usage_metrics
from api.parsing import read_query
from api.schemas import NoQuery
from api.views import as_of_now
from storage.messages import Direction, MessageState
from storage.store import SessionStatus, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client import Metric

    from api.ports import ApiDeps

_CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

log = structlog.get_logger(__name__)


class HttpMetrics:
    """The API's own counters, registered once on the registry that it is given."""

    def __init__(self, registry: CollectorRegistry, version: str) -> None:
        self._requests = Counter(
            "wafleet_http_requests",
            "Requests answered.",
            ("route", "method", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "wafleet_http_request_seconds",
            "Time from a request's headers to its answer.",
            ("route", "method"),
            buckets=_BUCKETS,
            registry=registry,
        )
        build = Gauge(
            "wafleet_build_info",
            "Always 1; the labels tell what runs.",
            ("version", "python"),
            registry=registry,
        )
        build.labels(version, platform.python_version()).set(1)

    def count(self, method: str, route: str, status: int, seconds: float) -> str:
        """Count an answered request; return the method as labelled (unknown ones are OTHER)."""
        method = method if method in _METHODS else "OTHER"
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route, method).observe(seconds)
        return method


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What a scrape shows of sessions and messages; `store_up` False leaves the rest empty.

    `evidence_ages` is in seconds, by (workspace, session name), for sessions that run and were
    proven: two workspaces may both have a `sales`.
    """

    store_up: bool
    sessions: Mapping[tuple[str, str], int]
    messages: Mapping[tuple[Direction, MessageState], int]
    evidence_ages: Mapping[tuple[str, str], float]
    usage: Usage = field(default_factory=Usage)
    health: Ages = field(default_factory=Ages)


class SnapshotCollector(Collector):
    """Render one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("wafleet_store_up", "1 if the database answered this scrape.")
        up.add_metric([], float(self._snapshot.store_up))
        yield up
        if not self._snapshot.store_up:
            return
        yield self._sessions()
        yield self._messages()
        ages = GaugeMetricFamily(
            "wafleet_session_evidence_age_seconds",
            "Time since something last proved the session's state.",
            labels=["workspace", "session"],
        )
        for (workspace, name), seconds in sorted(self._snapshot.evidence_ages.items()):
            ages.add_metric([workspace, name], seconds)
        yield ages
        yield from usage_metrics(self._snapshot.usage)
        yield from health_metrics(self._snapshot.health)

    def _sessions(self) -> Metric:
        family = GaugeMetricFamily(
            "wafleet_sessions", "Sessions by status and reason.", labels=["status", "reason"]
        )
        counts = self._snapshot.sessions
        for (status, reason), count in sorted(counts.items()):
            family.add_metric([status, reason], count)
        # An absent series looks like "no data" to an alert, so empty statuses are shown as 0.
        for status in sorted(set(SessionStatus) - {status for status, _ in counts}):
            family.add_metric([status, ""], 0)
        return family

    def _messages(self) -> Metric:
        family = GaugeMetricFamily(
            "wafleet_messages", "Messages stored, by state.", labels=["direction", "state"]
        )
        expected = {
            (Direction.INBOUND if state is MessageState.RECEIVED else Direction.OUTBOUND, state)
            for state in MessageState
        }
        counts = self._snapshot.messages
        for direction, state in sorted(expected | set(counts)):
            family.add_metric([direction, state], counts.get((direction, state), 0))
        return family


async def take_snapshot(deps: ApiDeps) -> Snapshot:
    """Read the store and the board once. A failing store gives a snapshot that says so."""
    try:
        rows = [row async for row in every_session(deps.store)]
        messages = await deps.store.message_counts()
    except StoreError as error:
        log.warning("store_failed", code=error.code, route="/metrics")
        return Snapshot(store_up=False, sessions={}, messages={}, evidence_ages={})
    now, monotonic, health = deps.now_ms(), time.monotonic(), Ages()
    states: Tally[tuple[str, str]] = Tally()
    ages: dict[tuple[str, str], float] = {}
    names = {row.id: (row.workspace_id, row.name) for row in rows}
    browsers, profiles = deps.usage.browsers, deps.usage.profiles
    for row in rows:
        live = deps.live.get(row.id)
        session = as_of_now(row, live)
        states[session.status.value, session.reason] += 1
        if live is not None:
            health.add(row.workspace_id, row.name, live, monotonic)
        if live is not None and live.evidence_ms is not None:
            ages[row.workspace_id, row.name] = max(0, now - live.evidence_ms) / 1000
    return Snapshot(
        store_up=True,
        sessions=states,
        messages=messages,
        evidence_ages=ages,
        health=health,
        usage=Usage(
            browsers={names[key]: each for key, each in browsers.items() if key in names},
            profiles={names[key]: each for key, each in profiles.items() if key in names},
        ),
    )


class MetricsRoutes:
    """GET /metrics, for the operator: it shows the sessions of all workspaces."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/metrics", self.scrape)]

    async def scrape(self, request: web.Request) -> web.Response:
        read_query(request, NoQuery)
        fresh = CollectorRegistry()
        fresh.register(SnapshotCollector(await take_snapshot(self._deps)))
        body = generate_latest(fresh) + generate_latest(self._deps.telemetry)
        return web.Response(body=body, headers={"Content-Type": _CONTENT_TYPE})
