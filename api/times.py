"""How the API writes and reads a time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

_TIME: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def rfc3339(ms: int) -> str:
    """Return UTC milliseconds since the epoch as 2030-01-02T03:04:05.678Z."""
    whole = datetime.fromtimestamp(ms // 1000, UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"


def parse_rfc3339(text: str) -> int:
    """Return a time with its zone as UTC milliseconds since the epoch. Raises ValueError."""
    sentence = "is a time with its zone, like 2030-01-02T03:04:05Z"
    if _TIME.fullmatch(text) is None:
        raise ValueError(sentence)
    try:
        since = datetime.fromisoformat(text.upper()) - _EPOCH
    except (ValueError, OverflowError):
        raise ValueError(sentence) from None  # there is no such day, minute or zone
    if since < timedelta():
        raise ValueError("is a time after 1970")
    return since // timedelta(milliseconds=1)
