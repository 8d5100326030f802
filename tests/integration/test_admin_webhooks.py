"""`wafleet keys rotate` and webhooks: their secrets move to the new key, and sign as before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from storage.vault import Keyring, SecretBox
from storage.vault.errors import KeyMissing
from storage.webhooks import NewWebhook, secret_context
from supervisor.admin import rotation
from tests.integration.admin_support import migrated
from tests.integration.tenant_support import NOW, home_of
from tests.integration.test_admin_import import keyring, settings_of

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration


async def test_both_secrets_of_a_webhook_move_to_the_new_key(tmp_path: Path) -> None:
    """And what can't be opened is told by the webhook's id."""
    place = migrated(tmp_path / "data")
    box = SecretBox(keyring(place))
    async with place.store() as store:
        home = await home_of(store)

        async def make(first: bytes) -> str:
            new = NewWebhook(
                session_id=None,
                url="https://hooks.example/in",
                description="",
                events=frozenset(),
                messages=True,
                seal=lambda key: box.seal(first, secret_context(key)),
            )
            return (await store.create_webhook(home, new, NOW)).id

        one, foreign = await make(b"whsec_old"), await make(b"whsec_x")
        sealed = box.seal(b"whsec_new", secret_context(one))
        await store.replace_secret(home, one, sealed, NOW + 1, NOW)
        strange = box.seal(b"whsec_x", secret_context(one))
        await store.replace_secret(home, foreign, strange, NOW + 1, NOW)
        new = rotation.add_key(settings_of(place), place.data)
        report = await rotation.rewrap_everything(place, new)
        assert report.webhooks == 3
        assert [what for what, _ in report.failed] == [f"secret of webhook {foreign}"]
        record = await store.webhook(home, one)
        kek = (place.data.keys / "kek").read_text().splitlines()[-1]
        newest = SecretBox(Keyring.parse(kek))
        assert record.previous_secret is not None
        assert newest.open(record.secret, secret_context(one)) == b"whsec_new"
        assert newest.open(record.previous_secret, secret_context(one)) == b"whsec_old"
        with pytest.raises(KeyMissing):
            box.open(record.secret, secret_context(one))
        assert (await rotation.rewrap_everything(place, new)).webhooks == 0
