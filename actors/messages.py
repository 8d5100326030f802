"""Every message between actors, grouped by receiver, with the unions that handlers match on.

Frozen values only. Commands are imperative, facts are past tense. A message that wants an answer
carries a Reply; its sender waits on it with a deadline, never inside an actor.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Protocol

from actors.care_messages import CareMessage
from actors.page_messages import ReadPage

if TYPE_CHECKING:
    from actors.browser.driver import BrowserFact
    from actors.browser.reading import PageAnswer
    from actors.pressure import Cause


class Reply(Protocol):
    """Where an answer goes; safe from any thread; the first answer counts."""

    def put(self, value: object) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The command was carried out, or there was nothing to do (all verbs are idempotent)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The command was not carried out: a stable code and a sentence that says what to do."""

    code: str
    message: str


NOT_CONNECTED: Final = Refused(
    code="not_connected", message="The session is not connected; ask again when it is."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Archived(Done):
    """The session was archived: which generation, its size, and the times it took in seconds."""

    generation: int
    bytes: int
    pause_seconds: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRead(Done):
    """The page answered a question."""

    value: PageAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityReached(Refused):
    """The session was not started: the node runs `used` sessions and may run `limit`."""

    limit: int
    used: int


Answer = Done | Refused


# ---- both receivers ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """An actor tells itself this from on_start, so that its first work runs in a handler."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The bridge answers a call: exactly one of value and error is meant; error None is success."""

    call_id: int
    value: Any = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerFired:
    """The bridge: a timer that was armed under this name and number has run out."""

    name: str
    number: int


# ---- to a SessionActor ---------------------------------------------------------------------------


class StopKind(StrEnum):
    """Why a session is stopped; decides the reason that is shown afterwards."""

    STOP = "stop"
    RESTART = "restart"
    RECYCLE = "recycle"  # a restart that wafleet itself has planned
    LOGOUT = "logout"
    DELETE = "delete"
    SHUTDOWN = "shutdown"


@dataclass(frozen=True, slots=True, kw_only=True)
class StopSession:
    """The supervisor: close the browser (after unlinking it, for logout and delete) and end.

    `detail` is shown beside the reason afterwards.
    """

    kind: StopKind
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecycleProposed:
    """The supervisor: may this session be restarted now? Answered with RecycleDecided.

    Not while a message is on its way, nor within `quiet` seconds of any traffic; None: in any case.
    """

    cause: str
    quiet: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxChanged:
    """The API, by the session's bell: a message was accepted for it, or another one has changed.

    Not told while the session must not send; it looks when it may (actors.outbox_bells).
    """

    session_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveSession:
    """The API, through the supervisor: archive the session now.

    Answered with Archived once the archive is kept, or with Refused: not_connected,
    session_stopping, or what failed. While an archive is under way, with how that one ends.
    """

    session_id: str
    reply: Reply | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshQr:
    """The API, through the supervisor: show another QR code, in this window or in a new one.

    Answered with Done once the page was asked for it, or if one is on its way; with Refused where
    the session shows none: not_at_qr, qr_limited, or what the page said.
    """

    session_id: str
    reply: Reply | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QrAnswered:
    """The limiter, through the reply that it was given: its answer about the n-th QR window."""

    number: int
    answer: Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class SendAnswered:
    """The limiter, through the reply that it was given: its answer to the n-th question."""

    number: int
    answer: Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserReported:
    """The session's browser, from the browser loop; `launch` tells which launch it belongs to."""

    launch: int
    fact: BrowserFact


SessionMessage = (
    Begin
    | Outcome
    | TimerFired
    | StopSession
    | RecycleProposed
    | OutboxChanged
    | ArchiveSession
    | RefreshQr
    | QrAnswered
    | SendAnswered
    | ReadPage
    | BrowserReported
    | CareMessage
)


# ---- to a service (each has a module of its own for what else it takes) --------------------------


class Service(StrEnum):
    """The permanent children beside the sessions; the name is also the child's id."""

    POOL = "pool"
    LIMITER = "limiter"
    MEMORY = "memory"
    JANITOR = "janitor"


@dataclass(frozen=True, slots=True, kw_only=True)
class StopService:
    """The supervisor, at the shutdown: end; no session is left."""


# ---- to the FleetSupervisor ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StartSession:
    """The API or the boot: let this session run. Answered when it has its place on the node.

    Refused as capacity_reached where there is none; then nothing was started.
    """

    session_id: str
    boot: bool = False
    reply: Reply | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndSession:
    """The API: stop, restart, log out or delete this session. Answered when its browser is gone."""

    session_id: str
    kind: StopKind
    reply: Reply | None = None


class ExitKind(StrEnum):
    """How a child ended; decides whether the supervisor starts it again."""

    NORMAL = "normal"  # it was told to stop
    PERMANENT = "permanent"  # starting it again can't help: logged out, banned, QR never scanned
    CRASH = "crash"  # anything else


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildExited:
    """A child's last word, or its base class's when it died; `cause` is a reason code."""

    child_id: str
    incarnation: int
    kind: ExitKind
    cause: str
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildUp:
    """A session, once: its page is open or it needs no more launching; the next one may launch."""

    child_id: str
    incarnation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildStable:
    """A session: connected; the supervisor forgets its crashes once it stays so long enough."""

    child_id: str
    incarnation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ToSession:
    """A service: hand this message to that life of a session; nothing if it is over."""

    session_id: str
    incarnation: int
    message: CareMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class RecycleSession:
    """The memory or the janitor actor: restart this life of a session, when nothing is against it.

    Never one that does not run, and one at a time in the whole fleet. `quiet` as in
    RecycleProposed. Answered with Done once it has begun, or with Refused.
    """

    session_id: str
    incarnation: int
    cause: str
    quiet: float | None
    reply: Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class RecycleDecided:
    """A session: whether a restart suits it at this moment; it has not begun yet."""

    child_id: str
    incarnation: int
    agreed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchGateChanged:
    """Who has closed or opened the LaunchGate: look at it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceGiven:
    """The pool: the session may run."""

    session_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceRefused:
    """The pool: the session may not run, the node runs `used` sessions of `limit`."""

    session_id: str
    limit: int
    used: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchGranted:
    """The pool: this incarnation may launch its browser now."""

    session_id: str
    incarnation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchesBlocked:
    """The pool: those who wait, wait for this from now on; None: only for their turn."""

    cause: Cause | None


FromPool = PlaceGiven | PlaceRefused | LaunchGranted | LaunchesBlocked


@dataclass(frozen=True, slots=True, kw_only=True)
class Shutdown:
    """The main program: stop every child under one common deadline (seconds), then answer."""

    deadline: float
    reply: Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class ToService:
    """The API, a session or a service: hand this message to that service.

    A `message` with a reply is answered with Refused(service_down) while the service restarts.
    """

    service: Service
    message: Any


FleetMessage = (
    Begin
    | Outcome
    | TimerFired
    | StartSession
    | EndSession
    | ArchiveSession
    | RefreshQr
    | ReadPage
    | ChildExited
    | ChildUp
    | ChildStable
    | ToService
    | ToSession
    | RecycleSession
    | RecycleDecided
    | LaunchGateChanged
    | FromPool
    | Shutdown
)
