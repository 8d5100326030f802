"""What the supervisor is given by the composition root."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from actors.gate import LaunchGate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pykka import ActorRef

    from actors.bridge import Bridge
    from actors.live import LiveBoard
    from actors.telemetry import Telemetry
    from supervisor.clerk import Clerk
    from supervisor.restarts import FusePolicy, RestartPolicy
    from supervisor.services import ServiceSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetDeps:
    """`start_child` makes and starts a session actor, without blocking; times are seconds.

    `services` are started before any session, in this order; without a pool among them no session
    is ever started. `recycle_patience` is how long one planned restart keeps others waiting.
    """

    main: Bridge
    clerk: Clerk
    board: LiveBoard
    telemetry: Telemetry
    start_child: Callable[[str, int, ActorRef[Any]], ActorRef[Any]]
    restart: RestartPolicy
    fuse: FusePolicy
    quarantine: float
    uniform: Callable[[float, float], float]
    monotonic: Callable[[], float]
    now_ms: Callable[[], int]
    services: Sequence[ServiceSpec] = ()
    gate: LaunchGate = field(default_factory=LaunchGate)
    recycle_patience: float = 180.0
