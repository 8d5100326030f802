"""Every way in which a backup can be bad is found before a single byte is written."""

from __future__ import annotations

import json
import shutil
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from storage.vault import Keyring
from storage.vault.errors import KeyMissing, KeyWrong
from supervisor.admin.errors import BackupBad
from supervisor.admin.manifest import Contents, LeftOut, manifest_text
from supervisor.admin.verification import open_backup, verify_backup
from supervisor.errors import KekUnusable
from supervisor.keyring import given_keyring
from tests.integration.archive_support import OTHER_RING, RING
from tests.integration.backup_support import (
    KEK,
    Furnished,
    back_up,
    bring_back,
    execute,
    furnish,
    place_of,
    settings_of,
    tree,
    verified,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.integration


@pytest.fixture
async def furnished(tmp_path: Path) -> Furnished:
    return await furnish(tmp_path / "data")


@pytest.fixture
def backup(furnished: Furnished, tmp_path: Path) -> Path:
    back_up(furnished.place, tmp_path / "backup")
    return tmp_path / "backup"


async def refused(backup: Path, what: str, keyring: Keyring = RING) -> None:
    """Neither a check nor a restore accepts it, and the data directory does not come to be."""
    before = tree(backup)
    root = backup.with_name("new")
    with pytest.raises(BackupBad, match=what):
        verified(backup, keyring)
    with pytest.raises(BackupBad, match=what):
        await bring_back(backup, root, keyring)
    assert not root.exists()
    assert tree(backup) == before


def archives(backup: Path) -> list[Path]:
    return sorted(backup.glob("archives/*/*/*.wfa"))


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


# ---- files ----


@pytest.mark.parametrize("name", ["wafleet.db", "media/picture", "archives"])
@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda path: flip(path, path.stat().st_size // 2), "other bytes"),
        (lambda path: flip(path, -1), "other bytes"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), r"not as it was written \(\d+ of"),
        (lambda path: path.write_bytes(b""), r"not as it was written \(0 of"),
        (lambda path: path.write_bytes(path.read_bytes() + b"\0"), "not as it was written"),
        (lambda path: path.unlink(), "it is not there"),
        (lambda path: (path.unlink(), path.mkdir()), "not a plain file"),
        (lambda path: (path.unlink(), path.symlink_to("/dev/zero")), "can't be read"),
    ],
    ids=["flipped", "end_flipped", "cut", "emptied", "longer", "gone", "a_directory", "a_link"],
)
async def test_a_spoilt_file_is_named(
    backup: Path, name: str, damage: Callable[[Path], object], what: str
) -> None:
    path = archives(backup)[0] if name == "archives" else backup / name
    damage(path)
    await refused(backup, what)
    with pytest.raises(BackupBad, match=str(path.relative_to(backup))):
        verified(backup)


async def test_a_link_to_the_very_same_content_is_refused_too(backup: Path) -> None:
    """Also for a folder on the way: what it leads to may change after it was looked at."""
    picture = backup / "media" / "picture"
    shutil.copytree(backup / "media", backup.with_name("elsewhere"))
    picture.unlink()
    picture.symlink_to(backup.with_name("elsewhere") / "picture")
    await refused(backup, "media/picture in the backup can't be read")
    shutil.rmtree(backup / "media")
    (backup / "media").symlink_to(backup.with_name("elsewhere"))
    await refused(backup, "media/picture in the backup can't be read")


async def test_archives_of_two_sessions_that_were_swapped_are_found(backup: Path) -> None:
    """Whole files both, in each other's place."""
    one, two = archives(backup)[0], archives(backup)[-1]
    assert one.parent != two.parent
    content = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(content)
    await refused(backup, "archives/.* not as it was written")


async def test_files_of_another_backup_of_the_same_node_are_found(
    furnished: Furnished, backup: Path
) -> None:
    """A newer database under an older manifest, and the other way round."""
    execute(furnished.place.data.database, "UPDATE messages SET body = 'later'")
    later = backup.with_name("later")
    back_up(furnished.place, later)
    for source in (later, backup):
        other = backup if source is later else later
        mixed = backup.with_name(f"mixed-{source.name}")
        shutil.copytree(source, mixed)
        shutil.copy(other / "manifest.json", mixed / "manifest.json")
        await refused(mixed, "wafleet.db in the backup is not as it was written")


