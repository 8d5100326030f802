"""What files are and whether they are whole, told from their bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.media_check import CUT_OFF, UNKNOWN, MediaCheck, sniff
from api.media_kinds import LIMITS, MB, OPUS, TYPES, media_problem
from storage.uploads import Upload, UploadFacts
from tests.integration.media_samples import (
    AAC,
    JPEG,
    MP3,
    MP4,
    OPUS_OGG,
    PDF,
    VORBIS_OGG,
    WEBP,
    box,
    png,
)

pytestmark = pytest.mark.unit

WHOLE = {
    "image/jpeg": JPEG,
    "image/png": png(),
    "image/webp": WEBP,
    "video/mp4": MP4,
    OPUS: OPUS_OGG,
    "audio/ogg": VORBIS_OGG,
    "audio/mpeg": MP3,
    "audio/aac": AAC,
    "application/pdf": PDF,
}
CAN_BE_CUT = ["image/jpeg", "image/png", "image/webp", "video/mp4"]


def checked(data: bytes, declared: str | None = None, step: int = 7) -> UploadFacts:
    check = MediaCheck(declared)
    for at in range(0, len(data), step):
        check.feed(data[at : at + step])
    return check.facts()


@pytest.mark.parametrize("mimetype", WHOLE)
@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_whole_files_are_what_they_are_whatever_is_said(mimetype: str, step: int) -> None:
    data = WHOLE[mimetype]
    expected = UploadFacts(mimetype=mimetype, size=len(data), problem=None)
    assert checked(data, "text/html", step) == expected


@pytest.mark.parametrize("mimetype", CAN_BE_CUT)
@pytest.mark.parametrize("lost", [1, 5, 20])
def test_a_file_without_its_end_is_told(mimetype: str, lost: int) -> None:
    facts = checked(WHOLE[mimetype][:-lost])
    assert (facts.mimetype, facts.problem) == (mimetype, CUT_OFF)


@pytest.mark.parametrize(
    ("brand", "declared", "mimetype"),
    [
        (b"isom", None, "video/mp4"),
        (b"isom", "audio/mp4", "audio/mp4"),
        (b"isom", "image/png", "video/mp4"),
        (b"M4A ", None, "audio/mp4"),
        (b"3gp5", None, "video/3gpp"),
        (b"qt  ", None, "video/quicktime"),
        (b"heic", None, "image/heif"),
    ],
)
def test_the_brands_of_mp4(brand: bytes, declared: str | None, mimetype: str) -> None:
    data = box(b"ftyp", brand + b"\0\0\0\0") + box(b"moov") + box(b"mdat", b"x")
    assert checked(data, declared) == UploadFacts(mimetype=mimetype, size=len(data), problem=None)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (MP4 + b"\0\0", CUT_OFF),  # the header of a box that is not there
        (box(b"ftyp", b"isom0000") + box(b"mdat", b"x"), "it has no index (moov)"),
        (box(b"ftyp", b"isom0000") + box(b"moov") + b"\0\0\0\0mdat" + b"x" * 50, None),
        (box(b"ftyp", b"isom0000") + box(b"moov") + b"\0\0\0\3mdat", CUT_OFF),
        (
            box(b"ftyp", b"isom0000")
            + box(b"moov")
            + b"\0\0\0\1mdat"
            + (16 + 5).to_bytes(8)
            + b"12345",
            None,
        ),
        (
            box(b"ftyp", b"isom0000")
            + box(b"moov")
            + b"\0\0\0\1mdat"
            + (16 + 6).to_bytes(8)
            + b"12345",
            CUT_OFF,
        ),
    ],
)
@pytest.mark.parametrize("step", [1, 3, 1000])
def test_the_boxes_of_mp4(data: bytes, problem: str | None, step: int) -> None:
    assert checked(data, step=step).problem == problem


@pytest.mark.parametrize(
    ("declared", "mimetype"),
    [
        (None, UNKNOWN),
        ("", UNKNOWN),
        ("text/csv", "text/csv"),
        ("Text/CSV; charset=utf-8", "text/csv"),
        ("application/vnd.ms-excel", "application/vnd.ms-excel"),
        ("image/jpeg", UNKNOWN),  # it is not, whatever is said
        ("audio/ogg", UNKNOWN),
        ("video/mp4", UNKNOWN),
        ("nonsense", UNKNOWN),
        ("text/" + "x" * 200, UNKNOWN),
        ("text/a\r\nb", UNKNOWN),
    ],
)
def test_of_what_is_not_looked_for_the_declared_type_is_taken_unless_it_matters(
    declared: str | None, mimetype: str
) -> None:
    assert checked(b"a,b\n1,2\n", declared).mimetype == mimetype


@given(st.binary(max_size=3000), st.text(max_size=40), st.integers(1, 64))
def test_no_bytes_make_it_fail_and_pieces_do_not_matter(
    data: bytes, declared: str, step: int
) -> None:
    facts = checked(data, declared, step)
    assert facts == checked(data, declared, 4000)
    assert facts.size == len(data)


@given(
    st.sampled_from([b"", JPEG[:3], b"RIFF", b"\0\0\0\x10ftyp", b"OggS", b"\xff\xfb"]), st.binary()
)
def test_no_head_makes_it_fail(start: bytes, rest: bytes) -> None:
    found = sniff(start + rest)
    assert found is None or "/" in found


def upload(mimetype: str, size: int = 10, problem: str | None = None) -> Upload:
    return Upload(
        id="1",
        workspace_id="w",
        mimetype=mimetype,
        filename=None,
        size=size,
        problem=problem,
        created_ms=0,
    )


@pytest.mark.parametrize("kind", LIMITS)
def test_each_kind_takes_its_own_types_up_to_its_limit(kind: str) -> None:
    own = TYPES.get(kind, ("application/zip", UNKNOWN, "image/gif"))
    for mimetype in own:
        assert media_problem(kind, upload(mimetype, LIMITS[kind])) is None
        assert f"{LIMITS[kind] // MB} MB" in (
            media_problem(kind, upload(mimetype, 1 + LIMITS[kind])) or ""
        )
        broken = media_problem(kind, upload(mimetype, problem=CUT_OFF))
        assert broken is None if kind == "document" else CUT_OFF in (broken or "")
    others = {t for types in TYPES.values() for t in types} - set(own)
    if kind != "document":
        assert others
        assert all(media_problem(kind, upload(other)) for other in others)
