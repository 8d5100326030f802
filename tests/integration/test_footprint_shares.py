"""What a process takes, from look to look, is near the truth although it is rarely read in full."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from actors.browser import footprint, procfs
from actors.browser.footprint import LOOKS, Shares, proportional

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.integration
MB = 1024 * 1024

TAKES_MEMORY = """
import mmap, sys
kept = []
print("up", flush=True)
for line in sys.stdin:
    how, size = line.split()
    kept.append(mmap.mmap(-1, int(size) << 20) if how == "shared" else bytearray(int(size) << 20))
    kept[-1][:] = b"x" * len(kept[-1])
    print("taken", flush=True)
"""


@contextmanager
def process(how: str = "alone") -> Iterator[tuple[procfs.Process, Callable[[int], None]]]:
    """Run a process; the function makes it take so many megabytes more, alone or shared."""
    with subprocess.Popen(
        [sys.executable, "-c", TAKES_MEMORY],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None

        def take(megabytes: int) -> None:
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.write(f"{how} {megabytes}\n")
            child.stdin.flush()
            assert child.stdout.readline() == "taken\n"

        assert child.stdout.readline() == "up\n"
        yield procfs.get(child.pid), take
        child.stdin.close()


def look(shares: Shares, one: procfs.Process) -> int:
    seen = shares.of(one)
    shares.looked()
    return seen


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Collect the pids whose shares the kernel was asked for."""
    pids: list[int] = []

    def counted(pid: int) -> int:
        pids.append(pid)
        return proportional(pid)

    monkeypatch.setattr(footprint, "proportional", counted)
    return pids


def test_a_process_that_grows_is_seen_at_once(read: list[int]) -> None:
    """A little without being read in full, much by being read."""
    shares = Shares()
    with process() as (one, take):
        before = look(shares, one)
        take(20)
        assert look(shares, one) - before == pytest.approx(20 * MB, rel=0.1)
        asked = 2 if one.pid % LOOKS == 0 else 1  # the second look is the turn of some
        assert read == [one.pid] * asked
        take(80)
        assert look(shares, one) == pytest.approx(proportional(one.pid), rel=0.05)
        assert read == [one.pid] * (asked + 1)


def test_much_that_a_process_shares_is_seen_at_once(read: list[int]) -> None:
    shares = Shares()
    with process("shared") as (one, take):
        before = look(shares, one)
        take(80)
        assert look(shares, one) - before == pytest.approx(80 * MB, rel=0.1)
        assert read == [one.pid] * 2


def test_each_process_is_read_in_full_every_few_looks(read: list[int]) -> None:
    """Not all of them in the same look: the first time depends on the pid."""
    shares = Shares()
    with process() as (one, _):
        at = []
        for number in range(4 * LOOKS):
            read.clear()
            look(shares, one)
            if read:
                at.append(number)
        assert at == [0, *range(one.pid % LOOKS + 1, 4 * LOOKS, LOOKS)]


def test_a_process_that_is_gone_takes_nothing(read: list[int]) -> None:
    shares = Shares()
    with process() as (one, _):
        assert look(shares, one) > 0
    assert look(shares, one) == 0
    shares.looked()
    assert shares._known == {}
    assert read
