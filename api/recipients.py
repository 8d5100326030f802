"""Turn what a person writes as a recipient into the jid that WhatsApp Web knows (pure)."""

from __future__ import annotations

import re
from typing import Final

_PUNCTUATION: Final = re.compile("[\\s()\\-\u2010-\u2015]")
_TRUNK_ZERO: Final = re.compile(r"\(\s*0")
_NUMBER: Final = re.compile(r"[1-9][0-9]{6,14}", re.ASCII)
_USER_PARTS: Final[dict[str, re.Pattern[str]]] = {
    "c.us": _NUMBER,
    "s.whatsapp.net": _NUMBER,
    "g.us": re.compile(r"[0-9]{5,20}(-[0-9]{5,20})?", re.ASCII),
    "lid": re.compile(r"[0-9]{5,20}", re.ASCII),
}


class RecipientInvalid(ValueError):  # noqa: N818 - read as a fact about the input
    """The text names no recipient; the sentence says what to write, and never repeats the text."""


def parse_recipient(text: str) -> str:
    """Return the jid for a phone number or a jid.

    A number has its country code and 7 to 15 digits; a leading +, spaces, dashes and brackets are
    tolerated. A jid ends in @c.us, @s.whatsapp.net (the same as @c.us), @g.us or @lid.
    Raises RecipientInvalid.
    """
    text = text.strip()
    if "@" in text:
        return _parse_jid(text)
    return f"{_parse_number(text)}@c.us"


def _parse_jid(text: str) -> str:
    user, _, server = text.partition("@")
    server = server.lower()
    pattern = _USER_PARTS.get(server)
    if pattern is None:
        raise RecipientInvalid("a jid ends in @c.us, @s.whatsapp.net, @g.us or @lid")
    if pattern.fullmatch(user) is None:
        raise RecipientInvalid(f"the part before @{server} is not an id of that kind")
    return f"{user}@c.us" if server == "s.whatsapp.net" else f"{user}@{server}"


def _parse_number(text: str) -> str:
    if _TRUNK_ZERO.search(text):
        raise RecipientInvalid(
            "a zero in brackets can mean two numbers; write the digits as dialled from abroad"
        )
    digits = _PUNCTUATION.sub("", text.removeprefix("+"))
    if digits.startswith("0"):
        raise RecipientInvalid("write the number with its country code and without leading zeros")
    if _NUMBER.fullmatch(digits) is None:
        raise RecipientInvalid(
            "a recipient is a phone number of 7 to 15 digits with its country code, or a jid"
        )
    return digits
