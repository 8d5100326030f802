"""The rules of a backup's manifest: which paths it may name, and what its seal covers."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from storage.vault import Keyring
from storage.vault.errors import KeyMissing, KeyWrong
from supervisor.admin.errors import BackupBad
from supervisor.admin.manifest import (
    BackupFile,
    Contents,
    LeftOut,
    below_files,
    is_kept_file,
    manifest_text,
    read_manifest,
)

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.unit

RING = Keyring({"k0": b"0" * 32, "k1": b"1" * 32})
NAMES = st.sampled_from(["a", "b", "..", ".", "", "media", "archives", "é", "a b", "\n", "\0"])
PATHS = st.lists(NAMES, max_size=5).map("/".join)
CONTENTS = Contents(
    created_at="2030-01-02T03:04:05.678Z",
    wafleet="1.2.3",
    migrations=("0001_a", "0002_b"),
    files=(
        BackupFile(path="wafleet.db", bytes=10, sha256="ab" * 32),
        BackupFile(path="media/pictüre", bytes=0, sha256="cd" * 32),
    ),
    left_out=(LeftOut(path="archives/x/../y", reason="path_refused"),),
)


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("archives/w/s/1.wfa", True),
        ("media/picture", True),
        ("media/.hidden", True),
        ("media/...", True),
        ("media/ü b/c", True),
        ("wafleet.db", False),
        ("media", False),
        ("mediax/y", False),
        ("keys/kek", False),
        ("media/../keys/kek", False),
        ("/media/x", False),
        ("media/x/", False),
    ],
)
def test_which_files_a_backup_may_hold(path: str, kept: bool) -> None:
    assert is_kept_file(path) is kept


@given(PATHS)
@example("media/..")
def test_what_a_backup_may_hold_stays_inside(path: str) -> None:
    if is_kept_file(path):
        parts = PurePosixPath(path).parts
        assert "/".join(parts) == path, "one spelling only"
        assert parts[0] in {"archives", "media"}
        assert len(parts) > 1
        assert not {"..", "/"} & set(parts)
        assert path.isprintable()


@given(st.sets(st.lists(st.sampled_from("ab"), min_size=1, max_size=4).map("/".join)))
def test_a_file_below_a_file_is_found(paths: set[str]) -> None:
    below = below_files(paths)
    expected = {p for p in paths if {str(q) for q in PurePosixPath(p).parents} & paths}
    assert below == expected


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(manifest_text(CONTENTS, RING))
    assert read_manifest(tmp_path, RING) == CONTENTS
    assert read_manifest(tmp_path, Keyring({"k1": b"1" * 32})) == CONTENTS
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    rearranged = dict(reversed(manifest.items()))
    (tmp_path / "manifest.json").write_text(json.dumps(rearranged))
    assert read_manifest(tmp_path, RING) == CONTENTS, "spelling is not what is sealed"


def test_the_digest_is_the_same_for_ever() -> None:
    """A backup of today must be one tomorrow: whoever changes this changes the format."""
    assert CONTENTS.digest() == ("3556fbf0e4228b5c971e7fa61d0243631b6dbc810d21a0750850604b6af5e98c")


def test_any_changed_byte_is_refused(tmp_path: Path) -> None:
    """But for one that leaves the meaning as it is, such as a space."""
    text = manifest_text(CONTENTS, RING).encode()
    path = tmp_path / "manifest.json"
    meaning = json.loads(text)
    for at in range(len(text)):
        changed = bytearray(text)
        changed[at] ^= 1
        path.write_bytes(changed)
        try:
            same = json.loads(changed) == meaning
        except ValueError:
            same = False
        if same:
            assert read_manifest(tmp_path, RING) == CONTENTS
        else:
            with pytest.raises((BackupBad, KeyMissing, KeyWrong)):
                read_manifest(tmp_path, RING)
