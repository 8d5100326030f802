"""The keyring as a file: read only if private, made and extended atomically. Everything blocks."""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from storage.vault.errors import KeyringUnusable
from storage.vault.files import open_regular, partial_file, sync_directory
from storage.vault.keyring import Keyring, new_entry

if TYPE_CHECKING:
    from collections.abc import Iterator

_LARGEST: Final = 64 * 1024
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_EXPLAINED: Final = """\
# wafleet's keys, one a line, the last is the current one. Keep a copy somewhere safe: without
# these keys nothing that was sealed with them can be opened again.
"""


def load_keyring(path: Path) -> Keyring:
    """Read a key file. Its mode must be 0600 or 0400 and its owner this user or root.

    Links are followed (mounted secrets are links); what they lead to is judged. Raises
    KeyringUnusable.
    """
    with _told(path):
        return Keyring.parse(_read_private(path))


def generate_keyring(path: Path) -> Keyring:
    """Make a key file of mode 0600 with one new key; never touch one that is there already.

    Raises KeyringUnusable.
    """
    text = f"{_EXPLAINED}{new_entry()}\n"
    with _told(path), partial_file(path) as partial:
        _write(partial, text)
        os.link(partial, path)  # unlike a rename, it refuses to replace
        sync_directory(path.parent)
    return load_keyring(path)


def rotate_keyring(path: Path) -> Keyring:
    """Append a new current key to the file; all older keys stay for opening.

    The file is replaced in one step. Two rotations at once wait for each other: none loses a key.
    Running processes keep what they loaded. Raises KeyringUnusable.
    """
    with _told(path):
        path = Path(os.path.realpath(path, strict=True))
        with _directory_locked(path.parent):
            text = _read_private(path)
            Keyring.parse(text)
            with partial_file(path) as partial:
                _write(partial, f"{text.rstrip()}\n{new_entry()}\n")
                partial.replace(path)
            sync_directory(path.parent)
    return load_keyring(path)


def _read_private(path: Path) -> str:
    fd, found = open_regular(path, follow_links=True)
    with os.fdopen(fd, "rb") as file:
        if found.st_mode & _OTHERS:
            raise KeyringUnusable(
                f"Others may use the key file {path} (mode {stat.S_IMODE(found.st_mode):04o}); "
                "set its mode to 0600, and think about new keys."
            )
        if found.st_uid not in {os.geteuid(), 0}:
            raise KeyringUnusable(f"The key file {path} belongs to another user; change its owner.")
        raw = file.read(_LARGEST + 1)
    if len(raw) > _LARGEST:
        raise KeyringUnusable(f"{path} is too large for a key file; give the right path.")
    try:
        return raw.decode("ascii")
    except UnicodeDecodeError:
        raise KeyringUnusable(f"{path} is not a key file; give the right path.") from None


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _directory_locked(directory: Path) -> Iterator[None]:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        raise KeyringUnusable(
            f"The key file {path} exists already; rotate it, or choose another path."
        ) from error
    except FileNotFoundError as error:
        raise KeyringUnusable(
            f"There is no key file {path}; generate one, or give the path of its backup."
        ) from error
    except OSError as error:
        raise KeyringUnusable(
            f"The key file {path} can't be used ({error.strerror}); check it and its directory."
        ) from error
