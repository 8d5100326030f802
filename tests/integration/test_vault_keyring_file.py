"""The key file: private or refused, made whole or not at all, extended without losing a key."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from storage.vault import generate_keyring, load_keyring, rotate_keyring, sweep_partials
from storage.vault.errors import KeyringUnusable

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

ROTATE = """
import sys
from pathlib import Path
from storage.vault import rotate_keyring
for _ in range(10):
    rotate_keyring(Path(sys.argv[1]))
"""


def test_a_new_keyring_is_private_and_can_be_loaded(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    made = generate_keyring(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    load_keyring(path).verify(made.seal_check())


def test_a_key_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    generate_keyring(path)
    before = path.read_bytes()
    with pytest.raises(KeyringUnusable, match="exists already"):
        generate_keyring(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_rotation_adds_a_current_key_and_keeps_the_others(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    old = generate_keyring(path)
    wrapped = old.wrap(b"d" * 32, {})
    path.chmod(0o400)
    new = rotate_keyring(path)
    assert new.kids[:-1] == old.kids
    assert new.current != old.current
    assert new.unwrap(wrapped, {}) == b"d" * 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_rotations_at_once_lose_no_key(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    generate_keyring(path)
    argv = [sys.executable, "-c", ROTATE, str(path)]
    rotators = [subprocess.Popen(argv) for _ in range(3)]
    assert [child.wait(60) for child in rotators] == [0, 0, 0]
    assert len(load_keyring(path).kids) == 31


def test_a_link_to_a_key_file_is_followed_and_kept(tmp_path: Path) -> None:
    path, link = tmp_path / "keys", tmp_path / "mounted"
    generate_keyring(path)
    link.symlink_to(path)
    rotate_keyring(link)
    assert link.is_symlink()
    assert len(load_keyring(path).kids) == 2


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o601, 0o777])
def test_a_key_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keys"
    generate_keyring(path)
    before = path.read_bytes()
    path.chmod(mode)
    for use in (load_keyring, rotate_keyring):
        with pytest.raises(KeyringUnusable, match="0600"):
            use(path)
    assert path.read_bytes() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_key_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    generate_keyring(path)
    os.chown(path, 65534, 65534)
    with pytest.raises(KeyringUnusable, match="another user"):
        load_keyring(path)


def test_what_is_no_key_file_is_refused(tmp_path: Path) -> None:
    pipe, large, binary = tmp_path / "pipe", tmp_path / "large", tmp_path / "binary"
    os.mkfifo(pipe, 0o600)
    large.write_bytes(b"#" * 70_000)
    binary.write_bytes(b"\xff\x00")
    for path in (tmp_path / "missing", tmp_path, pipe, large, binary, large / "below"):
        if path.exists():
            path.chmod(0o700 if path == tmp_path else 0o600)
        with pytest.raises(KeyringUnusable):
            load_keyring(path)
        with pytest.raises(KeyringUnusable):
            rotate_keyring(path)
    with pytest.raises(KeyringUnusable):
        generate_keyring(tmp_path / "no such directory" / "keys")
    assert sweep_partials(tmp_path) == 0
