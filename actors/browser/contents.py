"""What the page says of a message's content, checked field by field. Pure and total.

The shapes are those of storage.messages. What is unknown or wrong is left out: a strange message is
still a message.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from actors.browser.report_fields import clean, jids, optional, optional_jid, words

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_CARDS: Final = 256
MAX_VCARD: Final = 50_000
MAX_OPTIONS: Final = 256
MAX_COUNT: Final = 2**50
MOST_CONTENT: Final = 1_000_000
"""Characters of vcards that are kept of one message."""


def decode_content(value: object) -> dict[str, Any]:
    """Return what is known and right of a message's content."""
    if not isinstance(value, dict):
        return {}
    found = {name: read(value, name) for name, read in _FIELDS.items() if name in value}
    return {name: field for name, field in found.items() if _tells(field)}


def _tells(field: object) -> bool:
    """Zero is a place and a number; nothing, no and empty are left out."""
    return bool(field) or (isinstance(field, int | float) and not isinstance(field, bool))


def _file(report: dict[str, Any], key: str) -> dict[str, Any] | None:
    value = report.get(key)
    if not isinstance(value, dict):
        return None
    fields = {
        "mimetype": optional(value, "mimetype") or "application/octet-stream",
        "bytes": _count(value, "bytes"),
        "filename": optional(value, "filename"),
        "seconds": _count(value, "seconds"),
    }
    return {name: field for name, field in fields.items() if field is not None}


def _cards(report: dict[str, Any], key: str) -> list[dict[str, str]]:
    value = report.get(key)
    left, cards = MOST_CONTENT, []
    for one in value[:MAX_CARDS] if isinstance(value, list) else ():
        if not isinstance(one, dict):
            continue
        vcard = one.get("vcard")
        text = clean(vcard[: min(MAX_VCARD, left)]) if isinstance(vcard, str) else ""
        left -= len(text)
        card = {"name": optional(one, "name"), "phone": optional_jid(one, "phone"), "vcard": text}
        cards.append({name: field for name, field in card.items() if field})
    return cards


def _reply(report: dict[str, Any], key: str) -> dict[str, str] | None:
    value = report.get(key)
    wa_id = optional(value, "wa_id") if isinstance(value, dict) else None
    if wa_id is None or not isinstance(value, dict):
        return None
    sender = optional_jid(value, "from")
    return {"wa_id": wa_id} | ({"from": sender} if sender else {})


def _options(report: dict[str, Any], key: str) -> list[str]:
    return list(words(report, key)[:MAX_OPTIONS])


def _jids(report: dict[str, Any], key: str) -> list[str]:
    return list(jids(report, key))


def _degrees(most: int) -> Callable[[dict[str, Any], str], float | None]:
    def read(report: dict[str, Any], key: str) -> float | None:
        value = report.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return float(value) if math.isfinite(value) and abs(value) <= most else None

    return read


def _count(report: dict[str, Any], key: str) -> int | None:
    value = report.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value <= MAX_COUNT else None


def _flag(report: dict[str, Any], key: str) -> bool:
    return report.get(key) is True


_FIELDS: Final[dict[str, Callable[[dict[str, Any], str], Any]]] = {
    "file": _file,
    "view_once": _flag,
    "gif": _flag,
    "latitude": _degrees(90),
    "longitude": _degrees(180),
    "name": optional,
    "address": optional,
    "live": _flag,
    "contacts": _cards,
    "question": optional,
    "options": _options,
    "selectable": _count,
    "reply": _reply,
    "mentions": _jids,
    "forwarded": _flag,
}
