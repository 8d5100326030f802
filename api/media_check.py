"""What a file is, by its bytes, and whether it is whole (pure); it is looked at while it passes.

Names and declared types are anybody's words: WhatsApp shows nothing, or another thing, when they
are wrong, and then the message is out already. Only what WhatsApp treats in a way of its own is
looked at; everything else is a document of the declared type.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from api.media_kinds import OPUS
from storage.uploads import UploadFacts

if TYPE_CHECKING:
    from collections.abc import Callable

UNKNOWN: Final = "application/octet-stream"
_HEAD: Final = 4096
_TAIL: Final = 64 * 1024
_DECLARED: Final = re.compile(r"(application|text|font|model)/[a-z0-9][a-z0-9.+-]{0,80}", re.ASCII)
_BOX_HEADER: Final = 8
_LONG_BOX_HEADER: Final = 16
_TO_THE_END: Final = 0

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_PNG_END: Final = b"IEND\xaeB`\x82"
_JPEG_END: Final = b"\xff\xd9"
CUT_OFF: Final = "its end is missing"


class MediaCheck:
    """Feed it a file's bytes in order, then ask for the facts."""

    def __init__(self, declared: str | None = None) -> None:
        """`declared` is the type that came with the file, if one did."""
        self._declared = (declared or "").split(";")[0].strip().lower()
        self._head = self._tail = b""
        self._boxes = _Boxes()
        self.size = 0

    def feed(self, piece: bytes) -> None:
        if len(self._head) < _HEAD:
            self._head += piece[: _HEAD - len(self._head)]
        self._tail = (self._tail + piece)[-_TAIL:]
        self._boxes.feed(piece)
        self.size += len(piece)

    def facts(self) -> UploadFacts:
        mimetype = sniff(self._head)
        if mimetype == "video/mp4" and self._declared == "audio/mp4":
            mimetype = "audio/mp4"  # the same container
        problem = None if mimetype is None else self._problem(mimetype)
        if mimetype is None:
            mimetype = self._declared if _DECLARED.fullmatch(self._declared) else UNKNOWN
        return UploadFacts(mimetype=mimetype, size=self.size, problem=problem)

    def _problem(self, mimetype: str) -> str | None:
        match mimetype:
            case "image/jpeg":
                whole = _JPEG_END in self._tail
            case "image/png":
                whole = _PNG_END in self._tail
            case "image/webp":
                whole = int.from_bytes(self._head[4:8], "little") + 8 <= self.size
            case "video/mp4" | "video/3gpp" | "audio/mp4":
                if self._boxes.whole and not self._boxes.has_index:
                    return "it has no index (moov)"
                whole = self._boxes.whole
            case _:
                whole = True
        return None if whole else CUT_OFF


class _Boxes:
    """Walks over the outermost boxes of an MP4 without keeping them."""

    def __init__(self) -> None:
        self._header = b""
        self._left = 0
        self._endless = self._broken = False
        self.has_index = False

    @property
    def whole(self) -> bool:
        """Whether the file ends where its last box does."""
        ended = self._endless or (self._left == 0 and not self._header)
        return ended and not self._broken

    def feed(self, piece: bytes) -> None:
        view = memoryview(piece)
        while view and not (self._endless or self._broken):
            skipped = min(self._left, len(view))
            self._left -= skipped
            view = view[skipped:]
            if view:
                view = self._read_header(view)

    def _read_header(self, view: memoryview) -> memoryview:
        long = int.from_bytes(self._header[:4]) == 1 and len(self._header) >= _BOX_HEADER
        wanted = (_LONG_BOX_HEADER if long else _BOX_HEADER) - len(self._header)
        self._header += bytes(view[:wanted])
        view = view[wanted:]
        size = int.from_bytes(self._header[:4])
        length = _LONG_BOX_HEADER if size == 1 else _BOX_HEADER
        if len(self._header) < length:
            return view
        self.has_index = self.has_index or self._header[4:8] == b"moov"
        if size == 1:
            size = int.from_bytes(self._header[8:16])
        self._header = b""
        self._endless = size == _TO_THE_END
        self._broken = not self._endless and size < length
        self._left = max(0, size - length)
        return view


def sniff(head: bytes) -> str | None:
    """Return the type that a file's first bytes show, None for one that is not looked for."""
    return next((found for look in _LOOKS if (found := look(head)) is not None), None)


def _plain(head: bytes) -> str | None:
    for start, mimetype in (
        (b"\xff\xd8\xff", "image/jpeg"),
        (_PNG, "image/png"),
        (b"GIF87a", "image/gif"),
        (b"GIF89a", "image/gif"),
        (b"#!AMR\n", "audio/amr"),
        (b"%PDF-", "application/pdf"),
        (b"\x1aE\xdf\xa3", "video/webm"),
        (b"ID3", "audio/mpeg"),
    ):
        if head.startswith(start):
            return mimetype
    return None


def _riff(head: bytes) -> str | None:
    if not head.startswith(b"RIFF"):
        return None
    return {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/avi"}.get(head[8:12])


def _mp4(head: bytes) -> str | None:
    if head[4:8] != b"ftyp":
        return None
    brand = head[8:12]
    if brand.startswith((b"3gp", b"3g2")):
        return "video/3gpp"
    if brand in {b"heic", b"heix", b"mif1", b"avif"}:
        return "image/heif"
    named = {b"M4A ": "audio/mp4", b"M4B ": "audio/mp4", b"qt  ": "video/quicktime"}
    return named.get(brand, "video/mp4")


def _ogg(head: bytes) -> str | None:
    if not head.startswith(b"OggS"):
        return None
    first = head[:256]
    if b"OpusHead" in first:
        return OPUS
    return "audio/ogg" if b"\x01vorbis" in first else "application/ogg"


def _mpeg_audio(head: bytes) -> str | None:
    """Read an MPEG audio frame's header: eleven bits of sync, then version, layer, rates."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:  # noqa: PLR2004 - bits of a format
        return None
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    if layer == 0 and head[1] & 0xF0 == 0xF0:  # noqa: PLR2004
        return "audio/aac"
    rate, frequency = head[2] >> 4, head[2] >> 2 & 3
    whole = version != 1 and layer == 1 and rate not in {0, 15} and frequency != 3  # noqa: PLR2004
    return "audio/mpeg" if whole else None


_LOOKS: Final[tuple[Callable[[bytes], str | None], ...]] = (_plain, _riff, _mp4, _ogg, _mpeg_audio)
