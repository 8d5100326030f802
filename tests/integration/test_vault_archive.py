"""Archives on a real disk: round trips, whose they are, moving to another key, a full disk."""

from __future__ import annotations

import hashlib
import os
import random
import resource
import signal
import stat
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.vault import (
    ArchiveContext,
    Keyring,
    inspect_archive,
    open_archive,
    rewrap_archive,
    write_archive,
)
from storage.vault.errors import (
    ArchiveAhead,
    ArchiveDamaged,
    ArchiveForeign,
    ArchiveTooOld,
    ArchiveUnreadable,
    ArchiveUnwritable,
    KeyMissing,
    KeyWrong,
    VaultError,
)
from storage.vault.header import HEADER_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration

OLD, NEW = b"1" * 32, b"2" * 32
RING = Keyring({"k1": OLD})
BOTH = Keyring({"k1": OLD, "k2": NEW})
CONTEXT = ArchiveContext("w1", "s1", 7)
CHUNK = 1024


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)  # noqa: S311 - incompressible, not secret


def read(path: Path, ring: Keyring = RING, context: ArchiveContext = CONTEXT) -> bytes:
    with open_archive(path, ring, context) as archive:
        return archive.read()


@settings(max_examples=60)
@given(
    st.integers(0, 6).flatmap(lambda n: st.integers(max(0, n * CHUNK - 40), n * CHUNK + 40)),
    st.booleans(),
)
def test_round_trip_of_any_size(size: int, compressible: bool) -> None:
    plain = bytes(size) if compressible else noise(size)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "a"
        facts = write_archive([plain], path, RING, CONTEXT, chunk_size=CHUNK)
        stored = path.read_bytes()
        assert read(path) == plain
        assert facts.bytes_plain == size
        assert facts.bytes_stored == len(stored)
        assert facts.sha256 == hashlib.sha256(stored).hexdigest()
        assert facts.chunks == -(-(len(stored) - HEADER_BYTES) // (CHUNK + 16))


def test_every_count_of_stored_bytes_around_a_border_occurs(tmp_path: Path) -> None:
    # Noise grows by a constant when compressed: this walks the payload over a chunk's border.
    seen = set()
    for size in range(CHUNK - 60, CHUNK + 20):
        facts = write_archive([noise(size)], tmp_path / "a", RING, CONTEXT, chunk_size=CHUNK)
        seen.add(facts.bytes_stored - HEADER_BYTES - 16 * facts.chunks)
        assert read(tmp_path / "a") == noise(size)
    assert {CHUNK - 1, CHUNK, CHUNK + 1} <= seen


def test_a_stream_and_pieces_give_the_same(tmp_path: Path) -> None:
    plain = noise(3_000_000)
    (tmp_path / "plain").write_bytes(plain)
    with (tmp_path / "plain").open("rb") as source:
        write_archive(source, tmp_path / "a", RING, CONTEXT)
    write_archive(
        (plain[n : n + 7777] for n in range(0, len(plain), 7777)), tmp_path / "b", RING, CONTEXT
    )
    assert read(tmp_path / "a") == read(tmp_path / "b") == plain
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600


def test_the_same_content_never_looks_the_same_and_never_shows(tmp_path: Path) -> None:
    plain = b"a very recognisable token" * 10
    for name in "ab":
        write_archive([plain], tmp_path / name, RING, CONTEXT)
    first, second = ((tmp_path / name).read_bytes() for name in "ab")
    assert first[HEADER_BYTES:] != second[HEADER_BYTES:]
    assert b"recognisable" not in first


def test_compressed_zeros_are_read_in_small_pieces(tmp_path: Path) -> None:
    write_archive([bytes(10_000_000)], tmp_path / "a", RING, CONTEXT)
    with open_archive(tmp_path / "a", RING, CONTEXT) as archive:
        assert archive.read(10) == bytes(10)
        assert sum(map(len, iter(lambda: archive.read(999_983), b""))) == 10_000_000 - 10
        assert archive.read(1) == b""


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        (replace(CONTEXT, workspace="w2"), ArchiveForeign),
        (replace(CONTEXT, session="s2"), ArchiveForeign),
        (replace(CONTEXT, workspace="s1", session="w1"), ArchiveForeign),
        (replace(CONTEXT, session="s2", generation=8), ArchiveForeign),
        (replace(CONTEXT, generation=8), ArchiveTooOld),
        (replace(CONTEXT, generation=6), ArchiveAhead),
    ],
)
def test_an_archive_serves_its_own_session_and_generation_only(
    tmp_path: Path, asked: ArchiveContext, error: type[VaultError]
) -> None:
    write_archive([b"x"], tmp_path / "a", RING, CONTEXT)
    with pytest.raises(error):
        open_archive(tmp_path / "a", RING, asked)
    assert inspect_archive(tmp_path / "a", RING) == CONTEXT


def test_a_header_of_another_archive_does_not_help(tmp_path: Path) -> None:
    for name, context in (("a", CONTEXT), ("b", replace(CONTEXT, session="s2"))):
        write_archive([b"x" * 100], tmp_path / name, RING, context)
    mixed = (tmp_path / "a").read_bytes()[:HEADER_BYTES] + (tmp_path / "b").read_bytes()[
        HEADER_BYTES:
    ]
    (tmp_path / "c").write_bytes(mixed)
    with pytest.raises(ArchiveDamaged):
        read(tmp_path / "c")


