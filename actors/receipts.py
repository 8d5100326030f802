"""Acks on their way to the store: those that come while others wait are written with them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from storage.outbox import Receipt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storage.outbox import Outbox


class Receipts:
    """One write. The session's actor adds to it until it begins, in the store's thread."""

    def __init__(self, store: Outbox, session_id: str) -> None:
        self._store = store
        self._session_id = session_id
        self._lock = threading.Lock()
        self._receipts: list[Receipt] = []
        self._begun = False

    def add(self, wa_ids: Sequence[str], ack: int, now_ms: int) -> bool:
        """Take them along; False if it is too late for that."""
        with self._lock:
            if not self._begun:
                self._receipts.append(Receipt(tuple(wa_ids), ack, now_ms))
            return not self._begun

    async def write(self) -> int:
        """Write them all, in their order; also again, if the store was busy."""
        return await self._store.record_receipts(self._session_id, self._take)

    def _take(self) -> Sequence[Receipt]:
        with self._lock:
            self._begun = True
        return self._receipts
