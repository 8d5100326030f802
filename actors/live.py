"""What is true of each session right now, for readers outside the actors: the API and /metrics.

Durable state is in the store; this board also holds what must not be on the disk in clear (the QR
code) and what changes too often to be written (evidence). Actors put frozen values, anybody reads
them, from any thread.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    QrListener = Callable[[str, "QrCode | None"], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class QrCode:
    """The code on show: what a phone scans, its number within the window, and when it appeared."""

    text: str
    number: int
    shown_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSession:
    """One running session, put by its actor at every change and taken away when it ends.

    `entered` (its state) and `proofs` (the last sign of life by rung: cdp, page, socket, end; None
    for none yet) are seconds of the monotonic clock.
    """

    session_id: str
    incarnation: int
    phase: str
    status: str
    reason: str
    since_ms: int
    detail: str | None = None
    phone_number: str | None = None
    evidence_ms: int | None = None
    qr: QrCode | None = None
    browser_pid: int | None = None
    missing: tuple[str, ...] = ()
    entered: float | None = None
    proofs: Mapping[str, float | None] = field(default_factory=dict)


class LiveBoard:
    """A thread-safe map from session id to LiveSession."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sessions: dict[str, LiveSession] = {}
        self._listeners: tuple[QrListener, ...] = ()

    def listen(self, listener: QrListener) -> None:
        """Call `listener` with a session's id and its code whenever that is another one, or none.

        It is called on the thread of whoever put the change, in the order of the changes, while
        others wait: it must not block.
        """
        with self._lock:
            self._listeners = (*self._listeners, listener)

    def unlisten(self, listener: QrListener) -> None:
        """Call it no more: not even once after this has returned."""
        with self._lock:
            self._listeners = tuple(each for each in self._listeners if each != listener)

    def put(self, live: LiveSession) -> None:
        with self._lock:
            before = self._sessions.get(live.session_id)
            self._sessions[live.session_id] = live
            self._tell(live.session_id, before, live)

    def drop(self, session_id: str, incarnation: int) -> None:
        """Take a session away, unless a younger incarnation has already put itself there."""
        with self._lock:
            live = self._sessions.get(session_id)
            if live is not None and live.incarnation <= incarnation:
                del self._sessions[session_id]
                self._tell(session_id, live, None)

    def get(self, session_id: str) -> LiveSession | None:
        with self._lock:
            return self._sessions.get(session_id)

    def all(self) -> tuple[LiveSession, ...]:
        with self._lock:
            return tuple(self._sessions.values())

    def _tell(self, session_id: str, before: LiveSession | None, now: LiveSession | None) -> None:
        code = None if now is None else now.qr
        if code != (None if before is None else before.qr):
            for listener in self._listeners:
                listener(session_id, code)
