"""The keyring at start: found, made on the very first run, and proved to be the right one.

What the data directory holds was sealed with these keys: starting with others would not fail now
but on the day when an archive is needed. So a check value is kept with the data and opened first.
"""

from __future__ import annotations

import os
from itertools import chain
from typing import TYPE_CHECKING, Final

from storage import archive_files, media_files
from storage.vault import Keyring, generate_keyring, load_keyring
from storage.vault.errors import KeyringUnusable, SecretDamaged, VaultError
from storage.vault.files import partial_file, sync_directory
from supervisor.errors import KekUnusable

if TYPE_CHECKING:
    from pathlib import Path

    from config.settings import Settings
    from supervisor.datadir import DataDir

KEK: Final = "kek"
CHECK: Final = "check"


def open_keyring(settings: Settings, data: DataDir) -> Keyring:
    """Return the node's keys: from `kek`, else `kek_file`, else the data directory. Blocks.

    Only where nothing was ever sealed is a missing key file made (mode 0600). The data directory
    must be owned. Raises KekUnusable.
    """
    try:
        data.keys.mkdir(mode=0o700, exist_ok=True)
        check = data.keys / CHECK
        keyring = _keyring(settings, data, first=not check.exists() and not _sealed(data))
        _prove(keyring, check)
    except VaultError as error:
        raise KekUnusable(f"{error} [{error.code}]") from error
    except OSError as error:
        raise KekUnusable(
            f"The directory {data.keys} can't be used ({error.strerror}): check its rights."
        ) from error
    return keyring


def _keyring(settings: Settings, data: DataDir, *, first: bool) -> Keyring:
    if settings.kek is not None:
        return Keyring.parse(settings.kek.get_secret_value())
    path = settings.kek_file or data.keys / KEK
    if path.exists() or not first:
        return _loaded(path)
    return generate_keyring(path)


def _loaded(path: Path) -> Keyring:
    if path.exists():
        return load_keyring(path)
    raise KeyringUnusable(
        f"There is no key file {path}, but this data directory holds data that was encrypted: put "
        "the file back from its backup, or set WAFLEET_KEK or WAFLEET_KEK_FILE."
    )


def _sealed(data: DataDir) -> bool:
    archives = data.archives.glob(f"*/*/*{archive_files.SUFFIX}")
    media = data.media.glob(f"*/*{media_files.SUFFIX}")
    return next(chain(archives, media), None) is not None


def _prove(keyring: Keyring, check: Path) -> None:
    try:
        keyring.verify(check.read_text("ascii").strip())
    except FileNotFoundError:
        _write(check, keyring.seal_check())
    except UnicodeDecodeError:
        raise SecretDamaged(f"The key check {check} is damaged; restore it.") from None


def _write(path: Path, text: str) -> None:
    with partial_file(path) as partial:
        with partial.open("w", encoding="ascii") as file:
            file.write(f"{text}\n")
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    sync_directory(path.parent)
