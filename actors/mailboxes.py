"""How many messages wait in each actor's mailbox, for /metrics: one that grows has a slow owner."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric
    from pykka import ActorRef


class Mailboxes(Collector):
    """Whoever starts an actor shows it here; those that have ended are left out."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._refs: dict[tuple[str, str], ActorRef[Any]] = {}

    def watch(self, actor: str, ref: ActorRef[Any], session: str = "") -> None:
        """Show this actor under that name, in place of the one before; from any thread."""
        with self._lock:
            self._refs[actor, session] = ref

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "wafleet_mailbox_depth",
            "Messages that wait in an actor's mailbox; read at each scrape.",
            labels=["actor", "session"],
        )
        with self._lock:
            self._refs = {name: ref for name, ref in self._refs.items() if ref.is_alive()}
            refs = sorted(self._refs.items(), key=lambda item: item[0])
        for name, ref in refs:
            inbox: Any = ref.actor_inbox  # a queue, of which pykka's protocol names only a part
            family.add_metric(name, inbox.qsize())
        yield family
