"""API keys as stored: looked up by their public part, compared by the caller."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from storage.keys import TOUCH_INTERVAL_MS, ApiKeyRecord, KeyIdTaken, NewKey
from storage.sqlite.scope import no_such_key, own_key, workspace_key
from storage.sqlite.transactions import transaction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storage.sqlite.connection import Connections
    from storage.sqlite.ids import MonotonicIds
    from storage.sqlite.transactions import Row, Transaction

_SELECT: Final = (
    "SELECT k.uuid, w.uuid, k.key_id, k.name, k.hash, k.scopes, k.expires_at, k.last_used_at,"
    " k.revoked_at, k.created_at FROM api_keys AS k JOIN workspaces AS w ON w.id = k.workspace_id"
)


class KeyTable:
    """Reads and writes api_keys."""

    def __init__(self, connections: Connections, ids: MonotonicIds) -> None:
        self._connections = connections
        self._ids = ids

    @transaction
    async def create_key(
        self, tx: Transaction, workspace_id: str, new: NewKey, now_ms: int
    ) -> ApiKeyRecord:
        workspace = await workspace_key(tx.all, workspace_id)
        if await tx.one("SELECT 1 FROM api_keys WHERE key_id = ?", (new.key_id,)):
            raise KeyIdTaken("Another key has this key_id; make a new key.")
        [(key,)] = await tx.all(
            "INSERT INTO api_keys (uuid, workspace_id, key_id, name, hash, scopes, expires_at,"
            " created_at, updated_at) VALUES (:uuid, :workspace, :key_id, :name, :hash,"
            " :scopes, :expires, :now, :now) RETURNING id",
            {
                "uuid": self._ids.next(now_ms),
                "workspace": workspace,
                "key_id": new.key_id,
                "name": new.name,
                "hash": new.hash,
                "scopes": json.dumps(sorted(new.scopes)),
                "expires": new.expires_ms,
                "now": now_ms,
            },
        )
        return await _key(tx, key)

    async def keys(
        self, workspace_id: str, *, after: str | None = None, limit: int = 100
    ) -> Sequence[ApiKeyRecord]:
        rows = await self._connections.read(
            f"{_SELECT} WHERE k.workspace_id ="  # noqa: S608 - constants only
            " (SELECT id FROM workspaces WHERE uuid = ?)"
            " AND k.uuid > ? ORDER BY k.uuid LIMIT ?",
            (workspace_id, after or "", max(0, limit)),
        )
        return [_record(row) for row in rows]

    @transaction
    async def revoke_key(
        self, tx: Transaction, workspace_id: str, key: str, now_ms: int
    ) -> ApiKeyRecord:
        workspace = await workspace_key(tx.all, workspace_id)
        found = await own_key(tx.all, workspace, key)
        await tx.change(
            "UPDATE api_keys SET revoked_at = ?1, updated_at = ?1"
            " WHERE id = ?2 AND revoked_at IS NULL",
            (now_ms, found),
        )
        return await _key(tx, found)

    async def key_with_id(self, key_id: str) -> ApiKeyRecord:
        rows = await self._connections.read(f"{_SELECT} WHERE k.key_id = ?", (key_id,))
        if not rows:
            raise no_such_key(key_id)
        return _record(rows[0])

    async def touch_key(self, key_id: str, now_ms: int) -> None:
        before = now_ms - TOUCH_INTERVAL_MS
        stale = "key_id = ? AND coalesce(last_used_at, 0) <= ?"
        # Read first: the usual answer is that there is nothing to write.
        if await self._connections.read(
            f"SELECT 1 FROM api_keys WHERE {stale}",  # noqa: S608 - constants only
            (key_id, before),
        ):
            await self._connections.write(
                lambda tx: tx.change(
                    f"UPDATE api_keys SET last_used_at = ? WHERE {stale}",  # noqa: S608
                    (now_ms, key_id, before),
                )
            )


async def _key(tx: Transaction, key: int) -> ApiKeyRecord:
    return _record((await tx.all(f"{_SELECT} WHERE k.id = ?", (key,)))[0])


def _record(row: Row) -> ApiKeyRecord:
    return ApiKeyRecord(
        id=row[0],
        workspace_id=row[1],
        key_id=row[2],
        name=row[3],
        hash=row[4],
        scopes=frozenset(json.loads(row[5])),
        expires_ms=row[6],
        last_used_ms=row[7],
        revoked_ms=row[8],
        created_ms=row[9],
    )
