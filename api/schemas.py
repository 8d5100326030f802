"""The JSON shapes of the API: what requests may contain and what answers look like.

Requests refuse unknown fields and convert nothing; queries convert digits to numbers. Times are RFC
3339, UTC, with milliseconds. A chat and a sender are jids.
"""

import unicodedata
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)

from api.recipients import parse_recipient
from api.schemas_queue import QueuePlaceOut
from api.times import parse_rfc3339
from storage.events import EventType
from storage.messages import Direction, MessageState
from storage.store import Desired, Provider, SessionStatus

NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9_-]{0,62}$"
ULID_PATTERN: Final = r"^[0-7][0-9A-HJKMNP-TV-Z]{25}$"
MAX_TEXT_CHARS: Final = 65_536
MOST_MENTIONS: Final = 1_024


def _sendable(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain a NUL character")
    if all(c.isspace() or unicodedata.category(c) in {"Cc", "Cf"} for c in text):
        raise ValueError("must not be blank")
    return text


def _readable(text: str) -> str:
    if not text.isprintable() or not text.strip():
        raise ValueError("must be one line that is not blank")
    return text


def _time(value: object) -> int:
    if not isinstance(value, str):
        raise ValueError("is a text: a time with its zone")  # noqa: TRY004 - pydantic's protocol
    return parse_rfc3339(value)


def _event_types(text: str) -> str:
    known = {kind.value for kind in EventType}
    if not set(text.split(",")) <= known:
        raise ValueError(f"is a comma-separated list of {', '.join(sorted(known))}")
    return text


Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Ulid = Annotated[str, Field(pattern=ULID_PATTERN)]
Recipient = Annotated[str, Field(max_length=64), AfterValidator(parse_recipient)]
Reference = Annotated[str, Field(pattern=f"{ULID_PATTERN}|{NAME_PATTERN}")]
Title = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_readable)]
Time = Annotated[
    int, BeforeValidator(_time), WithJsonSchema({"type": "string", "format": "date-time"})
]
"""A time as the request writes it; milliseconds since the epoch once it is read."""
Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT_CHARS), AfterValidator(_sendable)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class NoBody(_Request):
    """The empty object, for commands without arguments; an absent body means the same."""


class NewSession(_Request):
    """POST /v1/sessions: make the session of this name, and start it if asked to."""

    name: Name
    start: bool = False


class Sending(_Request):
    """What every message to be sent may have: when, and how it ranks with those of other chats.

    Within a chat messages keep their order, whatever their priority. Without one, a single message
    is a conversation's, and those of a batch are bulk.
    """

    send_at: Time | None = None
    expires_at: Time | None = None
    priority: Literal["conversation", "bulk"] | None = None


class NewMessage(Sending):
    """POST …/messages: a text for a phone number or a jid; `to` becomes a jid.

    `reply_to` is the id of a message of the same chat. WhatsApp shows `mentions` where the text has
    them as @number.
    """

    to: Recipient
    text: Text
    reply_to: Ulid | None = None
    mentions: Annotated[list[Recipient], Field(max_length=MOST_MENTIONS)] = []
    link_preview: bool = False


class ChannelWanted(_Request):
    """POST /v1/broadcasting/auth: what a browser's Pusher client sends, as a form or as JSON."""

    socket_id: Annotated[str, Field(pattern=r"^[0-9]{1,20}\.[0-9]{1,20}$")]
    channel_name: Annotated[str, Field(min_length=1, max_length=164)]


class NoQuery(_Query):
    """For routes without query parameters."""


class SessionsQuery(_Query):
    """GET /v1/sessions: sessions in order of id, those after this id."""

    after: Ulid | None = None
    limit: int = Field(default=100, ge=1, le=500)


class MessagesQuery(_Query):
    """GET …/messages: newest first, those before this id, of this direction and this chat."""

    before: Ulid | None = None
    limit: int = Field(default=50, ge=1, le=200)
    direction: Direction | None = None
    chat: Recipient | None = None


class EventsQuery(_Query):
    """GET /v1/events: oldest first, those after this id, of these types and this session."""

    after: Ulid | None = None
    limit: int = Field(default=100, ge=1, le=500)
    types: Annotated[str, Field(max_length=1000), AfterValidator(_event_types)] | None = None
    session: Reference | None = None


class StreamQuery(_Query):
    """A stream of events: after this id (else from now on), of these types and this session.

    Whoever comes back to the stream sends the last id seen as `after`, or, as browsers do for
    server-sent events, in the header Last-Event-ID.
    """

    after: Ulid | None = None
    types: Annotated[str, Field(max_length=1000), AfterValidator(_event_types)] | None = None
    session: Reference | None = None


