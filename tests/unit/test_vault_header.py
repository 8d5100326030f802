"""The 512 bytes before an archive: one spelling, no change unnoticed."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.vault import ArchiveContext
from storage.vault.errors import ArchiveDamaged, ArchiveUnsupported, VaultError
from storage.vault.header import HEADER_BYTES, Header, decode_header
from storage.vault.sealed import Sealed

pytestmark = pytest.mark.unit

HEADERS = st.builds(
    Header,
    context=st.builds(
        ArchiveContext,
        workspace=st.text(st.characters(codec="utf-8"), min_size=1, max_size=16),
        session=st.text(st.characters(codec="utf-8"), min_size=1, max_size=16),
        generation=st.integers(0, 2**64 - 1),
    ),
    level=st.integers(1, 19),
    chunk_size=st.integers(64, 2**24),
    salt=st.binary(min_size=32, max_size=32),
    wrapped=st.builds(
        Sealed,
        kid=st.from_regex(r"[a-z0-9][a-z0-9_-]{0,31}", fullmatch=True),
        fingerprint=st.binary(min_size=8, max_size=8),
        nonce=st.binary(min_size=12, max_size=12),
        ciphertext=st.binary(min_size=48, max_size=48),
    ),
)
HEADER = Header(
    ArchiveContext("w1", "s1", 7), 3, 2**20, b"s" * 32, Sealed("k1", b"f" * 8, b"n" * 12, b"c" * 48)
)


def sealed_anew(raw: bytes) -> bytes:
    """Correct the checksum, as somebody would who forges a header."""
    return raw[:480] + hashlib.sha256(raw[:480]).digest()


@given(HEADERS)
def test_round_trip(header: Header) -> None:
    raw = header.encode()
    assert len(raw) == HEADER_BYTES
    assert decode_header(raw, "a") == header


def test_every_change_of_one_byte_is_noticed() -> None:
    raw = HEADER.encode()
    for position in range(len(raw)):
        for bit in range(8):
            changed = bytearray(raw)
            changed[position] ^= 1 << bit
            with pytest.raises(ArchiveDamaged):
                decode_header(bytes(changed), "a")


def test_every_cut_is_noticed() -> None:
    raw = HEADER.encode()
    for end in range(len(raw)):
        with pytest.raises(ArchiveDamaged):
            decode_header(raw[:end], "a")


def test_a_forged_header_is_read_in_one_spelling_or_refused() -> None:
    raw = HEADER.encode()
    for position in range(480):
        for value in (0, 1, 0x7F, 0x80, 0xFF):
            forged = bytearray(raw)
            forged[position] = value
            anew = sealed_anew(bytes(forged))
            try:
                assert decode_header(anew, "a").encode() == anew
            except VaultError:
                continue


def test_a_newer_format_is_not_called_damaged() -> None:
    raw = bytearray(HEADER.encode())
    raw[9] = 2
    with pytest.raises(ArchiveUnsupported, match="update"):
        decode_header(sealed_anew(bytes(raw)), "a")


@given(st.binary(max_size=600) | st.binary(min_size=504, max_size=504).map(b"wafarchv".__add__))
def test_garbage_is_damaged(raw: bytes) -> None:
    with pytest.raises(VaultError):
        decode_header(raw, "a")
    if len(raw) == HEADER_BYTES:
        with pytest.raises(VaultError):
            decode_header(sealed_anew(raw), "a")


@pytest.mark.parametrize(
    ("workspace", "session", "generation"),
    [("", "s", 1), ("w", "", 1), ("w" * 65, "s", 1), ("ä" * 33, "s", 1), ("w", "s", -1)],
)
def test_a_context_that_does_not_fit_is_refused(
    workspace: str, session: str, generation: int
) -> None:
    with pytest.raises(ValueError, match=r"bytes|number"):
        ArchiveContext(workspace, session, generation)
