"""From what a client wants to send to what is stored: looks up what it refers to, and refuses.

What refers to another message carries only our id of it (`target`, `reply_to`): it is looked up
again when it is sent, so no other contact's address is kept with it. The content of a message by
kind, as storage.messages has it; what is not given is left out:

    text       reply_to, mentions, link_preview         body: the text
    image      media, mimetype, size, filename, reply_to, mentions, view_once    body: the caption
    video      as image, and gif
    document   as image, without view_once
    audio      media, mimetype, size, reply_to
    voice      as audio, and view_once
    location   latitude, longitude, name, address, reply_to
    contact    contacts: [{name, phone}], phone being a jid, reply_to
    poll       options, selectable, reply_to            body: the question
    vote       target, options
    reaction   target                                   body: the emoji, empty to take it back
    edit       target                                   body: the new text
    revoke     target
    forward    target
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, assert_never

from api.errors import ApiError, FieldError, fields_invalid
from api.media_kinds import media_problem
from api.schemas_messages import (
    AudioMessage,
    ContactMessage,
    DocumentMessage,
    EditMessage,
    ForwardMessage,
    ImageMessage,
    LocationMessage,
    PollMessage,
    ReactionMessage,
    RevokeMessage,
    TextMessage,
    VideoMessage,
    VoiceMessage,
    VoteMessage,
)
from storage.media_index import MediaNotFound
from storage.messages import Direction, MessageState
from storage.store import MessageNotFound

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from api.schemas_messages import AnyMessage
    from storage.messages import MessageRow
    from storage.store import SessionRow, Store
    from storage.uploads import Uploads

EDIT_MS: Final = 15 * 60_000
"""How long after it was sent WhatsApp lets a message be edited,"""
REVOKE_MS: Final = 60 * 3_600_000
"""and how long deleted for everyone."""

_NEVER_SENT: Final = frozenset({MessageState.FAILED, MessageState.EXPIRED, MessageState.CANCELLED})
_ACTS: Final = frozenset({"vote", "reaction", "edit", "revoke"})
"""Kinds that change another message and are none themselves."""
_EDITABLE: Final = frozenset({"text", "image", "video", "document"})
_POLLS: Final = frozenset({"poll", "poll_creation"})
_NOT_FORWARDED: Final = _ACTS | _POLLS | {"forward"}

Media = ImageMessage | VideoMessage | DocumentMessage | AudioMessage | VoiceMessage
Act = VoteMessage | ReactionMessage | EditMessage | RevokeMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What NewOutbound is made of, besides times and ids."""

    chat: str
    kind: str
    body: str = ""
    content: Mapping[str, Any] = field(default_factory=dict)


