"""`wafleet backup` and `restore` as programs: what they say, and their exit codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from supervisor.datadir import DataDir
from tests.acceptance.test_admin_programs import wafleet
from tests.integration.backup_support import (
    KEK,
    OTHER_KEK,
    Furnished,
    furnish,
    put_keys,
    query,
    tree,
)

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

pytestmark = pytest.mark.acceptance


@pytest.fixture
async def furnished(tmp_path: Path) -> Furnished:
    return await furnish(tmp_path / "data")


def outcome(done: subprocess.CompletedProcess[str]) -> tuple[int, str]:
    """Return the exit code and the stable code of the complaint."""
    assert "Traceback" not in done.stderr
    assert KEK.split(":")[1] not in done.stdout + done.stderr
    *_, last = done.stderr.strip().splitlines() or [""]
    return done.returncode, last.rpartition("[")[2].rstrip("]")


def contents(root: Path) -> dict[str, bytes]:
    """Return what is in a data directory, but for who held it last."""
    return {path: content for path, content in tree(root).items() if path != "wafleet.lock"}


def test_there_and_back(furnished: Furnished, tmp_path: Path) -> None:
    """One line of results; the remark about the keys; nothing of a progress bar."""
    backup, new = tmp_path / "backup", tmp_path / "new"
    made = wafleet(furnished.root, "backup", str(backup))
    assert made.returncode == 0
    [line] = made.stdout.splitlines()
    assert line.startswith(f"Backed up to {backup}: the database of 2")
    assert "4 archives, 1 media files, " in line
    [remark] = made.stderr.splitlines()
    assert remark.startswith("The keys that it is encrypted and sealed with ")
    assert "keep a copy of the keys elsewhere" in remark
    assert outcome(wafleet(furnished.root, "backup", str(backup))) == (1, "backup_target_taken")
    log = "SELECT action FROM whatsapp_session_access_logs ORDER BY id"
    assert query(furnished.place.data.database, log) == [("backup.create",)]

    no_key = wafleet(new, "restore", str(backup))
    assert outcome(no_key) == (7, "kek_unusable")
    assert f"There is no key file {new}/keys/kek" in no_key.stderr
    assert not new.exists()
    assert outcome(wafleet(new, "restore", str(backup), WAFLEET_KEK=OTHER_KEK)) == (7, "key_wrong")
    assert not new.exists()

    checked = wafleet(new, "restore", str(backup), "--verify", WAFLEET_KEK=KEK)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert checked.stdout.startswith(f"The backup {backup} is good: the database of 2")
    assert not new.exists()

    put_keys(new)
    restored = wafleet(new, "restore", str(backup))
    assert (restored.returncode, restored.stderr) == (0, "")
    assert restored.stdout.startswith(f"Restored to {new}: the database of 2")
    assert "2 messages wait to be sent; start wafleet to go on." in restored.stdout
    assert query(new / "wafleet.db", log) == [("backup.restore",)]
    assert wafleet(new, "migrate", "verify").returncode == 0

    before = contents(new)
    taken = wafleet(new, "restore", str(backup))
    assert outcome(taken) == (1, "restore_target_taken")
    assert "--replace" in taken.stderr
    assert contents(new) == before
    replaced = wafleet(new, "restore", str(backup), "--replace")
    assert replaced.returncode == 0
    [away] = (new / "replaced").iterdir()
    assert replaced.stdout.splitlines()[1] == f"What was there is in {away}."


def test_what_can_not_be_done_says_why(furnished: Furnished, tmp_path: Path) -> None:
    backup, root = tmp_path / "backup", furnished.root
    assert outcome(wafleet(tmp_path / "no", "backup", str(backup))) == (5, "database_missing")
    assert not (tmp_path / "no").exists()
    kek = root / "keys" / "kek"
    kek.unlink()
    assert outcome(wafleet(root, "backup", str(backup))) == (7, "kek_unusable")
    assert not kek.exists()
    put_keys(root)

    furnished.archive(1, 1).unlink()
    partly = wafleet(root, "backup", str(backup))
    assert partly.returncode == 1
    assert partly.stdout.startswith("Backed up to ")
    told = partly.stderr.splitlines()
    assert "it is not there [missing]" in told[1]
    assert str(furnished.archive(1, 1).relative_to(root)) in told[1]
    assert told[2] == "All the rest is good."
    assert wafleet(root, "restore", str(backup), "--verify").returncode == 0

    with DataDir(root).owned():
        running = wafleet(root, "restore", str(backup), "--replace")
        assert outcome(running) == (3, "data_dir_in_use")
        assert wafleet(root, "restore", str(backup), "--verify").returncode == 0
    with (backup / "wafleet.db").open("r+b") as file:
        file.seek(5000)
        file.write(b"spoilt")
    before = contents(root)
    for option in ("--verify", "--replace"):
        bad = wafleet(root, "restore", str(backup), option)
        assert outcome(bad) == (1, "backup_bad")
        assert "wafleet.db in the backup is not as it was written" in bad.stderr
    assert contents(root) == before


def test_a_backup_before_an_update_is_made_and_says_what_it_could_not_do(tmp_path: Path) -> None:
    """The access log of an earlier version can't be written to."""
    data, backup = tmp_path / "data", tmp_path / "backup"
    wafleet(data, "migrate", "up")
    wafleet(data, "migrate", "down", "--yes")
    put_keys(data)
    made = wafleet(data, "backup", str(backup))
    assert made.returncode == 0
    assert "Not noted in the access log" in made.stderr
    assert wafleet(data, "restore", str(backup), "--verify").returncode == 0
