"""Fields of the adapter's reports, read with suspicion. Pure and total but for Malformed."""

from __future__ import annotations

import re
from typing import Any, Final

MAX_TEXT: Final = 1_000_000
MAX_WORD: Final = 1_000
MAX_ITEMS: Final = 10_000
MAX_MS: Final = 2**50
_DEVICE: Final = re.compile(r":\d+(?=@)")
_JID: Final = re.compile(r"[\w.:+-]{1,64}@[a-z.]{1,32}", re.ASCII)


class Malformed(Exception):  # noqa: N818 - a fact about a report, never seen outside
    """A report lacks what it must have."""


def clean(text: str) -> str:
    """Replace lone surrogates, which JSON can carry and UTF-8 (files, databases) can't."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def optional(report: dict[str, Any], key: str) -> str | None:
    """Return a short text; None if there is none."""
    value = report.get(key)
    if not isinstance(value, str) or not value:
        return None
    return clean(value[:MAX_WORD])


def word(report: dict[str, Any], key: str) -> str:
    """Return a short text that has to be there."""
    value = optional(report, key)
    if value is None:
        raise Malformed(f"{key} is no text")
    return value


def text(report: dict[str, Any], key: str) -> str:
    """Return a long text, empty if there is none."""
    value = report.get(key)
    return clean(value[:MAX_TEXT]) if isinstance(value, str) else ""


def words(report: dict[str, Any], key: str) -> tuple[str, ...]:
    """Return the short texts of a list; what is none is left out."""
    value = report.get(key)
    if not isinstance(value, list):
        return ()
    return tuple(clean(w[:MAX_WORD]) for w in value[:MAX_ITEMS] if isinstance(w, str) and w)


def number(report: dict[str, Any], key: str, low: int, high: int) -> int:
    """Return a whole number within bounds that has to be there."""
    value = report.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise Malformed(f"{key} is no number from {low} to {high}")
    return int(value)


def jid(report: dict[str, Any], key: str) -> str:
    """Return an address without its device."""
    found = optional_jid(report, key)
    if found is None:
        raise Malformed(f"{key} is no jid")
    return found


def optional_jid(report: dict[str, Any], key: str) -> str | None:
    return _jid(report.get(key))


def jids(report: dict[str, Any], key: str) -> tuple[str, ...]:
    """Return the addresses of a list, each once; what is none is left out."""
    value = report.get(key)
    if not isinstance(value, list):
        return ()
    found = (_jid(one) for one in value[:MAX_ITEMS])
    return tuple(dict.fromkeys(one for one in found if one is not None))


def _jid(value: object) -> str | None:
    if not isinstance(value, str):
        return None
    plain = _DEVICE.sub("", value)
    return plain if _JID.fullmatch(plain) else None
