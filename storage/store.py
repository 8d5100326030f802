"""The Store port: what the rest of wafleet may ask of its memory; records, a Protocol, errors.

Only the composition root knows which adapter stands behind it. Times are integer milliseconds since
the epoch, UTC, always passed in by the caller. Public ids are ULIDs (26 characters).

What the API calls takes the public id of the caller's workspace first, and answers for rows of
others as for rows that are not there. What session actors and the supervisor call goes by session
id alone: they serve all workspaces.

    StoreError                 code, sentence
    ├── SessionNotFound        no such session in that workspace, or it was deleted
    ├── MessageNotFound        no such message in that session
    ├── SessionInactive        the number is deactivated; activate it first
    ├── StoreBusy              another program holds the database for too long; retry
    ├── StoreFull              the disk is full; free space, then retry
    └── StoreUnusable          not ours, made by a newer program, no rights
        └── StoreDamaged       not a database any more, or not a sound one

The other ports add their own below StoreError: storage.tenants, keys, archives_index, privacy.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from storage.inbound import Inbound
from storage.outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from storage.events import EventType
    from storage.messages import Direction, MessageRow, MessageState, NewInbound


class StoreError(Exception):
    """Base of all storage failures; the text says what to do."""

    code: ClassVar[str] = "storage_failed"


class SessionNotFound(StoreError):  # noqa: N818 - the port speaks in domain words
    code = "session_not_found"


class MessageNotFound(StoreError):  # noqa: N818
    code = "message_not_found"


class SessionInactive(StoreError):  # noqa: N818
    code = "session_inactive"


class StoreBusy(StoreError):  # noqa: N818
    code = "storage_busy"


class StoreFull(StoreError):  # noqa: N818
    code = "storage_full"


class StoreUnusable(StoreError):  # noqa: N818
    code = "storage_unusable"


class StoreDamaged(StoreUnusable):
    """The file was changed by others than us; only an earlier copy of it helps.

    `finding` says what is wrong with which file, without what to do about it.
    """

    def __init__(self, finding: str, advice: str) -> None:
        super().__init__(f"{finding}; {advice}.")
        self.finding = finding


class Provider(StrEnum):
    """How a number is reached: the official Cloud API, or WhatsApp Web in a browser."""

    META = "meta"
    WEBJS = "webjs"


class SessionStatus(StrEnum):
    """The five public states of a session; the reason beside it tells why."""

    QR_SCANNING = "qr_scanning"
    AUTHENTICATED = "authenticated"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    FAILED = "failed"


class Desired(StrEnum):
    """What the operator asked for last; the supervisor reconciles to it at every boot."""

    RUNNING = "running"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStatistics:
    """How often it connected, left connected (after how long, in sum), failed; its messages.

    `messages_sent` are those that WhatsApp has acknowledged. The time of a connection that still
    lasts is not in `connected_ms` yet, nor is one that ended with wafleet's death.
    """

    connects: int = 0
    disconnects: int = 0
    failures: int = 0
    connected_ms: int = 0
    messages_sent: int = 0
    messages_received: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """One session as last committed. At most one of a workspace is its primary one.

    `created_by` is the public id of the API key that made it, if one did. `linked`: when it was
    last seen its profile had a login; without one its page asks for a QR code at once.
    """

    id: str
    workspace_id: str
    name: str
    provider: Provider
    is_primary: bool
    is_active: bool
    phone_number: str | None
    desired: Desired
    status: SessionStatus
    reason: str
    detail: str | None
    since_ms: int
    last_activity_ms: int | None
    last_connected_ms: int | None
    created_by: str | None
    created_ms: int
    updated_ms: int
    statistics: SessionStatistics
    linked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusChange:
    """A session's new public state, written by its actor, or by the supervisor when none runs.

    `incarnation` and `sequence` order changes: one that is not greater than the stored pair is
    stale and is not written. `desired` and `phone_number` are left as they are when None.
    """

    session_id: str
    incarnation: int
    sequence: int
    status: SessionStatus
    reason: str
    detail: str | None
    since_ms: int
    phone_number: str | None = None
    desired: Desired | None = None


class Store(Outbox, Inbound, Protocol):
    """Every write is one transaction; when a call returns, it is on the disk.

    A change of a session's or message's state and its event (storage.events) commit together.
    """

    # ---- for the API: the workspace comes first ----

    async def create_session(
        self, workspace_id: str, name: str, now_ms: int, created_by: str | None = None
    ) -> tuple[SessionRow, bool]:
        """Return the session of that name and whether it was made now (names are unique).

        Raises WorkspaceNotFound, PlanLimitReached, KeyNotFound (for `created_by`).
        """

    async def session(self, workspace_id: str, session_id: str) -> SessionRow:
        """Return it. Raises SessionNotFound."""

    async def session_named(self, workspace_id: str, name: str) -> SessionRow:
        """Return the session of that name. Raises SessionNotFound."""

    async def sessions(
        self, workspace_id: str, *, after: str | None = None, limit: int = 100
    ) -> Sequence[SessionRow]:
        """Return sessions in order of id, those with an id greater than `after`."""

    async def set_desired(
        self, workspace_id: str, session_id: str, desired: Desired, now_ms: int
    ) -> SessionRow:
        """Remember what the operator wants. Raises SessionNotFound.

        Raises SessionInactive when a deactivated number is to run.
        """

    async def message(self, workspace_id: str, session_id: str, message_id: str) -> MessageRow:
        """Return it. Raises MessageNotFound."""

    async def messages(
        self,
        workspace_id: str,
        session_id: str,
        *,
        before: str | None = None,
        direction: Direction | None = None,
        chat: str | None = None,
        limit: int = 50,
    ) -> Sequence[MessageRow]:
        """Return the newest first, those with an id below `before`. Raises SessionNotFound."""

    # ---- for session actors and the supervisor: by session id alone ----

    async def any_session(self, session_id: str) -> SessionRow:
        """Return it, whosever it is. Raises SessionNotFound."""

    async def all_sessions(
        self, *, after: str | None = None, limit: int = 100
    ) -> Sequence[SessionRow]:
        """Return sessions of all workspaces in order of id, those greater than `after`."""

    async def next_incarnation(self, session_id: str) -> int:
        """Count a new life of the session's actor and return its number. Raises SessionNotFound."""

    async def record_status(self, change: StatusChange) -> bool:
        """Commit a state change; False if it was stale. Raises SessionNotFound.

        Entering `connected` sets last_connected_ms; leaving `qr_scanning` forgets the QR code.
        """

    async def record_qr_code(self, session_id: str, sealed: str | None, now_ms: int) -> None:
        """Keep the code now shown, sealed by the caller; None forgets it. No event tells of it.

        Raises SessionNotFound.
        """

    async def delete_session(self, session_id: str, now_ms: int) -> None:
        """Delete softly: the name becomes free, messages stay. Raises SessionNotFound.

        Chats, contacts, campaigns and events stay too. What waits to be sent fails.
        """

    async def settle_after_boot(self, reason: str, transient: Collection[str], now_ms: int) -> int:
        """Mark every session that a previous life left as live as disconnected; return how many.

        Live is what is not disconnected or failed, and what is disconnected for one of the
        `transient` reasons: that life was in the middle of something. Numbers of the Cloud API stay
        as they are: they live without us. Messages left in `sending` become `unknown`: that life
        died between hand-over and answer.
        """

    async def doubt_sending(self, session_id: str, now_ms: int) -> int:
        """Mark messages that a session left in `sending` as `unknown`; return how many.

        For when no actor of it runs: the last one could not write what became of them.
        """

    async def record_inbound(self, new: NewInbound) -> MessageRow | None:
        """Store it; None if it was stored before. Raises SessionNotFound."""

    async def record_event(
        self, session_id: str, event: EventType, payload: Mapping[str, Any], now_ms: int
    ) -> None:
        """Append an event that stands for itself (storage.events.FACTS). Raises SessionNotFound.

        Also for a session that was deleted meanwhile: what was done for it is told all the same.
        Raises ValueError for an event that belongs to a change.
        """

    async def record_notice(
        self, event: EventType, payload: Mapping[str, Any], now_ms: int
    ) -> None:
        """Append such an event, of no session, to the log of every workspace that has sessions.

        For what befalls the whole node. Raises ValueError as `record_event` does.
        """

    # ---- for the operator ----

    async def message_counts(self) -> Mapping[tuple[Direction, MessageState], int]:
        """Return how many messages of all workspaces are in each state; for /metrics."""

    async def ping(self) -> None:
        """Raise a StoreError if the store can't answer."""
