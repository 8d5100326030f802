"""An archive's header: 512 bytes of fixed layout, numbers in network byte order. Pure.

      0    8  magic "wafarchv"            186    1  length of the key's id
      8    2  version, 1                  187   32  the key's id
     10    2  zstd level                  219    8  the key's fingerprint
     12    4  chunk size in bytes         227   12  nonce of the wrapped data key
     16   32  salt                        239   48  the wrapped data key and its tag
     48    1  length of the workspace     287  193  zeros
     49   64  workspace                   480   32  SHA-256 of everything before
    113    1  length of the session
    114   64  session
    178    8  generation

The left column (the body) never changes: the data key and every chunk are bound to it. The right
one is replaced when the archive moves to another key. The SHA-256 tells damage from a wrong key; it
protects from accidents only. The tags protect from people.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import Final

from storage.vault.errors import ArchiveDamaged, ArchiveUnsupported
from storage.vault.sealed import FINGERPRINT_BYTES, KID, NONCE_BYTES, Sealed

HEADER_BYTES: Final = 512
SALT_BYTES: Final = 32
WRAPPED_BYTES: Final = 48
SMALLEST_CHUNK: Final = 64
LARGEST_CHUNK: Final = 16 * 1024 * 1024
LEVELS: Final = range(1, 20)
LONGEST_NAME: Final = 64
_MAGIC: Final = b"wafarchv"
_VERSION: Final = 1
_BODY: Final = struct.Struct(f">8sHHI{SALT_BYTES}sB{LONGEST_NAME}sB{LONGEST_NAME}sQ")
_WRAP: Final = struct.Struct(f">B32s{FINGERPRINT_BYTES}s{NONCE_BYTES}s{WRAPPED_BYTES}s")
_DIGEST_AT: Final = HEADER_BYTES - hashlib.sha256().digest_size


@dataclass(frozen=True, slots=True)
class ArchiveContext:
    """What an archive belongs to: names of 1 to 64 bytes of UTF-8, a generation from 0.

    Raises ValueError.
    """

    workspace: str
    session: str
    generation: int

    def __post_init__(self) -> None:
        for name in (self.workspace, self.session):
            if not 1 <= len(name.encode()) <= LONGEST_NAME:
                raise ValueError(f"a name has 1 to {LONGEST_NAME} bytes")
        if not 0 <= self.generation < 2**64:
            raise ValueError("a generation is an unsigned 64-bit number")


@dataclass(frozen=True, slots=True)
class Header:
    """What the first 512 bytes say. `wrapped` is the data key, sealed; `salt` 32 random bytes.

    Raises ValueError for numbers out of range.
    """

    context: ArchiveContext
    level: int
    chunk_size: int
    salt: bytes
    wrapped: Sealed

    def __post_init__(self) -> None:
        check_shape(self.level, self.chunk_size)

    def body(self) -> bytes:
        """Return the part that never changes."""
        return pack_body(self.context, self.level, self.chunk_size, self.salt)

    def encode(self) -> bytes:
        """Return the 512 bytes."""
        key = self.wrapped
        kid = key.kid.encode()
        wrap = _WRAP.pack(len(kid), kid, key.fingerprint, key.nonce, key.ciphertext)
        raw = (self.body() + wrap).ljust(_DIGEST_AT, b"\0")
        return raw + hashlib.sha256(raw).digest()


def check_shape(level: int, chunk_size: int) -> None:
    """Raise ValueError for a level or a chunk size that no archive has."""
    if level not in LEVELS or not SMALLEST_CHUNK <= chunk_size <= LARGEST_CHUNK:
        raise ValueError("zstd levels are 1 to 19, chunks 64 bytes to 16 MiB")


def pack_body(context: ArchiveContext, level: int, chunk_size: int, salt: bytes) -> bytes:
    """Return the part of the header to which the data key is bound before it is wrapped."""
    workspace, session = context.workspace.encode(), context.session.encode()
    return _BODY.pack(
        _MAGIC,
        _VERSION,
        level,
        chunk_size,
        salt,
        len(workspace),
        workspace,
        len(session),
        session,
        context.generation,
    )


def binding(body: bytes) -> dict[str, str]:
    """Return the context under which an archive's data key is wrapped."""
    return {"archive": hashlib.sha256(body).hexdigest()}


def decode_header(raw: bytes, name: str) -> Header:
    """Read 512 bytes; nothing in them is proven yet but that no accident changed them.

    `name` is for the errors' text. Raises ArchiveDamaged, ArchiveUnsupported.
    """
    if not raw.startswith(_MAGIC):
        raise damaged(name, "it does not begin like an archive")
    if len(raw) != HEADER_BYTES:
        raise damaged(name, "it ends within its header")
    if hashlib.sha256(raw[:_DIGEST_AT]).digest() != raw[_DIGEST_AT:]:
        raise damaged(name, "its header was changed")
    _, version, level, chunk_size, salt, *names, generation = _BODY.unpack_from(raw)
    if version != _VERSION:
        raise ArchiveUnsupported(
            f"The archive {name} has format {version}, this wafleet reads {_VERSION}; update it."
        )
    kid_length, kid, fingerprint, nonce, wrapped = _WRAP.unpack_from(raw, _BODY.size)
    try:
        workspace, session = names[1][: names[0]].decode(), names[3][: names[2]].decode()
        key_id = kid[:kid_length].decode()
        header = Header(
            ArchiveContext(workspace, session, generation),
            level,
            chunk_size,
            salt,
            Sealed(key_id, fingerprint, nonce, wrapped),
        )
    except ValueError:  # out of range, or not UTF-8
        raise damaged(name, "its header makes no sense") from None
    if not KID.fullmatch(key_id) or header.encode() != raw:
        raise damaged(name, "its header makes no sense")
    return header


def damaged(name: str, what: str) -> ArchiveDamaged:
    """Make the error that says what is wrong with an archive and what to do."""
    return ArchiveDamaged(
        f"The archive {name} is damaged: {what}. Restore an earlier generation, and look at the "
        "disk that held this one."
    )
