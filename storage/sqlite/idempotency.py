"""What was accepted under which key; written in the transaction that accepts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from storage.acceptance import KEY_KEPT_MS, AcceptedBefore, KeyReused
from storage.sqlite.rows import MESSAGE_COLUMNS, message_row

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from storage.acceptance import RequestKey
    from storage.messages import MessageRow
    from storage.sqlite.scope import SessionKeys
    from storage.sqlite.transactions import Query, Transaction

_MESSAGE: Final = (
    " LEFT JOIN messages AS m ON m.id = i.message_id"
    " LEFT JOIN whatsapp_sessions AS s ON s.id = m.whatsapp_session_id"
)
_BEFORE: Final = (
    "SELECT k.body_hash, o.uuid, k.session_status, i.item,"  # noqa: S608 - constants only
    f" {MESSAGE_COLUMNS} FROM idempotency_keys AS k"
    " JOIN whatsapp_sessions AS o ON o.id = k.whatsapp_session_id"
    " JOIN idempotency_items AS i ON i.key_id = k.id"
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


async def find_key(tx: Transaction, session: SessionKeys, key: RequestKey) -> int | None:
    """Return a key's internal id, if it is known. Raises KeyReused for another request's."""
    row = await tx.one(
        "SELECT id, body_hash, whatsapp_session_id FROM idempotency_keys"
        " WHERE workspace_id = ? AND key_hash = ?",
        (session.workspace, key.key_hash),
    )
    if row is None:
        return None
    _require_same(row[1], key.body_hash, same_session=row[2] == session.id)
    return int(row[0])


async def accepted_before(
    query: Query, workspace_id: str, session_id: str, key: RequestKey
) -> AcceptedBefore | None:
    """Return all that was accepted under a key. Raises KeyReused."""
    rows = await query(_BEFORE, (workspace_id, key.key_hash))
    if not rows:
        return None
    body_hash, whose, session_status = rows[0][:3]
    _require_same(body_hash, key.body_hash, same_session=whose == session_id)
    return AcceptedBefore(
        session_status=session_status,
        messages={row[3]: None if row[4] is None else message_row(row[4:]) for row in rows},
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
    session: SessionKeys,
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
            "INSERT INTO idempotency_keys (workspace_id, whatsapp_session_id, key_hash, body_hash,"
            " session_status, created_at, kept_until) VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id",
            (
                session.workspace,
                session.id,
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
        [(key_id, place, session.workspace, uuid) for place, uuid in uuids.items()],
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


def _require_same(stored: str | None, body_hash: str, *, same_session: bool) -> None:
    """Once the body is forgotten, the session still tells requests apart."""
    if not same_session or (stored is not None and stored != body_hash):
        raise KeyReused("This key was used for another request; use a new key for a new one.")
