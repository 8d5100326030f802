"""A profile as a tar stream and back. Blocks; memory stays flat.

The stream holds folders and plain files only, by relative paths, and nothing else is ever unpacked:
without links no path can lead out of the new directory.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, BinaryIO, Final, cast

from storage.vault.errors import ProfileDamaged, ProfileTooLarge, ProfileUnsafe
from storage.vault.files import partial_name, sync_directory, write_all
from storage.vault.profile_copy import CopyFacts, changed, kept_entries, open_listed, using

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST_PROFILE: Final = 4 * 1024**3
MOST_FILES: Final = 200_000
_PIECE: Final = 256 * 1024
_END: Final = bytes(2 * tarfile.BLOCKSIZE)
_OVERHEAD: Final = 16 * 1024
"""Bytes of the stream that one member may take beside its content: header and long names."""
_MALFORMED: Final = (
    tarfile.TarError,
    ArithmeticError,
    EOFError,
    LookupError,
    RecursionError,  # headers that each announce another one
    ValueError,
)
"""What the library raises for a stream that is none."""
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


def pack(profile: Path) -> Iterator[bytes]:
    """Yield the kept part of a stopped or copied profile as a tar stream.

    The same content gives the same stream: names are sorted, owners and times left out. Raises
    ProfileUnusable, ProfileChanged.
    """
    with using(profile):
        for entry in kept_entries(profile):
            if entry.is_directory:
                yield _member(entry.path, tarfile.DIRTYPE, 0o700, 0)
            else:
                yield from _packed_file(profile, entry.path)
        yield _END


def unpack(
    stream: BinaryIO,
    target: Path,
    *,
    max_bytes: int = LARGEST_PROFILE,
    max_files: int = MOST_FILES,
) -> CopyFacts:
    """Unpack a stream to `target`, which must be empty or not exist; durable when it returns.

    Everything goes to a directory beside `target` first. That one takes its name only after the
    stream has ended without an error, which for an archive means: after its last chunk was
    verified. Raises ProfileUnsafe, ProfileDamaged, ProfileTooLarge, ProfileUnusable, and what
    reading the stream raises.
    """
    with using(target), _new_directory(target) as partial:
        facts = _unpack_all(_Limited(stream, max_bytes, max_files), partial)
        for folder, _, _ in os.walk(partial):
            sync_directory(Path(folder))
        partial.rename(target)  # replaces an empty directory, and no other
        sync_directory(target.parent)
    return facts


class _Limited:
    """Counts what is read, and knows where zeros begin that last to the end."""

    def __init__(self, stream: BinaryIO, max_bytes: int, max_files: int) -> None:
        self._stream = stream
        self._most = max_bytes + max_files * _OVERHEAD
        self._position = 0
        self._content_end = 0
        self._bytes_left = max_bytes
        self._files_left = max_files

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        content = len(data.rstrip(b"\0"))
        if content:
            self._content_end = self._position + content
        self._position += len(data)
        if self._position > self._most:
            raise _too_large()
        return data

    def take(self, size: int) -> None:
        """Count a member. Raises ProfileTooLarge."""
        self._files_left -= 1
        self._bytes_left -= size
        if self._files_left < 0 or self._bytes_left < 0:
            raise _too_large()

    def finish(self, end: int) -> None:
        """Read to the very end; from `end` on there must be an end mark and no content.

        The library takes an unreadable header in the middle for the end. Raises ProfileDamaged.
        """
        while self.read(_PIECE):
            pass
        if self._content_end > end or self._position < end + len(_END):
            raise _damaged("it is cut short, or has no end mark")


def _packed_file(profile: Path, path: str) -> Iterator[bytes]:
    name = f"{profile}/{path}"
    fd, found = open_listed(name)
    try:
        left = found.st_size
        yield _member(path, tarfile.REGTYPE, 0o600, left)
        while left:
            piece = os.read(fd, min(_PIECE, left))
            if not piece:
                raise changed(name)
            left -= len(piece)
            yield piece
        after = os.fstat(fd)
        if (after.st_size, after.st_mtime_ns) != (found.st_size, found.st_mtime_ns):
            raise changed(name)
        yield bytes(-found.st_size % tarfile.BLOCKSIZE)
    finally:
        os.close(fd)


def _member(path: str, kind: bytes, mode: int, size: int) -> bytes:
    member = tarfile.TarInfo(path)
    member.type, member.mode, member.size = kind, mode, size
    return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _unpack_all(stream: _Limited, target: Path) -> CopyFacts:
    files, size = 0, 0
    try:
        with tarfile.open(fileobj=cast("BinaryIO", stream), mode="r|", errorlevel=2) as archive:
            for member in archive:
                path = _safe_path(member, target)
                stream.take(member.size)
                if member.isdir():
                    path.mkdir(mode=0o700, parents=True, exist_ok=True)
                else:
                    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    _write_file(archive.extractfile(member), path, member.size)
                    files += 1
                    size += member.size
            end = archive.offset
        stream.finish(end)
    except (FileExistsError, NotADirectoryError):
        raise _unsafe() from None  # one path twice, or a file used as a folder
    except _MALFORMED as error:
        raise _damaged(f"it is not a tar stream ({type(error).__name__})") from None
    return CopyFacts(files, size)


def _safe_path(member: tarfile.TarInfo, target: Path) -> Path:
    """Return where to put it. Only folders and files are ever made, so no link can lead elsewhere.

    tarfile's own filters, which say the same, are not in the Python of Debian 12 (3.11.2).
    """
    plain = member.isreg() and not member.issparse()
    path = PurePosixPath(member.name)
    inside = path.parts and not path.is_absolute() and ".." not in path.parts
    if not (plain or member.isdir()) or not inside or "\0" in member.name or member.size < 0:
        raise _unsafe()
    return target / path


def _write_file(content: IO[bytes] | None, path: Path, size: int) -> None:
    if content is None:
        raise _unsafe()
    fd = os.open(path, _CREATE, 0o600)
    try:
        left = size
        while left:
            piece = content.read(min(_PIECE, left))
            if not piece:
                raise _damaged("it is cut short")
            left -= len(piece)
            write_all(fd, piece)
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def _new_directory(target: Path) -> Iterator[Path]:
    if target.exists() and any(target.iterdir()):
        raise FileExistsError
    partial = partial_name(target)
    partial.mkdir(mode=0o700)
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)  # the first error is the one to tell
        raise


def _damaged(what: str) -> ProfileDamaged:
    return ProfileDamaged(f"A packed profile is damaged: {what}. Restore an earlier generation.")


def _unsafe() -> ProfileUnsafe:
    return ProfileUnsafe(
        "A packed profile holds something else than folders and plain files inside it; it was not "
        "unpacked. Find out who made it."
    )


def _too_large() -> ProfileTooLarge:
    return ProfileTooLarge(
        "A packed profile is larger than allowed; it was not unpacked. Raise the limit if it is "
        "a profile that you trust."
    )
