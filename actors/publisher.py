"""Makes a session's state public: on the live board at once, in the store in order.

The board is what readers are shown; the store is what outlives the process. A QR code is a login:
it goes into the store sealed, and only while it can be scanned.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import structlog

from actors import state as machine
from actors.events import Phase
from actors.live import LiveSession, QrCode
from actors.messages import ExitKind
from storage.secrets import qr_context
from storage.store import Desired, StatusChange

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.deps import SessionDeps
    from actors.recorder import Recorder
    from actors.state import State

log = structlog.get_logger(__name__)


class Publisher:
    """Owned by one session actor and used only from its thread."""

    def __init__(
        self, *, session_id: str, incarnation: int, deps: SessionDeps, recorder: Recorder
    ) -> None:
        self._session_id = session_id
        self._incarnation = incarnation
        self._deps = deps
        self._recorder = recorder
        self._state = machine.State()
        self._pid: int | None = None
        self._sequence = 0
        self._shown: object = None
        self._since_ms = 0
        self._entered: float | None = None
        self._proofs: Mapping[str, float | None] = {}
        self._evidence_ms: int | None = None
        self._qr_shown_ms = 0

    def show(self, state: State, pid: int | None) -> None:
        """Show a changed state, and write it when its public face changed; `pid` is the browser's.

        The QR code is written after the status: entering another status forgets it.
        """
        now, before = self._deps.now_ms(), self._state
        self._state, self._pid = state, pid
        view = (*machine.public(state), state.me)
        if view != self._shown:
            self._shown = view
            self._since_ms = now
            self._entered = self._deps.monotonic()
            self._record_status()
        if state.qr != before.qr:
            self._qr_changed(now)
        self._put_on_board()

    def proven(self, now_ms: int) -> None:
        """Something has come from WhatsApp's server: the session was alive at this moment."""
        self._evidence_ms = now_ms
        self._put_on_board()

    def signs(self, proofs: Mapping[str, float | None]) -> None:
        """Show when each rung of the liveness ladder last gave a sign of life (monotonic)."""
        self._proofs = proofs
        self._put_on_board()

    def withdraw(self) -> None:
        """The session has no actor any more."""
        self._deps.board.drop(self._session_id, self._incarnation)

    def _qr_changed(self, now_ms: int) -> None:
        text = self._state.qr
        if text is not None:
            self._qr_shown_ms = now_ms
            self._deps.telemetry.qr_codes.inc()
        elif self._state.phase is not Phase.QR:
            return  # the change of status forgets it
        sealed = None
        if text is not None:
            sealed = self._deps.secrets.seal(text.encode(), qr_context(self._session_id))
        write = partial(self._deps.store.record_qr_code, self._session_id, sealed, now_ms)
        self._recorder.put("qr_code", write)

    def _record_status(self) -> None:
        status, reason, detail = machine.public(self._state)
        exit_ = self._state.exit
        gives_up = self._state.phase is Phase.ENDED and exit_ is not None
        permanent = gives_up and exit_ is not None and exit_.kind is ExitKind.PERMANENT
        self._sequence += 1
        change = StatusChange(
            session_id=self._session_id,
            incarnation=self._incarnation,
            sequence=self._sequence,
            status=status,
            reason=reason,
            detail=detail,
            since_ms=self._since_ms,
            phone_number=self._state.me,
            desired=Desired.STOPPED if permanent else None,
        )
        log.info("session_status_changed", status=status.value, reason=reason)
        self._recorder.put("status", partial(self._deps.store.record_status, change))

    def _put_on_board(self) -> None:
        state = self._state
        status, reason, detail = machine.public(state)
        qr = None
        if state.qr is not None:
            qr = QrCode(text=state.qr, number=state.window, shown_ms=self._qr_shown_ms)
        self._deps.board.put(
            LiveSession(
                session_id=self._session_id,
                incarnation=self._incarnation,
                phase=state.phase.value,
                status=status.value,
                reason=reason,
                since_ms=self._since_ms,
                detail=detail,
                phone_number=state.me,
                evidence_ms=self._evidence_ms,
                qr=qr,
                browser_pid=self._pid if state.browser else None,
                missing=state.missing,
                entered=self._entered,
                proofs=self._proofs,
            )
        )
