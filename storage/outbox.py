"""The Outbox port: messages on their way out. Part of the Store; see there for times and errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storage.messages import MessageRow, NewOutbound


class Outbox(Protocol):
    """Every write is one transaction, with the event that tells of it."""

    async def accept_message(self, workspace_id: str, new: NewOutbound) -> MessageRow:
        """Store it as accepted. Raises SessionNotFound, SessionInactive, PlanLimitReached."""

    async def claim_next(self, session_id: str, now_ms: int) -> MessageRow | None:
        """Move the oldest accepted message to `sending`, attempts + 1, and return it, if any."""

    async def record_sent(self, message_id: str, ack: int, now_ms: int) -> MessageRow:
        """The page answered with an ack of at least 1. Never moves a message backwards."""

    async def record_failed(
        self, message_id: str, code: str, detail: str, now_ms: int
    ) -> MessageRow:
        """The page refused it before hand-over: it will never be sent."""

    async def record_unknown(self, message_id: str, code: str, detail: str, now_ms: int) -> None:
        """No answer is known after hand-over. Does nothing unless the message is `sending`."""

    async def record_unsent(self, message_id: str, now_ms: int) -> None:
        """It was claimed but certainly not handed over: back to accepted, if it is `sending`.

        If its contact was erased meanwhile it fails instead: there is nothing left to send.
        """

    async def record_acks(
        self, session_id: str, wa_ids: Sequence[str], ack: int, now_ms: int
    ) -> int:
        """Apply a receipt to own messages and return how many it changed; only forward.

        1 sent, 2 delivered, 3 read, 4 played, -1 refused.
        """

    async def unknown_messages(self, session_id: str, limit: int = 100) -> Sequence[MessageRow]:
        """Return the outbound messages whose fate is unknown, oldest first."""
