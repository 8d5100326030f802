"""Launch slots: how many children may be launching at once, and who is next. Pure."""

from __future__ import annotations

from collections import deque


class LaunchSlots:
    """First come, first served; a child holds a slot from its start until its page is open."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._holders: set[str] = set()
        self._queue: deque[str] = deque()

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def ask(self, child_id: str) -> None:
        """Queue up, unless already queued or holding."""
        if child_id not in self._holders and child_id not in self._queue:
            self._queue.append(child_id)

    def leave(self, child_id: str) -> None:
        """Give up a slot or a place in the queue; neither is needed."""
        self._holders.discard(child_id)
        if child_id in self._queue:
            self._queue.remove(child_id)

    def admit(self) -> list[str]:
        """Return those who get a slot now, in order."""
        admitted = []
        while self._queue and len(self._holders) < self._slots:
            child_id = self._queue.popleft()
            self._holders.add(child_id)
            admitted.append(child_id)
        return admitted
