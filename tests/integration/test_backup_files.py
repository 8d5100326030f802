"""Files that go or spoil while a backup is made, and pointers that lead elsewhere."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from storage.vault import Keyring, rewrap_archive
from tests.integration.archive_support import OTHER_RING
from tests.integration.backup_support import (
    KEK,
    Furnished,
    back_up,
    execute,
    furnish,
    query,
    tree,
    verified,
)

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration


@pytest.fixture
async def furnished(tmp_path: Path) -> Furnished:
    return await furnish(tmp_path / "data")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "backups").mkdir()
    return tmp_path / "backups" / "first"


def left_out(target: Path) -> dict[str, str]:
    manifest = json.loads((target / "manifest.json").read_text())
    return {one["path"]: one["reason"] for one in manifest["left_out"]}


def pointers(target: Path) -> set[str]:
    """Return what the database in a backup points to."""
    sql = "SELECT path FROM whatsapp_session_archives UNION SELECT path FROM media"
    return {path for (path,) in query(target / "wafleet.db", sql)}


def drop_archive(furnished: Furnished, session: int, generation: int) -> None:
    """Do what the node does: the pointer first, then the file."""
    path = furnished.archive(session, generation)
    relative = path.relative_to(furnished.root)
    execute(
        furnished.place.data.database,
        f"DELETE FROM whatsapp_session_archives WHERE path = '{relative}'",  # noqa: S608
    )
    path.unlink()


def test_a_generation_dropped_before_its_turn_is_in_neither_part(
    furnished: Furnished, target: Path
) -> None:
    """Pinned with it, gone when it was to be copied: the newer state is taken instead."""
    dropped = iter([furnished.archive(1, 1)])

    def tick(_done: int, _total: int | None) -> None:
        if next(dropped, None) is not None:
            drop_archive(furnished, 0, 1)  # copied already when this is called
            drop_archive(furnished, 1, 1)

    report = back_up(furnished.place, target, tick=tick)
    assert report.contents.left_out == ()
    files = set(tree(target)) - {"manifest.json", "wafleet.db"}
    assert files == pointers(target)
    assert len(files) == 3
    verified(target)


def test_an_archive_sealed_anew_before_its_turn_is_copied_as_it_is_now(
    furnished: Furnished, target: Path
) -> None:
    """What a rotation of the keys does: the file first, then the hash in its pointer."""
    newer = Keyring({"k1": b"1" * 32, "k2": b"2" * 32})
    path = furnished.archive(1, 2)
    steps = iter(["file", "pointer"])

    def tick(_done: int, _total: int | None) -> None:
        if next(steps, None) == "file":
            sha256 = rewrap_archive(path, newer).sha256
            execute(
                furnished.place.data.database,
                f"UPDATE whatsapp_session_archives SET sha256 = '{sha256}'"  # noqa: S608
                f" WHERE path = '{path.relative_to(furnished.root)}'",
            )

    report = back_up(furnished.place, target, newer, tick=tick)
    assert report.contents.left_out == ()
    assert (target / path.relative_to(furnished.root)).read_bytes() == path.read_bytes()
    verified(target, newer)


def test_what_is_missing_or_spoilt_is_left_out_and_told(furnished: Furnished, target: Path) -> None:
    """And everything else is there, and good."""
    spoilt = furnished.archive(0, 2)
    content = bytearray(spoilt.read_bytes())
    content[700] ^= 1
    spoilt.write_bytes(content)
    furnished.archive(1, 1).unlink()
    picture = furnished.root / "media" / "picture"
    picture.unlink()
    picture.mkdir()
    report = back_up(furnished.place, target)
    names = {str(furnished.archive(*n).relative_to(furnished.root)): n for n in ((0, 2), (1, 1))}
    reasons = {names.get(p, p): reason for p, reason in left_out(target).items()}
    assert reasons == {
        (0, 2): "hash_differs",
        (1, 1): "missing",
        "media/picture": "unreadable",
    }
    assert len(report.contents.files) == 3
    assert not any(path in tree(target) for path in left_out(target))
    verified(target)


def test_archives_swapped_between_two_sessions_are_left_out(
    furnished: Furnished, target: Path
) -> None:
    """Each is whole, and none of them is what its pointer says."""
    one, two = furnished.archive(0, 1), furnished.archive(1, 1)
    content = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(content)
    back_up(furnished.place, target)
    assert set(left_out(target).values()) == {"hash_differs"}
    assert len(left_out(target)) == 2
    # also when somebody adjusts the pointers: an archive knows whose it is
    paths = [str(path.relative_to(furnished.root)) for path in (one, two)]
    hashes = dict(
        query(furnished.place.data.database, "SELECT path, sha256 FROM whatsapp_session_archives")
    )
    execute(
        furnished.place.data.database,
        *(
            f"UPDATE whatsapp_session_archives SET sha256 = '{hashes[other]}'"  # noqa: S608
            f" WHERE path = '{path}'"
            for path, other in (paths, reversed(paths))
        ),
    )
    back_up(furnished.place, target.with_name("second"))
    assert left_out(target.with_name("second")) == dict.fromkeys(paths, "archive_foreign")


def test_archives_that_these_keys_do_not_open_are_left_out(
    furnished: Furnished, target: Path
) -> None:
    """They would be of no use, and nobody would notice before the day when they are needed."""
    back_up(furnished.place, target, OTHER_RING)
    assert set(left_out(target).values()) == {"key_wrong"}
    verified(target, OTHER_RING)


@pytest.mark.parametrize(
    "path",
    [
        *("keys/kek", "api.key", "wafleet.db", "sessions/x", "media", "media/", "media//x"),
        *("../outside", "media/../../outside", "/etc/passwd", "media/./x", "media/a\nb", ""),
    ],
)
def test_a_pointer_to_somewhere_else_takes_nothing_along(
    furnished: Furnished, target: Path, path: str
) -> None:
    """Whatever wrote that row: a backup is no way to read other files, nor to write them later."""
    (furnished.root.parent / "outside").write_text("private")
    with closing(sqlite3.connect(furnished.place.data.database)) as plain:
        plain.execute("UPDATE media SET path = ?", (path,))
        plain.commit()
    back_up(furnished.place, target)
    assert left_out(target) == {path: "path_refused"}
    assert not any(b"private" in c or KEK.encode() in c for c in tree(target).values())
    verified(target)


def test_a_pointer_that_uses_a_file_as_a_folder_is_left_out(
    furnished: Furnished, target: Path
) -> None:
    execute(
        furnished.place.data.database,
        "INSERT INTO media (uuid, workspace_id, path, sha256, bytes, created_at)"
        " SELECT 'x', workspace_id, 'media/picture/x', sha256, bytes, created_at FROM media",
        "INSERT INTO media (uuid, workspace_id, path, sha256, bytes, created_at)"
        " SELECT 'y', workspace_id, 'media/' || hex(zeroblob(150)), sha256, bytes, created_at"
        " FROM media WHERE path = 'media/picture'",
    )
    back_up(furnished.place, target)
    assert left_out(target) == {
        "media/picture/x": "path_refused",
        f"media/{'0' * 300}": "unreadable",
    }


def test_a_link_in_the_place_of_a_file_is_not_followed(furnished: Furnished, target: Path) -> None:
    picture = furnished.root / "media" / "picture"
    picture.rename(furnished.root / "elsewhere")
    picture.symlink_to(furnished.root / "elsewhere")
    back_up(furnished.place, target)
    assert left_out(target) == {"media/picture": "unreadable"}
