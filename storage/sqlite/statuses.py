"""What sessions' actors and the supervisor write about them: status, lives, ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from storage.events import EventType
from storage.messages import MessageState
from storage.sqlite.events import NewEvent, append_events
from storage.sqlite.receipts import EVENT_REF, message_event, message_ref
from storage.sqlite.rows import storable
from storage.sqlite.scope import SessionKeys, no_such_session, session_keys
from storage.sqlite.statistics import linked, moved
from storage.sqlite.transactions import transaction
from storage.store import Desired, SessionStatus, StatusChange

if TYPE_CHECKING:
    from collections.abc import Collection

    from storage.sqlite.connection import Connections
    from storage.sqlite.ids import MonotonicIds
    from storage.sqlite.transactions import Parameters, Transaction

_LIVE: Final = (
    SessionStatus.QR_SCANNING,
    SessionStatus.AUTHENTICATED,
    SessionStatus.CONNECTED,
)
# In the words of messages_blocking, so that it is used.
_ON_ITS_WAY: Final = "m.state IN ('sending', 'unknown') AND m.state = 'sending'"


class StatusTable:
    """Writes the public state of whatsapp_sessions, and what follows for their messages."""

    def __init__(self, connections: Connections, ids: MonotonicIds) -> None:
        self._connections = connections
        self._ids = ids

    @transaction
    async def next_incarnation(self, tx: Transaction, session_id: str) -> int:
        row = await tx.one(
            "UPDATE whatsapp_sessions SET incarnation = incarnation + 1, sequence = 0"
            " WHERE uuid = ? AND deleted_at IS NULL RETURNING incarnation",
            (session_id,),
        )
        if row is None:
            raise no_such_session(session_id)
        return int(row[0])

    @transaction
    async def record_status(self, tx: Transaction, change: StatusChange) -> bool:
        before = await tx.one(
            "SELECT id, workspace_id, status, reason, detail, incarnation, sequence, metadata,"
            " since_at"
            " FROM whatsapp_sessions WHERE uuid = ? AND deleted_at IS NULL",
            (change.session_id,),
        )
        if before is None:
            raise no_such_session(change.session_id)
        if (before[5], before[6]) >= (change.incarnation, change.sequence):
            return False
        detail = storable(change.detail)
        await tx.change(
            "UPDATE whatsapp_sessions SET status = :status, reason = :reason, detail = :detail,"
            " since_at = :since, updated_at = :since, incarnation = :incarnation,"
            " sequence = :sequence, desired = coalesce(:desired, desired),"
            " phone_number = coalesce(:phone_number, phone_number),"
            " qr_code = iif(:status = 'qr_scanning', qr_code, NULL),"
            " last_connected_at = CASE WHEN :status = 'connected' AND status <> 'connected'"
            " THEN :since ELSE last_connected_at END, metadata = :metadata WHERE id = :id",
            {
                "id": before[0],
                "status": change.status,
                "reason": change.reason,
                "detail": detail,
                "since": change.since_ms,
                "incarnation": change.incarnation,
                "sequence": change.sequence,
                "desired": change.desired,
                "phone_number": storable(change.phone_number),
                "metadata": moved(
                    linked(before[7], change.status, change.reason),
                    before[2],
                    change.status,
                    change.since_ms - before[8],
                ),
            },
        )
        if tuple(before[2:5]) != (change.status, change.reason, detail):
            keys = SessionKeys(before[0], before[1])
            event = _status_event(keys, before[2], change.status, change.reason, detail)
            await append_events(tx, self._ids, [event], change.since_ms)
        return True

    @transaction
    async def record_qr_code(
        self, tx: Transaction, session_id: str, sealed: str | None, now_ms: int
    ) -> None:
        keys = await session_keys(tx.all, session_id)
        await tx.change(
            "UPDATE whatsapp_sessions SET qr_code = ?, updated_at = ? WHERE id = ?",
            (sealed, now_ms, keys.id),
        )

    @transaction
    async def delete_session(self, tx: Transaction, session_id: str, now_ms: int) -> None:
        keys = await session_keys(tx.all, session_id)
        await tx.change(
            "UPDATE whatsapp_sessions SET deleted_at = :now, updated_at = :now,"
            " desired = :desired, is_primary = 0, qr_code = NULL WHERE id = :id",
            {"now": now_ms, "desired": Desired.STOPPED, "id": keys.id},
        )
        # What can't be sent any more gets an end that says so.
        ended = await _end_messages(
            tx,
            "m.state = 'accepted' AND m.whatsapp_session_id = ?",
            (keys.id,),
            MessageState.FAILED,
            ("session_deleted", "The session was deleted before the message's turn.", now_ms),
        )
        ended += await _end_messages(
            tx,
            f"{_ON_ITS_WAY} AND m.whatsapp_session_id = ?",
            (keys.id,),
            MessageState.UNKNOWN,
            ("session_deleted", "The session was deleted while it was being sent.", now_ms),
        )
        deleted = NewEvent(session=keys, type=EventType.SESSION_DELETED, payload={})
        await append_events(tx, self._ids, [*ended, deleted], now_ms)

    @transaction
    async def settle_after_boot(
        self, tx: Transaction, reason: str, transient: Collection[str], now_ms: int
    ) -> int:
        live = ", ".join("?" * len(_LIVE))
        middle = ", ".join("?" * len(transient))
        left = await tx.all(
            "SELECT id, workspace_id, status, metadata FROM whatsapp_sessions"  # noqa: S608 - marks only
            f" WHERE deleted_at IS NULL AND provider_type = 'webjs' AND (status IN ({live})"
            f" OR (status = 'disconnected' AND reason IN ({middle})))",
            (*_LIVE, *transient),
        )
        now = SessionStatus.DISCONNECTED
        await tx.many(
            "UPDATE whatsapp_sessions SET status = ?, reason = ?, detail = NULL,"
            " qr_code = NULL, since_at = ?, updated_at = ?, metadata = ? WHERE id = ?",
            # How long it was connected is not known: that life ended unseen.
            [
                (now, reason, now_ms, now_ms, moved(metadata, status, now, 0), key)
                for key, _, status, metadata in left
            ],
        )
        settled = [
            _status_event(SessionKeys(key, workspace), status, now, reason, None)
            for key, workspace, status, _ in left
        ]
        ended = await _end_messages(
            tx,
            _ON_ITS_WAY,
            (),
            MessageState.UNKNOWN,
            (
                reason,
                "wafleet ended after the hand-over, before WhatsApp's answer was known.",
                now_ms,
            ),
        )
        await append_events(tx, self._ids, [*settled, *ended], now_ms)
        return len(left)

    @transaction
    async def doubt_sending(self, tx: Transaction, session_id: str, now_ms: int) -> int:
        ended = await _end_messages(
            tx,
            f"{_ON_ITS_WAY} AND m.whatsapp_session_id ="  # noqa: S608 - constants only
            " (SELECT id FROM whatsapp_sessions WHERE uuid = ?)",
            (session_id,),
            MessageState.UNKNOWN,
            (
                "session_ended",
                "The session ended after the hand-over, before WhatsApp's answer was written.",
                now_ms,
            ),
        )
        await append_events(tx, self._ids, ended, now_ms)
        return len(ended)


def _status_event(
    keys: SessionKeys, before: str, status: SessionStatus, reason: str, detail: str | None
) -> NewEvent:
    payload = {"status": status, "reason": reason, "detail": detail, "from": before}
    return NewEvent(session=keys, type=EventType.SESSION_STATUS, payload=payload)


async def _end_messages(
    tx: Transaction,
    which: str,
    values: Parameters,
    state: MessageState,
    why: tuple[str, str, int],
) -> list[NewEvent]:
    """Move messages to their end and return the events that tell of it, oldest first."""
    rows = await tx.all(f"SELECT {EVENT_REF} WHERE {which}", values)
    refs = sorted((message_ref(row) for row in rows), key=lambda ref: (ref.session.id, ref.id))
    await tx.many(
        "UPDATE messages SET state = ?, error_code = ?, error_detail = ?, updated_at = ?"
        " WHERE id = ?",
        [(state, *why, ref.id) for ref in refs],
    )
    return [message_event(ref, state, code=why[0]) for ref in refs]
