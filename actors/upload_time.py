"""How much longer than a text a file may take on its way to WhatsApp's servers. Pure.

It goes for all that waits for a message with a file: the page's call, the courier's deadline, the
limiter's lease, the page's own count of messages without an ack, and what is in doubt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

SLOWEST_UPLOAD: Final = 128 * 1024
"""Bytes a second; what is slower counts as not getting on at all."""
LONGEST_UPLOAD: Final = 1200.0
"""Seconds; nothing else of the session is sent meanwhile."""


def upload_seconds(content: Mapping[str, Any]) -> float:
    """Return the seconds for a message's content (see api.drafts): 0 without a file of its own."""
    size = content.get("size")
    if "media" not in content or not isinstance(size, int) or size <= 0:
        return 0.0
    return min(size / SLOWEST_UPLOAD, LONGEST_UPLOAD)
