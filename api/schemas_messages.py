"""What can be sent: one shape per kind of message, told apart by `kind`; without one it is a text.

Messages that others refer to (replies, reactions, edits) are named by wafleet's own id. `media` is
the id that an upload got (POST /v1/media). Jids and numbers become jids.
"""

import unicodedata
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    RootModel,
    Tag,
    ValidationInfo,
    field_validator,
)

from api.schemas import NewMessage, Recipient, Sending, Text, Title, Ulid

MAX_CAPTION_CHARS: Final = 1024
MAX_POLL_OPTIONS: Final = 12
TAG: Final = "kind:"
"""Begins the names of the union's branches, so that they are never taken for fields."""


def _one_emoji(text: str) -> str:
    """Refuse what is surely no emoji; WhatsApp has the last word."""
    if any(c.isspace() or unicodedata.category(c)[0] in "LZ" for c in text):
        raise ValueError("is one emoji, or empty to take the reaction back")
    if text and text.isascii():
        raise ValueError("is one emoji, or empty to take the reaction back")
    return text


def _file_name(text: str) -> str:
    if "/" in text or "\\" in text or not text.isprintable() or not text.strip(". "):
        raise ValueError("is the name of a file, without its directory")
    return text


def _phone(jid: str) -> str:
    if not jid.endswith("@c.us"):
        raise ValueError("is a phone number with its country code")
    return jid


def _distinct(options: list[str]) -> list[str]:
    if len(set(options)) != len(options):
        raise ValueError("names each option only once")
    return options


FileName = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_file_name)]
Caption = Annotated[str, Field(max_length=MAX_CAPTION_CHARS)]
Line = Annotated[str, Field(max_length=1000)]
Phone = Annotated[Recipient, AfterValidator(_phone)]
Mentions = Annotated[list[Recipient], Field(max_length=1024)]
Option = Annotated[str, Field(min_length=1, max_length=100)]
Emoji = Annotated[str, Field(max_length=35), AfterValidator(_one_emoji)]


class _Addressed(Sending):
    """What goes to a chat, perhaps as the answer to a message of it."""

    to: Recipient
    reply_to: Ulid | None = None


class TextMessage(NewMessage):
    """A text."""

    kind: Literal["text"] = "text"


class _Media(_Addressed):
    media: Ulid


class _Captioned(_Media):
    caption: Caption = ""
    mentions: Mentions = Field(default_factory=list)


class ImageMessage(_Captioned):
    """A picture: JPEG, PNG or WebP."""

    kind: Literal["image"]
    view_once: bool = False


class VideoMessage(_Captioned):
    """A film: MP4 or 3GPP; with `gif` it plays in a loop, without sound."""

    kind: Literal["video"]
    view_once: bool = False
    gif: bool = False


class DocumentMessage(_Captioned):
    """Any file; without a `filename` it keeps the upload's."""

    kind: Literal["document"]
    filename: FileName | None = None


class AudioMessage(_Media):
    """A piece of music or speech: MP3, M4A, AAC, AMR or Ogg."""

    kind: Literal["audio"]


class VoiceMessage(_Media):
    """A voice note, as recorded in WhatsApp: Opus in Ogg."""

    kind: Literal["voice"]
    view_once: bool = False


class LocationMessage(_Addressed):
    """A place, in degrees."""

    kind: Literal["location"]
    latitude: float = Field(ge=-90, le=90, allow_inf_nan=False)
    longitude: float = Field(ge=-180, le=180, allow_inf_nan=False)
    name: Line = ""
    address: Line = ""


class ContactCard(BaseModel):
    """Somebody's name and number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: Title
    phone: Phone


class ContactMessage(_Addressed):
    """One contact card or several."""

    kind: Literal["contact"]
    contacts: list[ContactCard] = Field(min_length=1, max_length=50)


class PollMessage(_Addressed):
    """A question with options, of which each person may choose up to `selectable`."""

    kind: Literal["poll"]
    question: str = Field(min_length=1, max_length=255)
    options: Annotated[
        list[Option],
        Field(min_length=2, max_length=MAX_POLL_OPTIONS),
        AfterValidator(_distinct),
    ]
    selectable: int = Field(default=1, ge=1)

    @field_validator("selectable")
    @classmethod
    def _not_more_than_there_are(cls, count: int, info: ValidationInfo) -> int:
        if count > len(info.data.get("options", ())):
            raise ValueError("is at most the number of options")
        return count


class VoteMessage(Sending):
    """Our vote in the poll `message`: all options chosen now; none takes the vote back."""

    kind: Literal["vote"]
    message: Ulid
    options: Annotated[list[Option], Field(max_length=MAX_POLL_OPTIONS), AfterValidator(_distinct)]


class ReactionMessage(Sending):
    """Our reaction to `message`; an empty emoji takes it back."""

    kind: Literal["reaction"]
    message: Ulid
    emoji: Emoji


class EditMessage(Sending):
    """Another text (or caption) for our own `message`."""

    kind: Literal["edit"]
    message: Ulid
    text: Text


class RevokeMessage(Sending):
    """Delete our own `message` for everyone."""

    kind: Literal["revoke"]
    message: Ulid


class ForwardMessage(Sending):
    """The content of `message`, of whatever chat of this session, sent on."""

    kind: Literal["forward"]
    to: Recipient
    message: Ulid


AnyMessage = (
    TextMessage
    | ImageMessage
    | VideoMessage
    | DocumentMessage
    | AudioMessage
    | VoiceMessage
    | LocationMessage
    | ContactMessage
    | PollMessage
    | VoteMessage
    | ReactionMessage
    | EditMessage
    | RevokeMessage
    | ForwardMessage
)

KINDS: Final = (
    "text",
    "image",
    "video",
    "document",
    "audio",
    "voice",
    "location",
    "contact",
    "poll",
    "vote",
    "reaction",
    "edit",
    "revoke",
    "forward",
)


def _branch(value: Any) -> str:
    kind = value.get("kind", "text") if isinstance(value, dict) else getattr(value, "kind", None)
    return f"{TAG}{kind}"


_Union = Annotated[
    Annotated[TextMessage, Tag(f"{TAG}text")]
    | Annotated[ImageMessage, Tag(f"{TAG}image")]
    | Annotated[VideoMessage, Tag(f"{TAG}video")]
    | Annotated[DocumentMessage, Tag(f"{TAG}document")]
    | Annotated[AudioMessage, Tag(f"{TAG}audio")]
    | Annotated[VoiceMessage, Tag(f"{TAG}voice")]
    | Annotated[LocationMessage, Tag(f"{TAG}location")]
    | Annotated[ContactMessage, Tag(f"{TAG}contact")]
    | Annotated[PollMessage, Tag(f"{TAG}poll")]
    | Annotated[VoteMessage, Tag(f"{TAG}vote")]
    | Annotated[ReactionMessage, Tag(f"{TAG}reaction")]
    | Annotated[EditMessage, Tag(f"{TAG}edit")]
    | Annotated[RevokeMessage, Tag(f"{TAG}revoke")]
    | Annotated[ForwardMessage, Tag(f"{TAG}forward")],
    Discriminator(
        _branch,
        custom_error_type=f"{TAG}unknown",
        custom_error_message=f"is one of {', '.join(KINDS)}",
    ),
]


class NewMessageOfAnyKind(RootModel[_Union]):
    """POST …/messages: a message of one of the kinds; `root` is the message itself."""
