"""What a message does to chats, contacts and their counters, in the message's own transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from storage.sqlite.ids import MonotonicIds
    from storage.sqlite.scope import SessionKeys
    from storage.sqlite.transactions import Transaction

_PEOPLE: Final = frozenset({"c.us", "lid", "s.whatsapp.net"})
_NUMBERED: Final = frozenset({"c.us", "s.whatsapp.net"})

_COUNT: Final = (
    "INSERT INTO contact_sessions (workspace_id, contact_id, whatsapp_session_id,"
    " first_interaction_at, last_interaction_at, total_messages)"
    " VALUES (:workspace, :contact, :session, :now, :now, 1)"
    " ON CONFLICT (contact_id, whatsapp_session_id) DO UPDATE SET"
    " total_messages = total_messages + 1,"
    " first_interaction_at = min(first_interaction_at, excluded.first_interaction_at),"
    " last_interaction_at = max(last_interaction_at, excluded.last_interaction_at)"
)


class Contact(NamedTuple):
    id: int
    uuid: str


class Chat(NamedTuple):
    """A message's chat and the contact on its other side, if it has one."""

    id: int
    uuid: str
    contact: Contact | None


def is_person(jid: str) -> bool:
    """Tell whether the jid is one person's, by number or `@lid`."""
    return jid.rpartition("@")[2] in _PEOPLE


def phone_of(jid: str) -> str | None:
    """Return the phone number that the jid tells, if it tells one."""
    user, _, server = jid.rpartition("@")
    return user if server in _NUMBERED else None


def kind_of(jid: str) -> str:
    """Return what kind of chat the jid names: contact, group, other."""
    if jid.endswith("@g.us"):
        return "group"
    return "contact" if is_person(jid) else "other"


async def note_traffic(
    tx: Transaction,
    ids: MonotonicIds,
    session: SessionKeys,
    chat: str,
    sender: str | None,
    now_ms: int,
) -> Chat:
    """Make or touch the message's chat and contact, count the message, and return both.

    The contact is the other side of a chat of two; elsewhere it is the sender, if one person is.
    """
    found = await _touched_chat(tx, session, chat, now_ms) or await _new_chat(
        tx, ids, session, chat, now_ms
    )
    contact = found.contact
    if contact is None and sender is not None and is_person(sender):
        contact = await _contact(tx, ids, session.workspace, sender, now_ms)
    if contact is not None:
        await tx.change(
            _COUNT,
            {
                "workspace": session.workspace,
                "contact": contact.id,
                "session": session.id,
                "now": now_ms,
            },
        )
    return found._replace(contact=contact)


async def note_chat(
    tx: Transaction, ids: MonotonicIds, session: SessionKeys, jid: str, now_ms: int
) -> Chat:
    """Return a chat in which something else than a message happened, made if it is new."""
    row = await tx.one(
        "SELECT id, uuid FROM chats WHERE whatsapp_session_id = ? AND jid = ?", (session.id, jid)
    )
    if row is None:
        return await _new_chat(tx, ids, session, jid, now_ms)
    return Chat(row[0], row[1], None)


async def note_person(
    tx: Transaction, ids: MonotonicIds, workspace: int, jid: str, now_ms: int
) -> Contact:
    """Make the contact of a person's jid, if it is new; nothing is counted."""
    return await _contact(tx, ids, workspace, jid, now_ms)


async def _touched_chat(
    tx: Transaction, session: SessionKeys, jid: str, now_ms: int
) -> Chat | None:
    row = await tx.one(
        "UPDATE chats SET last_message_at = max(coalesce(last_message_at, 0), ?1), updated_at = ?1"
        " WHERE whatsapp_session_id = ?2 AND jid = ?3 RETURNING id, uuid, contact_id,"
        " (SELECT c.uuid FROM contacts AS c WHERE c.id = contact_id)",
        (now_ms, session.id, jid),
    )
    if row is None:
        return None
    return Chat(row[0], row[1], None if row[2] is None else Contact(row[2], row[3]))


async def _new_chat(
    tx: Transaction, ids: MonotonicIds, session: SessionKeys, jid: str, now_ms: int
) -> Chat:
    contact = None
    if is_person(jid):
        contact = await _contact(tx, ids, session.workspace, jid, now_ms)
    row = (
        await tx.all(
            "INSERT INTO chats (uuid, workspace_id, whatsapp_session_id, contact_id, jid, kind,"
            " last_message_at, created_at, updated_at)"
            " VALUES (:uuid, :workspace, :session, :contact, :jid, :kind, :now, :now, :now)"
            " RETURNING id, uuid",
            {
                "uuid": ids.next(now_ms),
                "workspace": session.workspace,
                "session": session.id,
                "contact": None if contact is None else contact.id,
                "jid": jid,
                "kind": kind_of(jid),
                "now": now_ms,
            },
        )
    )[0]
    return Chat(row[0], row[1], contact)


async def _contact(
    tx: Transaction, ids: MonotonicIds, workspace: int, jid: str, now_ms: int
) -> Contact:
    row = await tx.one(
        "SELECT id, uuid FROM contacts WHERE workspace_id = ? AND jid = ?", (workspace, jid)
    )
    if row is None:
        row = (
            await tx.all(
                "INSERT INTO contacts (uuid, workspace_id, jid, phone_number, created_at,"
                " updated_at) VALUES (:uuid, :workspace, :jid, :phone, :now, :now)"
                " RETURNING id, uuid",
                {
                    "uuid": ids.next(now_ms),
                    "workspace": workspace,
                    "jid": jid,
                    "phone": phone_of(jid),
                    "now": now_ms,
                },
            )
        )[0]
    return Contact(row[0], row[1])
