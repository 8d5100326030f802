"""Chunked encryption in the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár 2015).

AES-256-GCM over chunks of one size; the nonce is the chunk's number (11 bytes) and a flag that only
the last chunk carries, the additional data a hash of the header's body. So a chunk opens only at
its own place, in its own archive, and a stream without its end never passes for a whole one. The
key is used for one archive only, which makes counted nonces safe.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, BinaryIO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from storage.vault.header import damaged
from storage.vault.sealed import KEY_BYTES, TAG_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_PURPOSE: Final = b"wafleet archive v1 payload"
_COUNTER_BYTES: Final = 11


class ChunkCipher:
    """Seals and opens the chunks of one archive."""

    def __init__(self, data_key: bytes, salt: bytes, body: bytes) -> None:
        self._cipher = AESGCM(HKDF(SHA256(), KEY_BYTES, salt, _PURPOSE).derive(data_key))
        self._bound = hashlib.sha256(body).digest()

    def seal(self, index: int, plaintext: bytes | memoryview, *, last: bool) -> bytes:
        return self._cipher.encrypt(_nonce(index, last=last), plaintext, self._bound)

    def open(self, index: int, ciphertext: bytes, *, last: bool) -> bytes:
        """Return the chunk's plaintext. Raises InvalidTag."""
        return self._cipher.decrypt(_nonce(index, last=last), ciphertext, self._bound)


def encrypt(pieces: Iterable[bytes], cipher: ChunkCipher, chunk_size: int) -> Iterator[bytes]:
    """Yield sealed chunks of `chunk_size` + 16 bytes, the last one shorter or equal.

    There is always a last chunk; only that of an empty input is empty.
    """
    index, held = 0, bytearray()
    for piece in pieces:
        held += piece
        # A full chunk waits for one more byte: only then is it known not to be the last.
        while len(held) > chunk_size:
            with memoryview(held) as view, view[:chunk_size] as chunk:
                sealed = cipher.seal(index, chunk, last=False)
            del held[:chunk_size]
            yield sealed
            index += 1
    yield cipher.seal(index, bytes(held), last=True)


def decrypt(source: BinaryIO, cipher: ChunkCipher, chunk_size: int, name: str) -> Iterator[bytes]:
    """Yield the plaintext of each chunk after its tag was verified, to the end of `source`.

    `source.read(n)` must return n bytes unless the input ends. What was yielded is whole only when
    the iterator ends without an error. Raises ArchiveDamaged.
    """
    stored = chunk_size + TAG_BYTES
    index, chunk = 0, source.read(stored)
    while True:
        following = source.read(stored)
        last = not following
        try:
            plaintext = cipher.open(index, chunk, last=last)
        except InvalidTag:
            what = "changed or not the last one" if last else "changed"
            raise damaged(name, f"its chunk {index} was {what}") from None
        yield plaintext
        if last:
            return
        index, chunk = index + 1, following


def _nonce(index: int, *, last: bool) -> bytes:
    return index.to_bytes(_COUNTER_BYTES, "big") + bytes([last])
