"""The truth log: what really happened, in order, for tests to judge by.

Every entry is a dict with ``seq`` (from 1, no gaps), ``at_ms`` (wall time), ``mono_ns``
(monotonic), ``kind`` and the kind's own fields: usually ``number``, ``device``, ``id`` (message
id), ``chat``. Kinds: page_served, ws_open, ws_close, qr_issued, qr_expired, qr_idle, qr_scanned,
link_code_issued, link_code_used, device_linked, login, login_refused, logout,
message_received_from_client, duplicate_suppressed, message_rejected, ack_sent, ack_lost,
ack_dropped, receipt, contact_received, inbound_queued, inbound_delivered, read_by_client,
exists_query, phone_sent, presence, revoked, edited, reacted, voted, call_rejected,
auto_scan_missed, contact_edited, contact_revoked, contact_reacted, contact_voted, call_placed,
members_changed, contact_created, account_created, group_created, fault_set, fault_cleared,
frame_swallowed, bad_frame.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from itertools import islice
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from simulator.clock import Clock

Entry = dict[str, Any]


class TruthLog:
    """Append-only log, kept in memory (the newest ``limit`` entries) and, if asked, in a file."""

    def __init__(self, clock: Clock, path: Path | None = None, limit: int = 500_000) -> None:
        self._clock = clock
        self._entries: deque[Entry] = deque(maxlen=limit)
        self._seq = 0
        self._file: IO[str] | None = path.open("a", encoding="utf-8") if path else None
        self._grown = asyncio.Event()

    @property
    def last_seq(self) -> int:
        return self._seq

    def add(self, kind: str, **fields: object) -> Entry:
        """Append one entry; fields that are None are left out."""
        self._seq += 1
        entry: Entry = {
            "seq": self._seq,
            "at_ms": self._clock.now_ms(),
            "mono_ns": self._clock.monotonic_ns(),
            "kind": kind,
        }
        entry.update({k: v for k, v in fields.items() if v is not None})
        self._entries.append(entry)
        if self._file is not None:
            self._file.write(json.dumps(entry, ensure_ascii=False) + "\n")
            self._file.flush()
        self._grown.set()
        return entry

    def read(
        self, *, after: int = 0, kinds: Iterable[str] = (), number: str = "", limit: int = 10_000
    ) -> list[Entry]:
        """Entries with ``seq`` greater than ``after``, oldest first, at most ``limit``."""
        first = self._entries[0]["seq"] if self._entries else 1
        wanted = set(kinds)
        tail = islice(self._entries, max(0, after - first + 1), None)
        matching = (
            e
            for e in tail
            if (not wanted or e["kind"] in wanted) and (not number or e.get("number") == number)
        )
        return list(islice(matching, limit))

    async def grown(self, after: int, timeout: float) -> None:
        """Return when an entry newer than ``after`` exists, or after ``timeout`` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while self._seq <= after:
                    self._grown.clear()
                    await self._grown.wait()
        except TimeoutError:
            return

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
