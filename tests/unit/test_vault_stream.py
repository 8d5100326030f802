"""Chunks open at their own place only; a stream without its end never passes for a whole one."""

from __future__ import annotations

import io
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.vault.errors import ArchiveDamaged
from storage.vault.stream import ChunkCipher, decrypt, encrypt

pytestmark = pytest.mark.unit

CHUNK = 64
STORED = CHUNK + 16
CIPHER = ChunkCipher(b"k" * 32, b"s" * 32, b"body")
SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK - 1, 2 * CHUNK, 2 * CHUNK + 1, 5 * CHUNK + 3]


def content(size: int) -> bytes:
    return bytes(n * 7 % 251 for n in range(size))


def sealed(plaintext: bytes, cipher: ChunkCipher = CIPHER) -> bytes:
    return b"".join(encrypt([plaintext], cipher, CHUNK))


def opened(stored: bytes, cipher: ChunkCipher = CIPHER) -> bytes:
    return b"".join(decrypt(io.BytesIO(stored), cipher, CHUNK, "a"))


@pytest.mark.parametrize("size", SIZES)
def test_every_size_around_the_borders(size: int) -> None:
    chunks = list(encrypt([content(size)], CIPHER, CHUNK))
    assert len(chunks) == max(1, -(-size // CHUNK))
    assert sum(map(len, chunks)) == size + 16 * len(chunks)
    assert opened(b"".join(chunks)) == content(size)


@given(st.lists(st.binary(max_size=3 * CHUNK), max_size=8))
def test_how_the_input_is_cut_does_not_matter(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    assert b"".join(encrypt(pieces, CIPHER, CHUNK)) == sealed(whole)
    assert opened(sealed(whole)) == whole


@pytest.mark.parametrize("size", SIZES)
def test_every_cut_is_noticed(size: int) -> None:
    stored = sealed(content(size))
    for end in range(len(stored)):
        with pytest.raises(ArchiveDamaged):
            opened(stored[:end])


@pytest.mark.parametrize("size", SIZES)
def test_every_change_of_one_byte_is_noticed(size: int) -> None:
    stored = sealed(content(size))
    for position in range(len(stored)):
        changed = bytearray(stored)
        changed[position] ^= 1
        with pytest.raises(ArchiveDamaged):
            opened(bytes(changed))


@pytest.mark.parametrize("size", SIZES)
def test_what_is_appended_is_noticed(size: int) -> None:
    stored = sealed(content(size))
    for more in (b"\0", b"x" * STORED, stored, stored[-STORED:]):
        with pytest.raises(ArchiveDamaged):
            opened(stored + more)


def test_chunks_in_another_order_repeated_or_missing_are_noticed() -> None:
    chunks = list(encrypt([content(4 * CHUNK)], CIPHER, CHUNK))
    for count in range(1, 5):
        for order in permutations(range(4), count):
            if order != (0, 1, 2, 3):
                with pytest.raises(ArchiveDamaged):
                    opened(b"".join(chunks[n] for n in order))
    with pytest.raises(ArchiveDamaged):
        opened(b"".join([chunks[0], *chunks]))


@pytest.mark.parametrize(
    "other",
    [
        ChunkCipher(b"K" * 32, b"s" * 32, b"body"),
        ChunkCipher(b"k" * 32, b"S" * 32, b"body"),
        ChunkCipher(b"k" * 32, b"s" * 32, b"Body"),
    ],
)
def test_key_salt_and_header_all_count(other: ChunkCipher) -> None:
    with pytest.raises(ArchiveDamaged):
        opened(sealed(content(10)), other)


def test_nothing_of_a_changed_chunk_comes_out() -> None:
    stored = bytearray(sealed(content(3 * CHUNK)))
    stored[STORED + CHUNK // 2] ^= 1
    chunks = decrypt(io.BytesIO(bytes(stored)), CIPHER, CHUNK, "a")
    assert next(chunks) == content(CHUNK)
    with pytest.raises(ArchiveDamaged, match="chunk 1"):
        next(chunks)
