"""One contact's data: shown whole, and taken away for good."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from storage.messages import MessageState
from storage.privacy import (
    ContactAnswer,
    ContactExport,
    ContactNotFound,
    ContactRow,
    ContactSession,
    Erased,
    MediaPointer,
    NewMedia,
)
from storage.sqlite.events import append_events
from storage.sqlite.idempotency import forget_body
from storage.sqlite.messages import SELECT_MESSAGE, no_such_message
from storage.sqlite.outbox import ERASED_CODE, ERASED_DETAIL
from storage.sqlite.receipts import EVENT_REF, message_event, message_ref
from storage.sqlite.rows import message_row
from storage.sqlite.transactions import transaction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storage.sqlite.connection import Connections
    from storage.sqlite.ids import MonotonicIds
    from storage.sqlite.receipts import MessageRef
    from storage.sqlite.transactions import Row, Transaction

MEDIA: Final = "uuid, path, sha256, bytes"
_SELECT: Final = (
    "SELECT c.uuid, c.jid, c.phone_number, c.name, c.created_at, c.updated_at, c.erased_at, c.id"
    " FROM contacts AS c WHERE c.workspace_id = (SELECT id FROM workspaces WHERE uuid = ?)"
)


class PrivacyTable:
    """Reads contacts and their data; erases them."""

    def __init__(self, connections: Connections, ids: MonotonicIds) -> None:
        self._connections = connections
        self._ids = ids

    async def contacts(
        self, workspace_id: str, *, after: str | None = None, limit: int = 100
    ) -> Sequence[ContactRow]:
        rows = await self._connections.read(
            f"{_SELECT} AND c.uuid > ? ORDER BY c.uuid LIMIT ?",
            (workspace_id, after or "", max(0, limit)),
        )
        return [_contact_row(row) for row in rows]

    async def contact(self, workspace_id: str, contact_id: str) -> ContactRow:
        return _contact_row(await self._find(workspace_id, contact_id))

    async def contact_with_jid(self, workspace_id: str, jid: str) -> ContactRow:
        rows = await self._connections.read(f"{_SELECT} AND c.jid = ?", (workspace_id, jid))
        if not rows:
            raise ContactNotFound("No contact has this jid; use one from the list of contacts.")
        return _contact_row(rows[0])

    async def contact_sessions(
        self, workspace_id: str, contact_id: str
    ) -> Sequence[ContactSession]:
        row = await self._find(workspace_id, contact_id)
        rows = await self._connections.read(
            "SELECT s.uuid, x.first_interaction_at, x.last_interaction_at, x.total_messages"
            " FROM contact_sessions AS x JOIN whatsapp_sessions AS s"
            " ON s.id = x.whatsapp_session_id WHERE x.contact_id = ?"
            " ORDER BY x.last_interaction_at DESC",
            (row[7],),
        )
        return [
            ContactSession(
                session_id=found[0],
                first_interaction_ms=found[1],
                last_interaction_ms=found[2],
                total_messages=found[3],
            )
            for found in rows
        ]

    async def export_contact(
        self, workspace_id: str, contact_id: str, *, after: str | None = None, limit: int = 500
    ) -> ContactExport:
        contact = await self._find(workspace_id, contact_id)
        wanted = max(1, limit)
        rows = await self._connections.read(
            f"{SELECT_MESSAGE} WHERE m.contact_id = ? AND m.uuid > ? ORDER BY m.uuid LIMIT ?",
            (contact[7], after or "", wanted + 1),
        )
        messages = [message_row(row) for row in rows[:wanted]]
        media: Sequence[Row] = ()
        if messages:
            media = await self._connections.read(
                "SELECT f.uuid, f.path, f.sha256, f.bytes FROM messages AS m"
                " JOIN media AS f ON f.message_id = m.id"
                " WHERE m.contact_id = ? AND m.uuid BETWEEN ? AND ? ORDER BY m.uuid",
                (contact[7], messages[0].id, messages[-1].id),
            )
        return ContactExport(
            contact=_contact_row(contact),
            sessions=await self.contact_sessions(workspace_id, contact_id),
            messages=messages,
            media=[media_pointer(row) for row in media],
            next_after=messages[-1].id if len(rows) > wanted else None,
        )

    async def contact_answers(self, workspace_id: str, contact_id: str) -> Sequence[ContactAnswer]:
        contact = await self._find(workspace_id, contact_id)
        rows = await self._connections.read(
            "SELECT m.uuid, 'reaction', r.emoji, r.created_at FROM reactions AS r"
            " JOIN messages AS m ON m.id = r.message_id WHERE r.contact_id = ?1"
            " UNION ALL SELECT m.uuid, 'vote', v.options, v.created_at FROM poll_votes AS v"
            " JOIN messages AS m ON m.id = v.message_id WHERE v.contact_id = ?1",
            (contact[7],),
        )
        return [
            ContactAnswer(message_id=row[0], kind=row[1], value=row[2], created_ms=row[3])
            for row in sorted(rows, key=lambda row: int(row[3]))
        ]

    async def erase_contact(
        self, workspace_id: str, contact_id: str, now_ms: int, batch: int = 500
    ) -> Erased:
        contact = await self._find(workspace_id, contact_id)
        key, pseudonym = int(contact[7]), f"erased:{contact_id}"
        await self._connections.write(lambda tx: _erase_row(tx, key, pseudonym, now_ms))
        messages, media, after = 0, list[MediaPointer](), ""
        while True:
            refs, files = await self._erase_some(key, pseudonym, after, max(1, batch), now_ms)
            if not refs:
                break
            after, messages = refs[-1].uuid, messages + len(refs)
            media += files
        await self._connections.empty_log()
        return Erased(
            contact=await self.contact(workspace_id, contact_id), messages=messages, media=media
        )

    @transaction
    async def _erase_some(
        self, tx: Transaction, key: int, pseudonym: str, after: str, limit: int, now_ms: int
    ) -> tuple[Sequence[MessageRef], Sequence[MediaPointer]]:
        """Erase the next of a contact's messages; return them, and the files that they had."""
        rows = await tx.all(
            f"SELECT {EVENT_REF} WHERE m.contact_id = ? AND m.uuid > ?"
            " AND m.erased_at IS NULL ORDER BY m.uuid LIMIT ?",
            (key, after, limit),
        )
        refs = [message_ref(row) for row in rows]
        media: list[MediaPointer] = []
        for ref in refs:
            media += await _erase_message(tx, ref.id, pseudonym, now_ms)
        events = [
            message_event(ref, MessageState.FAILED, code=ERASED_CODE)
            for ref in refs
            if ref.state is MessageState.ACCEPTED
        ]
        await append_events(tx, self._ids, events, now_ms)
        return refs, media

    @transaction
    async def record_media(self, tx: Transaction, new: NewMedia) -> MediaPointer:
        found = await tx.one(
            "SELECT id, workspace_id FROM messages WHERE uuid = ? AND erased_at IS NULL",
            (new.message_id,),
        )
        if found is None:
            raise no_such_message(new.message_id)
        uuid = self._ids.next(new.now_ms)
        await tx.change(
            "INSERT INTO media (uuid, workspace_id, message_id, path, sha256, bytes,"
            " created_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (uuid, found[1], found[0], new.path, new.sha256, new.bytes, new.now_ms),
        )
        return MediaPointer(id=uuid, path=new.path, sha256=new.sha256, bytes=new.bytes)

    async def _find(self, workspace_id: str, contact_id: str) -> Row:
        rows = await self._connections.read(f"{_SELECT} AND c.uuid = ?", (workspace_id, contact_id))
        if not rows:
            raise ContactNotFound(
                f"There is no contact {contact_id}; list the contacts to see their ids."
            )
        return rows[0]


