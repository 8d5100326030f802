"""Makes what a page is given out of what is stored: looks up what it refers to, decrypts its file.

The file is decrypted into the session's own directory for temporary files (mode 0700, emptied at
every launch), from where Chromium reads it; whoever asked for it discards it after the call.

Nothing is handed over here, so a PageRefused means: certainly not sent, and no use in trying again.

    target_not_found       the message that it refers to is gone, or was erased
    media_unreadable       the file is gone, damaged, or its key is not on the ring

Other errors (StoreError, OSError) may pass: the message can be sent later.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, Final

from actors.browser.driver import Outgoing, PageRefused
from storage.media import MediaUnreadable
from storage.media_index import MediaNotFound
from storage.messages import Direction
from storage.store import MessageNotFound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from actors.browser.driver import SessionPaths
    from storage.media_index import MediaIndex
    from storage.messages import MessageRow
    from storage.store import Store
    from storage.uploads import Uploads

REFERENCES: Final = ("target", "reply_to")
"""Fields of a message's content that hold our id of another message."""


def plain(row: MessageRow) -> Outgoing | None:
    """Return what to give to the page if nothing has to be looked up or decrypted for it."""
    if "media" in row.content or any(name in row.content for name in REFERENCES):
        return None
    return _outgoing(row, row.content, None)


class OutgoingDesk:
    """Used on the main loop; `paths` tells the directories of a session."""

    def __init__(
        self,
        *,
        store: Store,
        index: MediaIndex,
        uploads: Uploads,
        paths: Callable[[str], SessionPaths],
    ) -> None:
        self._store = store
        self._index = index
        self._uploads = uploads
        self._paths = paths

    async def prepare(self, row: MessageRow) -> Outgoing:
        """Return what to give to the page; see above for what it raises."""
        ready = plain(row)
        if ready is not None:
            return ready
        content: dict[str, Any] = dict(row.content)
        named = [name for name in REFERENCES if name in content]
        media: Path | None = None
        try:
            workspace = await self._index.message_workspace(row.id)
        except MessageNotFound:
            raise PageRefused("target_not_found", "the message itself was erased") from None
        for name in named:
            content[name] = await self._reference(workspace, row.session_id, content[name])
        if "media" in content:
            media = await self._decrypted(workspace, row, content["media"])
        return _outgoing(row, content, media)

    async def discard(self, outgoing: Outgoing) -> None:
        """Remove the decrypted file, if there is one."""
        if outgoing.media is not None:
            await asyncio.to_thread(outgoing.media.unlink, missing_ok=True)

    async def _reference(self, workspace: str, session_id: str, message_id: str) -> dict[str, Any]:
        """Return how WhatsApp names a message."""
        try:
            row = await self._store.message(workspace, session_id, message_id)
        except MessageNotFound:
            raise PageRefused("target_not_found", "the other message is gone") from None
        if row.chat.startswith("erased:"):
            raise PageRefused("target_not_found", "the other message was erased")
        return {
            "wa_id": row.wa_id,
            "chat": row.chat,
            "from_me": row.direction is Direction.OUTBOUND,
            "sender": row.sender,
        }

    async def _decrypted(self, workspace: str, row: MessageRow, media_id: str) -> Path:
        path = self._paths(row.session_id).tmp / f"outgoing-{row.wa_id}"
        try:
            async with self._uploads.open_upload(workspace, media_id) as pieces:
                await _write(path, pieces)
        except MediaNotFound:
            raise PageRefused("media_unreadable", "the file to send is gone") from None
        except MediaUnreadable as error:
            raise PageRefused("media_unreadable", str(error)) from None
        return path


def _outgoing(row: MessageRow, content: Mapping[str, Any], media: Path | None) -> Outgoing:
    return Outgoing(
        chat=row.chat,
        wa_id=row.wa_id,
        kind=row.kind,
        body=row.body,
        content=dict(content),
        media=media,
    )


async def _write(path: Path, pieces: AsyncIterator[bytes]) -> None:
    """Write a private file, anew; one that could not be written to its end does not stay."""
    try:
        await asyncio.to_thread(path.unlink, missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            async for piece in pieces:
                await asyncio.to_thread(file.write, piece)
    except BaseException:
        await asyncio.to_thread(path.unlink, missing_ok=True)
        raise
