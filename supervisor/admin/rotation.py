"""`wafleet keys rotate`: everything sealed moves to a new key-encryption key."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from storage.vault import SecretBox, rewrap_archive, rotate_keyring
from storage.vault.errors import VaultError
from supervisor.admin.errors import KeyringFixed
from supervisor.admin.meta_rows import open_meta_rows, token_context
from supervisor.admin.place import no_tick
from supervisor.keyring import CHECK, KEK, open_keyring

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.settings import Settings
    from storage.vault import Keyring
    from supervisor.admin.place import Place, Tick
    from supervisor.datadir import DataDir


def add_key(settings: Settings, data: DataDir) -> Keyring:
    """Append a new current key to the key file; the data directory must be owned.

    Raises KeyringFixed where the keys come from a setting, KekUnusable, KeyringUnusable.
    """
    if settings.kek is not None:
        raise KeyringFixed(
            "The keys come from the setting kek, which wafleet can't change: add a new key as its "
            "last one, then run wafleet keys rotate --rewrap-only."
        )
    open_keyring(settings, data)
    return rotate_keyring(settings.kek_file or data.keys / KEK)


def renew_check(settings: Settings, data: DataDir) -> None:
    """Let the check value need the current key only, once nothing needs an older one."""
    (data.keys / CHECK).unlink(missing_ok=True)
    open_keyring(settings, data)


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationReport:
    """What was moved to the key `kid`; `failed` are (what, sentence): still under their old key."""

    kid: str
    tokens: int
    archives: int
    failed: Sequence[tuple[str, str]]


async def rewrap_everything(place: Place, keyring: Keyring, tick: Tick = no_tick) -> RotationReport:
    """Seal access tokens and archives with the current key; what has it already stays untouched.

    The caller holds the data directory: a running node would not know the new key. Older keys stay
    on the ring, so that nothing is lost if this is interrupted; run it again then. Raises
    StoreErrors.
    """
    box, failed = SecretBox(keyring), list[tuple[str, str]]()
    tokens = archives = 0
    async with open_meta_rows(place) as rows:
        numbers, files = await rows.all(), await rows.archives()
        total = len(numbers) + len(files)
        for done, (workspace_id, number) in enumerate(numbers):
            tick(done, total)
            old = number.meta["access_token"]
            try:
                new = box.rewrap(old, token_context(workspace_id, number.uuid))
            except VaultError as error:
                failed.append((f"access token of session {number.uuid}", str(error)))
                continue
            if new != old and await rows.replace_token(number, new):
                tokens += 1
        for done, (archive, path) in enumerate(files, start=len(numbers)):
            tick(done, total)
            try:
                facts = rewrap_archive(place.data.root / path, keyring)
            except VaultError as error:
                failed.append((f"archive {os.fspath(Path(path))}", str(error)))
                continue
            # Also when nothing changed: an earlier run may have ended between file and pointer.
            await rows.replace_hash(archive, facts.sha256)
            archives += facts.changed
    return RotationReport(kid=keyring.current, tokens=tokens, archives=archives, failed=failed)
