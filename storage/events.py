"""The EventLog port: what happened, in order of commit, for webhooks, streams and broadcasts.

Events are appended by the store itself, in the transaction of the change that they tell of: none
without its change, no change of a state without one. What changes nothing makes none. There is no
event for a wish (`desired`), for `accepted` → `sending` and back, or for a QR code.

Payloads (version 1) are JSON objects that name rows by their public ids. They hold no message body,
QR code, jid or phone number:

    session.created            provider
    session.status             status, reason, detail, from (the status before)
    session.primary            is_primary
    session.active             is_active
    session.deleted            nothing
    message.accepted, .sent, .delivered, .read, .played, .expired, .cancelled
                               message_id, chat_id, kind
    message.failed, .unknown   message_id, chat_id, kind, code
    message.received           message_id, chat_id, contact_id (null: none), kind

What was found and done for a session, which changes no row, is told by `Store.record_event`. Their
payloads are described where they are made; each has `action`, a stable word, and, where there is
one, `cause`, a reason code, and `seconds`, how long it lasted:

    session.health             actors: `lost` (a disconnection found), then `recovered`, or `ended`
                               if nobody waits for it any more; `lost` alone if only a person can
                               mend it. Its rung (process, cdp, page, socket, end_to_end); seconds
                               since the last sign of life on it. With the second event the last
                               repair (none, free, take_over, reload, restart, snapshot), and
                               detected_seconds: the part of seconds before it was found
    session.qr                 limiter and session: a QR window opened, closed, or refused
    storage, memory, limiter   janitor, memory and limiter actors: what they did and why

Of these (bytes; `before` and `after` what was done):

    storage   cleaned          cause (launch, limit, round, disk_low), before, after, files, left
              recycle          cause: a restart is under way, because caches filled the profile
              oversized        before, kept, limit: above the limit in what is never deleted
              fits             before, limit: it is within the limit again
              orphan_removed   before, left: the directory of a session that was deleted
              disk_low, disk_full, disk_recovered
                               free, cause (the one before), seconds; of no session, see
                               `Store.record_notice`
              database_restored
                               cause (damaged, missing), seconds (age of the snapshot that took
                               its place: what was stored since is gone); of no session
              archives_adopted cause, count: newer than the database, which a boot had put back to a
                               snapshot
    memory    collect, collected, collect_failed
                               cause (soft_limit, hard_limit, total_limit), before, after, code
              recycle, recycled, recycle_unfinished
                               cause (hard_limit, total_limit, max_age), before, after
              kill, recovered, not_recovered
                               cause (kill_limit), before, after
    session.qr
              opened           window: its number in the period, limit
              refused          cause, limit, seconds: until the next one is allowed, next_ms: when
              closed           cause (scanned, renewed, or the reason of the session's end),
                               seconds, codes: how many were shown
    limiter   counted_anew     cause (boot), count: what was granted before the machine's boot, and
                               counts as granted when it was first seen after it

Whoever adds a type here, or a member to a payload, adds it to api.event_schemas, too: there are the
schemas that users see, and docs/events.md is made from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


class EventType(StrEnum):
    SESSION_CREATED = "session.created"
    SESSION_STATUS = "session.status"
    SESSION_PRIMARY = "session.primary"
    SESSION_ACTIVE = "session.active"
    SESSION_DELETED = "session.deleted"
    SESSION_HEALTH = "session.health"
    SESSION_QR = "session.qr"
    MESSAGE_ACCEPTED = "message.accepted"
    MESSAGE_SENT = "message.sent"
    MESSAGE_DELIVERED = "message.delivered"
    MESSAGE_READ = "message.read"
    MESSAGE_PLAYED = "message.played"
    MESSAGE_FAILED = "message.failed"
    MESSAGE_EXPIRED = "message.expired"
    MESSAGE_CANCELLED = "message.cancelled"
    MESSAGE_UNKNOWN = "message.unknown"
    MESSAGE_RECEIVED = "message.received"
    STORAGE = "storage"
    MEMORY = "memory"
    LIMITER = "limiter"


FACTS: Final = frozenset(
    {
        EventType.SESSION_HEALTH,
        EventType.SESSION_QR,
        EventType.STORAGE,
        EventType.MEMORY,
        EventType.LIMITER,
    }
)
"""What `Store.record_event` takes: events that stand for themselves, not for a change of a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """One event. Ids grow in order of commit, so that the last one seen is a place in the log."""

    id: str
    workspace_id: str
    session_id: str | None
    type: str
    version: int
    payload: Mapping[str, Any]
    created_ms: int


class EventLog(Protocol):
    """Reading; whoever follows the log asks again with the last id it has seen.

    `after` None begins with the oldest event kept; an id that retention took begins with the next.
    """

    async def events(
        self,
        workspace_id: str,
        *,
        after: str | None = None,
        limit: int = 100,
        session_id: str | None = None,
        types: Collection[str] = (),
    ) -> Sequence[EventRow]:
        """Return a workspace's events, oldest first; no `types` means all.

        `session_id` may be that of a deleted session. Raises SessionNotFound.
        """

    async def last_event(self, workspace_id: str) -> str | None:
        """Return the id of the newest event of a workspace: from there on is what is new."""

    async def all_events(
        self, *, after: str | None = None, limit: int = 100, types: Collection[str] = ()
    ) -> Sequence[EventRow]:
        """Return events of all workspaces, oldest first; for delivery, never for a caller."""

    async def newest_event(self) -> str | None:
        """Return the id of the newest event of all workspaces; None if there is none."""

    async def event_news(self, seen: int, within: float) -> int:
        """Wait until this program has committed events since this returned `seen`.

        Returns the number to wait with next, after `within` seconds at the latest. Begin with 0,
        and read the log after each return: that catches what other programs append, too.
        """
