"""Public ids: ULIDs that always grow, so that their order is the order of insertion."""

from __future__ import annotations

import secrets

from ulid import ULID

_RANDOM_BITS = 80
_STEP_BITS = 60


class MonotonicIds:
    """Makes ULIDs greater than `last` and than each one before, whatever the clock does.

    Not safe to share between tasks: the adapter calls it inside its one write transaction.
    """

    def __init__(self, last: str | None = None) -> None:
        self._last = int(ULID.from_str(last)) if last is not None else 0

    def next(self, now_ms: int) -> str:
        """Return a new id whose time is `now_ms`, or that of the last id if the clock went back."""
        # the library's own from_timestamp counts on from the last id made anywhere in the process,
        # which would make two factories in the same millisecond meet
        fresh = now_ms << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
        if fresh >> _RANDOM_BITS <= self._last >> _RANDOM_BITS:
            # not by one: another program that goes on after the same id would make the same next
            fresh = self._last + 1 + secrets.randbits(_STEP_BITS)
        self._last = fresh
        return str(ULID.from_int(fresh))
