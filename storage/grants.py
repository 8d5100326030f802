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
    and never given back after that.
    """

    number: str
    key: str
    boot_id: str
    boot_ms: int
    wall_ms: int


class GrantLog(Protocol):
    """Every write is one transaction; when a call returns, it is on the disk."""

    async def grants(self, kind: GrantKind) -> Sequence[Grant]:
        """Return all of that kind, in order of recording; those of deleted sessions too."""

    async def record_grant(
        self, grant: Grant, event: EventType, payload: Mapping[str, Any]
    ) -> None:
        """Record it, with the event that tells of it (storage.events.FACTS).

        One that was recorded before is given this time, without an event. Raises SessionNotFound.
        """

    async def move_grants(self, grants: Sequence[Grant]) -> None:
        """Give recorded grants the times that these say."""

    async def drop_grants(self, grants: Sequence[Grant]) -> None:
        """Forget them; those that are not there are forgotten already."""