async def _erase_row(tx: Transaction, key: int, pseudonym: str, now_ms: int) -> None:
    await tx.change(
        "UPDATE contacts SET jid = ?1, phone_number = NULL, name = NULL, metadata = '{}',"
        " updated_at = ?2, erased_at = ?2 WHERE id = ?3 AND erased_at IS NULL",
        (pseudonym, now_ms, key),
    )
    for table in ("contact_sessions", "reactions", "poll_votes"):
        await tx.change(f"DELETE FROM {table} WHERE contact_id = ?", (key,))  # noqa: S608
    await tx.change(
        "UPDATE chats SET jid = ?, updated_at = ? WHERE contact_id = ?", (pseudonym, now_ms, key)
    )


async def _erase_message(
    tx: Transaction, key: int, pseudonym: str, now_ms: int
) -> Sequence[MediaPointer]:
    """Empty one message; one that waits to be sent fails. A group's jid is not the contact's."""
    await tx.change(
        "UPDATE messages SET body = '', content = '{}', erased_at = :now, updated_at = :now,"
        " chat = iif((SELECT c.kind FROM chats AS c WHERE c.id = chat_id) = 'contact',"
        " :pseudonym, chat), sender = iif(sender IS NULL, NULL, :pseudonym),"
        " error_detail = iif(state = 'accepted', :detail, NULL),"
        " error_code = iif(state = 'accepted', :code, error_code),"
        " state = iif(state = 'accepted', 'failed', state) WHERE id = :id",
        {
            "id": key,
            "pseudonym": pseudonym,
            "code": ERASED_CODE,
            "detail": ERASED_DETAIL,
            "now": now_ms,
        },
    )
    await forget_body(tx, key)
    for table in ("reactions", "poll_votes", "media_downloads"):
        await tx.change(f"DELETE FROM {table} WHERE message_id = ?", (key,))  # noqa: S608
    rows = await tx.all(
        f"DELETE FROM media WHERE message_id = ? RETURNING {MEDIA}",  # noqa: S608
        (key,),
    )
    return [media_pointer(row) for row in rows]


def media_pointer(row: Row) -> MediaPointer:
    """Map a row of MEDIA."""
    return MediaPointer(id=row[0], path=row[1], sha256=row[2], bytes=row[3])


def _contact_row(row: Row) -> ContactRow:
    return ContactRow(
        id=row[0],
        jid=row[1],
        phone_number=row[2],
        name=row[3],
        created_ms=row[4],
        updated_ms=row[5],
        erased_ms=row[6],
    )
