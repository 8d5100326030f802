"""How a session learns at once that its outbox has changed: without the way through the root.

The root would wake for each message that is accepted, only to hand the news on. And whoever must
not send for a while anyway does not want to be woken at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.base import tell

if TYPE_CHECKING:
    from pykka import ActorRef

    from actors.messages import OutboxChanged


class Bell:
    """One session actor's; rung from any thread. While it is `muffled` nobody hears it.

    Whoever muffles it looks at the outbox after taking that back: what was accepted before a ring
    that was not heard is there by then.
    """

    def __init__(self, ref: ActorRef[Any]) -> None:
        self.ref = ref
        self.muffled = False


class OutboxBells:
    """The bells of all sessions that run, by session id; used from any thread."""

    def __init__(self) -> None:
        self._bells: dict[str, Bell] = {}

    def hang(self, session_id: str, ref: ActorRef[Any]) -> Bell:
        """Return the bell of a session actor that begins; one before it is not rung any more."""
        bell = self._bells[session_id] = Bell(ref)
        return bell

    def take_down(self, session_id: str, bell: Bell) -> None:
        """The actor has ended; a younger one's bell stays."""
        if self._bells.get(session_id) is bell:
            del self._bells[session_id]

    def ring(self, changed: OutboxChanged) -> None:
        """Tell the session, if it runs; otherwise it looks when it connects."""
        bell = self._bells.get(changed.session_id)
        if bell is not None and not bell.muffled:
            tell(bell.ref, changed)
