"""Profiles are copied fast, packed the same way always, and unpacked whole or not at all."""

from __future__ import annotations

import io
import os
import random
import shutil
import socket
import stat
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.vault import (
    ArchiveContext,
    CopyFacts,
    Keyring,
    copy_profile,
    open_archive,
    pack,
    sweep_partials,
    unpack,
    write_archive,
)
from storage.vault.errors import (
    ArchiveDamaged,
    ProfileChanged,
    ProfileDamaged,
    ProfileUnusable,
)
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.integration

RING = Keyring({"k1": b"1" * 32})
CONTEXT = ArchiveContext("w1", "s1", 7)
KEPT = {
    "Local State": b"{}",
    "Default/Cookies": b"cookies",
    "Default/Cookies-journal": b"",
    "Default/IndexedDB/wa.leveldb/000003.log": bytes(range(256)) * 3000,
    "Default/IndexedDB/wa.blob/1/00/1a": b"b" * 512,
    f"Default/WebStorage/{'long' * 40}/{'name ä' * 12}": b"long",
}
LEFT_OUT = ("Default/Cache/data_1", "SingletonCookie", "Default/x.tmp", "Crashpad/metadata")


def contents(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def make(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    root = make(tmp_path / "profile", {**KEPT, **dict.fromkeys(LEFT_OUT, b"x")})
    (root / "SingletonLock").symlink_to("host-12345")
    (root / "Default/link").symlink_to("/etc/passwd")
    (root / "Default/linked").symlink_to(root / "Default/IndexedDB")
    (root / "Default/empty").mkdir()
    os.mkfifo(root / "Default/pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        directory = os.open(root / "Default", os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{directory}/socket")  # the path itself may be too long
        os.close(directory)
    return root


def stream_of(members: list[tuple[tarfile.TarInfo, bytes]]) -> io.BytesIO:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for member, content in members:
            archive.addfile(member, io.BytesIO(content))
    stream.seek(0)
    return stream


def member(
    name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, link: str = ""
) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, link
    return info


def test_a_copy_holds_what_matters_and_nothing_else(profile: Path, tmp_path: Path) -> None:
    facts = copy_profile(profile, tmp_path / "copy")
    assert contents(tmp_path / "copy") == KEPT
    assert facts == CopyFacts(len(KEPT), sum(map(len, KEPT.values())))
    assert (tmp_path / "copy/Default/empty").is_dir()
    for path in (tmp_path / "copy").rglob("*"):
        assert stat.S_IMODE(path.lstat().st_mode) == (0o700 if path.is_dir() else 0o600)
        assert path.is_dir() or path.is_file()
        assert not path.is_symlink()


def test_a_copy_is_independent_of_the_original(profile: Path, tmp_path: Path) -> None:
    copy_profile(profile, tmp_path / "copy")
    (profile / "Default/Cookies").write_bytes(b"changed")
    assert (tmp_path / "copy/Default/Cookies").read_bytes() == b"cookies"


def test_a_copy_across_file_systems(profile: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        copy_profile(profile, Path(other) / "copy")
        assert contents(Path(other) / "copy") == KEPT


def test_a_copy_never_touches_what_is_there(profile: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    with pytest.raises(ProfileUnusable):
        copy_profile(profile, tmp_path / "copy")
    assert list((tmp_path / "copy").iterdir()) == []
    with pytest.raises(ProfileUnusable):
        copy_profile(tmp_path / "missing", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_copy_of_a_profile_in_use_is_refused(tmp_path: Path) -> None:
    """A browser that was not frozen is noticed by the file that it writes to."""
    script = "import sys\nwith open(sys.argv[1], 'ab', 0) as f:\n  while True: f.write(b'x' * 64)"
    root, copy = tmp_path / "profile", tmp_path / "copy"
    log = root / "Default/000003.log"
    make(root, {"Default/000003.log": bytes(20_000_000)})

    def refused() -> bool:
        try:
            copy_profile(root, copy)
        except ProfileChanged:
            return True
        shutil.rmtree(copy)  # the writer did not get its turn in that moment
        return False

    with subprocess.Popen([sys.executable, "-c", script, str(log)]) as writer:
        try:
            assert eventually(refused)
        finally:
            writer.kill()
    assert not copy.exists()


@pytest.mark.parametrize("change", ["append", "truncate", "rewrite", "remove"])
def test_packing_a_profile_in_use_is_refused(tmp_path: Path, change: str) -> None:
    root = make(tmp_path, {"Default/a": bytes(2_000_000), "Default/b": b"b"})
    packed = pack(root)
    for _ in range(3):
        next(packed)  # a is open now, b not yet
    if change == "append":
        with (root / "Default/a").open("ab") as file:
            file.write(b"more")
    elif change == "truncate":
        os.truncate(root / "Default/a", 500_000)
    elif change == "rewrite":
        (root / "Default/a").write_bytes(bytes(2_000_000))
    else:
        (root / "Default/b").unlink()
    with pytest.raises(ProfileChanged, match="freeze"):
        sum(map(len, packed))


def test_packing_is_reproducible_and_other_tools_read_it(profile: Path, tmp_path: Path) -> None:
    copy_profile(profile, tmp_path / "copy")
    packed = b"".join(pack(profile))
    assert b"".join(pack(tmp_path / "copy")) == packed
    subprocess.run(["/bin/tar", "-xf", "-", "-C", str(tmp_path)], input=packed, check=True)
    assert contents(tmp_path / "Default") == {
        name.removeprefix("Default/"): content
        for name, content in KEPT.items()
        if name.startswith("Default/")
    }


@pytest.mark.parametrize("empty_target", [False, True])
def test_packed_and_unpacked_it_is_the_same(
    profile: Path, tmp_path: Path, empty_target: bool
) -> None:
    write_archive(pack(profile), tmp_path / "a", RING, CONTEXT)
    target = tmp_path / "restored"
    if empty_target:
        target.mkdir()
    with open_archive(tmp_path / "a", RING, CONTEXT) as stream:
        facts = unpack(stream, target)
    assert contents(target) == KEPT
    assert facts == CopyFacts(len(KEPT), sum(map(len, KEPT.values())))
    assert (target / "Default/empty").is_dir()
    assert {p.name for p in tmp_path.iterdir()} == {"profile", "a", "restored"}


def test_a_stream_of_another_tool_is_unpacked(tmp_path: Path) -> None:
    make(tmp_path / "in", {"Default/a": b"1", "Default/b/c": b"2" * 2000})
    packed = subprocess.run(
        ["/bin/tar", "-cf", "-", "-C", str(tmp_path / "in"), "Default"],
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    unpack(io.BytesIO(packed), tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "in")


@settings(max_examples=40)
@given(
    st.dictionaries(
        st.from_regex(r"[a-zA-Z0-9 ä._-]{1,40}", fullmatch=True).filter(
            lambda name: name not in {".", ".."} and not name.endswith(".tmp")
        ),
        st.integers(0, 1600).map(lambda size: random.Random(size).randbytes(size)),  # noqa: S311
        max_size=6,
    )
)
def test_round_trip_of_any_files(files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        root = make(Path(scratch) / "in", {f"Default/f {n}": c for n, c in files.items()})
        root.mkdir(exist_ok=True)
        unpack(io.BytesIO(b"".join(pack(root))), Path(scratch) / "out")
        assert contents(Path(scratch) / "out") == contents(root)


def test_every_cut_of_a_stream_is_noticed(profile: Path, tmp_path: Path) -> None:
    packed = b"".join(pack(profile))
    for end in (*range(0, len(packed), 512 * 61), len(packed) - 512, len(packed) - 1):
        with pytest.raises(ProfileDamaged):
            unpack(io.BytesIO(packed[:end]), tmp_path / "out")
    assert list(tmp_path.iterdir()) == [profile]


def _occupied(path: Path) -> None:
    make(path, {"mine": b"mine"})


def _a_file(path: Path) -> None:
    path.write_bytes(b"mine")


def _a_link(path: Path) -> None:
    path.symlink_to(path.parent)


@pytest.mark.parametrize("prepare", [_occupied, _a_file, _a_link])
def test_an_occupied_target_is_refused(tmp_path: Path, prepare: Callable[[Path], None]) -> None:
    prepare(tmp_path / "out")
    before = contents(tmp_path)
    with pytest.raises(ProfileUnusable):
        unpack(stream_of([(member("a"), b"")]), tmp_path / "out")
    assert contents(tmp_path) == before
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_profile_appears_only_after_its_last_chunk_was_verified(
    profile: Path, tmp_path: Path
) -> None:
    path = tmp_path / "a"
    (profile / "Default/noise").write_bytes(random.Random(1).randbytes(20_000))  # noqa: S311
    write_archive(pack(profile), path, RING, CONTEXT, chunk_size=4096)
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1  # the tag of the last chunk
    path.write_bytes(raw)
    with open_archive(path, RING, CONTEXT) as stream, pytest.raises(ArchiveDamaged):
        unpack(stream, tmp_path / "out")
    assert {p.name for p in tmp_path.iterdir()} == {"profile", "a"}


def test_a_kill_while_unpacking_leaves_no_profile(profile: Path, tmp_path: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom storage.vault import unpack\n"
        "unpack(sys.stdin.buffer, Path(sys.argv[1]))"
    )
    packed = b"".join(pack(profile))
    argv = [sys.executable, "-c", script, str(tmp_path / "out")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE) as child:
        assert child.stdin is not None
        child.stdin.write(packed[: len(packed) // 2])
        child.stdin.flush()
        eventually(lambda: list(tmp_path.glob(".out.*.partial/Default")))
        child.kill()
    assert not (tmp_path / "out").exists()
    assert sweep_partials(tmp_path) == 1
    unpack(io.BytesIO(packed), tmp_path / "out")
    assert contents(tmp_path / "out") == KEPT
