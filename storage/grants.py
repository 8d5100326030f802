"""The GrantLog port: what was granted under a limit, so that the limit outlives restarts.

It keeps, and decides nothing: what is legal is the limiter's business (actors.limiter_plan).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from storage.events import EventType


FORGOTTEN: Final = "forgotten."
"""How the key of an entry begins that is no grant, but stands for those that nobody knows of."""
LONGEST_SPAN_MS: Final = 2 * 86_400_000
"""What is older counts under no cap any more."""


class GrantKind(StrEnum):
    """Which limit it falls under."""

    QR_WINDOW = "qr_window"
    CONTACT_CHECK = "contact_check"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One grant. `key` tells it from the others of its session and kind.

    It was given `boot_ms` milliseconds after the boot `boot_id` of the machine, sleep included;
    `wall_ms` is what the wall clock said then.
    """

    session_id: str
    kind: GrantKind
    key: str
    boot_id: str
    boot_ms: int
    wall_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageGrant:
    """That one message may be handed over by a phone number, whichever session of it asked.

    `number` is the number's digits. `key` names the attempt: the message's id, a dot, and the
    attempt. Times as in Grant. It is recorded in the transaction that makes the message `sending`,
    and never given back after that. A key that begins with FORGOTTEN stands for all that the number
    may have been granted within a span that ended then. `day` is the day of the number's warm-up
    that it falls into.
    """

    number: str
    key: str
    boot_id: str
    boot_ms: int
    wall_ms: int
    day: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """What a database that is put back does not know: what was sent since it was copied.

    It was copied at `since_ms` by the wall clock; the rest is the moment at which it is put back.
    """

    since_ms: int
    boot_id: str
    boot_ms: int
    wall_ms: int

    @property
    def span_ms(self) -> int:
        """How long that is; a clock that was set back says nothing, so it is as long as counts."""
        span = self.wall_ms - self.since_ms
        return span if 0 <= span < LONGEST_SPAN_MS else LONGEST_SPAN_MS

    @property
    def key(self) -> str:
        """The key of the entry in each number's log that stands for it."""
        return f"{FORGOTTEN}{self.span_ms}.{self.wall_ms}"


def forgotten_span(key: str) -> int | None:
    """Return the span of an entry that stands for what was forgotten; None if it is a grant."""
    return int(key.split(".")[1]) if key.startswith(FORGOTTEN) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberLog:
    """What one number was granted, in any order, and its day of warm-up: the `day`-th since then.

    `in_doubt`: nobody knows when the newest grant's message left, if it did.
    """

    number: str
    day: int
    since_boot_id: str
    since_boot_ms: int
    grants: Sequence[MessageGrant]
    in_doubt: bool


class MessageGrantLog(Protocol):
    """What phone numbers were granted: a part of GrantLog. It outlives sessions, as numbers do."""

    async def number_logs(self) -> Sequence[NumberLog]:
        """Return all that is kept, by number."""

    async def record_message_grant(self, grant: MessageGrant) -> None:
        """Record it, or give it this time: for what is no message of the outbox.

        The grant of a message is recorded by the outbox, in the transaction that claims it.
        """

    async def move_number_log(self, log: NumberLog) -> None:
        """Give what is recorded of a number the times that this says."""

    async def drop_message_grants(self, number: str, before_boot_ms: int) -> None:
        """Forget a number's grants from before that time of the boot that they all are of."""


class GrantLog(MessageGrantLog, Protocol):
    """Every write is one transaction; when a call returns, it is on the disk."""

    async def grants(self, kind: GrantKind) -> Sequence[Grant]:
        """Return all of that kind, in order of recording; those of deleted sessions too."""

    async def record_grant(
        self, grant: Grant, event: EventType | None = None, payload: Mapping[str, Any] | None = None
    ) -> None:
        """Record it, with the event that tells of it (storage.events.FACTS), if one does.

        One that was recorded before is given this time, without an event. Raises SessionNotFound.
        """

    async def move_grants(self, grants: Sequence[Grant]) -> None:
        """Give recorded grants the times that these say."""

    async def drop_grants(self, grants: Sequence[Grant]) -> None:
        """Forget them; those that are not there are forgotten already."""
