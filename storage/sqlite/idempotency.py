"""What was accepted under which key; written in the transaction that accepts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from storage.acceptance import KEY_KEPT_MS, AcceptedBefore, KeyReused
from storage.sqlite.rows import MESSAGE_COLUMNS, message_row

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from storage.acceptance import RequestKey
    from storage.messages import MessageRow
    from storage.sqlite.connection import Transaction
    from storage.sqlite.scope import Query

_MESSAGE: Final = (
    " LEFT JOIN messages AS m ON m.id = i.message_id"
    " LEFT JOIN whatsapp_sessions AS s ON s.id = m.whatsapp_session_id"
)
_BEFORE: Final = (
    f"SELECT k.body_hash, k.session_status, i.item, {MESSAGE_COLUMNS}"  # noqa: S608 - constants only
    " FROM idempotency_keys AS k JOIN idempotency_items AS i ON i.key_id = k.id"
    f"{_MESSAGE} WHERE k.workspace_id = (SELECT id FROM workspaces WHERE uuid = ?)"
    " AND k.key_hash = ? ORDER BY i.item"
)
_PLACES: Final = (
    f"SELECT i.item, {MESSAGE_COLUMNS} FROM idempotency_items AS i"  # noqa: S608 - constants only
    f"{_MESSAGE} WHERE i.key_id = ? AND i.item BETWEEN ? AND ?"
)
_OPEN: Final = (
    "EXISTS (SELECT 1 FROM idempotency_items AS i JOIN messages AS m ON m.id = i.message_id"
    " WHERE i.key_id = k.id AND m.state IN ('accepted', 'sending', 'unknown'))"
)


async def find_key(query: Query, workspace: int, key_hash: str, body_hash: str) -> int | None:
    """Return a key's internal id, if it is known. Raises KeyReused for another request's."""
    rows = await query(
        "SELECT id, body_hash FROM idempotency_keys WHERE workspace_id = ? AND key_hash = ?",
        (workspace, key_hash),
    )
    if not rows:
        return None
    _require_same(rows[0][1], body_hash)
    return int(rows[0][0])


async def accepted_before(
    query: Query, workspace_id: str, key_hash: str, body_hash: str
) -> AcceptedBefore | None:
    """Return all that was accepted under a key. Raises KeyReused."""
    rows = await query(_BEFORE, (workspace_id, key_hash))
    if not rows:
        return None
    _require_same(rows[0][0], body_hash)
    return AcceptedBefore(
        session_status=rows[0][1],
        messages={row[2]: None if row[3] is None else message_row(row[3:]) for row in rows},
    )


async def places_taken(
    tx: Transaction, key_id: int, places: Collection[int]
) -> Mapping[int, MessageRow | None]:
    """Return what was accepted under a key in these places of the request."""
    rows = await tx.all(_PLACES, (key_id, min(places), max(places)))
    return {
        row[0]: None if row[1] is None else message_row(row[1:]) for row in rows if row[0] in places
    }


async def note_items(
    tx: Transaction,
    workspace: int,
    key: RequestKey,
    key_id: int | None,
    uuids: Mapping[int, str],
    now_ms: int,
) -> None:
    """Remember messages just stored, by their places in the request, under the key.

    `key_id` is None for a key that is not stored yet.
    """
    if key_id is None:
        [(key_id,)] = await tx.all(
            "INSERT INTO idempotency_keys (workspace_id, key_hash, body_hash, session_status,"
            " created_at, kept_until) VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
            (
                workspace,
                key.key_hash,
                key.body_hash,
                key.session_status,
                now_ms,
                now_ms + KEY_KEPT_MS,
            ),
        )
    await tx.many(
        "INSERT INTO idempotency_items (key_id, item, workspace_id, message_id)"
        " VALUES (?, ?, ?, (SELECT id FROM messages WHERE uuid = ?))",
        [(key_id, place, workspace, uuid) for place, uuid in uuids.items()],
    )


async def forget_body(tx: Transaction, message: int) -> None:
    """A message is erased: what its request said must not be guessed from the hash."""
    await tx.change(
        "UPDATE idempotency_keys SET body_hash = NULL WHERE id IN"
        " (SELECT key_id FROM idempotency_items WHERE message_id = ?)",
        (message,),
    )


async def purge_keys(tx: Transaction, now_ms: int, limit: int) -> int:
    """Take keys whose time is over, and return how many were looked at, at most `limit`.

    Those with a message that may still be sent stay for another day.
    """
    due = await tx.all(
        f"SELECT k.id, {_OPEN} FROM idempotency_keys AS k WHERE k.kept_until < ?"  # noqa: S608 - constants only
        " ORDER BY k.kept_until LIMIT ?",
        (now_ms, limit),
    )
    await tx.many(
        "DELETE FROM idempotency_keys WHERE id = ?", [(row[0],) for row in due if not row[1]]
    )
    await tx.many(
        "UPDATE idempotency_keys SET kept_until = ? WHERE id = ?",
        [(now_ms + KEY_KEPT_MS, row[0]) for row in due if row[1]],
    )
    return len(due)


def _require_same(stored: str | None, body_hash: str) -> None:
    if stored is not None and stored != body_hash:
        raise KeyReused("This key was used for another request; use a new key for a new one.")
