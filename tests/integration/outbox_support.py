"""What tests of the outbox share: keys, batches, and looking at what became of them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from storage.acceptance import RequestKey
from storage.grants import MessageGrant
from storage.messages import MessageRow
from tests.integration.tenant_support import PERSON, outbound

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from storage.messages import NewOutbound
    from storage.outbox import Outbox
    from storage.sqlite import SqliteStore
    from storage.tenants import PlanLimitReached

NOBODY = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
CLAIMER = "15550109999"
"""The number that `claim_next` claims for."""


def key(name: str, body: str = "body") -> RequestKey:
    return RequestKey(key_hash=sha256(name), body_hash=sha256(body), session_status="connected")


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def some(session: str, places: range, *, chat: str = PERSON) -> dict[int, NewOutbound]:
    return {n: outbound(session, f"A{n}", chat=chat) for n in places}


async def events(store: SqliteStore, home: str, *types: str) -> list[str]:
    return [e.payload["message_id"] for e in await store.events(home, types=types, limit=1000)]


def ids(found: Mapping[int, MessageRow | PlanLimitReached | None]) -> dict[int, str]:
    return {place: row.id for place, row in found.items() if isinstance(row, MessageRow)}


def all_bytes(directory: Path) -> bytes:
    return b"".join(file.read_bytes() for file in directory.iterdir())


async def keys_kept(store: SqliteStore) -> int:
    return int((await store._connections.read("SELECT count(*) FROM idempotency_keys"))[0][0])


async def claim_next(store: Outbox, session_id: str, now_ms: int) -> MessageRow | None:
    """Claim whatever is the session's turn, as a courier with a grant does."""
    due = (await store.due(session_id, now_ms)).message
    if due is None:
        return None
    key = f"{due.id}.{due.attempts + 1}"
    grant = MessageGrant(number=CLAIMER, key=key, boot_id="boot", boot_ms=1, wall_ms=now_ms)
    return await store.claim(due.id, grant, now_ms)
