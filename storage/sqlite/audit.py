"""The access log: one hash chain for each workspace, written and checked here."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from storage.audit import NO_HASH, AccessEntry, AccessHead, NewAccess, entry_hash, first_bad
from storage.sqlite.rows import storable
from storage.sqlite.scope import own_key, own_session_keys, workspace_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storage.sqlite.connection import Connections
    from storage.sqlite.ids import MonotonicIds
    from storage.sqlite.scope import SessionKeys
    from storage.sqlite.transactions import Query, Row, Transaction

_PAGE: Final = 500
_SELECT: Final = (
    "SELECT l.uuid, w.uuid, l.number, s.uuid, k.uuid, l.who, l.action, l.result, l.ip_address,"
    " l.detail, l.created_at, l.previous_hash, l.hash FROM whatsapp_session_access_logs AS l"
    " JOIN workspaces AS w ON w.id = l.workspace_id"
    " LEFT JOIN whatsapp_sessions AS s ON s.id = l.whatsapp_session_id"
    " LEFT JOIN api_keys AS k ON k.id = l.api_key_id"
)
_OWN: Final = "l.workspace_id = (SELECT id FROM workspaces WHERE uuid = ?)"


class AccessTable:
    """Reads and appends to whatsapp_session_access_logs."""

    def __init__(self, connections: Connections, ids: MonotonicIds) -> None:
        self._connections = connections
        self._ids = ids

    async def append_access(
        self, workspace_id: str, new: NewAccess, *, patient: bool = False
    ) -> AccessEntry:
        return await self._connections.write(
            lambda tx: append_entry(tx, self._ids, workspace_id, new), patient=patient
        )

    async def access_log(
        self,
        workspace_id: str,
        *,
        before: int | None = None,
        session_id: str | None = None,
        limit: int = 100,
    ) -> Sequence[AccessEntry]:
        where, values = [_OWN], [workspace_id]
        if session_id is not None:
            read = self._connections.read
            keys = await own_session_keys(read, workspace_id, session_id, deleted=True)
            where, values = ["l.whatsapp_session_id = ?"], [str(keys.id)]
        if before is not None:
            where.append("l.number < ?")
            values.append(str(before))
        rows = await self._connections.read(
            f"{_SELECT} WHERE {' AND '.join(where)} ORDER BY l.number DESC LIMIT ?",
            (*values, max(0, limit)),
        )
        return [_entry(row) for row in rows]

    async def access_head(self, workspace_id: str) -> AccessHead:
        return await _head(self._connections.read, workspace_id)

    async def verify_access_log(
        self, workspace_id: str, noted: AccessHead | None = None
    ) -> str | None:
        before = AccessHead(number=0, hash=NO_HASH)
        missing = noted is not None and noted.number > 0
        while entries := await self._oldest(workspace_id, before.number):
            bad = first_bad(before, entries)
            if bad is not None:
                return bad
            for entry in entries:
                if noted is not None and entry.number == noted.number:
                    missing = False
                    if entry.hash != noted.hash:
                        return entry.id
            before = AccessHead(number=entries[-1].number, hash=entries[-1].hash)
        return f"missing:{noted.number}" if noted is not None and missing else None

    async def _oldest(self, workspace_id: str, after: int) -> Sequence[AccessEntry]:
        rows = await self._connections.read(
            f"{_SELECT} WHERE {_OWN} AND l.number > ? ORDER BY l.number LIMIT ?",
            (workspace_id, after, _PAGE),
        )
        return [_entry(row) for row in rows]


async def append_entry(
    tx: Transaction,
    ids: MonotonicIds,
    workspace_id: str,
    new: NewAccess,
    keys: SessionKeys | None = None,
) -> AccessEntry:
    """Write an entry in a transaction, with whatever else it does.

    `keys` are those of its session, if they are known.
    """
    if keys is None and new.session_id is not None:
        keys = await own_session_keys(tx.all, workspace_id, new.session_id, deleted=True)
    if keys is not None:
        workspace, session = keys.workspace, keys.id
    else:
        workspace, session = await workspace_key(tx.all, workspace_id), None
    key = None
    if new.key is not None:
        key = await own_key(tx.all, workspace, new.key)
    head = await _head(tx.all, workspace_id)
    detail = storable(json.dumps(dict(new.detail), sort_keys=True))
    entry = AccessEntry(
        id=ids.next(new.now_ms),
        workspace_id=workspace_id,
        number=head.number + 1,
        session_id=new.session_id,
        key=new.key,
        who=storable(new.key or new.who),
        action=new.action,
        result=new.result,
        ip_address=new.ip_address,
        detail=json.loads(detail),
        created_ms=new.now_ms,
        previous_hash=head.hash,
        hash=NO_HASH,
    )
    entry = replace(entry, hash=entry_hash(entry))
    await tx.change(
        "INSERT INTO whatsapp_session_access_logs (uuid, workspace_id, number,"
        " whatsapp_session_id, api_key_id, who, action, result, ip_address, detail,"
        " created_at, previous_hash, hash) VALUES (:uuid, :workspace, :number, :session,"
        " :key, :who, :action, :result, :ip, :detail, :now, :previous, :hash)",
        {
            "uuid": entry.id,
            "workspace": workspace,
            "number": entry.number,
            "session": session,
            "key": key,
            "who": entry.who,
            "action": entry.action,
            "result": entry.result,
            "ip": entry.ip_address,
            "detail": detail,
            "now": entry.created_ms,
            "previous": entry.previous_hash,
            "hash": entry.hash,
        },
    )
    return entry


async def _head(query: Query, workspace_id: str) -> AccessHead:
    rows = await query(
        "SELECT l.number, l.hash FROM whatsapp_session_access_logs AS l"  # noqa: S608
        f" WHERE {_OWN} ORDER BY l.number DESC LIMIT 1",
        (workspace_id,),
    )
    if not rows:
        return AccessHead(number=0, hash=NO_HASH)
    return AccessHead(number=rows[0][0], hash=rows[0][1])


def _entry(row: Row) -> AccessEntry:
    return AccessEntry(
        id=row[0],
        workspace_id=row[1],
        number=row[2],
        session_id=row[3],
        key=row[4],
        who=row[5],
        action=row[6],
        result=row[7],
        ip_address=row[8],
        detail=json.loads(row[9]),
        created_ms=row[10],
        previous_hash=row[11],
        hash=row[12],
    )
