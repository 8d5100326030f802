"""The log of what phone numbers were allowed to hand over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from storage.grants import FORGOTTEN, MessageGrant, NumberLog
from storage.messages import MessageState
from storage.sqlite.transactions import transaction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storage.sqlite.connection import Connections
    from storage.sqlite.transactions import Row, Transaction

_RECORD: Final = (
    "INSERT INTO message_grants (number, key, boot_id, boot_at, created_at)"
    " VALUES (:number, :key, :boot_id, :boot_at, :wall) ON CONFLICT (number, key) DO UPDATE SET"
    " boot_id = excluded.boot_id, boot_at = excluded.boot_at, created_at = excluded.created_at"
)
_COUNT_DAY: Final = (
    "INSERT INTO sending_numbers (number, day, boot_id, boot_at, created_at)"
    " VALUES (:number, :day, :boot_id, :boot_at, :wall) ON CONFLICT (number) DO UPDATE SET"
    " day = excluded.day, boot_id = excluded.boot_id, boot_at = excluded.boot_at,"
    " created_at = excluded.created_at WHERE excluded.day > day"
)
_ON_ITS_WAY: Final = frozenset({MessageState.SENDING, MessageState.UNKNOWN})


async def record_message_grant(tx: Transaction, grant: MessageGrant) -> None:
    """Record it in this transaction: the one that makes its message `sending`."""
    values: dict[str, object] = {
        "number": grant.number,
        "key": grant.key,
        "boot_id": grant.boot_id,
        "boot_at": grant.boot_ms,
        "wall": grant.wall_ms,
        "day": grant.day,
    }
    await tx.change(_RECORD, values)
    await tx.change(_COUNT_DAY, values)


class NumberGrantTable:
    """Reads and writes message_grants and sending_numbers."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def number_logs(self) -> Sequence[NumberLog]:
        numbers = await self._connections.read(
            "SELECT number, day, boot_id, boot_at FROM sending_numbers"
        )
        return [await self._log(row) for row in numbers]

    async def _log(self, of: Row) -> NumberLog:
        number, day, boot_id, boot_ms = of
        rows = await self._connections.read(
            "SELECT key, boot_id, boot_at, created_at FROM message_grants WHERE number = ?",
            (number,),
        )
        grants = [
            MessageGrant(
                number=number, key=row[0], boot_id=row[1], boot_ms=row[2], wall_ms=row[3], day=day
            )
            for row in rows
        ]
        newest = max(grants, key=lambda grant: grant.boot_ms, default=None)
        return NumberLog(
            number=number,
            day=day,
            since_boot_id=boot_id,
            since_boot_ms=boot_ms,
            grants=grants,
            in_doubt=newest is not None and await self._in_doubt(newest),
        )

    async def _in_doubt(self, grant: MessageGrant) -> bool:
        """A note has no row that could tell."""
        if grant.key.startswith(FORGOTTEN):
            return False
        rows = await self._connections.read(
            "SELECT state FROM messages WHERE uuid = ?", (grant.key.partition(".")[0],)
        )
        return not rows or MessageState(rows[0][0]) in _ON_ITS_WAY

    @transaction
    async def record_message_grant(self, tx: Transaction, grant: MessageGrant) -> None:
        await record_message_grant(tx, grant)

    @transaction
    async def move_number_log(self, tx: Transaction, log: NumberLog) -> None:
        await tx.many(
            "UPDATE message_grants SET boot_id = ?, boot_at = ? WHERE number = ? AND key = ?",
            [(g.boot_id, g.boot_ms, g.number, g.key) for g in log.grants],
        )
        await tx.change(
            "UPDATE sending_numbers SET boot_id = ?, boot_at = ? WHERE number = ?",
            (log.since_boot_id, log.since_boot_ms, log.number),
        )

    @transaction
    async def drop_message_grants(self, tx: Transaction, number: str, before_boot_ms: int) -> None:
        await tx.change(
            "DELETE FROM message_grants WHERE number = ? AND boot_at < ?",
            (number, before_boot_ms),
        )
