"""How much longer a message with a file may take."""

from __future__ import annotations

from typing import Any

import pytest

from actors.upload_time import LONGEST_UPLOAD, SLOWEST_UPLOAD, upload_seconds

pytestmark = pytest.mark.unit

KIB, MIB = 1024, 1024 * 1024


@pytest.mark.parametrize(
    ("content", "seconds"),
    [
        ({}, 0),
        ({"size": 64 * MIB}, 0),  # nothing of ours is uploaded
        ({"media": "M"}, 0),
        ({"media": "M", "size": None}, 0),
        ({"media": "M", "size": "9"}, 0),
        ({"media": "M", "size": -1}, 0),
        ({"media": "M", "size": 1}, 1 / SLOWEST_UPLOAD),
        ({"media": "M", "size": 128 * KIB}, 1),
        ({"media": "M", "size": 16 * MIB}, 128),
        ({"media": "M", "size": 64 * MIB}, 512),
        ({"media": "M", "size": 100 * MIB}, 800),  # the largest that can be handed in
        ({"media": "M", "size": 2048 * MIB}, LONGEST_UPLOAD),
    ],
)
def test_the_time_grows_with_the_file_up_to_a_bound(
    content: dict[str, Any], seconds: float
) -> None:
    assert upload_seconds(content) == seconds
