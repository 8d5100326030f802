"""The keyring at start: made once, and never again for data that other keys have sealed."""

from __future__ import annotations

import stat
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from config.settings import Settings
from storage.vault import rotate_keyring
from supervisor.datadir import DataDir
from supervisor.errors import KekUnusable
from supervisor.keyring import open_keyring

if TYPE_CHECKING:
    from pathlib import Path

    from storage.vault import Keyring

pytestmark = pytest.mark.integration

ONE = f"k1:{b64encode(b'1' * 32).decode()}"
SAME_ID = f"k1:{b64encode(b'2' * 32).decode()}"
TWO = f"k2:{b64encode(b'2' * 32).decode()}"


def opened(directory: Path, kek: str | None = None, **settings: Any) -> Keyring:
    """Open it as a start of a node does."""
    secret = SecretStr(kek) if kek is not None else None
    data = DataDir(directory)
    with data.owned():
        return open_keyring(Settings(data_dir=directory, kek=secret, **settings), data)


def test_the_first_run_makes_a_key_and_later_runs_keep_it(tmp_path: Path) -> None:
    """Mode 0600, in a directory of mode 0700."""
    first = opened(tmp_path)
    made = (tmp_path / "keys" / "kek").read_text()
    assert opened(tmp_path).kids == first.kids
    assert (tmp_path / "keys" / "kek").read_text() == made
    modes = [stat.S_IMODE(f.stat().st_mode) for f in sorted((tmp_path / "keys").iterdir())]
    assert modes == [0o600, 0o600]
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700


def test_a_lost_key_is_not_replaced(tmp_path: Path) -> None:
    """A new one would open nothing of what is there."""
    opened(tmp_path)
    (tmp_path / "keys" / "kek").unlink()
    with pytest.raises(KekUnusable, match="put the file back"):
        opened(tmp_path)
    assert not (tmp_path / "keys" / "kek").exists()


@pytest.mark.parametrize("file", ["archives/w/s/1.wfa", "media/w/1.wfm"])
def test_files_without_their_keys_are_no_first_run(tmp_path: Path, file: str) -> None:
    """Also when the whole directory of keys is gone."""
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_bytes(b"x")
    with pytest.raises(KekUnusable, match="put the file back"):
        opened(tmp_path)


@pytest.mark.parametrize(
    ("later", "code"),
    [(SAME_ID, "key_wrong"), (TWO, "key_missing"), ("nonsense", "keyring_unusable")],
)
def test_other_keys_are_refused(tmp_path: Path, later: str, code: str) -> None:
    """Told apart: a wrong key under the right id, and a key that is missing."""
    opened(tmp_path, ONE)
    with pytest.raises(KekUnusable, match=code) as caught:
        opened(tmp_path, later)
    assert caught.value.exit_code == 7
    assert later.rsplit(":", maxsplit=1)[-1] not in str(caught.value) or later == "nonsense"
    assert opened(tmp_path, ONE).kids == ("k1",)


def test_a_rotated_keyring_is_the_right_one(tmp_path: Path) -> None:
    """The old key still opens the check; in the file and in the environment."""
    opened(tmp_path)
    rotate_keyring(tmp_path / "keys" / "kek")
    assert len(opened(tmp_path).kids) == 2
    other = tmp_path / "other"
    opened(other, ONE)
    assert opened(other, f"{ONE},{TWO}").current == "k2"


def test_a_configured_file_is_made_where_it_is_wanted(tmp_path: Path) -> None:
    """And nothing beside the check in the data directory."""
    kek = tmp_path / "kek"
    data = tmp_path / "data"
    opened(data, kek_file=kek)
    assert kek.exists()
    assert [f.name for f in (data / "keys").iterdir()] == ["check"]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"wv1.k1.AAAA"])
def test_a_damaged_check_is_refused(tmp_path: Path, content: bytes) -> None:
    """It can't prove anything; going on could seal with a wrong key."""
    opened(tmp_path)
    (tmp_path / "keys" / "check").write_bytes(content)
    with pytest.raises(KekUnusable):
        opened(tmp_path)


def test_copies_that_a_dead_node_left_are_removed(tmp_path: Path) -> None:
    """They are logins in clear; profiles stay."""
    data = DataDir(tmp_path)
    for name in ("copy", "profile"):
        (data.sessions / ("0" * 26) / name).mkdir(parents=True)
    assert data.remove_copies() == 1
    assert [f.name for f in (data.sessions / ("0" * 26)).iterdir()] == ["profile"]
    assert data.remove_copies() == 0
