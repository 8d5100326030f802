"""What the doctor finds in sealed files: archives and media, each beside its pointer."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from storage.media_files import media_context
from storage.vault import ArchiveContext, inspect_archive, open_archive
from storage.vault.errors import VaultError
from storage.vault.files import open_regular
from supervisor.admin.doctor_judge import Finding, Verdict, size_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from storage.sqlite.inspection import FilePointer, Inspection
    from storage.vault import Keyring

_PIECE: Final = 256 * 1024
_NAMED: Final = 5
"""How many bad ones are named; the rest are counted."""


@dataclass(frozen=True, slots=True)
class FileCheck:
    """How files are looked at: `deep` reads all of them; `keyring` None: they are not opened.

    `root` is the data directory.
    """

    root: Path
    keyring: Keyring | None
    deep: bool


class _Wrong(Exception):  # noqa: N818 - told as a finding, not as an error
    """What is wrong with a file, to be said after its name."""


def archives(look: Inspection, check: FileCheck) -> Iterator[Finding]:
    """Look at the file of every archive."""
    tally = Tally("archives", "archives")
    yield from _files(tally, look.archives(), look, check, _archive_context)


def media(look: Inspection, check: FileCheck) -> Iterator[Finding]:
    """Look at the file of everything that came with a message."""
    tally = Tally("media", "media files")
    yield from _files(tally, look.media(), look, check, _media_context)


def _archive_context(pointer: FilePointer) -> ArchiveContext | None:
    return ArchiveContext(pointer.workspace, pointer.owner or "?", pointer.generation)


def _media_context(pointer: FilePointer) -> ArchiveContext | None:
    if pointer.owner is None:  # its message is gone, and it goes with the next round of retention
        return None
    return media_context(pointer.workspace, pointer.owner, Path(pointer.path))


def _files(
    tally: Tally,
    pointers: Iterator[FilePointer],
    look: Inspection,
    check: FileCheck,
    context: Callable[[FilePointer], ArchiveContext | None],
) -> Iterator[Finding]:
    for pointer in pointers:
        tally.count += 1
        tally.bytes += pointer.bytes
        try:
            _look_at(pointer, check, context(pointer))
        except _Wrong as wrong:
            # A running node may have dropped or replaced it meanwhile: then there is nothing wrong.
            if look.still_there(pointer):
                tally.bad(pointer.path, str(wrong))
    how = "each is there with its size"
    if check.deep:
        how = "each has its hash" + (" and opens to its end" if check.keyring else "")
    yield from tally.findings(how)
    if check.deep and check.keyring is None and tally.count:
        text = "Not opened: the keys can't be used, see there."
        yield Finding(tally.check, Verdict.WARNING, text)


def _look_at(pointer: FilePointer, check: FileCheck, context: ArchiveContext | None) -> None:
    path = check.root / pointer.path
    if not path.resolve().is_relative_to(check.root.resolve()):
        raise _Wrong("its path leads out of the data directory; somebody changed the pointer")
    try:
        sha256 = _read(path, pointer.bytes, deep=check.deep)
        if check.deep and check.keyring is not None:
            _open(path, check.keyring, context)
    except FileNotFoundError:
        raise _Wrong("it is missing") from None
    except OSError as error:
        raise _Wrong(f"it can't be read ({error.strerror})") from None
    except VaultError as error:
        raise _Wrong(f"it does not open ({error.code})") from None
    if sha256 not in {None, pointer.sha256}:
        raise _Wrong(
            "it is not the file that was noted; if a rotation of keys was interrupted, run wafleet "
            "keys rotate --rewrap-only, else"
        )


def _read(path: Path, size: int, *, deep: bool) -> str | None:
    """Check the size, and return the hash if the file is read."""
    fd, found = open_regular(path)
    with os.fdopen(fd, "rb") as file:
        if found.st_size != size:
            raise _Wrong(f"it has {found.st_size} bytes instead of {size}")
        if not deep:
            return None
        digest = hashlib.sha256()
        while piece := file.read(_PIECE):
            digest.update(piece)
        return digest.hexdigest()


def _open(path: Path, keyring: Keyring, context: ArchiveContext | None) -> None:
    """Decrypt all of it; the tags are the proof, nothing is kept."""
    expected = context or inspect_archive(path, keyring)
    with open_archive(path, keyring, expected) as stream:
        while stream.read(_PIECE):
            pass


class Tally:
    """Counts `what`, and names the first bad ones."""

    def __init__(self, check: str, what: str) -> None:
        self.check = check
        self.count = self.bytes = 0
        self._what = what
        self._bad: list[Finding] = []
        self._more = 0

    def bad(self, which: str, what: str) -> None:
        if len(self._bad) == _NAMED:
            self._more += 1
            return
        text = f"{which}: {what.rstrip('.')}; put it back from a backup."
        self._bad.append(Finding(self.check, Verdict.BAD, text))

    def findings(self, how: str) -> Iterator[Finding]:
        """Tell of all; `how` says what each good one is."""
        yield from self._bad
        if self._more:
            text = f"And {self._more} more of {self.count}."
            yield Finding(self.check, Verdict.BAD, text)
        if not self._bad:
            size = f", {size_text(self.bytes)}" if self.bytes else ""
            text = f"{self.count} {self._what}{size}: {how}."
            text = text if self.count else f"There are no {self._what}."
            yield Finding(self.check, Verdict.OK, text)
