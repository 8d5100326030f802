"""Turns what the page adapter says into facts. Pure and total: no input makes it raise."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from actors.browser.contents import decode_content
from actors.browser.driver import (
    AckChanged,
    BrowserFact,
    LoggedOut,
    MessageReceived,
    PageLoaded,
    PageView,
    QrIssued,
    ServerHeard,
    SocketChanged,
    UpdateRequired,
)
from actors.browser.happenings import (
    CallReceived,
    GroupAction,
    MessageEdited,
    MessageRevoked,
    ParticipantsChanged,
    PollVoted,
    ReactionChanged,
)
from actors.browser.report_fields import (
    MAX_MS,
    Malformed,
    jid,
    jids,
    number,
    optional,
    optional_jid,
    text,
    word,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_ACK: Final = 10
MAX_SECONDS: Final = 2**40
MAX_EMOJI: Final = 100


@dataclass(frozen=True, slots=True)
class Rejected:
    """A report that means nothing; `event` is its name as far as it has a known one."""

    event: str
    problem: str


def decode_fact(payload: object) -> BrowserFact | Rejected:
    """Read one report of the adapter: a JSON object with `event` and that event's fields."""
    event = "unknown"
    try:
        report = _parse(payload)
        name = report.get("event")
        decoder = DECODERS.get(name) if isinstance(name, str) else None
        if decoder is None:
            return Rejected(event, "no such event")
        event = str(name)
        return decoder(report)
    except Malformed as problem:
        return Rejected(event, str(problem))


@dataclass(frozen=True, slots=True)
class Answer:
    """What the adapter answered to a call: a value, or a stable code with a message."""

    ok: bool
    value: Any = None
    code: str = ""
    message: str = ""


def decode_answer(payload: object) -> Answer:
    """Read the adapter's answer to a call; nonsense becomes the error `bad_answer`."""
    try:
        answer = _parse(payload)
        if answer.get("ok") is True:
            return Answer(ok=True, value=answer.get("value"))
        code = word(answer, "code")
        return Answer(ok=False, code=code, message=optional(answer, "message") or code)
    except Malformed as problem:
        return Answer(ok=False, code="bad_answer", message=str(problem))


def decode_view(value: object) -> PageView | None:
    """Read the adapter's answer to `look`; None if it means nothing."""
    if not isinstance(value, dict):
        return None
    socket = optional(value, "socket")
    if socket is None:
        return None
    try:
        unacked = number(value, "unackedMs", 0, MAX_SECONDS) / 1000
    except Malformed:
        unacked = None
    return PageView(socket=socket, mode=optional(value, "mode"), unacked_seconds=unacked)


# ---- events --------------------------------------------------------------------------------------


def _loaded(report: dict[str, Any]) -> PageLoaded:
    return PageLoaded(
        whatsapp_version=optional(report, "whatsappVersion"),
        wajs_version=optional(report, "wajsVersion") or "unknown",
        missing=words(report, "missing"),
        critical=words(report, "critical"),
    )


def _qr(report: dict[str, Any]) -> QrIssued:
    return QrIssued(text=word(report, "text"))


def _socket(report: dict[str, Any]) -> SocketChanged:
    return SocketChanged(
        socket=word(report, "socket"),
        mode=optional(report, "mode"),
        registered=report.get("registered") is True,
        synced=report.get("synced") is True,
        me=optional(report, "me"),
    )


def _logged_out(report: dict[str, Any]) -> LoggedOut:
    return LoggedOut(reason=optional(report, "reason"))


def _update_required(_report: dict[str, Any]) -> UpdateRequired:
    return UpdateRequired()


def _message(report: dict[str, Any]) -> MessageReceived:
    return MessageReceived(
        wa_id=word(report, "waId"),
        chat=word(report, "chat"),
        sender=word(report, "sender"),
        kind=word(report, "kind"),
        body=text(report, "body"),
        content=decode_content(report.get("content")),
        sent_ms=number(report, "sent", 0, MAX_SECONDS) * 1000,
    )


def _ack(report: dict[str, Any]) -> AckChanged:
    wa_ids = words(report, "waIds")
    if not wa_ids:
        raise Malformed("waIds is empty")
    return AckChanged(wa_ids=wa_ids, ack=number(report, "ack", -1, MAX_ACK))


def _chats(report: dict[str, Any]) -> tuple[str, ...]:
    chats = jids(report, "chats")
    if not chats:
        raise Malformed("chats is empty")
    return chats


def _edited(report: dict[str, Any]) -> MessageEdited:
    return MessageEdited(
        wa_id=word(report, "waId"),
        chats=_chats(report),
        body=text(report, "body"),
        at_ms=number(report, "at", 0, MAX_MS),
    )


def _revoked(report: dict[str, Any]) -> MessageRevoked:
    return MessageRevoked(
        wa_id=word(report, "waId"),
        chats=_chats(report),
        by=optional_jid(report, "by"),
        at_ms=number(report, "at", 0, MAX_MS),
    )


def _reaction(report: dict[str, Any]) -> ReactionChanged:
    return ReactionChanged(
        wa_id=word(report, "waId"),
        chats=_chats(report),
        sender=jid(report, "sender"),
        emoji=(optional(report, "emoji") or "")[:MAX_EMOJI],
        at_ms=number(report, "at", 0, MAX_MS),
    )


def _vote(report: dict[str, Any]) -> PollVoted:
    return PollVoted(
        wa_id=word(report, "waId"),
        chats=_chats(report),
        sender=jid(report, "sender"),
        options=words(report, "options"),
        at_ms=number(report, "at", 0, MAX_MS),
    )


def _participants(report: dict[str, Any]) -> ParticipantsChanged:
    action = word(report, "action")
    if action not in GroupAction.__members__.values():
        raise Malformed("action is none that is known")
    return ParticipantsChanged(
        chat=jid(report, "chat"),
        action=GroupAction(action),
        by=optional_jid(report, "by"),
        members=jids(report, "members"),
        at_ms=number(report, "at", 0, MAX_MS),
    )


def _call(report: dict[str, Any]) -> CallReceived:
    return CallReceived(
        call_id=word(report, "callId"),
        sender=jid(report, "sender"),
        video=report.get("video") is True,
        group=report.get("group") is True,
        at_ms=number(report, "at", 0, MAX_MS),
    )


def _server_heard(_report: dict[str, Any]) -> ServerHeard:
    return ServerHeard()


def _adapter_failed(report: dict[str, Any]) -> BrowserFact:
    raise Malformed(f"{word(report, 'where')} failed in the page")


DECODERS: Final[dict[str, Callable[[dict[str, Any]], BrowserFact]]] = {
    "loaded": _loaded,
    "qr": _qr,
    "socket": _socket,
    "logged_out": _logged_out,
    "update_required": _update_required,
    "message": _message,
    "ack": _ack,
    "edited": _edited,
    "revoked": _revoked,
    "reaction": _reaction,
    "vote": _vote,
    "participants": _participants,
    "call": _call,
    "server_heard": _server_heard,
    "adapter_failed": _adapter_failed,
}


# ---- fields --------------------------------------------------------------------------------------


def _parse(payload: object) -> dict[str, Any]:
    if not isinstance(payload, str):
        raise Malformed("not a text")
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        raise Malformed("not JSON") from None
    if not isinstance(value, dict):
        raise Malformed("not an object")
    return value
