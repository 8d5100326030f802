"""Whether browsers may be launched at all: a flag with reasons, set by those who watch something.

Open as long as nobody gives a reason against it. Who closes or opens it tells the root
(`LaunchGateChanged`), which asks it before each launch; sessions that run are not touched.
"""

from __future__ import annotations

import threading


class LaunchGate:
    """Reasons are codes of actors.reasons. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reasons: dict[str, None] = {}  # in the order in which they came

    @property
    def reason(self) -> str | None:
        """Why nothing may be launched, the oldest reason; None while the gate is open."""
        with self._lock:
            return next(iter(self._reasons), None)

    def close(self, reason: str) -> None:
        """Launch nothing for this reason. Idempotent."""
        with self._lock:
            self._reasons[reason] = None

    def open(self, reason: str) -> None:
        """This reason is gone; others may be left. Idempotent."""
        with self._lock:
            self._reasons.pop(reason, None)
