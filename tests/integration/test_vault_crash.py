"""A process killed while it writes leaves the previous archive; memory stays flat at 100 MB."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from storage.vault import ArchiveContext, Keyring, open_archive, sweep_partials, write_archive
from storage.vault.errors import VaultError
from tests.waiting import eventually

pytestmark = pytest.mark.integration

RING = Keyring({"k1": b"1" * 32})
CONTEXT = ArchiveContext("w1", "s1", 7)

WRITE_SLOWLY = """
import os, sys
from pathlib import Path
from storage.vault import ArchiveContext, Keyring, write_archive

def source():
    written = 0
    while True:
        yield os.urandom(65536)
        written += 65536
        if written == int(sys.argv[2]):
            print("there", flush=True)
            sys.stdin.readline()

ring = Keyring({"k1": b"1" * 32})
write_archive(source(), Path(sys.argv[1]), ring, ArchiveContext("w1", "s1", 7))
"""

REWRITE_FOREVER = """
import itertools, os, sys
from pathlib import Path
from storage.vault import ArchiveContext, Keyring, rewrap_archive, write_archive

rings = [Keyring({"k1": b"1" * 32, "k2": b"2" * 32}), Keyring({"k2": b"2" * 32, "k1": b"1" * 32})]
context = ArchiveContext("w1", "s1", 7)
for number in itertools.count():
    size = 200_000 + number
    content = size.to_bytes(8, "big") + os.urandom(size)
    write_archive([content], Path(sys.argv[1]), rings[0], context, chunk_size=4096)
    rewrap_archive(Path(sys.argv[1]), rings[1])
    print(number, flush=True)
"""

MEASURE = """
import json, re, sys
from pathlib import Path
from storage.vault import ArchiveContext, Keyring, open_archive, rewrap_archive, write_archive

def peak():
    # Not getrusage: that one starts with the peak of the parent before exec.
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

import os
block = os.urandom(1 << 20)
kind = sys.argv[2]
source = [block if kind == "noise" else bytes(1 << 20)]
ring = Keyring({"k1": b"1" * 32})
context = ArchiveContext("w1", "s1", 7)
path = Path(sys.argv[1])
write_archive(source, path, ring, context)
before = peak()
pieces = (os.urandom(1 << 20) if kind == "noise" else source[0] for _ in range(100))
facts = write_archive(pieces, path, ring, context)
written = peak()
total = 0
with open_archive(path, ring, context) as archive:
    while piece := archive.read(65536):
        total += len(piece)
rewrap_archive(path, Keyring({"k1": b"1" * 32, "k2": b"2" * 32}))
print(json.dumps({"plain": facts.bytes_plain, "read": total, "growth": peak() - before}))
"""


def read(path: Path, ring: Keyring = RING) -> bytes:
    with open_archive(path, ring, CONTEXT) as archive:
        return archive.read()


def child(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("written", [65_536, 1 << 20, 5 << 20])
def test_a_kill_in_the_middle_leaves_the_previous_archive(tmp_path: Path, written: int) -> None:
    path = tmp_path / "a"
    write_archive([b"before"], path, RING, CONTEXT)
    with child(WRITE_SLOWLY, path, written) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "there\n"
        writer.kill()
    left = [found for found in tmp_path.iterdir() if found != path]
    assert len(left) == 1
    assert left[0].suffix == ".partial"
    with pytest.raises(VaultError):
        read(left[0])
    assert read(path) == b"before"
    assert sweep_partials(tmp_path) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_kills_at_any_moment_leave_a_whole_archive(tmp_path: Path) -> None:
    path, ring = tmp_path / "a", Keyring({"k1": b"1" * 32, "k2": b"2" * 32})
    for delay in range(12):
        with child(REWRITE_FOREVER, path) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            # Another moment in each round: after that many further bytes reached the disk.
            eventually(lambda: _written(writer.pid) > delay * 57_000)  # noqa: B023
            writer.kill()
        content = read(path, ring)
        assert int.from_bytes(content[:8], "big") == len(content) - 8
        assert sweep_partials(tmp_path) <= 1
        assert list(tmp_path.iterdir()) == [path]


def test_the_sweep_takes_nothing_else(tmp_path: Path) -> None:
    kept = {"a", "a.partial", ".a.partial", ".a.0123456789abcdef.partial.old", "b.tar"}
    for name in (*kept, ".a.0123456789abcdef.partial"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / ".profile.fedcba9876543210.partial" / "Default").mkdir(parents=True)
    (tmp_path / ".link.0000000000000000.partial").symlink_to(tmp_path / "a")
    assert sweep_partials(tmp_path) == 3
    assert {found.name for found in tmp_path.iterdir()} == kept


@pytest.mark.parametrize("kind", ["noise", "zeros"])
def test_memory_stays_flat_at_100_mb(tmp_path: Path, kind: str) -> None:
    with child(MEASURE, tmp_path / "a", kind) as measured:
        output, _ = measured.communicate(timeout=120)
    facts = json.loads(output)
    assert facts["read"] == facts["plain"] == 100 << 20
    assert facts["growth"] < 32 << 20


def _written(pid: int) -> int:
    fields = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(fields["wchar"]) % 1_000_000
