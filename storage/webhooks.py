"""The Webhooks port: endpoints that are told of events, and how far each of them has come.

Delivery reads the event log from an endpoint's `place`, in order. What an endpoint takes leaves no
row behind but that of its attempt; what it does not take waits in its lane. A lane is a session (or
what belongs to none, or what is replayed): while one event of it waits, later ones wait behind it,
and other lanes go on. What was tried too often is a dead letter, until it is replayed.

Times are integer milliseconds since the epoch, UTC; ids are ULIDs. Pure.

    StoreError
    └── WebhookNotFound        no such webhook in that workspace
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

from storage.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from storage.events import EventRow
    from storage.messages import MessageRow

ATTEMPTS_KEPT: Final = 1000
"""How many attempts of each webhook can be read: as many that failed, and as many that did not."""
NO_SESSION: Final = ""
"""The lane of events that belong to no session."""
REPLAY: Final = "replay"
"""The lane of dead letters that are tried again: they hold nothing up."""


class WebhookNotFound(StoreError):  # noqa: N818 - the port speaks in domain words
    code = "webhook_not_found"


class Disabled(StrEnum):
    """Why nothing is delivered: an operator said so, the endpoint said 410, it failed for days."""

    OPERATOR = "operator"
    GONE = "gone"
    FAILING = "failing"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookRecord:
    """One endpoint. `events` are types, empty for all; `session_id` None is the whole workspace.

    `secret` and `previous_secret` are sealed (see `secret_context`); the latter signs, too, until
    `previous_until_ms`. `messages`: bodies hold the message that an event is about. `place` is the
    last event dealt with. `failing_since_ms` is when the first of an unbroken row of failures was.
    """

    id: str
    workspace_id: str
    session_id: str | None
    url: str = field(repr=False)
    description: str
    events: frozenset[str]
    messages: bool
    secret: str = field(repr=False)
    previous_secret: str | None = field(repr=False)
    previous_until_ms: int | None
    disabled: Disabled | None
    place: str | None
    failing_since_ms: int | None
    created_ms: int
    updated_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewWebhook:
    """`seal` is given the id of the new row and returns its secret, sealed for that row."""

    session_id: str | None
    url: str = field(repr=False)
    description: str
    events: frozenset[str]
    messages: bool
    seal: Callable[[str], str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookChange:
    """What is to be different; None leaves as it is."""

    url: str | None = field(default=None, repr=False)
    description: str | None = None
    events: frozenset[str] | None = None
    messages: bool | None = None
    enabled: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """An event that an endpoint has not taken. It is due at `next_ms` once it leads its lane.

    `step` is its place in the schedule of retries, `attempts` how often it was tried, `tried_ms`
    when last; `code` and `status` (HTTP) are how that ended. `dead`: it is not tried any more.
    """

    event_id: str
    type: str
    lane: str
    step: int = 0
    attempts: int = 0
    next_ms: int
    tried_ms: int | None = None
    code: str | None = None
    status: int | None = None
    dead: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAttempt:
    """One attempt as it ended; `number` counts those of the same event, `took_ms` is how long."""

    event_id: str
    type: str
    number: int
    failed: bool
    code: str
    status: int | None
    took_ms: int
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    """An attempt as kept; `id` grows with each one."""

    id: int
    attempt: NewAttempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What came of one round of deliveries, to be committed as one.

    `place` None leaves the place; `waiting` are rows new or changed, `taken` the ids of events that
    wait no more. `hasten`: the endpoint is back, all that waits is due now. `disabled` None leaves
    that as it is; `failing_since_ms` is written as it is.
    """

    place: str | None = None
    attempts: Sequence[NewAttempt] = ()
    waiting: Sequence[Waiting] = ()
    taken: Collection[str] = ()
    hasten: bool = False
    disabled: Disabled | None = None
    failing_since_ms: int | None = None


def secret_context(webhook_id: str) -> dict[str, str]:
    """Return what a webhook's secret is bound to: it opens in no other row."""
    return {"table": "webhooks", "column": "secret", "row": webhook_id}


class Webhooks(Protocol):
    """Every write is one transaction."""

    # ---- for the API: the workspace comes first ----

    async def create_webhook(
        self, workspace_id: str, new: NewWebhook, now_ms: int
    ) -> WebhookRecord:
        """Store it; it is told of what happens from now on.

        Raises WorkspaceNotFound, SessionNotFound, PlanLimitReached.
        """

    async def webhook(self, workspace_id: str, webhook_id: str) -> WebhookRecord:
        """Return it. Raises WebhookNotFound."""

    async def webhooks(
        self, workspace_id: str, *, after: str | None = None, limit: int = 100
    ) -> Sequence[WebhookRecord]:
        """Return a workspace's webhooks in order of id, those greater than `after`."""

    async def change_webhook(
        self, workspace_id: str, webhook_id: str, change: WebhookChange, now_ms: int
    ) -> WebhookRecord:
        """Change it; enabling makes all that waits due now. Raises WebhookNotFound."""

    async def replace_secret(
        self, workspace_id: str, webhook_id: str, sealed: str, until_ms: int, now_ms: int
    ) -> WebhookRecord:
        """Let another secret sign, beside the one before until `until_ms`. Raises WebhookNotFound.

        A third one from an earlier rotation signs no more.
        """

    async def delete_webhook(self, workspace_id: str, webhook_id: str) -> None:
        """Forget it with all that waits, and its attempts. Raises WebhookNotFound."""

    async def webhook_attempts(
        self,
        workspace_id: str,
        webhook_id: str,
        *,
        before: int | None = None,
        failed: bool | None = None,
        limit: int = 100,
    ) -> Sequence[AttemptRow]:
        """Return what was tried, newest first. Raises WebhookNotFound."""

    async def dead_letters(
        self, workspace_id: str, webhook_id: str, *, after: str | None = None, limit: int = 100
    ) -> Sequence[Waiting]:
        """Return what was given up, in order of event. Raises WebhookNotFound."""

    async def replay(
        self, workspace_id: str, webhook_id: str, events: Collection[str] | None, now_ms: int
    ) -> int:
        """Let these dead letters (None: all) be tried again; return how many. Idempotent.

        Raises WebhookNotFound.
        """

    # ---- for delivery: by webhook alone ----

    async def enabled_webhooks(self) -> Sequence[WebhookRecord]:
        """Return all webhooks of all workspaces that are to be told, in order of id."""

    async def lane_heads(self, webhook_id: str) -> Sequence[Waiting]:
        """Return the first waiting event of each lane of a webhook."""

    async def lane(
        self, webhook_id: str, lane: str, limit: int
    ) -> Sequence[tuple[Waiting, EventRow | None]]:
        """Return the first waiting events of a lane, in order; None: retention took the event."""

    async def messages_by_id(
        self, workspace_id: str, message_ids: Collection[str]
    ) -> Mapping[str, MessageRow]:
        """Return those of a workspace's messages that there are, by id."""

    async def record_round(self, webhook_id: str, done: Round, now_ms: int) -> bool:
        """Commit a round; False if the webhook was deleted meanwhile, and nothing is to be done."""