class Drafts:
    """Reads the store and the uploads; writes nothing."""

    def __init__(self, store: Store, uploads: Uploads) -> None:
        self._store = store
        self._uploads = uploads

    async def draft(self, session: SessionRow, message: AnyMessage, now_ms: int) -> Draft:
        """Return what is to be stored.

        Raises ApiError fields_invalid: what it refers to is not there, or can't be used so.
        """
        match message:
            case VoteMessage() | ReactionMessage() | EditMessage() | RevokeMessage():
                return await self._act(session, message, now_ms)
            case ForwardMessage():
                return await self._forward(session, message)
            case _:
                pass
        reply = await self._reply(session, message.to, message.reply_to)
        match message:
            case TextMessage() | LocationMessage() | ContactMessage() | PollMessage():
                body, content = _plain(message)
            case _:
                body, content = await self._media(session, message)
        return Draft(chat=message.to, kind=message.kind, body=body, content={**content, **reply})

    # ---- what refers to another message ----------------------------------------------------------

    async def _act(self, session: SessionRow, message: Act, now_ms: int) -> Draft:
        target = await self._target(session, "message", message.message)
        content: dict[str, Any] = {"target": target.id}
        body = ""
        match message:
            case VoteMessage(options=options):
                _refuse_unless(target.kind in _POLLS, "message", "is no poll")
                _require_options(target, options)
                content["options"] = options
            case ReactionMessage(emoji=emoji):
                body = emoji
            case EditMessage(text=text):
                _require_own(target)
                _refuse_unless(target.kind in _EDITABLE, "message", "has no text to edit")
                _require_young(target, now_ms, EDIT_MS, "can be edited for 15 minutes only")
                body = text
            case RevokeMessage():
                _require_own(target)
                _require_young(target, now_ms, REVOKE_MS, "can be deleted for 60 hours only")
            case _:
                assert_never(message)
        return Draft(chat=target.chat, kind=message.kind, body=body, content=content)

    async def _forward(self, session: SessionRow, message: ForwardMessage) -> Draft:
        target = await self._target(session, "message", message.message)
        _refuse_unless(target.kind not in _NOT_FORWARDED, "message", "can't be forwarded")
        return Draft(chat=message.to, kind="forward", content={"target": target.id})

    async def _reply(
        self, session: SessionRow, chat: str, reply_to: str | None
    ) -> Mapping[str, Any]:
        if reply_to is None:
            return {}
        target = await self._target(session, "reply_to", reply_to)
        _refuse_unless(target.chat == chat, "reply_to", "is a message of another chat")
        return {"reply_to": target.id}

    async def _target(self, session: SessionRow, name: str, message_id: str) -> MessageRow:
        """Return a message that WhatsApp knows, or will know before this one."""
        try:
            row = await self._store.message(session.workspace_id, session.id, message_id)
        except MessageNotFound:
            raise _refusal(name, "is no message of this session") from None
        _refuse_unless(row.kind not in _ACTS, name, "is no message by itself")
        _refuse_unless(row.state not in _NEVER_SENT, name, "was never sent")
        _refuse_unless(row.revoked_ms is None, name, "was deleted")
        _refuse_unless(not row.chat.startswith("erased:"), name, "was erased")
        return row

    # ---- what has a file -------------------------------------------------------------------------

    async def _media(self, session: SessionRow, message: Media) -> tuple[str, Mapping[str, Any]]:
        try:
            upload = await self._uploads.upload(session.workspace_id, message.media)
        except MediaNotFound:
            raise _refusal("media", "is no upload; hand the file in with POST /v1/media") from None
        problem = media_problem(message.kind, upload)
        if problem is not None:
            raise _refusal("media", problem)
        body, filename = "", upload.filename
        content: dict[str, Any] = {
            "media": upload.id,
            "mimetype": upload.mimetype,
            "size": upload.size,
        }
        if isinstance(message, ImageMessage | VideoMessage | DocumentMessage):
            body = message.caption
            content |= _given(mentions=_once(message.mentions))
        if isinstance(message, DocumentMessage):
            filename = message.filename or filename or "file"
        if isinstance(message, ImageMessage | VideoMessage | VoiceMessage):
            content |= _given(view_once=message.view_once)
        if isinstance(message, VideoMessage):
            content |= _given(gif=message.gif)
        return body, content | _given(filename=filename)


def _plain(
    message: TextMessage | LocationMessage | ContactMessage | PollMessage,
) -> tuple[str, Mapping[str, Any]]:
    """Return body and content of what needs nothing but itself."""
    match message:
        case TextMessage(text=text, mentions=mentions, link_preview=preview):
            return text, _given(mentions=_once(mentions), link_preview=preview)
        case LocationMessage(latitude=latitude, longitude=longitude):
            named = _given(name=message.name, address=message.address)
            return "", {"latitude": latitude, "longitude": longitude, **named}
        case ContactMessage(contacts=contacts):
            return "", {"contacts": [{"name": c.name, "phone": c.phone} for c in contacts]}
        case PollMessage(question=question, options=options, selectable=count):
            return question, {"options": options, "selectable": count}


def _once(jids: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(jids))


def _given(**fields: object) -> dict[str, Any]:
    """Return those that say something."""
    return {name: value for name, value in fields.items() if value}


def _refusal(name: str, sentence: str) -> ApiError:
    return fields_invalid((FieldError(name, sentence),))


def _refuse_unless(condition: bool, name: str, sentence: str) -> None:
    if not condition:
        raise _refusal(name, sentence)


def _require_own(target: MessageRow) -> None:
    own = target.direction is Direction.OUTBOUND
    _refuse_unless(own, "message", "is not our own message")


def _require_young(target: MessageRow, now_ms: int, longest_ms: int, sentence: str) -> None:
    """One that is not sent yet is young."""
    young = target.sent_ms is None or now_ms - target.sent_ms <= longest_ms
    _refuse_unless(young, "message", sentence)


def _require_options(poll: MessageRow, chosen: Sequence[str]) -> None:
    """Compare with what is known of the poll; the page knows it all."""
    known, most = poll.content.get("options"), poll.content.get("selectable")
    if isinstance(known, list):
        _refuse_unless(set(chosen) <= set(known), "options", "are not all options of the poll")
    if isinstance(most, int) and most > 0:
        _refuse_unless(len(chosen) <= most, "options", f"are at most {most} in this poll")
