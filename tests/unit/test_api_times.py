"""Times as the API writes and reads them."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.times import parse_rfc3339, rfc3339

pytestmark = pytest.mark.unit


@given(st.integers(min_value=0, max_value=253_402_300_799_999))
def test_what_is_written_is_read_back(ms: int) -> None:
    assert parse_rfc3339(rfc3339(ms)) == ms


@given(st.text(max_size=40))
def test_no_text_breaks_it(text: str) -> None:
    with suppress(ValueError):
        assert parse_rfc3339(text) >= 0


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2030-01-02T03:04:05.678Z", 1_893_553_445_678),
        ("2030-01-02t03:04:05.678999z", 1_893_553_445_678),
        ("2030-01-02T05:04:05.678+02:00", 1_893_553_445_678),
        ("2030-01-01T22:04:05.678-05:00", 1_893_553_445_678),
    ],
)
def test_times_with_their_zones(text: str, ms: int) -> None:
    assert parse_rfc3339(text) == ms


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tomorrow",
        "2030-01-02",
        "2030-01-02T03:04:05",  # whose five o'clock?
        "2030-01-02T03:04Z",
        "2030-01-02 03:04:05Z",
        "2030-13-02T03:04:05Z",
        "2030-02-30T03:04:05Z",
        "2030-01-02T25:04:05Z",
        "2030-01-02T03:04:05+99:00",
        "2030-01-02T03:04:05.Z",
        "2030-W01-1T03:04:05Z",
        "1969-12-31T23:59:59Z",
        "0001-01-01T00:00:00+23:59",
        "٢٠٣٠-01-02T03:04:05Z",
        "1893553445678",
    ],
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="is a time"):
        parse_rfc3339(text)
