"""A data directory with a bit of everything in it, as a stopped node leaves it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from base64 import b64encode
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from config.settings import Settings
from storage.tenants import DEFAULT
from storage.vault import SecretBox
from storage.webhooks import NewWebhook, secret_context
from supervisor.admin import doctor, meta_import, tenancy
from supervisor.admin.meta_source import read_rows
from supervisor.admin.place import Place, now_ms
from supervisor.datadir import DataDir
from supervisor.keyring import open_keyring
from tests.integration.admin_support import migrated
from tests.integration.archive_support import archive_files, make_profile
from tests.integration.media_support import media_files
from tests.integration.tenant_support import inbound

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from storage.sqlite.store import SqliteStore
    from storage.vault import Keyring
    from supervisor.admin.doctor_judge import Finding

OTHER_KEK: Final = f"k1:{b64encode(b'2' * 32).decode()}"
NUMBER: Final = {
    "id": 1,
    "name": "acme",
    "metadata": {
        "whatsapp_phone_number_id": "1001",
        "whatsapp_access_token": "EAAG-canary-token",
    },
}
CHECKS: Final = [
    "settings",
    "data_directory",
    "node",
    "free_space",
    "free_inodes",
    "database",
    "schema",
    "audit",
    "access_tokens",
    "webhook_secrets",
    "archives",
    "media",
    "keys",
    "descriptors",
    "memory",
    "chromium",
    "sandbox",
    "wa_js",
    "clock_sync",
    "clock_time",
]


@dataclass(frozen=True)
class Patient:
    """A data directory and what is in it."""

    place: Place
    archives: Sequence[Path]
    media: Sequence[Path]

    @property
    def root(self) -> Path:
        return self.place.data.root

    def settings(self, **changes: Any) -> Settings:
        return Settings(data_dir=self.root, **changes)

    def sql(self, *statements: str) -> None:
        """Run statements on the database as somebody would who does not ask wafleet."""
        with closing(sqlite3.connect(self.place.data.database)) as plain:
            for statement in statements:
                plain.execute(statement)
            plain.commit()

    def examined(self, *, deep: bool = False, **changes: Any) -> Examined:
        return Examined(doctor.examine(self.settings(**changes), deep=deep))


@dataclass(frozen=True)
class Examined:
    findings: Sequence[Finding]

    def of(self, check: str) -> list[tuple[str, str]]:
        """Return (verdict, text) of every finding of a check."""
        return [(f.verdict.value, f.text) for f in self.findings if f.check == check]

    def verdict(self, check: str) -> str:
        """Return the verdict of a check that has one finding."""
        [(verdict, _)] = self.of(check)
        return verdict

    @property
    def bad(self) -> set[str]:
        return {f.check for f in self.findings if f.verdict.value == "bad"}

    @property
    def checks(self) -> set[str]:
        return {f.check for f in self.findings}


def patient(directory: Path) -> Patient:
    """Make a healthy one."""
    place = migrated(directory)
    with DataDir(directory).owned():
        keyring = open_keyring(Settings(data_dir=directory), place.data)
    asyncio.run(_furnish(place, keyring))
    return Patient(
        place,
        sorted(directory.glob("archives/*/*/*.wfa")),
        sorted(directory.glob("media/*/*.wfm")),
    )


async def _hook(store: SqliteStore, home: str, box: SecretBox) -> None:
    """Make a webhook whose secret was replaced a moment ago: both still sign."""
    new = NewWebhook(
        session_id=None,
        url="https://hooks.example/in",
        description="",
        events=frozenset(),
        messages=True,
        seal=lambda key: box.seal(b"whsec_canary", secret_context(key)),
    )
    hook = (await store.create_webhook(home, new, now_ms())).id
    sealed = box.seal(b"whsec_newer", secret_context(hook))
    await store.replace_secret(home, hook, sealed, now_ms() + 3_600_000, now_ms())


async def _furnish(place: Place, keyring: Keyring) -> None:
    root = place.data.root
    async with place.store() as store:
        rows = read_rows(json.dumps([NUMBER]).encode())
        await meta_import.import_meta(place, store, rows, SecretBox(keyring))
        home = (await store.workspace_named(DEFAULT)).id
        for _ in range(3):
            await tenancy.note(store, home, "key.create")
        await _hook(store, home, SecretBox(keyring))
        session, _ = await store.create_session(home, "one", now_ms())
        archives = archive_files(root, store, keyring)
        for text in ("a", "b"):
            await archives.save(session.id, make_profile(root / "copy", text))
        media = media_files(root, store, keyring)
        for wa_id, content in (("M1", b"photo"), ("M2", b"film")):
            message = await store.record_inbound(inbound(session.id, wa_id, now_ms=now_ms()))
            assert message is not None
            await media.save(message.id, [content])
