"""Whatever happens to an archive's bytes: it reads back exactly, or fails with a vault error."""

from __future__ import annotations

import random
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from storage.vault import (
    ArchiveContext,
    Keyring,
    inspect_archive,
    open_archive,
    rewrap_archive,
    write_archive,
)
from storage.vault.errors import ArchiveDamaged, VaultError
from storage.vault.header import HEADER_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration

RING = Keyring({"k1": b"1" * 32})
NEXT = Keyring({"k1": b"1" * 32, "k2": b"2" * 32})
CONTEXT = ArchiveContext("w1", "s1", 7)
CHUNK = 1024
STORED = CHUNK + 16
PLAIN = random.Random(1).randbytes(5 * CHUNK + 100)  # noqa: S311 - incompressible, not secret


@pytest.fixture(scope="module")
def archive() -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "a"
        assert write_archive([PLAIN], path, RING, CONTEXT, chunk_size=CHUNK).chunks == 6
        return path.read_bytes()


@contextmanager
def stored(raw: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "a"
        path.write_bytes(raw)
        yield path


def read(raw: bytes) -> bytes:
    with stored(raw) as path, open_archive(path, RING, CONTEXT) as opened:
        return opened.read()


def test_unchanged_it_reads_back(archive: bytes) -> None:
    assert read(archive) == PLAIN


def test_a_cut_at_every_border_is_noticed(archive: bytes) -> None:
    borders = [0, HEADER_BYTES, *range(HEADER_BYTES + STORED, len(archive), STORED)]
    for border in borders:
        for end in (border - 1, border, border + 1, border + 16):
            if 0 <= end < len(archive):
                with pytest.raises(ArchiveDamaged):
                    read(archive[:end])


@given(data=st.data())
def test_a_cut_anywhere_is_noticed(archive: bytes, data: st.DataObject) -> None:
    with pytest.raises(ArchiveDamaged):
        read(archive[: data.draw(st.integers(0, len(archive) - 1))])


@pytest.mark.parametrize("part", ["header", "first chunk", "a middle chunk", "last chunk"])
def test_a_changed_byte_is_noticed(archive: bytes, part: str) -> None:
    last = HEADER_BYTES + (len(archive) - HEADER_BYTES) // STORED * STORED
    positions = {
        "header": range(0, HEADER_BYTES, 5),
        "first chunk": range(HEADER_BYTES, HEADER_BYTES + STORED, 13),
        "a middle chunk": range(HEADER_BYTES + 2 * STORED, HEADER_BYTES + 3 * STORED, 41),
        "last chunk": range(last, len(archive)),
    }[part]
    for position in positions:
        changed = bytearray(archive)
        changed[position] ^= 1 << position % 8
        with pytest.raises(ArchiveDamaged):
            read(bytes(changed))


def test_swapped_repeated_and_missing_chunks_are_noticed(archive: bytes) -> None:
    head, body = archive[:HEADER_BYTES], archive[HEADER_BYTES:]
    chunks = [body[n : n + STORED] for n in range(0, len(body), STORED)]
    for first in range(len(chunks)):
        for second in range(first):
            swapped = list(chunks)
            swapped[first], swapped[second] = swapped[second], swapped[first]
            with pytest.raises(ArchiveDamaged):
                read(head + b"".join(swapped))
        for other in (chunks[:first] + chunks[first + 1 :], [*chunks, chunks[first]]):
            with pytest.raises(ArchiveDamaged):
                read(head + b"".join(other))


@given(more=st.binary(min_size=1, max_size=2 * STORED))
def test_what_is_appended_is_noticed(archive: bytes, more: bytes) -> None:
    with pytest.raises(ArchiveDamaged):
        read(archive + more)


def test_an_error_never_turns_into_an_end(archive: bytes) -> None:
    raw = archive[: HEADER_BYTES + 3 * STORED]
    with stored(raw) as path, open_archive(path, RING, CONTEXT) as opened:
        got = bytearray()
        pieces = iter(lambda: opened.read(100), b"")
        with pytest.raises(ArchiveDamaged):
            list(map(got.extend, pieces))
        assert PLAIN.startswith(got)
        for _ in range(30):
            with suppress(ArchiveDamaged):
                assert opened.read(100) != b""


@settings(max_examples=200)
@given(
    head=st.sampled_from([0, 8, 16, 100, HEADER_BYTES, HEADER_BYTES + STORED]),
    garbage=st.binary(max_size=3 * STORED),
)
@example(head=HEADER_BYTES, garbage=b"")
def test_garbage_raises_vault_errors_only(archive: bytes, head: int, garbage: bytes) -> None:
    raw = archive[:head] + garbage
    with pytest.raises(VaultError):
        read(raw)
    with stored(raw) as path:
        with pytest.raises(VaultError):
            rewrap_archive(path, NEXT)
        assert path.read_bytes() == raw
        if head < HEADER_BYTES:
            with pytest.raises(VaultError):
                inspect_archive(path, RING)
