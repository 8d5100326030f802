"""Streams that `pack` did not make: nothing leaves the new directory, nothing else is raised."""

from __future__ import annotations

import io
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.vault import unpack
from storage.vault.errors import ProfileDamaged, ProfileTooLarge, ProfileUnsafe, VaultError
from tests.integration.test_vault_profile import member, stream_of

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    "hostile",
    [
        [member("/etc/wafleet")],
        [member("../outside")],
        [member("Default/../../outside")],
        [member("..")],
        [member("link", tarfile.SYMTYPE, link="/tmp")],  # noqa: S108
        [member("link", tarfile.SYMTYPE, link="inside")],
        [member("link", tarfile.SYMTYPE, link=".."), member("link/outside")],
        [member("file"), member("hard", tarfile.LNKTYPE, link="file")],
        [member("hard", tarfile.LNKTYPE, link="/etc/passwd")],
        [member("pipe", tarfile.FIFOTYPE)],
        [member("device", tarfile.CHRTYPE)],
        [member("device", tarfile.BLKTYPE)],
        [member("file"), member("file")],
        [member("file"), member("file/below")],
        [member("file"), member("file", tarfile.DIRTYPE)],
        [member("folder", tarfile.DIRTYPE), member("folder")],
        [member(".")],
    ],
)
def test_a_hostile_stream_is_refused(hostile: list[tarfile.TarInfo], tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    good = member("Default/first")
    with pytest.raises(ProfileUnsafe):
        unpack(stream_of([(m, b"") for m in (good, *hostile)]), inside / "out")
    assert list(inside.iterdir()) == []
    assert list(tmp_path.iterdir()) == [inside]


@pytest.mark.parametrize(
    ("limits", "fits"),
    [
        ({"max_bytes": 1000, "max_files": 2}, True),
        ({"max_bytes": 999, "max_files": 2}, False),
        ({"max_bytes": 1000, "max_files": 1}, False),
        ({"max_bytes": 0, "max_files": 0}, False),
    ],
)
def test_a_profile_beyond_the_limits_is_refused(
    tmp_path: Path, limits: dict[str, int], fits: bool
) -> None:
    stream = stream_of([(member("a", size=600), bytes(600)), (member("b", size=400), bytes(400))])
    if fits:
        unpack(stream, tmp_path / "out", **limits)
        return
    with pytest.raises(ProfileTooLarge):
        unpack(stream, tmp_path / "out", **limits)
    assert list(tmp_path.iterdir()) == []


def test_a_stream_that_never_ends_is_refused(tmp_path: Path) -> None:
    class Endless(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            assert size is not None
            return super().read(size) or bytes(size)

    for start in (stream_of([(member("a"), b"")]).read(), b""):
        with pytest.raises(VaultError):
            unpack(Endless(start), tmp_path / "out", max_bytes=1 << 20, max_files=10)
    assert list(tmp_path.iterdir()) == []


def test_a_broken_header_in_the_middle_is_no_end(tmp_path: Path) -> None:
    packed = bytearray(
        stream_of([(member("a"), b""), (member("b"), b""), (member("c"), b"")]).read()
    )
    packed[512 + 150] ^= 1  # in the checksum of b
    with pytest.raises(ProfileDamaged):
        unpack(io.BytesIO(bytes(packed)), tmp_path / "out")


def test_headers_that_announce_each_other_are_damage(tmp_path: Path) -> None:
    longname = member("././@LongLink", tarfile.GNUTYPE_LONGNAME, size=2)
    chain = (longname.tobuf(tarfile.GNU_FORMAT) + b"a".ljust(512, b"\0")) * 3000
    with pytest.raises(ProfileDamaged, match="RecursionError"):
        unpack(io.BytesIO(chain + bytes(1024)), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=200)
@given(data=st.data())
def test_garbage_raises_vault_errors_only(data: st.DataObject) -> None:
    good = stream_of([(member("Default/a", size=700), bytes(700)), (member("ä" * 120), b"")]).read()
    kind = data.draw(st.sampled_from(["noise", "head", "flips"]))
    if kind == "noise":
        raw = data.draw(st.binary(max_size=2000))
    elif kind == "head":
        raw = good[: data.draw(st.integers(0, 3000))] + data.draw(st.binary(max_size=1500))
    else:
        changed = bytearray(good)
        for position in data.draw(st.lists(st.integers(0, 4000), max_size=4)):
            changed[position] ^= data.draw(st.integers(1, 255))
        raw = bytes(changed)
    with tempfile.TemporaryDirectory() as scratch:
        inside = Path(scratch) / "inside"
        inside.mkdir()
        try:
            unpack(io.BytesIO(raw), inside / "out", max_bytes=1 << 20, max_files=10)
        except VaultError:
            assert list(inside.iterdir()) == []
        assert list(Path(scratch).iterdir()) == [inside]
