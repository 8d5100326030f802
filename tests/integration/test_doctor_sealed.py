"""wafleet doctor on keys, archives and media: what is sealed, and whether it opens."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final

import pytest
from pydantic import SecretStr

from storage.sqlite import open_store
from storage.sqlite.inspection import inspecting
from storage.vault import rotate_keyring
from supervisor.admin import doctor_files
from supervisor.admin.doctor_files import FileCheck
from tests.integration.archive_support import archive_files, make_profile
from tests.integration.doctor_support import OTHER_KEK, Patient, patient

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.integration

ANY_TOKEN: Final = (
    "SELECT metadata ->> '$.meta.access_token' FROM whatsapp_sessions"
    " WHERE metadata ->> '$.meta.access_token' IS NOT NULL"
)
SMALL: Final = {"access_tokens", "webhook_secrets"}


@pytest.fixture
def sick(tmp_path: Path) -> Patient:
    """Give a healthy one, to be made sick."""
    return patient(tmp_path / "data")


def test_the_wrong_key(sick: Patient) -> None:
    kid = (sick.place.data.keys / "kek").read_text().splitlines()[-1].split(":")[0]
    wrong = SecretStr(OTHER_KEK.replace("k1", kid))
    found = sick.examined(deep=True, kek=wrong)
    assert found.bad == {"keys", *SMALL, "archives", "media"}
    assert "[key_wrong]" in found.of("keys")[0][1]
    assert "does not open (key_wrong)" in found.of("archives")[0][1]
    assert wrong.get_secret_value().split(":")[1] not in str(found)
    assert sick.examined(kek=wrong).bad == {"keys", *SMALL}, "files are only opened deep"


def test_a_lost_key(sick: Patient) -> None:
    (sick.place.data.keys / "kek").unlink()
    found = sick.examined(deep=True)
    assert found.bad == {"keys", *SMALL}
    assert "put the file back" in found.of("keys")[0][1]
    verdicts = [verdict for verdict, _ in found.of("archives")]
    assert verdicts == ["ok", "warning"]
    assert not (sick.place.data.keys / "kek").exists()


def test_a_key_that_others_can_read(sick: Patient) -> None:
    (sick.place.data.keys / "kek").chmod(0o644)
    found = sick.examined()
    assert found.bad == {"data_directory", "keys", *SMALL}
    assert "mode 0644" in found.of("keys")[0][1]


def test_more_than_one_key_is_told(sick: Patient) -> None:
    rotate_keyring(sick.place.data.keys / "kek")
    verdict, text = sick.examined().of("keys")[0]
    assert (verdict, "1 older on the ring" in text) == ("ok", True)


def test_a_missing_check_value_is_told(sick: Patient) -> None:
    (sick.place.data.keys / "check").unlink()
    assert sick.examined().verdict("keys") == "warning"


@pytest.mark.parametrize(
    ("change", "what", "words"),
    [
        ("secret = substr(secret, 1, 40)", "secret", "malformed or cut short"),
        (
            "previous_secret = replace(previous_secret, 'wv1.', 'wv1.gone')",
            "previous secret",
            "is not on the keyring",
        ),
        (f"secret = ({ANY_TOKEN})", "secret", "moved here from another place"),
    ],
)
def test_a_webhook_secret_that_does_not_open(
    sick: Patient, change: str, what: str, words: str
) -> None:
    """Cut short, sealed with a key that is gone, or copied from elsewhere."""
    assert sick.examined().of("webhook_secrets") == [("ok", "2 webhook secrets: each opens.")]
    sick.sql(f"UPDATE webhooks SET {change}")  # noqa: S608
    found = sick.examined()
    assert found.bad == {"webhook_secrets"}
    [(_, text)] = found.of("webhook_secrets")
    assert text.startswith(f"{what} of webhook ")
    assert words in text


def truncate(file: Path, _: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def lose(file: Path, _: Path) -> None:
    file.unlink()


def flip(file: Path, _: Path) -> None:
    raw = bytearray(file.read_bytes())
    raw[-20] ^= 1
    file.write_bytes(raw)


def pipe(file: Path, _: Path) -> None:
    file.unlink()
    os.mkfifo(file, 0o600)


@pytest.mark.parametrize("kind", ["archives", "media"])
@pytest.mark.parametrize(
    ("damage", "shallow", "words"),
    [
        (truncate, True, "bytes instead of"),
        (lose, True, "it is missing"),
        (pipe, True, "it can't be read (not a plain file)"),
        (flip, False, "it does not open (archive_damaged)"),
    ],
)
def test_a_damaged_file(
    sick: Patient, kind: str, damage: Callable[[Path, Path], None], shallow: bool, words: str
) -> None:
    """Named, with what to do; where only its content tells, when it is read."""
    files = sick.archives if kind == "archives" else sick.media
    damage(files[0], files[1])
    assert sick.examined().bad == ({kind} if shallow else set())
    found = sick.examined(deep=True)
    assert found.bad == {kind}
    [(_, text)] = found.of(kind)
    assert str(files[0].relative_to(sick.root)) in text
    assert words in text
    assert text.endswith("put it back from a backup.")


def test_pointers_that_changed_places(sick: Patient) -> None:
    """Size and hash are right and the key is too, but the files do not belong where they are."""
    facts = "path, sha256, bytes"
    for table in ("whatsapp_session_archives", "media"):
        sick.sql(
            f"CREATE TABLE other AS SELECT id, {facts} FROM {table}",  # noqa: S608
            f"UPDATE {table} SET path = 'on its way ' || id",  # noqa: S608
            f"UPDATE {table} SET ({facts}) ="  # noqa: S608
            f" (SELECT {facts} FROM other WHERE other.id <> {table}.id)",
            "DROP TABLE other",
        )
    assert sick.examined().bad == set()
    found = sick.examined(deep=True)
    assert found.bad == {"archives", "media"}
    assert "(archive_foreign)" in found.of("media")[0][1]
    codes = {text.split("(")[1].split(")")[0] for _, text in found.of("archives")}
    assert codes == {"archive_ahead", "archive_too_old"}


def test_a_hash_that_was_not_noted(sick: Patient) -> None:
    """As after a rotation that was cut short between the file and its pointer."""
    sick.sql(f"UPDATE media SET sha256 = '{'0' * 64}'")  # noqa: S608
    found = sick.examined(deep=True)
    assert found.bad == {"media"}
    assert "--rewrap-only" in found.of("media")[0][1]


def test_a_pointer_that_leads_elsewhere(sick: Patient) -> None:
    sick.sql("UPDATE media SET path = '../outside/' || id")
    found = sick.examined()
    assert "leads out of the data directory" in found.of("media")[0][1]


def test_media_whose_message_is_gone_are_read_too(sick: Patient) -> None:
    """They wait for the next round of retention."""
    sick.sql("UPDATE media SET message_id = NULL")
    assert sick.examined(deep=True).verdict("media") == "ok"
    flip(sick.media[0], sick.media[0])
    assert sick.examined(deep=True).bad == {"media"}


def test_many_bad_files_are_counted(sick: Patient) -> None:
    sick.sql(
        "INSERT INTO media (uuid, workspace_id, path, sha256, bytes, created_at)"
        " WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200)"
        " SELECT 'u' || i, 1, 'media/none/' || i, hex(zeroblob(32)), 1, 1 FROM n"
    )
    texts = [text for _, text in sick.examined().of("media")]
    assert len(texts) == 6
    assert texts[-1] == "And 1195 more of 1202."


def test_what_was_dropped_meanwhile_is_not_missed(sick: Patient) -> None:
    """A running node drops an archive between the look at its pointer and that at its file."""
    data = sick.place.data

    async def save_more() -> None:
        async with open_store(data.database) as store:
            row = (await store.all_sessions())[-1]
            archives = archive_files(data.root, store, keep=1)
            await archives.save(row.id, make_profile(data.root / "copy"))

    with inspecting(data.database, 500) as look:
        stale = list(look.archives())
        assert all(look.still_there(pointer) for pointer in stale)
        asyncio.run(save_more())
        assert not any(look.still_there(pointer) for pointer in stale)
        check = FileCheck(data.root, None, deep=False)
        tally = doctor_files.Tally("archives", "archives")
        context = doctor_files._archive_context
        findings = list(doctor_files._files(tally, iter(stale), look, check, context))
    assert [finding.verdict for finding in findings] == ["ok"]
