"""The JSON shapes of the API: what requests may contain and what answers look like.

Requests refuse unknown fields and convert nothing; queries convert digits to numbers. Times are RFC
3339, UTC, with milliseconds. A chat and a sender are jids.
"""

import unicodedata
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api.recipients import parse_recipient
from storage.store import Desired, Direction, MessageState, SessionStatus

NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9_-]{0,62}$"
ULID_PATTERN: Final = r"^[0-7][0-9A-HJKMNP-TV-Z]{25}$"
MAX_TEXT_CHARS: Final = 65_536


def _sendable(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain a NUL character")
    if all(c.isspace() or unicodedata.category(c) in {"Cc", "Cf"} for c in text):
        raise ValueError("must not be blank")
    return text


Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Ulid = Annotated[str, Field(pattern=ULID_PATTERN)]
Recipient = Annotated[str, Field(max_length=64), AfterValidator(parse_recipient)]
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


class NewMessage(_Request):
    """POST …/messages: a text for a phone number or a jid; `to` becomes a jid."""

    to: Recipient
    text: Text


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


class SessionOut(_Answer):
    """A session as it is now: what is stored, and what its actor and browser tell."""

    id: str
    name: str
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


class SessionsOut(_Answer):
    """A page of sessions; `next_after` is the next page's `after`, null on the last page."""

    sessions: list[SessionOut]
    next_after: str | None


class MessageError(_Answer):
    """Why a message failed or is unknown: a stable code and a sentence."""

    code: str
    message: str


class MessageOut(_Answer):
    """One message, outbound or inbound."""

    id: str
    session_id: str
    direction: Direction
    chat: str
    sender: str | None = Field(alias="from")
    text: str
    kind: str
    state: MessageState
    error: MessageError | None
    attempts: int
    created_at: str
    sent_at: str | None
    delivered_at: str | None
    read_at: str | None


class AcceptedOut(MessageOut):
    """A message just accepted, and the state of the session that it waits for."""

    session_status: SessionStatus


class MessagesOut(_Answer):
    """A page of messages; `next_before` is the next page's `before`, null on the last page."""

    messages: list[MessageOut]
    next_before: str | None


class QrOut(_Answer):
    """The QR code on show: the text that a phone scans, its number in the window, since when."""

    text: str
    number: int
    shown_at: str


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