class AuditQuery(_Query):
    """GET /v1/audit: newest first, those with a number below `before`, of this session."""

    before: int | None = Field(default=None, ge=1, le=2**53)
    limit: int = Field(default=100, ge=1, le=500)
    session: Reference | None = None


class StatisticsOut(_Answer):
    """What a session has lived through since it was made; `connected_ms` without what lasts."""

    connects: int
    disconnects: int
    failures: int
    connected_ms: int
    messages_sent: int
    messages_received: int


class SessionOut(_Answer):
    """A session as it is now: what is stored, and what its actor and browser tell."""

    id: str
    name: str
    provider_type: Provider
    is_primary: bool
    is_active: bool
    phone_number: str | None
    status: SessionStatus
    reason: str
    reason_text: str
    detail: str | None
    since: str
    evidence_at: str | None
    desired: Desired
    last_connected_at: str | None
    created_at: str
    updated_at: str
    qr_available: bool
    statistics: StatisticsOut


class SessionsOut(_Answer):
    """A page of sessions; `next_after` is the next page's `after`, null on the last page."""

    sessions: list[SessionOut]
    next_after: str | None


class ArchiveOut(_Answer):
    """A login just archived; its browser stood still for `pause_seconds` of `seconds`."""

    generation: int
    bytes: int
    pause_seconds: float
    seconds: float


class NumberOut(_Answer):
    """A session seen as a number of the workspace, with its state as it is now."""

    session_id: str
    name: str
    phone_number: str | None
    provider_type: Provider
    is_primary: bool
    is_active: bool
    status: SessionStatus
    reason: str
    reason_text: str
    since: str
    evidence_at: str | None
    last_activity_at: str | None
    last_connected_at: str | None


class NumbersOut(_Answer):
    """A page of numbers; `next_after` is the next page's `after`, null on the last page."""

    numbers: list[NumberOut]
    next_after: str | None


class EventOut(_Answer):
    """One event; its payload names things by id and depends on type and version."""

    id: str
    type: str
    version: int
    session_id: str | None
    payload: dict[str, Any]
    created_at: str


class EventsOut(_Answer):
    """A page of events. Ask again with `next_after`, at once if there is `more`, else later."""

    events: list[EventOut]
    next_after: str | None
    more: bool


class AccessOut(_Answer):
    """An entry of the access log; `key` is null for what acted without one, which `who` names."""

    id: str
    number: int
    who: str
    key: str | None
    action: str
    result: str
    session_id: str | None
    ip_address: str | None
    detail: dict[str, Any]
    created_at: str
    previous_hash: str
    hash: str


class AuditOut(_Answer):
    """A page of the access log; `next_before` is the next page's, null on the last page."""

    entries: list[AccessOut]
    next_before: int | None


class MessageError(_Answer):
    """Why a message failed or is unknown: a stable code and a sentence."""

    code: str
    message: str


class MessageOut(_Answer):
    """One message, outbound or inbound; what is in `content` depends on its kind.

    `priority` is null for inbound ones.
    """

    id: str
    session_id: str
    direction: Direction
    chat: str
    sender: str | None = Field(alias="from")
    text: str
    kind: str
    content: dict[str, Any]
    state: MessageState
    error: MessageError | None
    attempts: int
    priority: Literal["conversation", "bulk"] | None
    possible_duplicate: bool
    send_at: str | None
    expires_at: str | None
    created_at: str
    sent_at: str | None
    delivered_at: str | None
    read_at: str | None
    edited_at: str | None
    revoked_at: str | None


class AcceptedOut(MessageOut):
    """A message just accepted, the state of the session that it waits for, and its place there."""

    session_status: SessionStatus
    queue: QueuePlaceOut | None


class MessagesOut(_Answer):
    """A page of messages; `next_before` is the next page's `before`, null on the last page."""

    messages: list[MessageOut]
    next_before: str | None


class QrOut(_Answer):
    """The QR code on show: the text that a phone scans, its number in the window, since when."""

    text: str
    number: int
    shown_at: str


class ChannelAdmitted(_Answer):
    """What the browser's client shows to the Pusher server."""

    auth: str


class FieldProblem(_Answer):
    """One refused field and what is allowed there."""

    field: str
    message: str


class ProblemOut(BaseModel):
    """A failed request (RFC 9457); some codes carry further members."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    instance: str
    errors: list[FieldProblem] | None = None
