"""Small files of the kinds that WhatsApp shows, made by hand: enough to be recognised."""

from __future__ import annotations

import struct
import zlib


def _chunk(name: bytes, data: bytes) -> bytes:
    crc = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", crc)


def png(side: int = 2, padding: bytes = b"") -> bytes:
    """A square that a browser can show; `padding` makes it larger."""
    rows = b"".join(b"\0" + b"\x80\x40\x20" * side for _ in range(side))
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)),
            *([_chunk(b"teXt", padding)] if padding else []),
            _chunk(b"IDAT", zlib.compress(rows)),
            _chunk(b"IEND", b""),
        )
    )


def box(name: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content) + 8) + name + content


MP4 = box(b"ftyp", b"isom\0\0\2\0isomiso2mp41") + box(b"moov", b"\0" * 64) + box(b"mdat", b"x" * 99)
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0" + b"\x11" * 300 + b"\xff\xd9"
WEBP = (
    b"RIFF" + struct.pack("<I", 4 + 8 + 20) + b"WEBP" + b"VP8 " + struct.pack("<I", 20) + b"\7" * 20
)
OPUS_OGG = b"OggS\0\2" + b"\0" * 20 + b"\1\x13OpusHead\1\1" + b"\0" * 40
VORBIS_OGG = b"OggS\0\2" + b"\0" * 20 + b"\1\x1e\x01vorbis" + b"\0" * 40
MP3 = b"\xff\xfb\x90\x64" + b"\0" * 400
AAC = b"\xff\xf1\x50\x80" + b"\0" * 400
PDF = b"%PDF-1.7\n%%EOF\n"