async def test_what_nobody_listed_is_not_restored(backup: Path) -> None:
    """A note of the operator beside the backup's files, or worse: it changes nothing."""
    (backup / "README").write_text("made before the move")
    (backup / "keys").mkdir()
    (backup / "keys" / "kek").write_text("a key of somebody else")
    (backup / "wafleet.db-wal").write_bytes(b"not ours")
    verified(backup)
    await bring_back(backup, backup.with_name("new"))
    names = {path.split("/")[0] for path in tree(backup.with_name("new"))}
    assert names == {"archives", "keys", "media", "wafleet.db", "wafleet.lock"}
    assert set(tree(backup.with_name("new") / "keys")) == {"check"}


# ---- the manifest ----


async def test_a_directory_without_a_manifest_is_no_backup(backup: Path) -> None:
    (backup / "manifest.json").unlink()
    await refused(backup, "There is no .*manifest.json")
    with pytest.raises(BackupBad):
        verified(backup.with_name("nowhere"))
    (backup / "manifest.json").symlink_to("/dev/zero")
    await refused(backup, "can't be read")


def changed(backup: Path, **members: Any) -> None:
    manifest = json.loads((backup / "manifest.json").read_text())
    (backup / "manifest.json").write_text(json.dumps({**manifest, **members}))


@pytest.mark.parametrize(
    "text",
    [
        *("", "{}", "[]", "null", "{", '"x"', "\x00", '{"format": "1"}', '{"format": 1}'),
        *('{"format": 1.5}', "[" * 100_000, '{"format": NaN}', '{"format": true}'),
    ],
)
async def test_something_else_is_no_manifest(backup: Path, text: str) -> None:
    (backup / "manifest.json").write_text(text)
    await refused(backup, "is no manifest")


async def test_a_manifest_of_another_format_says_so(backup: Path) -> None:
    changed(backup, format=2, compressed=True)
    await refused(backup, r"format 2, this wafleet knows 1")


@pytest.mark.parametrize(
    "members",
    [
        {"created_at": "2030-01-01T00:00:00.000Z"},
        {"wafleet": "9.9.9"},
        {"migrations": ["0001_whatsapp_sessions"]},
        {"left_out": [{"path": "media/picture", "reason": "missing"}]},
        {"files": []},
    ],
)
async def test_a_changed_manifest_is_not_as_it_was_sealed(
    backup: Path, members: dict[str, Any]
) -> None:
    changed(backup, **members)
    await refused(backup, "not as it was sealed")


async def test_a_file_replaced_with_its_hash_is_found_by_the_seal(backup: Path) -> None:
    """Hashes alone protect from accidents only."""
    manifest = json.loads((backup / "manifest.json").read_text())
    (backup / "media" / "picture").write_bytes(b"another picture")
    other = "6f" * 32
    files = [
        {**f, "sha256": other, "bytes": 15} if f["path"] == "media/picture" else f
        for f in manifest["files"]
    ]
    changed(backup, files=files)
    await refused(backup, "not as it was sealed")


async def test_a_seal_of_another_backup_does_not_fit(furnished: Furnished, backup: Path) -> None:
    later = backup.with_name("later")
    back_up(furnished.place, later)
    changed(backup, seal=json.loads((later / "manifest.json").read_text())["seal"])
    await refused(backup, "not as it was sealed")
    changed(backup, seal="wv1.k1.AAAA")
    await refused(backup, "not as it was sealed")
    changed(backup, seal=RING.seal_check())
    await refused(backup, "not as it was sealed")


async def test_a_member_that_nobody_knows_is_refused(backup: Path) -> None:
    """It would not be covered by the seal."""
    changed(backup, run_after_restore="x")
    await refused(backup, "is no manifest")


# ---- the keys ----


async def test_wrong_and_missing_keys_are_told_apart(backup: Path) -> None:
    root = backup.with_name("new")
    with pytest.raises(KeyWrong):
        await bring_back(backup, root, OTHER_RING)
    with pytest.raises(KeyMissing, match="k1"):
        await bring_back(backup, root, Keyring({"k2": b"1" * 32}))
    assert not root.exists()


async def test_a_key_that_only_an_archive_needs_is_missed_before_the_restore(
    furnished: Furnished, tmp_path: Path
) -> None:
    """The manifest is sealed with the current key, older archives with older ones."""
    both = Keyring({"k1": b"1" * 32, "k2": b"2" * 32})
    back_up(furnished.place, tmp_path / "backup", both)
    verified(tmp_path / "backup", both)
    only = Keyring({"k2": b"2" * 32})
    open_backup(tmp_path / "backup", only)
    with pytest.raises(KeyMissing, match="k1"):
        await bring_back(tmp_path / "backup", tmp_path / "new", only)
    assert not (tmp_path / "new").exists()


