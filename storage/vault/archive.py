"""A session's archive: header, then the zstd-compressed payload in authenticated chunks.

A file under an archive's name is always a whole, verified archive: it is written under another name
(see files.py), read back completely, and only then renamed. Everything here blocks; memory stays
flat whatever the size.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import zstandard

from storage.vault.archive_reader import (
    OpenedArchive,
    open_archive,
    payload_chunks,
    reading,
    unlock,
)
from storage.vault.errors import ArchiveDamaged, ArchiveUnwritable
from storage.vault.files import partial_file, sync_directory, write_all
from storage.vault.header import (
    HEADER_BYTES,
    SALT_BYTES,
    ArchiveContext,
    Header,
    binding,
    check_shape,
    pack_body,
)
from storage.vault.sealed import KEY_BYTES
from storage.vault.stream import ChunkCipher, encrypt

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from storage.vault.keyring import Keyring

CHUNK_BYTES: Final = 1024 * 1024
ZSTD_LEVEL: Final = 3
_PIECE: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class ArchiveFacts:
    """What was written: SHA-256 of the whole file as hex, bytes before and after, chunks."""

    sha256: str
    bytes_plain: int
    bytes_stored: int
    chunks: int


@dataclass(frozen=True, slots=True)
class RewrapFacts:
    """Which key the archive has now, the file's new SHA-256 as hex, and whether it changed."""

    kid: str
    sha256: str
    changed: bool


def write_archive(
    source: BinaryIO | Iterable[bytes],
    target: Path,
    keyring: Keyring,
    context: ArchiveContext,
    *,
    level: int = ZSTD_LEVEL,
    chunk_size: int = CHUNK_BYTES,
) -> ArchiveFacts:
    """Compress, encrypt and verify `source`, then put it at `target` in one durable step.

    An archive that was there stays until the new one is verified, whatever happens. Errors of the
    source come out as they are. Raises ArchiveUnwritable, ArchiveDamaged (the disk returned
    something else than was written), ValueError for a level or chunk size out of range.
    """
    check_shape(level, chunk_size)
    data_key, salt = os.urandom(KEY_BYTES), os.urandom(SALT_BYTES)
    body = pack_body(context, level, chunk_size, salt)
    header = Header(context, level, chunk_size, salt, keyring.wrap(data_key, binding(body)))
    tally = _Tally()
    compressed = _compressed(tally.counted(_pieces(source)), level)
    chunks = encrypt(compressed, ChunkCipher(data_key, salt, body), chunk_size)
    with _partial(target) as partial:
        sha256, stored, count = _store(partial, header, chunks)
        with open_archive(partial, keyring, context) as written:
            verified = _digest(_pieces(written)) == tally.digest()
        if not verified:
            raise ArchiveDamaged(
                f"What was written for {target.name} reads back differently; check the disk."
            )
        _put(partial, target)
    return ArchiveFacts(sha256, tally.bytes, stored, count)


def rewrap_archive(path: Path, keyring: Keyring) -> RewrapFacts:
    """Move an archive to the current key: a new header, the same payload.

    The header is not changed in place: a write that tears there would lose the only copy of the
    data key. The payload is copied behind a new header, verified, and renamed over the old file.
    Raises what opening raises, and ArchiveUnwritable.
    """
    archive = unlock(path, keyring)
    with archive.file:
        wrapped = archive.header.wrapped
        if keyring.is_current(wrapped):
            return RewrapFacts(wrapped.kid, _digest(_stored(archive, 0)).hex(), changed=False)
        anew = keyring.wrap(archive.data_key, binding(archive.header.body()))
        header = replace(archive.header, wrapped=anew)
        with _partial(path) as partial:
            sha256, _, _ = _store(partial, header, _stored(archive, HEADER_BYTES))
            _verify_chunks(partial, keyring)
            _put(partial, path)
    return RewrapFacts(keyring.current, sha256, changed=True)


class _Tally:
    """Counts and hashes the plaintext on its way to the compressor."""

    def __init__(self) -> None:
        self.bytes = 0
        self._hash = hashlib.sha256()

    def counted(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self.bytes += len(piece)
            self._hash.update(piece)
            yield piece

    def digest(self) -> bytes:
        return self._hash.digest()


def _pieces(source: BinaryIO | Iterable[bytes]) -> Iterable[bytes]:
    read: Any = getattr(source, "read", None)
    return source if read is None else iter(lambda: read(_PIECE), b"")


def _compressed(pieces: Iterable[bytes], level: int) -> Iterator[bytes]:
    compressor = zstandard.ZstdCompressor(level=level, write_checksum=True).compressobj()
    for piece in pieces:
        yield compressor.compress(piece)
    yield compressor.flush()


def _store(partial: Path, header: Header, chunks: Iterable[bytes]) -> tuple[str, int, int]:
    """Write and sync; return the file's SHA-256, its size and how many chunks there were."""
    digest, size, count = hashlib.sha256(), 0, -1
    with partial.open("wb", buffering=0) as file:
        for part in _after(header.encode(), chunks):
            digest.update(part)
            size += len(part)
            count += 1
            with _told(partial):
                write_all(file.fileno(), part)
        with _told(partial):
            os.fsync(file.fileno())
    return digest.hexdigest(), size, count


def _after(first: bytes, rest: Iterable[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _digest(pieces: Iterable[bytes]) -> bytes:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.digest()


def _stored(archive: OpenedArchive, start: int) -> Iterator[bytes]:
    with reading(archive.name):
        archive.file.seek(start)
        yield from _pieces(archive.file)


@contextmanager
def _partial(target: Path) -> Iterator[Path]:
    with ExitStack() as stack:
        with _told(target):
            path = stack.enter_context(partial_file(target))
        yield path


def _verify_chunks(path: Path, keyring: Keyring) -> None:
    archive = unlock(path, keyring)
    with archive.file:
        for _ in payload_chunks(archive):
            pass  # the tags are the proof; nothing is kept


def _put(partial: Path, target: Path) -> None:
    with _told(target):
        partial.replace(target)
        sync_directory(target.parent)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ArchiveUnwritable(
            f"The archive {path.name} can't be written ({error.strerror}); nothing was replaced. "
            "Check the space and the rights of its directory, then try again."
        ) from error
