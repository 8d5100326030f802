"""Messages come into the outbox, are taken back before they were sent, or have doubt resolved."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from storage.acceptance import AcceptedBefore, MessageStateWrong, Resolution, Taken
from storage.messages import Direction, MessageRow, MessageState, NewOutbound
from storage.sqlite.audit import append_entry
from storage.sqlite.events import append_events
from storage.sqlite.idempotency import accepted_before, find_key, note_items, places_taken
from storage.sqlite.messages import INSERT_MESSAGE, SELECT_MESSAGE, no_such_message, stored_message
from storage.sqlite.outbox import ERASED_CODE, ERASED_DETAIL
from storage.sqlite.queue import waiting_before
from storage.sqlite.receipts import EVENT_REF, MessageRef, message_event, message_ref
from storage.sqlite.rows import content_text, message_row, storable
from storage.sqlite.scope import active_session_keys, own_session_keys
from storage.sqlite.tenants import count_messages
from storage.sqlite.traffic import note_traffic
from storage.sqlite.transactions import transaction
from storage.tenants import PlanLimitReached

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from storage.acceptance import RequestKey
    from storage.audit import NewAccess
    from storage.sqlite.connection import Connections
    from storage.sqlite.events import NewEvent
    from storage.sqlite.ids import MonotonicIds
    from storage.sqlite.scope import SessionKeys
    from storage.sqlite.transactions import Transaction

MAY_BE_SENT: Final = (
    "an earlier attempt may have been sent, so it can't be cancelled: wait until WhatsApp was asked"
)
GIVEN_UP: Final = ("given_up", "A person decided not to send it again.")
_OWN: Final = (
    f"SELECT {EVENT_REF} JOIN whatsapp_sessions AS s ON s.id = m.whatsapp_session_id"
    " JOIN workspaces AS w ON w.id = s.workspace_id WHERE m.uuid = ? AND s.uuid = ? AND w.uuid = ?"
    " AND s.deleted_at IS NULL AND m.direction = 'outbound'"
)
_UNKNOWN: Final = (
    f"SELECT {EVENT_REF} WHERE m.state = 'unknown' AND m.whatsapp_session_id = :session"  # noqa: S608 - constants only
    " AND m.id > coalesce((SELECT id FROM messages WHERE uuid = :after), 0)"
    " ORDER BY m.id LIMIT :limit"
)


class AcceptanceTable:
    """Writes what the API asks of outbound messages."""

    def __init__(self, connections: Connections, ids: MonotonicIds) -> None:
        self._connections = connections
        self._ids = ids

    @transaction
    async def accept_message(
        self, tx: Transaction, workspace_id: str, new: NewOutbound
    ) -> MessageRow:
        session = await active_session_keys(tx.all, workspace_id, new.session_id)
        answer = (await self._accept(tx, session, {0: new}))[0]
        if isinstance(answer, PlanLimitReached):
            raise answer
        return answer

    @transaction
    async def accept_messages(
        self,
        tx: Transaction,
        workspace_id: str,
        session_id: str,
        items: Mapping[int, NewOutbound],
        *,
        key: RequestKey | None = None,
    ) -> Mapping[int, MessageRow | PlanLimitReached | None]:
        if not items:
            return {}
        session = await active_session_keys(tx.all, workspace_id, session_id)
        return await self._accept_all(tx, session, items, key)

    @transaction
    async def accept_one(
        self,
        tx: Transaction,
        workspace_id: str,
        new: NewOutbound,
        *,
        key: RequestKey | None = None,
        access: NewAccess | None = None,
    ) -> Taken:
        session = await active_session_keys(tx.all, workspace_id, new.session_id)
        answer = (await self._accept_all(tx, session, {0: new}, key))[0]
        if not isinstance(answer, MessageRow):
            return Taken(answer=answer)
        if access is not None:
            entry = replace(access, detail={**access.detail, "message_id": answer.id})
            await append_entry(tx, self._ids, workspace_id, entry, session)
        return Taken(answer=answer, ahead=await waiting_before(tx.all, answer.id))

    async def _accept_all(
        self,
        tx: Transaction,
        session: SessionKeys,
        items: Mapping[int, NewOutbound],
        key: RequestKey | None,
    ) -> dict[int, MessageRow | PlanLimitReached | None]:
        found: dict[int, MessageRow | PlanLimitReached | None] = {}
        key_id = None
        if key is not None:
            key_id = await find_key(tx, session, key)
            if key_id is not None:
                found |= await places_taken(tx, key_id, items.keys())
        wanted = {place: items[place] for place in sorted(items.keys() - found.keys())}
        found |= await self._accept(tx, session, wanted)
        made = _made(found, wanted)
        if key is not None and made:
            now_ms = items[next(iter(made))].now_ms
            await note_items(tx, session, key, key_id, made, now_ms)
        return {place: found[place] for place in sorted(found)}

    async def accepted_before(
        self, workspace_id: str, session_id: str, key: RequestKey
    ) -> AcceptedBefore | None:
        return await self._connections.look(
            lambda query: accepted_before(query, workspace_id, session_id, key)
        )

    @transaction
    async def cancel_message(
        self, tx: Transaction, workspace_id: str, session_id: str, message_id: str, now_ms: int
    ) -> MessageRow:
        ref = await _own(tx, workspace_id, session_id, message_id)
        if ref.state is MessageState.ACCEPTED:
            tried = "SELECT 1 FROM messages WHERE id = ? AND attempts > 0"
            if await tx.one(tried, (ref.id,)) is not None:
                raise MessageStateWrong(ref.state, MAY_BE_SENT)
            await self._move(tx, [ref], MessageState.CANCELLED, (None, None), now_ms)
        elif ref.state is not MessageState.CANCELLED:
            raise MessageStateWrong(ref.state, "only what still waits can be cancelled")
        return await stored_message(tx, message_id)

    @transaction
    async def resolve_message(
        self,
        tx: Transaction,
        workspace_id: str,
        session_id: str,
        message_id: str,
        resolution: Resolution,
        now_ms: int,
    ) -> MessageRow:
        ref = await _own(tx, workspace_id, session_id, message_id)
        if ref.state is not MessageState.UNKNOWN:
            raise MessageStateWrong(ref.state, "there is no doubt about it to be resolved")
        await self._resolve(tx, [ref], resolution, now_ms)
        return await stored_message(tx, message_id)

    @transaction
    async def resolve_messages(
        self,
        tx: Transaction,
        workspace_id: str,
        session_id: str,
        resolution: Resolution,
        now_ms: int,
        *,
        after: str | None = None,
        limit: int = 100,
    ) -> tuple[int, str | None]:
        limit = max(1, limit)
        session = await own_session_keys(tx.all, workspace_id, session_id)
        rows = await tx.all(_UNKNOWN, {"session": session.id, "after": after or "", "limit": limit})
        refs = [message_ref(row) for row in rows]
        await self._resolve(tx, refs, resolution, now_ms)
        return len(refs), refs[-1].uuid if len(refs) == limit else None

    async def _accept(
        self, tx: Transaction, session: SessionKeys, wanted: Mapping[int, NewOutbound]
    ) -> dict[int, MessageRow | PlanLimitReached]:
        """Store as many as the plan has room for, and answer for all."""
        if not wanted:
            return {}
        now_ms = next(iter(wanted.values())).now_ms
        room = await count_messages(tx, session.workspace, len(wanted), now_ms)
        places = list(wanted)
        fit = places[: room.fit]
        refs = [await _insert(tx, self._ids, session, wanted[place]) for place in fit]
        events = [message_event(ref, MessageState.ACCEPTED) for ref in refs]
        await append_events(tx, self._ids, events, now_ms)
        rows = await _stored(tx, refs)
        answers: dict[int, MessageRow | PlanLimitReached] = {}
        answers.update(zip(fit, rows, strict=True))
        answers.update((place, room.refusal()) for place in places[room.fit :])
        return answers

    async def _resolve(
        self, tx: Transaction, refs: Sequence[MessageRef], resolution: Resolution, now_ms: int
    ) -> None:
        if resolution is Resolution.FAIL:
            await self._move(tx, refs, MessageState.FAILED, GIVEN_UP, now_ms)
            return
        gone = [ref for ref in refs if ref.erased]  # there is nothing left to send
        await self._move(tx, gone, MessageState.FAILED, (ERASED_CODE, ERASED_DETAIL), now_ms)
        left = [ref for ref in refs if not ref.erased]
        await self._move(tx, left, MessageState.ACCEPTED, (None, None), now_ms)

    async def _move(
        self,
        tx: Transaction,
        refs: Sequence[MessageRef],
        state: MessageState,
        why: tuple[str | None, str | None],
        now_ms: int,
    ) -> None:
        if not refs:
            return
        await tx.many(
            "UPDATE messages SET state = ?, error_code = ?, error_detail = ?, updated_at = ?"
            " WHERE id = ?",
            [(state, *why, now_ms, ref.id) for ref in refs],
        )
        events: list[NewEvent] = [message_event(ref, state, code=why[0]) for ref in refs]
        await append_events(tx, self._ids, events, now_ms)


async def _insert(
    tx: Transaction, ids: MonotonicIds, session: SessionKeys, new: NewOutbound
) -> MessageRef:
    """Store one message as accepted, with what it does to its chat and contact."""
    chat = await note_traffic(tx, ids, session, new.chat, None, new.now_ms)
    uuid, state = ids.next(new.now_ms), MessageState.ACCEPTED
    [(key,)] = await tx.all(
        f"{INSERT_MESSAGE} RETURNING id",
        {
            "uuid": uuid,
            "workspace": session.workspace,
            "session": session.id,
            "chat_id": chat.id,
            "contact_id": None if chat.contact is None else chat.contact.id,
            "direction": Direction.OUTBOUND,
            "chat": new.chat,
            "sender": None,
            "wa_id": new.wa_id,
            "kind": new.kind,
            "body": storable(new.body),
            "content": content_text(new.content),
            "state": state,
            "priority": new.priority,
            "send_at": new.send_at_ms,
            "expires": new.expires_ms,
            "now": new.now_ms,
            "sent": None,
        },
    )
    return MessageRef(key, uuid, state, new.kind, session, chat.uuid, erased=False)


async def _stored(tx: Transaction, refs: Sequence[MessageRef]) -> Sequence[MessageRow]:
    """Return the rows of messages that were stored one after the other."""
    if not refs:
        return []
    rows = await tx.all(
        f"{SELECT_MESSAGE} WHERE m.id BETWEEN ? AND ? ORDER BY m.id", (refs[0].id, refs[-1].id)
    )
    return [message_row(row) for row in rows]


async def _own(tx: Transaction, workspace_id: str, session_id: str, message_id: str) -> MessageRef:
    """Return an outbound message of a workspace's session. Raises MessageNotFound."""
    row = await tx.one(_OWN, (message_id, session_id, workspace_id))
    if row is None:
        raise no_such_message(message_id)
    return message_ref(row)


def _made(
    found: Mapping[int, MessageRow | PlanLimitReached | None], wanted: Iterable[int]
) -> dict[int, str]:
    """Return the ids of messages just stored, by their places."""
    rows = ((place, found[place]) for place in wanted)
    return {place: row.id for place, row in rows if isinstance(row, MessageRow)}
