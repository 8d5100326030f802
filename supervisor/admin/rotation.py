"""`wafleet keys rotate`: everything sealed moves to a new key-encryption key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from storage.vault import SecretBox, rewrap_archive, rotate_keyring
from storage.vault.errors import VaultError
from storage.webhooks import secret_context
from supervisor.admin.errors import KeyringFixed
from supervisor.admin.meta_rows import FileKind, open_meta_rows, token_context
from supervisor.admin.place import no_tick
from supervisor.admin.webhook_rows import open_webhook_rows
from supervisor.keyring import CHECK, KEK, open_keyring

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from config.settings import Settings
    from storage.vault import Keyring
    from supervisor.admin.meta_rows import MetaNumber, MetaRows, SealedFile
    from supervisor.admin.place import Place, Tick
    from supervisor.admin.webhook_rows import WebhookRows, WebhookSecret
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
    webhooks: int
    archives: int
    media: int
    failed: Sequence[tuple[str, str]]


async def rewrap_everything(place: Place, keyring: Keyring, tick: Tick = no_tick) -> RotationReport:
    """Seal tokens, webhooks' secrets, archives and media with the current key, where it is not it.

    The caller holds the data directory: a running node would not know the new key. Older keys stay
    on the ring, so that nothing is lost if this is interrupted; run it again then. Raises
    StoreErrors.
    """
    async with open_meta_rows(place) as rows:
        numbers = await rows.all()
        total = len(numbers) + await rows.count_files()
        work = _Rewrap(rows, keyring, place.data.root)
        done = 0
        for workspace_id, number in numbers:
            tick(done, total)
            done += 1
            await work.token(workspace_id, number)
        for kind in FileKind:
            after = 0
            while page := await rows.files(kind, after):
                for file in page:
                    tick(done, total)
                    done += 1
                    await work.file(file)
                after = page[-1].id
    async with open_webhook_rows(place) as webhooks:
        for one in await webhooks.all():
            await work.webhook(webhooks, one)
    return work.report()


class _Rewrap:
    """Moves one thing after the other, and counts."""

    def __init__(self, rows: MetaRows, keyring: Keyring, root: Path) -> None:
        self._rows = rows
        self._keyring = keyring
        self._box = SecretBox(keyring)
        self._root = root
        self._tokens = 0
        self._webhooks = 0
        self._files = dict.fromkeys(FileKind, 0)
        self._failed: list[tuple[str, str]] = []

    async def token(self, workspace_id: str, number: MetaNumber) -> None:
        old = number.meta["access_token"]
        try:
            new = self._box.rewrap(old, token_context(workspace_id, number.uuid))
        except VaultError as error:
            self._failed.append((f"access token of session {number.uuid}", str(error)))
            return
        if new != old and await self._rows.replace_token(number, new):
            self._tokens += 1

    async def webhook(self, rows: WebhookRows, secret: WebhookSecret) -> None:
        try:
            new = self._box.rewrap(secret.sealed, secret_context(secret.webhook_id))
        except VaultError as error:
            self._failed.append((f"secret of webhook {secret.webhook_id}", str(error)))
            return
        if new != secret.sealed and await rows.replace(secret, new):
            self._webhooks += 1

    async def file(self, file: SealedFile) -> None:
        try:
            facts = rewrap_archive(self._root / file.path, self._keyring)
        except VaultError as error:
            self._failed.append((f"{file.kind.name.lower()} {file.path}", str(error)))
            return
        # Also when nothing changed: an earlier run may have ended between file and pointer.
        await self._rows.replace_hash(file, facts.sha256)
        self._files[file.kind] += facts.changed

    def report(self) -> RotationReport:
        return RotationReport(
            kid=self._keyring.current,
            tokens=self._tokens,
            webhooks=self._webhooks,
            archives=self._files[FileKind.ARCHIVE],
            media=self._files[FileKind.MEDIA],
            failed=self._failed,
        )
