"""A backup that is killed or interrupted never looks like one, and leaves nothing for long."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.integration.backup_support import (
    Furnished,
    back_up,
    furnish,
    verified,
)
from tests.waiting import eventually

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


BACK_UP_SLOWLY = """
import signal, sys
from pathlib import Path
from storage.sqlite.backup import Pace
from tests.integration.backup_support import back_up, place_of

signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the tests run under ignores
calls = 0

def tick(done, total):
    global calls
    calls += 1
    if calls == int(sys.argv[3]):
        print("there", flush=True)
        sys.stdin.readline()

back_up(place_of(Path(sys.argv[1])), Path(sys.argv[2]), pace=Pace(pages=8, pause=0), tick=tick)
"""


def paused(furnished: Furnished, target: Path, calls: int) -> subprocess.Popen[str]:
    """Start a backup that waits after so many steps until it is told to go on."""
    program = subprocess.Popen(
        [sys.executable, "-c", BACK_UP_SLOWLY, str(furnished.root), str(target), str(calls)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "there\n"
    return program


def end(program: subprocess.Popen[str], number: signal.Signals | None = None) -> int:
    if number is not None:
        program.send_signal(number)
    program.communicate("go on\n" if number is None else None, timeout=60)
    return program.returncode


@pytest.mark.parametrize("calls", [1, 8])
def test_a_killed_backup_never_looks_like_one_and_the_next_one_clears_it_away(
    furnished: Furnished, target: Path, calls: int
) -> None:
    """In the middle of the files, and in the middle of the database."""
    program = paused(furnished, target, calls)
    assert end(program, signal.SIGKILL) == -signal.SIGKILL
    assert not target.exists()
    [left] = target.parent.iterdir()
    assert stat.S_IMODE(left.stat().st_mode) == 0o700
    assert not (left / "manifest.json").exists()
    others = {
        ".first.wafleet-backup.0123456789abcdef.partial": "not ours: it has no lock",
        ".first.0123456789abcdef.partial": "of another program",
        "second": "another backup",
    }
    for name in others:
        (target.parent / name).mkdir()
        (target.parent / name / "file").touch()
    back_up(furnished.place, target.with_name("third"))
    assert {path.name for path in target.parent.iterdir()} == {*others, "third"}
    verified(target.with_name("third"))


def test_an_interrupted_backup_clears_itself_away(furnished: Furnished, target: Path) -> None:
    """Ctrl-C."""
    program = paused(furnished, target, 8)
    assert end(program, signal.SIGINT) != 0
    assert list(target.parent.iterdir()) == []


def test_two_backups_beside_each_other_leave_each_other_alone(
    furnished: Furnished, target: Path
) -> None:
    program = paused(furnished, target, 8)
    second = target.with_name("second")
    back_up(furnished.place, second)
    assert end(program) == 0
    eventually(target.exists)
    for one in (target, second):
        verified(one)
    assert sorted(target.parent.iterdir()) == [target, second]
