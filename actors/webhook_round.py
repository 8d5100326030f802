"""What a round of a webhook's deliveries is about, and what came of it so far. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from actors.webhook_plan import Verdict
from storage.webhooks import NewAttempt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.webhook_plan import Answer
    from storage.events import EventRow
    from storage.webhooks import Disabled, Waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """An event to be sent; `queued` if it has a row among those that wait."""

    waiting: Waiting
    event: EventRow | None
    queued: bool


@dataclass(slots=True)
class Work:
    """What a round is about: the events by lane, and what only queues up behind others."""

    lanes: dict[str, list[Item]] = field(default_factory=dict)
    behind: list[Waiting] = field(default_factory=list)
    place: str | None = None
    more: bool = False


@dataclass(slots=True)
class Ledger:
    """What came of a round so far."""

    attempts: list[NewAttempt] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)
    hasten: bool = False
    disabled: Disabled | None = None

    def note(self, item: Item, answer: Answer) -> None:
        self.attempts.append(
            NewAttempt(
                event_id=item.waiting.event_id,
                type=item.waiting.type,
                number=item.waiting.attempts + 1,
                failed=answer.verdict is not Verdict.DELIVERED,
                code=answer.verdict.value,
                status=answer.status,
                took_ms=answer.took_ms,
                at_ms=answer.at_ms,
            )
        )

    def keep(self, items: Sequence[Item]) -> None:
        """Let these wait: they were not tried."""
        self.waiting += [item.waiting for item in items if not item.queued]


def message_id(event: EventRow) -> str:
    """Return the id of the message that an event is about; empty if it is about none."""
    return str(event.payload.get("message_id", "")) if event.type.startswith("message.") else ""
