"""The keyring at start: found, made on the very first run, and proved to be the right one.

What the data directory holds was sealed with these keys: starting with others would not fail now
but on the day when an archive is needed. So a check value is kept with the data and opened first.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Final

from storage import archive_files, media_files
from storage.vault import Keyring, generate_keyring, load_keyring
from storage.vault.errors import KeyringUnusable, SecretDamaged, VaultError
from storage.vault.files import partial_file, sync_directory
from supervisor.errors import KekUnusable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from config.settings import Settings
    from supervisor.datadir import DataDir

KEK: Final = "kek"
CHECK: Final = "check"
_LOST: Final = (
    "but this data directory holds data that was encrypted: put the file back from its backup, or "
    "set WAFLEET_KEK or WAFLEET_KEK_FILE."
)
_NO_SEAL: Final = (
    "and a backup can't be sealed without one: put it back, or set WAFLEET_KEK or "
    "WAFLEET_KEK_FILE; for a node that never ran, its first start makes it."
)
_NOT_GIVEN: Final = (
    "and a backup can't be opened without the keys that it was sealed with: put the copy that you "
    "keep of them there (mode 0600), or set WAFLEET_KEK or WAFLEET_KEK_FILE."
)


def open_keyring(settings: Settings, data: DataDir) -> Keyring:
    """Return the node's keys: from `kek`, else `kek_file`, else the data directory. Blocks.

    Only where nothing was ever sealed is a missing key file made (mode 0600). The data directory
    must be owned. Raises KekUnusable.
    """
    with _told(data):
        data.keys.mkdir(mode=0o700, exist_ok=True)
        keyring = read_keyring(settings, data) or generate_keyring(_key_file(settings, data))
        if not proven(keyring, data):
            write_check(data, keyring)
    return keyring


def node_keyring(settings: Settings, data: DataDir) -> Keyring:
    """Return the keys of a node that has run before; nothing is made. Blocks.

    For what works beside a running node. Raises KekUnusable.
    """
    with _told(data):
        keyring = _loaded(settings, data, _NO_SEAL)
        proven(keyring, data)
    return keyring


def given_keyring(settings: Settings, data: DataDir) -> Keyring:
    """Return the keys that the operator gave, whatever the directory was sealed with before.

    Nothing is made, not even the directory. Blocks. Raises KekUnusable.
    """
    with _told(data):
        return _loaded(settings, data, _NOT_GIVEN)


def read_keyring(settings: Settings, data: DataDir) -> Keyring | None:
    """Return the keys that are there; None if there are none and nothing was ever sealed.

    Changes nothing. Raises KeyringUnusable, also for keys that are gone.
    """
    given = settings.kek is not None or _key_file(settings, data).exists()
    if not given and not (data.keys / CHECK).exists() and not _sealed(data):
        return None
    return _loaded(settings, data, _LOST)


def proven(keyring: Keyring, data: DataDir) -> bool:
    """Tell whether the check value proves these keys; False if there is no check value (yet).

    Changes nothing. Raises KeyMissing, KeyWrong, SecretDamaged.
    """
    check = data.keys / CHECK
    try:
        keyring.verify(check.read_text("ascii").strip())
    except FileNotFoundError:
        return False
    except UnicodeDecodeError:
        raise SecretDamaged(f"The key check {check} is damaged; restore it.") from None
    return True


def write_check(data: DataDir, keyring: Keyring) -> None:
    """Note which keys are the right ones from now on. Raises OSError."""
    data.keys.mkdir(mode=0o700, exist_ok=True)
    _write(data.keys / CHECK, keyring.seal_check())


@contextmanager
def _told(data: DataDir) -> Iterator[None]:
    try:
        yield
    except VaultError as error:
        raise KekUnusable(f"{error} [{error.code}]") from error
    except OSError as error:
        raise KekUnusable(
            f"The directory {data.keys} can't be used ({error.strerror}): check its rights."
        ) from error


def _key_file(settings: Settings, data: DataDir) -> Path:
    return settings.kek_file or data.keys / KEK


def _loaded(settings: Settings, data: DataDir, without: str) -> Keyring:
    """Return the configured keys; `without` says what can't be done for want of them, and why."""
    if settings.kek is not None:
        return Keyring.parse(settings.kek.get_secret_value())
    path = _key_file(settings, data)
    if path.exists():
        return load_keyring(path)
    raise KeyringUnusable(f"There is no key file {path}, {without}")


def _sealed(data: DataDir) -> bool:
    archives = data.archives.glob(f"*/*/*{archive_files.SUFFIX}")
    media = data.media.glob(f"*/*{media_files.SUFFIX}")
    return next(chain(archives, media), None) is not None


def _write(path: Path, text: str) -> None:
    with partial_file(path) as partial:
        with partial.open("w", encoding="ascii") as file:
            file.write(f"{text}\n")
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    sync_directory(path.parent)
