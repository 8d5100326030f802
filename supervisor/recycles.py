"""Planned restarts that wafleet itself wants: one at a time over the whole fleet, and only in turn.

The memory and the janitor actor ask (`RecycleSession`). Against it may be that the session does not
run (any more), that another one has not come back yet, that nothing may be launched at present, or
that the session itself has something on its way. An operator's wish always comes first: what is
being stopped or restarted already is none of ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import structlog

from actors.base import tell
from actors.messages import Done, RecycleProposed, Refused
from supervisor.child import ChildPhase

if TYPE_CHECKING:
    from actors.messages import RecycleDecided, RecycleSession
    from supervisor.child import Child
    from supervisor.deps import FleetDeps

log = structlog.get_logger(__name__)

REFUSALS: Final = {
    "not_running": "That life of the session is over, or ends; look again.",
    "recycle_under_way": "Another session is being restarted; ask again when it is back.",
    "launches_wait": "Nothing may be launched now, so nothing is restarted; ask again later.",
    "not_quiet": "The session has something on its way; ask again in a moment.",
}


class RecycleOwner(Protocol):
    """What planned restarts ask of the root supervisor."""

    def launches_wait(self) -> bool: ...

    def recycle(self, child: Child, detail: str) -> None: ...


class Recycles:
    """Owned by the root supervisor and used only from its thread."""

    def __init__(self, owner: RecycleOwner, deps: FleetDeps) -> None:
        self._owner = owner
        self._deps = deps
        self._asked: RecycleSession | None = None
        self._began = 0.0
        self._accepted = False

    def ask(self, message: RecycleSession, child: Child | None) -> None:
        """Somebody wants this; `child` is the session's, if it is the life that was meant."""
        code = self._against(child)
        if code is not None or child is None:
            message.reply.put(_refused(code or "not_running"))
            return
        if self._asked is not None:  # it has taken too long, and is not waited for any more
            self.over(self._asked.session_id)
        self._asked, self._accepted = message, False
        self._began = self._deps.monotonic()
        tell(child.ref, RecycleProposed(cause=message.cause, quiet=message.quiet))

    def decided(self, message: RecycleDecided, child: Child | None) -> None:
        """The session has answered; `child` as above."""
        asked = self._asked
        if asked is None or self._accepted or not _is_of(asked, message):
            return
        if child is None or child.phase is not ChildPhase.RUNNING or not message.agreed:
            self._asked = None
            asked.reply.put(_refused("not_running" if message.agreed else "not_quiet"))
            return
        self._accepted = True
        log.info("session_recycled", session_id=child.spec.id, cause=asked.cause)
        asked.reply.put(Done())
        self._owner.recycle(child, asked.cause)

    def back(self, session_id: str, incarnation: int) -> None:
        """A session is connected: over, if that is the next life of the one that was restarted."""
        if self._asked is not None and incarnation > self._asked.incarnation:
            self.over(session_id)

    def over(self, session_id: str) -> None:
        """That session ended otherwise, or will not come back: the next one may go."""
        asked = self._asked
        if asked is None or asked.session_id != session_id:
            return
        self._asked = None
        if not self._accepted:
            asked.reply.put(_refused("not_running"))

    def _against(self, child: Child | None) -> str | None:
        if child is None or child.ref is None or child.phase is not ChildPhase.RUNNING:
            return "not_running"
        late = self._deps.monotonic() - self._began > self._deps.recycle_patience
        if self._asked is not None and not late:
            return "recycle_under_way"
        return "launches_wait" if self._owner.launches_wait() else None


def _is_of(asked: RecycleSession, message: RecycleDecided) -> bool:
    return (asked.session_id, asked.incarnation) == (message.child_id, message.incarnation)


def _refused(code: str) -> Refused:
    return Refused(code=code, message=REFUSALS[code])
