"""The GrantLog port: what was granted under a limit, so that the limit outlives restarts.

It keeps, and decides nothing: what is legal is the limiter's business (actors.limiter_plan).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from storage.events import EventType


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
    and never given back after that. `day` is the day of the number's warm-up that it falls into.
    """

    number: str
    key: str
    boot_id: str
    boot_ms: int
    wall_ms: int
    day: int = 1


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
