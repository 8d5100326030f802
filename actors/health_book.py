"""What sessions have been through, kept while their incarnations come and go.

It is in memory: a wafleet that starts again begins with sessions that have no history.
"""

from __future__ import annotations

import threading

from actors.outages import History

NOTHING = History()


class HealthBook:
    """A thread-safe map from session id to History."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._histories: dict[str, History] = {}

    def put(self, session_id: str, history: History) -> None:
        """Remember it; one that says nothing takes no room."""
        with self._lock:
            if history == NOTHING:
                self._histories.pop(session_id, None)
            else:
                self._histories[session_id] = history

    def get(self, session_id: str) -> History:
        with self._lock:
            return self._histories.get(session_id, NOTHING)
