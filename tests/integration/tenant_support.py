"""Workspaces for tests: the one that every database has, and more with a bit of everything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from storage.acceptance import RequestKey
from storage.audit import NewAccess
from storage.keys import NewKey
from storage.messages import MessageRow, NewInbound, NewOutbound
from storage.privacy import NewMedia
from storage.tenants import DEFAULT

if TYPE_CHECKING:
    from storage.sqlite import SqliteStore

NOW = 1_800_000_000_000
PERSON = "15551230001@c.us"
OTHER = "15551230002@c.us"
GROUP = "120363000000000001@g.us"


async def home_of(store: SqliteStore) -> str:
    """Return the public id of the workspace `default`."""
    return (await store.workspace_named(DEFAULT)).id


def outbound(session_id: str, wa_id: str, *, chat: str = PERSON, now_ms: int = NOW) -> NewOutbound:
    return NewOutbound(
        session_id=session_id, chat=chat, wa_id=wa_id, body=f"out {wa_id}", now_ms=now_ms
    )


def inbound(
    session_id: str,
    wa_id: str,
    *,
    chat: str = PERSON,
    sender: str | None = None,
    body: str | None = None,
    now_ms: int = NOW,
    fetch: bool = False,
) -> NewInbound:
    return NewInbound(
        session_id=session_id,
        chat=chat,
        sender=chat if sender is None else sender,
        wa_id=wa_id,
        kind="text",
        body=f"in {wa_id}" if body is None else body,
        sent_ms=now_ms - 5,
        now_ms=now_ms,
        fetch=fetch,
    )


def new_key(key_id: str) -> NewKey:
    return NewKey(key_id=key_id, name=key_id, hash="ab" * 32, scopes=frozenset({"session:read"}))


@dataclass(frozen=True)
class Tenant:
    """Public ids of one of each."""

    workspace: str
    key: str
    session: str
    message: str
    contact: str
    event: str


async def furnish(store: SqliteStore, name: str) -> Tenant:
    """Make a workspace with a key, a session, messages, a contact, media, an access entry."""
    workspace = (await store.create_workspace(name, NOW)).id
    key = await store.create_key(workspace, new_key(f"key-{name}"), NOW)
    session, _ = await store.create_session(workspace, "sales", NOW, key.id)
    request = RequestKey(key_hash="ab" * 32, body_hash="cd" * 32, session_status=name)
    given = {0: outbound(session.id, "A1")}
    row = (await store.accept_messages(workspace, session.id, given, key=request))[0]
    assert isinstance(row, MessageRow)
    received = await store.record_inbound(inbound(session.id, "B1"))
    assert received is not None
    await store.record_media(
        NewMedia(
            message_id=received.id, path=f"media/{name}", sha256="cd" * 32, bytes=7, now_ms=NOW
        )
    )
    accessed = NewAccess(
        action="session.create", result="allowed", now_ms=NOW, key=key.id, session_id=session.id
    )
    await store.append_access(workspace, accessed)
    await store.set_primary(workspace, session.id, NOW)
    contact = await store.contact_with_jid(workspace, PERSON)
    event = await store.last_event(workspace)
    assert event is not None
    return Tenant(workspace, key.id, session.id, row.id, contact.id, event)
