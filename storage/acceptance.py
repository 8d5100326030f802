"""The Acceptance port: what the API asks of the outbox. See storage.store for times and errors.

A request may carry an idempotency key: what was accepted under it is found again, and never
accepted a second time. A key is kept for KEY_KEPT_MS, and for as long as one of its messages may
still be sent.

    StoreError
    ├── KeyReused              the key was used for another request; take a new one
    └── MessageStateWrong      `state`: it is too late, or too early, for what was asked
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

from storage.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from storage.audit import NewAccess
    from storage.messages import MessageRow, MessageState, NewOutbound
    from storage.tenants import PlanLimitReached

KEY_KEPT_MS: Final = 86_400_000
"""The shortest time for which a key is remembered, in milliseconds."""


class KeyReused(StoreError):  # noqa: N818 - the port speaks in domain words
    code = "idempotency_key_reused"


class MessageStateWrong(StoreError):  # noqa: N818
    code = "message_state_wrong"

    def __init__(self, state: MessageState, advice: str) -> None:
        super().__init__(f"The message is {state}; {advice}.")
        self.state = state
        self.advice = advice


class Resolution(StrEnum):
    """What becomes of a message of which nobody can tell whether it was sent."""

    RESEND = "resend"  # under its one id, so that WhatsApp shows it once
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestKey:
    """A key and what it was used for, each as the hex digits of a SHA-256.

    `session_status` is what the first answer tells of the session, to be told again.
    """

    key_hash: str
    body_hash: str
    session_status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedBefore:
    """What was accepted under a key: messages by their place in the request.

    None stands for one that retention has taken meanwhile.
    """

    session_status: str
    messages: Mapping[int, MessageRow | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One message as `accept_messages` answers it; `ahead` of it wait so many in its queue.

    That is as in Queue.waiting_before.
    """

    answer: MessageRow | PlanLimitReached | None
    ahead: int | None = None


class Acceptance(Protocol):
    """Every write is one transaction, with the events that tell of it."""

    async def accept_messages(
        self,
        workspace_id: str,
        session_id: str,
        items: Mapping[int, NewOutbound],
        *,
        key: RequestKey | None = None,
    ) -> Mapping[int, MessageRow | PlanLimitReached | None]:
        """Store messages of one session as accepted, in order of their places in the request.

        Those beyond the plan's limit are answered with it. Under a `key`, places that were accepted
        before get what they got then, as in AcceptedBefore. Raises SessionNotFound,
        SessionInactive, KeyReused: then none was stored.
        """

    async def accept_one(
        self,
        workspace_id: str,
        new: NewOutbound,
        *,
        key: RequestKey | None = None,
        access: NewAccess | None = None,
    ) -> Taken:
        """Store one message as accepted, as above.

        `access` is the entry of the access log about that, written only with it; it gets its id.
        """

    async def accepted_before(
        self, workspace_id: str, session_id: str, key: RequestKey
    ) -> AcceptedBefore | None:
        """Return what was accepted for this session under this key, if anything.

        Raises KeyReused.
        """

    async def cancel_message(
        self, workspace_id: str, session_id: str, message_id: str, now_ms: int
    ) -> MessageRow:
        """Take an accepted message back; one that is cancelled stays so.

        Raises MessageNotFound, and MessageStateWrong once it is on its way or has its end, or may
        have been sent by an earlier attempt.
        """

    async def resolve_message(
        self,
        workspace_id: str,
        session_id: str,
        message_id: str,
        resolution: Resolution,
        now_ms: int,
    ) -> MessageRow:
        """End the doubt about an unknown message; WhatsApp's word, if it comes, still beats it.

        One to resend is accepted again; if its contact was erased meanwhile it fails. Raises
        MessageNotFound, MessageStateWrong.
        """

    async def resolve_messages(
        self,
        workspace_id: str,
        session_id: str,
        resolution: Resolution,
        now_ms: int,
        *,
        after: str | None = None,
        limit: int = 100,
    ) -> tuple[int, str | None]:
        """Do that for up to `limit` unknown messages, oldest first; return how many.

        And the id of the last one, to be given as `after`; None when there are no more. Raises
        SessionNotFound.
        """
