"""Reading archives: nothing of a chunk comes out before its tag was verified. Everything blocks."""

from __future__ import annotations

import io
import os
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

import zstandard

from storage.vault.errors import (
    ArchiveAhead,
    ArchiveForeign,
    ArchiveTooOld,
    ArchiveUnreadable,
    SecretDamaged,
    VaultError,
)
from storage.vault.files import open_regular
from storage.vault.header import (
    HEADER_BYTES,
    ArchiveContext,
    Header,
    binding,
    damaged,
    decode_header,
)
from storage.vault.stream import ChunkCipher, decrypt

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from storage.vault.keyring import Keyring

_LARGEST_WINDOW: Final = 8 * 1024 * 1024
_BUFFER: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class OpenedArchive:
    """An archive whose header is proven: the data key fits it. `file` stands behind the header."""

    file: BinaryIO
    name: str
    header: Header
    data_key: bytes = field(repr=False)


def open_archive(path: Path, keyring: Keyring, context: ArchiveContext) -> BinaryIO:
    """Return the plaintext as a stream to read once and to close.

    Raises, here or while reading: ArchiveUnreadable, ArchiveDamaged, ArchiveUnsupported,
    ArchiveForeign, ArchiveTooOld, ArchiveAhead, KeyMissing, KeyWrong. What was read is the whole
    archive only when a read returned b"": use nothing of it before.
    """
    archive = unlock(path, keyring)
    try:
        _check_context(archive.header.context, context, archive.name)
        return io.BufferedReader(_PlaintextReader(archive), _BUFFER)
    except BaseException:
        archive.file.close()
        raise


def inspect_archive(path: Path, keyring: Keyring) -> ArchiveContext:
    """Return what an archive says it belongs to; its header is proven, its payload is not.

    Raises what `open_archive` raises at once, but for the context.
    """
    archive = unlock(path, keyring)
    archive.file.close()
    return archive.header.context


def unlock(path: Path, keyring: Keyring) -> OpenedArchive:
    """Open the file and its data key; the caller closes `file`.

    Raises ArchiveUnreadable, ArchiveDamaged, ArchiveUnsupported, KeyMissing, KeyWrong.
    """
    file = _open_file(path)
    try:
        with reading(path.name):
            raw = file.read(HEADER_BYTES)
        header = decode_header(raw, path.name)
        try:
            data_key = keyring.unwrap(header.wrapped, binding(header.body()))
        except SecretDamaged:
            raise damaged(path.name, "its header was forged") from None
        return OpenedArchive(file, path.name, header, data_key)
    except BaseException:
        file.close()
        raise


def payload_chunks(archive: OpenedArchive) -> Iterator[bytes]:
    """Yield the compressed payload, chunk by verified chunk.

    Raises ArchiveDamaged, ArchiveUnreadable.
    """
    header = archive.header
    cipher = ChunkCipher(archive.data_key, header.salt, header.body())
    with reading(archive.name):
        yield from decrypt(archive.file, cipher, header.chunk_size, archive.name)


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Let failures of the system out of the block as ArchiveUnreadable."""
    try:
        yield
    except OSError as error:
        raise ArchiveUnreadable(
            f"The archive {name} can't be read ({error.strerror}); check the file and its disk."
        ) from error


class _PlaintextReader(io.RawIOBase):
    """The decompressed payload; owns the archive's file.

    An error stays: every later read repeats it, so that none can pass for the end.
    """

    def __init__(self, archive: OpenedArchive) -> None:
        self._archive = archive
        self._chunks = payload_chunks(archive)
        self._failure: VaultError | None = None
        # A stream, not whole chunks: a chunk of compressed zeros may be gigabytes of plaintext.
        self._zstd = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW).stream_reader(
            cast("Any", _ChunkSource(self._chunks)),
            read_size=archive.header.chunk_size,
            closefd=False,
        )

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        if self._failure is not None:
            raise self._failure
        try:
            return self._fill(buffer)
        except VaultError as failure:
            self._failure = failure
            raise

    def close(self) -> None:
        if not self.closed:
            self._archive.file.close()
        super().close()

    def _fill(self, buffer: Any) -> int:
        try:
            count = self._zstd.readinto(buffer)
        except zstandard.ZstdError:
            raise damaged(self._archive.name, "its payload can't be decompressed") from None
        # The compressed data may end before the chunks do: its end proves nothing, theirs does.
        if count == 0 and len(buffer) and next(self._chunks, None) is not None:
            raise damaged(self._archive.name, "something follows its payload")
        return count


class _ChunkSource:
    """Lets the decompressor read chunk by chunk."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    def read(self, _: int = -1) -> bytes:
        return next(self._chunks, b"")


def _check_context(found: ArchiveContext, expected: ArchiveContext, name: str) -> None:
    if (found.workspace, found.session) != (expected.workspace, expected.session):
        raise ArchiveForeign(
            f"The archive {name} belongs to another workspace or session; it was not used. "
            "Put the right file in its place."
        )
    wanted, has = expected.generation, found.generation
    if has < wanted:
        raise ArchiveTooOld(
            f"The archive {name} is of generation {has}, expected is {wanted}; it was not used. "
            "Find the newer file, or choose the older generation explicitly."
        )
    if has > wanted:
        raise ArchiveAhead(
            f"The archive {name} is of generation {has}, expected is {wanted}: the database is "
            "older than the file. Restore the newer database, or choose the generation explicitly."
        )


def _open_file(path: Path) -> BinaryIO:
    with reading(path.name):
        fd, _ = open_regular(path)
        return os.fdopen(fd, "rb")