def test_without_keys_the_sentence_says_where_to_put_them(tmp_path: Path) -> None:
    root = tmp_path / "new"
    with pytest.raises(KekUnusable, match="put the copy that you keep") as caught:
        given_keyring(settings_of(root), place_of(root).data)
    assert f"{root}/keys/kek" in str(caught.value)
    assert not root.exists()
    assert given_keyring(settings_of(root, kek=SecretStr(KEK)), place_of(root).data).kids == ("k1",)


# ---- whoever wrote the manifest had the keys, and is not believed either ----


def resealed(backup: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Write a manifest with a true seal over whatever `change` makes of it."""
    manifest = json.loads((backup / "manifest.json").read_text())
    del manifest["seal"]
    change(manifest)
    contents = Contents.model_validate_json(json.dumps(manifest))
    (backup / "manifest.json").write_text(manifest_text(contents, RING))


@pytest.mark.parametrize(
    "path",
    [
        *("../outside", "media/../../outside", "media/..", "/etc/passwd", "keys/kek", "api.key"),
        *("sessions/x/profile/y", "wafleet.lock", "wafleet.db-wal", "manifest.json", "media"),
        *("media//picture", "./media/picture", "media/./picture", "media/", "", "media/a\u0000b"),
        *("media\\..\\x", "archives", "replaced/x", "media/a\nb"),
    ],
)
async def test_a_path_that_leads_elsewhere_is_refused(backup: Path, path: str) -> None:
    """Even if there is such a file with the right hash."""
    (backup.parent / "outside").write_bytes((backup / "media" / "picture").read_bytes())

    def elsewhere(manifest: dict[str, Any]) -> None:
        [picture] = [f for f in manifest["files"] if f["path"] == "media/picture"]
        picture["path"] = path

    resealed(backup, elsewhere)
    await refused(backup, "outside of what a backup holds")


async def test_a_list_that_is_none_of_a_backup_is_refused(backup: Path) -> None:
    kept = (backup / "manifest.json").read_text()

    def without_database(manifest: dict[str, Any]) -> None:
        manifest["files"] = [f for f in manifest["files"] if f["path"] != "wafleet.db"]

    def twice(manifest: dict[str, Any]) -> None:
        manifest["files"].append(manifest["files"][-1])

    def below_a_file(manifest: dict[str, Any]) -> None:
        manifest["files"].append({**manifest["files"][-1], "path": "media/picture/x"})

    for change in (without_database, twice, below_a_file):
        (backup / "manifest.json").write_text(kept)
        resealed(backup, change)
        await refused(backup, "does not list the files of a backup")


async def test_a_database_that_no_node_would_start_on_is_refused(backup: Path) -> None:
    """Sealed by a newer wafleet, or of another program."""
    kept = tree(backup)
    for statement, what in (
        ("INSERT INTO _yoyo_migration (migration_hash, migration_id) VALUES ('x', '9_x')", "newer"),
        ("PRAGMA application_id = 1", "another program"),
        ("DROP TABLE media", "missing_table"),
    ):
        (backup / "wafleet.db").write_bytes(kept["wafleet.db"])
        execute(backup / "wafleet.db", statement)
        resealed(backup, lambda manifest: relisted(backup, manifest))
        await refused(backup, what)
    (backup / "wafleet.db").write_bytes(b"SQLite format 3\0" + bytes(8000))
    resealed(backup, lambda manifest: relisted(backup, manifest))
    await refused(backup, "database can't be used")


async def test_something_that_is_no_archive_is_refused(backup: Path) -> None:
    archives(backup)[0].write_bytes(b"no archive")
    resealed(backup, lambda manifest: relisted(backup, manifest))
    await refused(backup, "archives/.* can't be used")


def relisted(backup: Path, manifest: dict[str, Any]) -> None:
    """List the files as they are now."""
    for file in manifest["files"]:
        content = (backup / file["path"]).read_bytes()
        file.update(bytes=len(content), sha256=sha256(content).hexdigest())


async def test_a_true_seal_over_other_contents_is_a_good_backup(backup: Path) -> None:
    """So the refusals above are those of their own checks."""
    reason = LeftOut(path="media/gone", reason="missing").model_dump()
    resealed(backup, lambda manifest: manifest["left_out"].append(reason))
    assert verify_backup(open_backup(backup, RING), RING).contents.left_out[0].path == "media/gone"
