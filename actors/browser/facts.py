"""Turns what the page adapter says into facts. Pure and total: no input makes it raise."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

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

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_TEXT: Final = 1_000_000
MAX_WORD: Final = 1_000
MAX_ITEMS: Final = 10_000
MAX_ACK: Final = 10
MAX_SECONDS: Final = 2**40


@dataclass(frozen=True, slots=True)
class Rejected:
    """A report that means nothing; `event` is its name as far as it has a known one."""

    event: str
    problem: str


class _Malformed(Exception):  # noqa: N818
    pass


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
    except _Malformed as problem:
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
        code = _word(answer, "code")
        return Answer(ok=False, code=code, message=_optional(answer, "message") or code)
    except _Malformed as problem:
        return Answer(ok=False, code="bad_answer", message=str(problem))


def decode_view(value: object) -> PageView | None:
    """Read the adapter's answer to `look`; None if it means nothing."""
    if not isinstance(value, dict):
        return None
    socket = _optional(value, "socket")
    if socket is None:
        return None
    try:
        unacked = _number(value, "unackedMs", 0, MAX_SECONDS) / 1000
    except _Malformed:
        unacked = None
    return PageView(socket=socket, mode=_optional(value, "mode"), unacked_seconds=unacked)


def clean(text: str) -> str:
    """Replace lone surrogates, which JSON can carry and UTF-8 (files, databases) can't."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


# ---- events --------------------------------------------------------------------------------------


def _loaded(report: dict[str, Any]) -> PageLoaded:
    return PageLoaded(
        whatsapp_version=_optional(report, "whatsappVersion"),
        wajs_version=_optional(report, "wajsVersion") or "unknown",
        missing=_words(report, "missing"),
        critical=_words(report, "critical"),
    )


def _qr(report: dict[str, Any]) -> QrIssued:
    return QrIssued(text=_word(report, "text"))


def _socket(report: dict[str, Any]) -> SocketChanged:
    return SocketChanged(
        socket=_word(report, "socket"),
        mode=_optional(report, "mode"),
        registered=report.get("registered") is True,
        synced=report.get("synced") is True,
        me=_optional(report, "me"),
    )


def _logged_out(report: dict[str, Any]) -> LoggedOut:
    return LoggedOut(reason=_optional(report, "reason"))


def _update_required(_report: dict[str, Any]) -> UpdateRequired:
    return UpdateRequired()


def _message(report: dict[str, Any]) -> MessageReceived:
    body = report.get("body")
    return MessageReceived(
        wa_id=_word(report, "waId"),
        chat=_word(report, "chat"),
        sender=_word(report, "sender"),
        kind=_word(report, "kind"),
        body=clean(body[:MAX_TEXT]) if isinstance(body, str) else "",
        sent_ms=_number(report, "sent", 0, MAX_SECONDS) * 1000,
    )


def _ack(report: dict[str, Any]) -> AckChanged:
    wa_ids = _words(report, "waIds")
    if not wa_ids:
        raise _Malformed("waIds is empty")
    return AckChanged(wa_ids=wa_ids, ack=_number(report, "ack", -1, MAX_ACK))


def _server_heard(_report: dict[str, Any]) -> ServerHeard:
    return ServerHeard()


def _adapter_failed(report: dict[str, Any]) -> BrowserFact:
    raise _Malformed(f"{_word(report, 'where')} failed in the page")


DECODERS: Final[dict[str, Callable[[dict[str, Any]], BrowserFact]]] = {
    "loaded": _loaded,
    "qr": _qr,
    "socket": _socket,
    "logged_out": _logged_out,
    "update_required": _update_required,
    "message": _message,
    "ack": _ack,
    "server_heard": _server_heard,
    "adapter_failed": _adapter_failed,
}


# ---- fields --------------------------------------------------------------------------------------


def _parse(payload: object) -> dict[str, Any]:
    if not isinstance(payload, str):
        raise _Malformed("not a text")
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        raise _Malformed("not JSON") from None
    if not isinstance(value, dict):
        raise _Malformed("not an object")
    return value


def _optional(report: dict[str, Any], key: str) -> str | None:
    value = report.get(key)
    if not isinstance(value, str) or not value:
        return None
    return clean(value[:MAX_WORD])


def _word(report: dict[str, Any], key: str) -> str:
    value = _optional(report, key)
    if value is None:
        raise _Malformed(f"{key} is no text")
    return value


def _words(report: dict[str, Any], key: str) -> tuple[str, ...]:
    value = report.get(key)
    if not isinstance(value, list):
        return ()
    return tuple(clean(w[:MAX_WORD]) for w in value[:MAX_ITEMS] if isinstance(w, str) and w)


def _number(report: dict[str, Any], key: str, low: int, high: int) -> int:
    value = report.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise _Malformed(f"{key} is no number from {low} to {high}")
    return int(value)
