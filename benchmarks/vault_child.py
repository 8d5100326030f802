"""The process in which `archives` measures the vault: `python -m benchmarks.vault_child DIR RUNS`.

Prints JSON: seconds of `ours` and `bare` by pairs, of `whole` archives, and bytes `grown`.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from storage.vault import ArchiveContext, Keyring, open_archive, write_archive
from storage.vault.archive import CHUNK_BYTES
from storage.vault.stream import ChunkCipher, decrypt, encrypt

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE: Final = 100_000_000
PIECE: Final = 256 * 1024
BLOCK: Final = 16 * 1024 * 1024
STATUS: Final = Path("/proc/self/status")
PEAK_AGAIN: Final = "5"
"""Written to clear_refs, it makes the kernel count the peak of resident memory anew."""


class _Chunks:
    """Gives the sealed chunks back as the reading side wants them, without a copy."""

    def __init__(self, chunks: list[bytes]) -> None:
        self._chunks = iter(chunks)

    def read(self, _: int) -> bytes:
        return next(self._chunks, b"")


def main(directory: Path, runs: int) -> None:
    """Measure and print."""
    whole, grown = [], []
    block = os.urandom(BLOCK)
    for _ in range(runs):  # first: what the other measurement leaves behind is not to count
        seconds, growth = _whole(directory, block)
        whole.append(seconds)
        grown.append(growth)
    data = os.urandom(SIZE)
    pairs = [(_ours(data), _bare(data)) for _ in range(runs + 1)][1:]
    ours, bare = zip(*pairs, strict=True)
    print(json.dumps({"ours": ours, "bare": bare, "whole": whole, "grown": grown}))


def _ours(data: bytes) -> float:
    cipher = ChunkCipher(b"k" * 32, b"s" * 32, b"header")
    begun = time.perf_counter()
    chunks = list(encrypt(_pieces(data), cipher, CHUNK_BYTES))
    opened = decrypt(cast("BinaryIO", _Chunks(chunks)), cipher, CHUNK_BYTES, "bench")
    size = sum(map(len, opened))
    seconds = time.perf_counter() - begun
    assert size == SIZE
    return seconds


def _bare(data: bytes) -> float:
    cipher, view, size = AESGCM(b"k" * 32), memoryview(data), 0
    begun = time.perf_counter()
    chunks = [
        cipher.encrypt(at.to_bytes(12, "big"), view[at : at + CHUNK_BYTES], None)
        for at in range(0, SIZE, CHUNK_BYTES)
    ]
    for number, chunk in enumerate(chunks):
        size += len(cipher.decrypt((number * CHUNK_BYTES).to_bytes(12, "big"), chunk, None))
    seconds = time.perf_counter() - begun
    assert size == SIZE
    return seconds


def _whole(directory: Path, block: bytes) -> tuple[float, int]:
    """Write and read one archive; return the seconds, and by how many bytes memory grew."""
    ring, context = Keyring({"k1": b"1" * 32}), ArchiveContext("workspace", "session", 1)
    gc.collect()
    Path("/proc/self/clear_refs").write_text(PEAK_AGAIN)
    before = _memory("VmRSS")
    begun = time.perf_counter()
    write_archive(_repeated(block), directory / "archive", ring, context)
    size = 0
    with open_archive(directory / "archive", ring, context) as stream:
        while piece := stream.read(PIECE):
            size += len(piece)
    seconds = time.perf_counter() - begun
    assert size == SIZE
    return seconds, _memory("VmHWM") - before


def _repeated(block: bytes) -> Iterator[bytes]:
    """Yield 100 MB, a block over and over; it is too large for the compressor to notice."""
    left = SIZE
    while left:
        for piece in _pieces(block):
            yield piece[:left]
            left -= len(piece[:left])


def _pieces(data: bytes) -> Iterator[bytes]:
    for at in range(0, len(data), PIECE):
        yield data[at : at + PIECE]


def _memory(name: str) -> int:
    for line in STATUS.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"the kernel does not tell {name}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
