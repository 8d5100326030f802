"""Files of messages that are to be fetched: which, how often it was tried, what became of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from storage.events import EventType
from storage.inbound import Download, MessageFile
from storage.sqlite.events import NewEvent, append_events
from storage.sqlite.messages import no_such_message
from storage.sqlite.privacy import media_pointer
from storage.sqlite.receipts import find_message
from storage.sqlite.scope import session_keys
from storage.sqlite.transactions import transaction

if TYPE_CHECKING:
    from storage.sqlite.connection import Connections
    from storage.sqlite.ids import MonotonicIds
    from storage.sqlite.transactions import Transaction


class DownloadTable:
    """Reads and writes media_downloads; `record_inbound` adds to it."""

    def __init__(self, connections: Connections, ids: MonotonicIds) -> None:
        self._connections = connections
        self._ids = ids

    async def next_download(self, session_id: str, before_ms: int) -> Download | None:
        session = await session_keys(self._connections.read, session_id)
        rows = await self._connections.read(
            "SELECT m.uuid, m.wa_id, m.chat, m.sender, d.attempts FROM media_downloads AS d"
            " JOIN messages AS m ON m.id = d.message_id WHERE d.whatsapp_session_id = ?"
            " AND d.error_code IS NULL AND d.attempted_at < ?"
            # kept, and then we died before that was written here
            " AND NOT EXISTS (SELECT 1 FROM media AS f WHERE f.message_id = d.message_id)"
            " ORDER BY d.message_id LIMIT 1",
            (session.id, before_ms),
        )
        if not rows:
            return None
        message_id, wa_id, chat, sender, attempts = rows[0]
        return Download(
            message_id=message_id, wa_id=wa_id, chat=chat, sender=sender, attempts=attempts
        )

    @transaction
    async def count_download(self, tx: Transaction, message_id: str, by: int, now_ms: int) -> None:
        await tx.change(
            "UPDATE media_downloads SET attempts = max(0, attempts + ?), attempted_at = ?"
            " WHERE message_id = (SELECT id FROM messages WHERE uuid = ?)",
            (by, now_ms, message_id),
        )

    @transaction
    async def end_download(
        self, tx: Transaction, message_id: str, code: str | None, now_ms: int
    ) -> None:
        ref = await find_message(tx, message_id)
        if ref is None:
            return
        changed = await tx.change(
            "DELETE FROM media_downloads WHERE message_id = ?"
            if code is None
            else "UPDATE media_downloads SET error_code = ?2 WHERE message_id = ?1"
            " AND error_code IS NULL",
            (ref.id,) if code is None else (ref.id, code),
        )
        if changed:
            payload = {
                "message_id": ref.uuid,
                "chat_id": ref.chat,
                "kind": ref.kind,
                "code": code,
            }
            ended = NewEvent(session=ref.session, type=EventType.MESSAGE_MEDIA, payload=payload)
            await append_events(tx, self._ids, [ended], now_ms)

    async def message_file(
        self, workspace_id: str, session_id: str, message_id: str
    ) -> MessageFile:
        rows = await self._connections.read(
            "SELECT m.content, d.message_id, d.error_code, f.uuid, f.path, f.sha256, f.bytes"
            " FROM messages AS m JOIN whatsapp_sessions AS s ON s.id = m.whatsapp_session_id"
            " JOIN workspaces AS w ON w.id = s.workspace_id"
            " LEFT JOIN media_downloads AS d ON d.message_id = m.id"
            " LEFT JOIN media AS f ON f.message_id = m.id"
            " WHERE m.uuid = ? AND s.uuid = ? AND w.uuid = ? AND s.deleted_at IS NULL"
            " ORDER BY f.id DESC LIMIT 1",
            (message_id, session_id, workspace_id),
        )
        if not rows:
            raise no_such_message(message_id)
        content, wanted, code, *pointer = rows[0]
        return MessageFile(
            content=json.loads(content),
            media=None if pointer[0] is None else media_pointer(tuple(pointer)),
            wanted=wanted is not None and code is None,
            error_code=code,
        )
