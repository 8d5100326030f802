"""The doctor's thresholds as tables: what is good, doubtful, bad, on both sides of every line."""

from __future__ import annotations

import stat
import sys
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.admin.doctor_judge import (
    GIB,
    MIB,
    Finding,
    Verdict,
    judge_descriptors,
    judge_entry,
    judge_inodes,
    judge_memory,
    judge_sandbox,
    judge_space,
    judge_synchronised,
    judge_time,
    size_text,
    worst,
)

pytestmark = pytest.mark.unit

OK, WARNING, BAD = Verdict.OK, Verdict.WARNING, Verdict.BAD
NOW = int(datetime(2026, 6, 1, 12, tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("free", "database", "verdict", "words"),
    [
        (0, 0, BAD, "0 bytes free"),
        (512 * MIB - 1, 0, BAD, "free some now"),
        (512 * MIB, 0, WARNING, "512.0 MiB"),
        (2 * GIB - 1, 0, WARNING, "at least 2.0 GiB"),
        (2 * GIB, 0, OK, "2.0 GiB free"),
        (8 * GIB, 4 * GIB, OK, "8.0 GiB free"),
        (8 * GIB - 1, 4 * GIB, WARNING, "twice the database (4.0 GiB)"),
        (100 * MIB, 4 * GIB, BAD, "100.0 MiB"),
    ],
)
def test_space(free: int, database: int, verdict: Verdict, words: str) -> None:
    found = judge_space(free, database)
    assert (found.check, found.verdict) == ("free_space", verdict)
    assert words in found.text


@pytest.mark.parametrize(
    ("free", "verdict"),
    [(0, BAD), (1_999, BAD), (2_000, WARNING), (19_999, WARNING), (20_000, OK), (None, OK)],
)
def test_inodes(free: int | None, verdict: Verdict) -> None:
    assert judge_inodes(free).verdict is verdict


@pytest.mark.parametrize(
    ("mode", "owner", "secret", "is_directory", "verdict", "words"),
    [
        (0o700, 1000, True, True, None, ""),
        (0o600, 1000, True, False, None, ""),
        (0o400, 1000, True, False, None, ""),
        (0o755, 1000, True, True, BAD, "(mode 0755): chmod 700 it"),
        (0o711, 1000, True, True, BAD, "chmod 700"),
        (0o640, 1000, True, False, BAD, "chmod 600"),
        (0o602, 1000, True, False, BAD, "chmod 600"),
        (0o750, 1000, False, True, WARNING, "chmod 700"),
        (0o700, 1001, False, True, BAD, "belongs to user 1001, and this is user 1000"),
        (0o700, 0, True, True, BAD, "belongs to user 0"),
    ],
)
def test_modes_and_owners(
    mode: int, owner: int, secret: bool, is_directory: bool, verdict: Verdict | None, words: str
) -> None:
    kind = stat.S_IFDIR if is_directory else stat.S_IFREG
    found = judge_entry(
        "/d", mode=kind | mode, owner=owner, me=1000, secret=secret, is_directory=is_directory
    )
    assert (found.verdict if found else None) is verdict
    assert words in (found.text if found else "")


@pytest.mark.parametrize(
    ("soft", "hard", "verdict"),
    [
        (1024, 4095, BAD),
        (4095, 4095, BAD),
        (4096, 4096, WARNING),
        (65_535, 65_535, WARNING),
        (65_536, 65_536, OK),
        (4_096, 65_536, OK),
        (4_095, 65_536, WARNING),
        (1024, sys.maxsize, WARNING),
    ],
)
def test_descriptors(soft: int, hard: int, verdict: Verdict) -> None:
    found = judge_descriptors(soft, hard, "It")
    assert found.verdict is verdict
    assert found.text.startswith(f"It may open {soft} files")
    assert ("LimitNOFILE=65536" in found.text) is (verdict is not OK)


@pytest.mark.parametrize(
    ("available", "verdict", "words"),
    [(0, WARNING, "add memory"), (300 * MIB - 1, WARNING, ""), (300 * MIB, OK, "some 1 browsers")],
)
def test_memory(available: int, verdict: Verdict, words: str) -> None:
    found = judge_memory(available)
    assert found.verdict is verdict
    assert words in found.text


@pytest.mark.parametrize(
    ("root", "off", "obstacles", "verdict", "words"),
    [
        (False, False, [], OK, "Nothing hinders"),
        (True, False, [], WARNING, "user of its own"),
        (True, True, ["x"], WARNING, "user of its own"),
        (False, True, [], WARNING, "chromium_no_sandbox is set"),
        (False, False, ["a is 0", "b is 1"], WARNING, "(a is 0; b is 1)"),
    ],
)
def test_sandbox(root: bool, off: bool, obstacles: list[str], verdict: Verdict, words: str) -> None:
    found = judge_sandbox(root=root, switched_off=off, obstacles=obstacles)
    assert found.verdict is verdict
    assert words in found.text


@pytest.mark.parametrize(
    ("synchronised", "verdict", "words"),
    [(True, OK, "kept"), (False, WARNING, "chrony"), (None, WARNING, "Unknown")],
)
def test_synchronised(synchronised: bool | None, verdict: Verdict, words: str) -> None:
    found = judge_synchronised(synchronised)
    assert found.verdict is verdict
    assert words in found.text


def at(year: int) -> int:
    return int(datetime(year, 6, 1, tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("now", "newest", "verdict", "words"),
    [
        (NOW, None, OK, "2026-06-01 12:00:00 UTC"),
        (NOW, NOW, OK, ""),
        (NOW, NOW - 10**10, OK, ""),
        (NOW, NOW + 5_000, OK, ""),
        (NOW, NOW + 5_001, BAD, "5 seconds behind"),
        (NOW, NOW + 3 * 86_400_000, BAD, "3 days behind"),
        (at(1970), None, BAD, "says 1970"),
        (at(2024), None, BAD, "says 2024"),
        (at(2025), None, OK, ""),
        (at(2100), None, OK, ""),
        (at(2101), at(2026), BAD, "says 2101"),
    ],
)
def test_time(now: int, newest: int | None, verdict: Verdict, words: str) -> None:
    found = judge_time(now, newest)
    assert found.verdict is verdict
    assert words in found.text


@given(st.lists(st.sampled_from(list(Verdict))))
def test_the_worst_decides(verdicts: list[Verdict]) -> None:
    found = worst([Finding("x", verdict, "") for verdict in verdicts])
    assert found is max(verdicts, key=list(Verdict).index, default=OK)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1.0 KiB"), (1536 * MIB, "1.5 GiB")],
)
def test_sizes(count: int, text: str) -> None:
    assert size_text(count) == text