def test_a_relabelled_archive_is_noticed_although_its_checksum_is_right(tmp_path: Path) -> None:
    write_archive([b"x"], tmp_path / "a", RING, CONTEXT)
    raw = (tmp_path / "a").read_bytes()
    for label, forged in ((b"s1", b"s2"), (b"\x07", b"\x08")):
        start = raw.index(label, 40)
        head = raw[:start] + forged + raw[start + len(label) : 480]
        (tmp_path / "b").write_bytes(head + hashlib.sha256(head).digest() + raw[HEADER_BYTES:])
        with pytest.raises(ArchiveDamaged, match="forged"):
            inspect_archive(tmp_path / "b", RING)


def test_the_wrong_key_is_told_from_damage(tmp_path: Path) -> None:
    write_archive([b"x"], tmp_path / "a", RING, CONTEXT)
    with pytest.raises(KeyWrong):
        open_archive(tmp_path / "a", Keyring({"k1": NEW}), CONTEXT)
    with pytest.raises(KeyMissing):
        open_archive(tmp_path / "a", Keyring({"k2": NEW}), CONTEXT)
    assert read(tmp_path / "a", BOTH) == b"x"


def test_after_rewrapping_the_old_key_can_go(tmp_path: Path) -> None:
    path, plain = tmp_path / "a", noise(5000)
    write_archive([plain], path, RING, CONTEXT, chunk_size=CHUNK)
    before = path.read_bytes()
    facts = rewrap_archive(path, BOTH)
    after = path.read_bytes()
    assert (facts.kid, facts.changed) == ("k2", True)
    assert facts.sha256 == hashlib.sha256(after).hexdigest()
    assert before[HEADER_BYTES:] == after[HEADER_BYTES:]
    assert read(path, Keyring({"k2": NEW})) == plain
    assert rewrap_archive(path, BOTH) == replace(facts, changed=False)
    assert path.read_bytes() == after
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_archive_is_not_rewrapped(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_archive([noise(5000)], path, RING, CONTEXT, chunk_size=CHUNK)
    damaged = path.read_bytes()[:-1]
    path.write_bytes(damaged)
    with pytest.raises(ArchiveDamaged):
        rewrap_archive(path, BOTH)
    assert path.read_bytes() == damaged
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_of_the_source_leaves_the_previous_archive(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield noise(5000)
        raise OSError(5, "the source broke")

    write_archive([b"before"], tmp_path / "a", RING, CONTEXT)
    with pytest.raises(OSError, match="the source broke"):
        write_archive(broken(), tmp_path / "a", RING, CONTEXT, chunk_size=CHUNK)
    assert read(tmp_path / "a") == b"before"
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


@pytest.mark.parametrize("position", [100, HEADER_BYTES + 10, HEADER_BYTES + CHUNK + 100])
def test_a_disk_that_returns_something_else_is_noticed_before_the_rename(
    tmp_path: Path, position: int
) -> None:
    def source() -> Iterator[bytes]:
        yield noise(600_000)
        partial = next(tmp_path.glob("*.partial"))
        with partial.open("r+b") as file:
            assert len(file.read()) > 3 * CHUNK
            file.seek(position)
            file.write(b"rot")

    write_archive([b"before"], tmp_path / "a", RING, CONTEXT)
    with pytest.raises(ArchiveDamaged):
        write_archive(source(), tmp_path / "a", RING, CONTEXT, chunk_size=CHUNK)
    assert read(tmp_path / "a") == b"before"
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let the kernel refuse larger files, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


def test_a_disk_without_space_leaves_the_previous_archive(tmp_path: Path) -> None:
    write_archive([b"before"], tmp_path / "a", RING, CONTEXT)
    with files_of_at_most(3000), pytest.raises(ArchiveUnwritable):
        write_archive([noise(5000)], tmp_path / "a", RING, CONTEXT, chunk_size=CHUNK)
    assert read(tmp_path / "a") == b"before"
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_what_is_no_archive_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "a")
    write_archive([b"x"], tmp_path / "a", RING, CONTEXT)
    os.mkfifo(tmp_path / "pipe")
    for name in ("missing", "link", "pipe", ".", "a/below"):
        with pytest.raises(ArchiveUnreadable):
            open_archive(tmp_path / name, RING, CONTEXT)
    with pytest.raises(ArchiveUnwritable):
        write_archive([b"x"], tmp_path / "missing" / "a", RING, CONTEXT)
    (tmp_path / "folder").mkdir()
    with pytest.raises(ArchiveUnwritable):
        write_archive([b"x"], tmp_path / "folder", RING, CONTEXT)


@pytest.mark.parametrize(("level", "chunk_size"), [(0, CHUNK), (20, CHUNK), (3, 0), (3, 2**25)])
def test_impossible_shapes_are_refused_before_anything_is_written(
    tmp_path: Path, level: int, chunk_size: int
) -> None:
    with pytest.raises(ValueError, match="levels"):
        write_archive([b""], tmp_path / "a", RING, CONTEXT, level=level, chunk_size=chunk_size)
    assert list(tmp_path.iterdir()) == []
