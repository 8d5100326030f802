"""The JSON shapes of webhooks: what requests may contain, what answers and deliveries look like."""

from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from actors.net_guard import LONGEST_URL
from api.schemas import Ulid
from storage.events import EventType
from storage.webhooks import Disabled

LONGEST_OVERLAP: Final = 7 * 86_400
DEFAULT_OVERLAP: Final = 86_400
MOST_REPLAYED: Final = 1000


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be one line")
    return text


def _known(text: str) -> str:
    if text not in set(EventType):
        raise ValueError(f"is one of {', '.join(sorted(EventType))}")
    return text


Url = Annotated[str, Field(min_length=1, max_length=LONGEST_URL)]
Description = Annotated[str, Field(max_length=200), AfterValidator(_one_line)]
Types = Annotated[list[Annotated[str, AfterValidator(_known)]], Field(max_length=100)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NewWebhook(_Request):
    """POST /v1/webhooks: an endpoint that is told what happens from now on.

    `events` are the types it is told of, all if there are none; `session` (an id) leaves it at what
    happens to that session. `messages`: whether the body of a message's event holds the message.
    """

    url: Url
    description: Description = ""
    events: Types = Field(default_factory=list)
    session: Ulid | None = None
    messages: bool = True


class ChangedWebhook(_Request):
    """PATCH /v1/webhooks/{webhook}: what is to be different.

    `enabled` true also ends a disabling by wafleet, and what waits is sent at once.
    """

    url: Url | None = None
    description: Description | None = None
    events: Types | None = None
    messages: bool | None = None
    enabled: bool | None = None


class Rotation(_Request):
    """POST …/rotate: another secret; the one before signs, too, for `overlap` seconds."""

    overlap: int = Field(default=DEFAULT_OVERLAP, ge=0, le=LONGEST_OVERLAP)


class Replay(_Request):
    """POST …/replay: dead letters to send again, by the ids of their events; without any, all."""

    events: list[Ulid] | None = Field(default=None, min_length=1, max_length=MOST_REPLAYED)


class WebhooksQuery(_Query):
    """GET /v1/webhooks: webhooks in order of id, those after this id."""

    after: Ulid | None = None
    limit: int = Field(default=100, ge=1, le=500)


class DeadLettersQuery(_Query):
    """GET …/dead-letters: in order of event, those after the event with this id."""

    after: Ulid | None = None
    limit: int = Field(default=100, ge=1, le=500)


class AttemptsQuery(_Query):
    """GET …/attempts: newest first, those with a number below `before`, that failed or not."""

    before: int | None = Field(default=None, ge=1, le=2**53)
    failed: bool | None = None
    limit: int = Field(default=100, ge=1, le=500)


class WebhookOut(_Answer):
    """A webhook without its secret. `disabled` says why it is, if it is.

    `failing_since` is when the first of an unbroken row of failures was.
    """

    id: str
    url: str
    description: str
    events: list[str]
    session_id: str | None
    messages: bool
    disabled: Disabled | None
    failing_since: str | None
    previous_secret_until: str | None
    created_at: str
    updated_at: str


class MadeWebhookOut(WebhookOut):
    """A webhook with its new secret, which is never shown again."""

    secret: str


class WebhooksOut(_Answer):
    """A page of webhooks; `next_after` is the next page's `after`, null on the last page."""

    webhooks: list[WebhookOut]
    next_after: str | None


class AttemptOut(_Answer):
    """One attempt: its verdict (`delivered`, or why not), the HTTP status if there was one."""

    id: int
    event_id: str
    type: str
    number: int
    delivered: bool
    code: str
    status: int | None
    took_ms: int
    at: str


class AttemptsOut(_Answer):
    """A page of attempts; `next_before` is the next page's, null on the last page."""

    attempts: list[AttemptOut]
    next_before: int | None


class DeadLetterOut(_Answer):
    """An event that the endpoint did not take in all of its attempts, and how the last ended."""

    event_id: str
    type: str
    attempts: int
    last_at: str | None
    code: str | None
    status: int | None


class DeadLettersOut(_Answer):
    """A page of dead letters; `next_after` is the next page's `after`, null on the last page."""

    dead_letters: list[DeadLetterOut]
    next_after: str | None


class ReplayedOut(_Answer):
    """How many dead letters are sent again."""

    replayed: int


class DeliveryBody(_Answer):
    """What is posted to an endpoint (Standard Webhooks): `id` is also the header webhook-id.

    `data` is the event's payload; for a message's event, and a webhook with `messages`,
    `data.message` is the message as it is when this is sent, or null if it is no more.
    """

    id: str
    type: str
    version: int
    timestamp: str
    session_id: str | None
    data: dict[str, Any]
