"""Which files can be sent as what (pure): WhatsApp's own lists and limits."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from storage.uploads import Upload

MB: Final = 1024 * 1024
LARGEST: Final = 100 * MB
"""Bytes of the largest file that can be handed in at all."""

OPUS: Final = "audio/ogg; codecs=opus"

TYPES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "image": ("image/jpeg", "image/png", "image/webp"),
        "video": ("video/mp4", "video/3gpp"),
        "audio": (OPUS, "audio/ogg", "audio/mpeg", "audio/mp4", "audio/aac", "audio/amr"),
        "voice": (OPUS,),
    }
)
"""By kind; a document may be anything."""

LIMITS: Final[Mapping[str, int]] = MappingProxyType(
    {"image": 16 * MB, "video": 64 * MB, "audio": 16 * MB, "voice": 16 * MB, "document": LARGEST}
)


def media_problem(kind: str, upload: Upload) -> str | None:
    """Return why an upload can't be sent as this kind, as the rest of a sentence; None: it can."""
    limit = LIMITS[kind]
    if upload.size > limit:
        return f"is larger than {limit // MB} MB, which is the most for this kind"
    types = TYPES.get(kind)
    if types is None:
        return None
    if upload.mimetype not in types:
        return f"is no {', '.join(types)}; send it as a document"
    if upload.problem is not None:
        return f"is broken ({upload.problem}); mend it, or send it as a document"
    return None
