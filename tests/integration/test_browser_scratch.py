"""TMPDIR's short name: a socket fits below it, and nothing of it outlives its browser for long."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path

import pytest

from actors.browser.scratch import CHROMIUM_ADDS, LONGEST_SOCKET_PATH, PREFIX, Scratch, sweep_links

pytestmark = pytest.mark.integration


def links() -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob(f"{PREFIX}*"))


def deep(tmp_path: Path) -> Path:
    """Return a directory that is too deep for a socket."""
    directory = tmp_path / ("d" * 60) / ("e" * 60)
    directory.mkdir(parents=True)
    return directory


@pytest.mark.parametrize("spare", [0, -1])
def test_a_name_that_fits_is_taken_as_it_is(spare: int) -> None:
    """To the byte: the longest that fits needs no link, one more does."""
    name = Path("/" + "x" * (LONGEST_SOCKET_PATH - CHROMIUM_ADDS - 1 - spare))
    scratch = Scratch(name)
    assert (scratch.path == name) is (spare == 0)
    scratch.close()
    assert links() == []


def test_a_socket_fits_below_the_short_name_of_a_deep_directory(tmp_path: Path) -> None:
    """What Chromium does; the file itself is in the session's own directory."""
    directory = deep(tmp_path)
    with socket.socket(socket.AF_UNIX) as probe, pytest.raises(OSError, match="too long"):
        probe.bind(str(directory / ".org.chromium.Chromium.scoped_dir.XXXXXX"))
    scratch = Scratch(directory)
    with socket.socket(socket.AF_UNIX) as probe:
        probe.bind(str(scratch.path / ".org.chromium.Chromium.scoped_dir.XXXXXX"))
    assert len(list(directory.iterdir())) == 1
    scratch.close()
    scratch.close()
    assert len(list(directory.iterdir())) == 1
    assert links() == []


def test_the_boot_removes_what_a_killed_supervisor_left_and_nothing_else(tmp_path: Path) -> None:
    """Links of another data directory belong to another wafleet."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for root in (ours, theirs):
        root.mkdir()
    Scratch(deep(ours))  # never closed: its supervisor was killed
    other = Scratch(deep(theirs))
    assert sweep_links(ours) == 1
    assert sweep_links(ours) == 0
    assert len(links()) == 1
    other.close()
    assert links() == []
