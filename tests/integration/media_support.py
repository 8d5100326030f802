"""Media for tests: real files, a real index, a key of their own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from storage.media_files import MediaFiles
from tests.integration.archive_support import RING
from tests.integration.tenant_support import NOW, inbound

if TYPE_CHECKING:
    from pathlib import Path

    from storage.space import Space
    from storage.sqlite.store import SqliteStore
    from storage.vault import Keyring


def media_files(
    data: Path, store: SqliteStore, keyring: Keyring = RING, space: Space | None = None
) -> MediaFiles:
    return MediaFiles(
        data=data,
        index=store,
        privacy=store,
        keyring=keyring,
        now_ms=lambda: time.time_ns() // 1_000_000,
        space=space,
    )


async def received(store: SqliteStore, workspace: str, wa_id: str = "M1", **more: object) -> str:
    """Let a message come in, in a session made for it; return its id."""
    session, _ = await store.create_session(workspace, "media", NOW)
    row = await store.record_inbound(inbound(session.id, wa_id, **more))  # type: ignore[arg-type]
    assert row is not None
    return row.id


async def read_all(media: MediaFiles, workspace: str, media_id: str) -> bytes:
    async with media.open(workspace, media_id) as pieces:
        return b"".join([piece async for piece in pieces])
