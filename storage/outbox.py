"""The Outbox port: messages on their way out. Part of the Store; see there for times and errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from storage.messages import Priority

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from storage.grants import MessageGrant
    from storage.messages import MessageRow, NewOutbound


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """Which message of a session is to be sent next, if any is.

    `turn` is the class whose turn it is: a bulk message goes with the conversation's that waits
    behind it in its chat. `first_contact`: this number has never written to the chat. `reply`: the
    other side had the last word in it. `last`: nothing else waits, not for its time either.
    `next_ms`, without a message, is when the first of those that wait for their time may be sent;
    None if none does.
    """

    message: MessageRow | None = None
    turn: Priority = Priority.CONVERSATION
    first_contact: bool = False
    reply: bool = False
    last: bool = False
    next_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """An ack of own messages (1 sent, 2 delivered, 3 read, 4 played, -1 refused), and its time."""

    wa_ids: Sequence[str]
    ack: int
    now_ms: int


class Outbox(Protocol):
    """Every write is one transaction, with the event that tells of it.

    In a chat messages go out in the order of acceptance, those with a time to be sent in the order
    of these times; what is `sending` or `unknown` holds back the others of its chat, and only them.
    """

    async def accept_message(self, workspace_id: str, new: NewOutbound) -> MessageRow:
        """Store it as accepted. Raises SessionNotFound, SessionInactive, PlanLimitReached."""

    async def due(self, session_id: str, now_ms: int, *, bulk_first: bool = False) -> Due:
        """Return what to claim next; nothing for a session that is deactivated or deleted.

        Conversations go before bulk, with `bulk_first` after it: who asks sees to it that nobody
        starves.
        """

    async def claim(self, message_id: str, grant: MessageGrant, now_ms: int) -> MessageRow | None:
        """Move an accepted or unknown message to `sending`, attempts + 1, and record the grant.

        None, and nothing is recorded, if it may not be sent (any more): it was cancelled, erased or
        answered for meanwhile, its time is over or has not come, or another one holds its chat.
        A second attempt of what a restored login can't know is a possible duplicate from now on.
        """

    async def record_sent(
        self, message_id: str, ack: int, now_ms: int, *, patient: bool = False
    ) -> None:
        """The page answered with an ack of at least 1. Never moves a message backwards.

        A `patient` one waits a moment for other writes, to go to the disk with them.

        An edit or a deletion for everyone changes the message that it names, once that is known of
        it, here or by a receipt: `edited_ms` and `body`, or `revoked_ms`, with their event.
        """

    async def record_failed(self, message_id: str, code: str, detail: str, now_ms: int) -> None:
        """The page refused it before hand-over: it will never be sent."""

    async def record_unknown(self, message_id: str, code: str, detail: str, now_ms: int) -> None:
        """No answer is known after hand-over. Does nothing unless the message is `sending`."""

    async def record_stuck(self, message_id: str, code: str, detail: str, now_ms: int) -> None:
        """An unknown message stays so, for another reason: its event is told once more.

        Does nothing unless the message is `unknown`, with another code.
        """

    async def record_unsent(self, message_id: str, now_ms: int) -> None:
        """It was claimed but certainly not handed over: back to what it was, if it is `sending`.

        That is accepted, or unknown if an earlier attempt is in doubt. If its contact was erased
        meanwhile an accepted one fails instead: there is nothing left to send.
        """

    async def record_expired(self, message_id: str, now_ms: int) -> None:
        """WhatsApp does not know an unknown message, whose time is over: it will not be sent.

        It stays unknown, with the code `expired`, if a restored login can't know it.
        """

    async def record_restored(self, session_id: str, archived_ms: int, now_ms: int) -> int:
        """A login was put back to what it was at `archived_ms`; return how many it may not know.

        These are messages in doubt that were handed over since then; all, with 0: a new login.
        """

    async def expire_messages(self, now_ms: int, limit: int = 100) -> int:
        """Let accepted messages of all sessions expire whose time is over; return how many.

        One that was tried before becomes unknown, with the code `expired`.
        """

    async def record_acks(
        self, session_id: str, wa_ids: Sequence[str], ack: int, now_ms: int
    ) -> int:
        """Apply a receipt to own messages and return how many it changed; only forward.

        1 sent, 2 delivered, 3 read, 4 played, -1 refused.
        """

    async def record_receipts(self, session_id: str, take: Callable[[], Sequence[Receipt]]) -> int:
        """Apply several in one go, in this order, as `record_acks` would one by one.

        Patient, as above. `take` says which, in another thread: when it is their turn.
        """

    async def unknown_messages(self, session_id: str, limit: int = 100) -> Sequence[MessageRow]:
        """Return the outbound messages whose fate is unknown, oldest first."""
