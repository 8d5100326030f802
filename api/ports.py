"""What the API asks of the rest of wafleet, and the values it is built from.

The API reads the store and the live board, and commands sessions only through the Fleet port.
Commands that the fleet refuses come back as `actors.messages.Refused`; the API has no other way to
change a session than a command.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from actors.net_guard import NetRules
from actors.usage import UsageBoard
from api.event_stream import StreamRules
from storage.acceptance import Acceptance
from storage.audit import AccessLog
from storage.events import EventLog
from storage.keys import Keys
from storage.queue import Queue
from storage.store import Store
from storage.tenants import Tenants
from storage.webhooks import Webhooks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from prometheus_client import CollectorRegistry

    from actors.check_cap import CheckCap
    from actors.limiter_messages import SendSlot
    from actors.live import LiveBoard
    from actors.messages import Answer, FleetMessage, OutboxChanged, Reply
    from api.broadcast import BroadcastDriver
    from storage.media import MediaStore
    from storage.secrets import Secrets
    from storage.uploads import Uploads


class Storage(Store, Acceptance, Tenants, Keys, EventLog, AccessLog, Queue, Webhooks, Protocol):
    """The parts of storage that the API uses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broadcasts:
    """How front ends are told; `with_qr`: of QR codes, too. `uniform` gives pauses their jitter."""

    driver: BroadcastDriver
    with_qr: bool
    uniform: Callable[[float, float], float]


class Forecaster(Protocol):
    """What the limiter knows of the time to come."""

    def slots(self, number: str, ahead: int, count: int) -> Sequence[SendSlot]:
        """Return when `count` messages may go that have `ahead` of their number before them.

        At the earliest, if the others do; empty as long as nobody knows.
        """
        ...


class Fleet(Protocol):
    """The supervisor as seen from the main loop."""

    def tell(self, message: FleetMessage | OutboxChanged) -> bool:
        """Put a message in the supervisor's mailbox; False if it no longer takes any.

        OutboxChanged is put in that of the session, if it runs and may send.
        """
        ...

    async def ask(self, build: Callable[[Reply], FleetMessage], deadline: float) -> Answer:
        """Send the message that `build` makes around a Reply and wait for its answer.

        The message is handed over before this first suspends, so asks that begin in an order arrive
        in that order. `deadline` is in seconds. Raises TimeoutError when it runs out; the command
        itself is not taken back then. A fleet that no longer takes messages answers
        Refused(code="fleet_down").
        """
        ...

    def alive(self) -> bool:
        """Tell whether the supervisor takes messages."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiDeps:
    """Everything that `build_app` needs; the composition root fills it in.

    `api_key` is the bootstrap key: at start it is stored as the first administrator's key of
    `workspace_id`, the operator's own workspace. `now_ms` gives UTC milliseconds. `new_wa_id` gives
    a fresh WhatsApp message id. `telemetry` gets the API's own
    metrics registered once, at `build_app`, and is rendered by /metrics. `progress` tells whether
    the loops make progress. `command_deadline` (seconds) bounds the wait for the fleet's answer,
    `body_deadline` (seconds) the reading of a request's body. `max_body_bytes` has to leave room
    for 65,536 characters of text, escaped; uploads have limits of their own. `net_rules` say where
    files may be fetched from. `media` has the files of messages, `usage` is what /metrics shows of
    sessions' sizes; `streams` is what streams of events keep to, `broadcasts` None tells no front
    end. `secrets` seals webhooks' secrets, `net_rules` also say where webhooks may lead to, and
    `webhooks_changed` is called when one was made, changed or deleted. `forecasts` say when
    numbers may send, `checks` counts those that sessions look up.
    """

    store: Storage
    live: LiveBoard
    fleet: Fleet
    workspace_id: str
    api_key: str = field(repr=False)
    now_ms: Callable[[], int]
    new_wa_id: Callable[[], str]
    telemetry: CollectorRegistry
    version: str
    progress: Callable[[], bool]
    media: MediaStore
    uploads: Uploads
    forecasts: Forecaster
    checks: CheckCap
    secrets: Secrets
    net_rules: NetRules = field(default_factory=NetRules)
    max_body_bytes: int = 1024 * 1024
    command_deadline: float = 60.0
    body_deadline: float = 30.0
    usage: UsageBoard = field(default_factory=UsageBoard)
    streams: StreamRules = field(default_factory=StreamRules)
    broadcasts: Broadcasts | None = None
    webhooks_changed: Callable[[], None] = lambda: None
