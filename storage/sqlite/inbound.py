"""What others do beside writing: edits, revokes, reactions, votes, members of groups, calls."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from storage.events import EventType
from storage.inbound import Reaction, Vote
from storage.sqlite.events import NewEvent, append_events
from storage.sqlite.messages import no_such_message
from storage.sqlite.receipts import EVENT_REF, MessageRef, message_ref
from storage.sqlite.rows import storable
from storage.sqlite.scope import session_keys
from storage.sqlite.traffic import is_person, note_chat, note_person
from storage.sqlite.transactions import transaction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storage.inbound import Call, Participation, Target
    from storage.sqlite.connection import Connections
    from storage.sqlite.ids import MonotonicIds
    from storage.sqlite.transactions import Row, Transaction

_REACTIONS: Final = "reactions"
_VOTES: Final = "poll_votes"
_OWN: Final = (
    "SELECT m.id FROM messages AS m JOIN whatsapp_sessions AS s ON s.id = m.whatsapp_session_id"
    " JOIN workspaces AS w ON w.id = s.workspace_id"
    " WHERE m.uuid = ? AND s.uuid = ? AND w.uuid = ? AND s.deleted_at IS NULL"
)


class _Found(NamedTuple):
    """The message that something was done to."""

    ref: MessageRef
    sender: str | None
    body: str
    edited_ms: int | None
    revoked_ms: int | None


class InboundTable:
    """Writes what was done, with its events."""

    def __init__(self, connections: Connections, ids: MonotonicIds) -> None:
        self._connections = connections
        self._ids = ids

    @transaction
    async def record_edit(self, tx: Transaction, target: Target, body: str, edited_ms: int) -> bool:
        body = storable(body)
        found = await _find(tx, target)
        if found is None or found.revoked_ms is not None or found.body == body:
            return False
        if found.edited_ms is not None and found.edited_ms > edited_ms:
            return False
        await tx.change(
            "UPDATE messages SET body = ?, edited_at = ?, updated_at = ? WHERE id = ?",
            (body, edited_ms, target.now_ms, found.ref.id),
        )
        await self._tell_of(tx, EventType.MESSAGE_EDITED, found.ref, {}, target.now_ms)
        return True

    @transaction
    async def record_revoke(
        self, tx: Transaction, target: Target, by: str | None, revoked_ms: int
    ) -> bool:
        found = await _find(tx, target)
        if found is None or found.revoked_ms is not None:
            return False
        if by is not None and by != found.sender:
            return False
        await tx.change(
            "UPDATE messages SET revoked_at = ?, updated_at = ? WHERE id = ?",
            (revoked_ms, target.now_ms, found.ref.id),
        )
        await self._tell_of(tx, EventType.MESSAGE_REVOKED, found.ref, {}, target.now_ms)
        return True

    async def record_reaction(self, target: Target, sender: str, emoji: str, at_ms: int) -> bool:
        value = storable(emoji) or None
        return await self._keep_answer(_REACTIONS, target, sender, value, at_ms)

    async def record_vote(
        self, target: Target, sender: str, options: Sequence[str], at_ms: int
    ) -> bool:
        text = json.dumps([storable(one) for one in options], ensure_ascii=False)
        return await self._keep_answer(_VOTES, target, sender, text if options else None, at_ms)

    @transaction
    async def record_participants(self, tx: Transaction, change: Participation) -> None:
        session = await session_keys(tx.all, change.session_id)
        chat = await note_chat(tx, self._ids, session, storable(change.chat), change.now_ms)
        members = [
            await note_person(tx, self._ids, session.workspace, one, change.now_ms)
            for one in dict.fromkeys(change.members)
            if is_person(one)
        ]
        by = None
        if change.by is not None and is_person(change.by):
            by = await note_person(tx, self._ids, session.workspace, change.by, change.now_ms)
        payload = {
            "chat_id": chat.uuid,
            "action": change.action,
            "contact_ids": [one.uuid for one in members],
            "by_contact_id": None if by is None else by.uuid,
        }
        event = NewEvent(session=session, type=EventType.GROUP_PARTICIPANTS, payload=payload)
        await append_events(tx, self._ids, [event], change.now_ms)

    @transaction
    async def record_call(self, tx: Transaction, call: Call) -> None:
        session = await session_keys(tx.all, call.session_id)
        contact = None
        if is_person(call.sender):
            contact = await note_person(tx, self._ids, session.workspace, call.sender, call.now_ms)
        payload = {
            "contact_id": None if contact is None else contact.uuid,
            "video": call.video,
            "group": call.group,
            "rejected": call.rejected,
        }
        event = NewEvent(session=session, type=EventType.CALL_RECEIVED, payload=payload)
        await append_events(tx, self._ids, [event], call.now_ms)

    async def reactions(
        self, workspace_id: str, session_id: str, message_id: str
    ) -> Sequence[Reaction]:
        rows = await self._read_answers(_REACTIONS, "emoji", workspace_id, session_id, message_id)
        return [Reaction(sender=row[0], emoji=row[1], at_ms=row[2]) for row in rows]

    async def votes(self, workspace_id: str, session_id: str, message_id: str) -> Sequence[Vote]:
        rows = await self._read_answers(_VOTES, "options", workspace_id, session_id, message_id)
        return [
            Vote(sender=row[0], options=tuple(json.loads(row[1])), at_ms=row[2]) for row in rows
        ]

    async def _read_answers(
        self, table: str, column: str, workspace_id: str, session_id: str, message_id: str
    ) -> Sequence[Row]:
        own = await self._connections.read(_OWN, (message_id, session_id, workspace_id))
        if not own:
            raise no_such_message(message_id)
        rows = await self._connections.read(
            f"SELECT c.jid, x.{column}, x.created_at FROM {table} AS x"  # noqa: S608 - constants
            " JOIN contacts AS c ON c.id = x.contact_id WHERE x.message_id = ?",
            (own[0][0],),
        )
        return sorted(rows, key=lambda row: int(row[2]))

    @transaction
    async def _keep_answer(
        self,
        tx: Transaction,
        table: str,
        target: Target,
        sender: str,
        value: str | None,
        at_ms: int,
    ) -> bool:
        """Keep what somebody says to a message, or drop it (None), and tell of it."""
        if not is_person(sender):
            return False
        found = await _find(tx, target)
        if found is None or found.revoked_ms is not None:
            return False
        workspace = found.ref.session.workspace
        contact = await note_person(tx, self._ids, workspace, sender, target.now_ms)
        changed = await _replace(tx, table, found.ref, contact.id, value, at_ms)
        if changed:
            event = _ANSWERED[table]
            more = {"contact_id": contact.uuid, "removed": value is None}
            await self._tell_of(tx, event, found.ref, more, target.now_ms)
        return changed

    async def _tell_of(
        self, tx: Transaction, event: EventType, ref: MessageRef, more: dict[str, Any], now_ms: int
    ) -> None:
        payload = {"message_id": ref.uuid, "chat_id": ref.chat, "kind": ref.kind, **more}
        told = NewEvent(session=ref.session, type=event, payload=payload)
        await append_events(tx, self._ids, [told], now_ms)


_ANSWERED: Final = {
    _REACTIONS: EventType.MESSAGE_REACTION,
    _VOTES: EventType.MESSAGE_POLL_VOTE,
}
_COLUMN: Final = {_REACTIONS: "emoji", _VOTES: "options"}


async def _replace(
    tx: Transaction, table: str, ref: MessageRef, contact: int, value: str | None, at_ms: int
) -> bool:
    """Return whether this changed anything: not if it says the same, or is older."""
    column = _COLUMN[table]
    row = await tx.one(
        f"SELECT {column}, created_at FROM {table} WHERE message_id = ? AND contact_id = ?",  # noqa: S608 - constants
        (ref.id, contact),
    )
    if row is None and value is None:
        return False
    if row is not None and (row[0] == value or row[1] > at_ms):
        return False
    if value is None:
        await tx.change(
            f"DELETE FROM {table} WHERE message_id = ? AND contact_id = ?",  # noqa: S608
            (ref.id, contact),
        )
        return True
    await tx.change(
        f"INSERT INTO {table} (workspace_id, message_id, contact_id, {column}, created_at)"  # noqa: S608
        f" VALUES (?, ?, ?, ?, ?) ON CONFLICT (message_id, contact_id) DO UPDATE SET"
        f" {column} = excluded.{column}, created_at = excluded.created_at",
        (ref.session.workspace, ref.id, contact, value, at_ms),
    )
    return True


async def _find(tx: Transaction, target: Target) -> _Found | None:
    """Look a message up by WhatsApp's id, in either direction, in the chat that it is said of."""
    session = await session_keys(tx.all, target.session_id)
    marks = ", ".join("?" * len(target.chats))
    reference, _, tables = EVENT_REF.partition(" FROM ")
    row = await tx.one(
        f"SELECT {reference}, m.sender, m.body, m.edited_at, m.revoked_at"  # noqa: S608
        f" FROM {tables} WHERE m.whatsapp_session_id = ?"
        f" AND m.direction IN ('inbound', 'outbound') AND m.wa_id = ? AND m.chat IN ({marks})"
        " AND m.erased_at IS NULL",
        (session.id, target.wa_id, *target.chats),
    )
    if row is None:
        return None
    *reference_row, sender, body, edited, revoked = row
    ref = message_ref(tuple(reference_row))
    return _Found(ref, sender, body, edited, revoked)
