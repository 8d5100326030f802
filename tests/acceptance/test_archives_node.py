"""Archives through the real program: a lost profile, the wrong key, a kill in the worst moment."""

from __future__ import annotations

import os
import shutil
import signal
import stat
from base64 import b64encode
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil
import pytest

from benchmarks.families import lives
from supervisor.processes import ProgramFailed
from tests.acceptance.conftest import Node, connect
from tests.acceptance.test_bad_starts import wafleet
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from supervisor.processes import SimulatorPlace

pytestmark = pytest.mark.acceptance

KEK = f"k1:{b64encode(b'1' * 32).decode()}"
OTHER_KEK = f"k1:{b64encode(b'2' * 32).decode()}"
MANY = 30_000
"""Files that make a copy long enough to be killed in the middle of it."""


def archives(node: Node) -> list[Path]:
    return sorted(node.data.glob("archives/*/*/*.wfa"))


def profile(node: Node) -> Path:
    (found,) = node.data.glob("sessions/*/profile")
    return found


async def test_a_node_archives_by_itself_and_restores_what_was_lost(
    make_node: Callable[..., Node], place: SimulatorPlace
) -> None:
    """Connected, archived after the delay, stopped, the profile lost, started: no QR code."""
    node = make_node(place, WAFLEET_ARCHIVE_DELAY="0")
    node.start()
    async with node.api() as api:
        await connect(api, "one")
        eventually(lambda: archives(node))
        eventually(lambda: '"session_archived"' in node.log)
    node.program.stop()
    kek = node.data / "keys" / "kek"
    assert stat.S_IMODE(kek.stat().st_mode) == 0o600
    shutil.rmtree(profile(node))
    told = len(node.log)
    node.start()
    async with node.api() as api:
        await api.session_becomes("one", "connected", "ready")
        since = node.log[told:]
        assert '"profile_restored"' in since
        assert '"qr_scanning"' not in since
        metrics = await api.text("/metrics")
        assert 'wafleet_archives_total{result="restored"} 1.0' in metrics
    assert kek.read_text().split(":")[1].strip() not in node.log
    node.program.stop()


async def test_a_node_killed_in_the_middle_of_a_freeze_leaves_no_stopped_browser(
    make_node: Callable[..., Node], place: SimulatorPlace
) -> None:
    """The next start kills the frozen browser, removes the plain copy, and connects."""
    node = make_node(place, WAFLEET_ARCHIVE_DELAY="0", WAFLEET_ARCHIVE_INTERVAL="1")
    node.start()
    async with node.api() as api:
        await connect(api, "one")
        eventually(lambda: archives(node))
        ballast = profile(node) / "Default" / "ballast"
        ballast.mkdir()
        for number in range(MANY):
            (ballast / str(number)).touch()
        (browser,) = node.browsers()
        copy = profile(node).with_name("copy") / "Default" / "ballast"
        eventually(lambda: browser.status() == psutil.STATUS_STOPPED and copy.exists())
        node.program.kill()
    try:
        assert browser.status() == psutil.STATUS_STOPPED
        assert copy.exists()
        shutil.rmtree(ballast)
        node.start(WAFLEET_ARCHIVE_DELAY="3600")
        assert not lives(browser)
    except BaseException:
        with suppress(ProcessLookupError):  # what was to be proved gone must not stay
            os.killpg(browser.pid, signal.SIGKILL)
        raise
    async with node.api() as api:
        await api.session_becomes("one", "connected", "ready")
        assert len(node.browsers()) == 1
        assert not list(node.data.glob("sessions/*/copy"))
    node.program.stop()


async def test_the_wrong_key_is_refused_at_the_start(
    make_node: Callable[..., Node], place: SimulatorPlace
) -> None:
    """Exit code 7 and a sentence; the right key goes on as if nothing had been."""
    node = make_node(place, WAFLEET_KEK=KEK)
    node.start()
    node.program.stop()
    with pytest.raises(ProgramFailed, match=r"exit code 7.*key_wrong.*kek_unusable"):
        node.start(WAFLEET_KEK=OTHER_KEK)
    node.start()
    node.program.stop()
    assert not (node.data / "keys" / "kek").exists()
    assert KEK.split(":")[1] not in node.log


@pytest.mark.parametrize("kek", ["k1:short", "short", ""])
def test_a_malformed_key_is_refused(tmp_path: Path, kek: str) -> None:
    """Before the database is opened, and without repeating it."""
    done = wafleet("run", WAFLEET_DATA_DIR=str(tmp_path / "data"), WAFLEET_KEK=kek)
    assert done.returncode == 7
    assert "[keyring_unusable]" in done.stderr
    assert "Traceback" not in done.stderr
    assert "short" not in done.stderr.replace("too short", "")
    assert not (tmp_path / "data" / "wafleet.db").exists()


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """Exit code 7; the sentence names the file and its mode."""
    kek = tmp_path / "kek"
    kek.write_text(KEK)
    os.chmod(kek, 0o644)  # noqa: PTH101 - the mode is the point
    done = wafleet("run", WAFLEET_DATA_DIR=str(tmp_path / "data"), WAFLEET_KEK_FILE=str(kek))
    assert done.returncode == 7
    assert "0644" in done.stderr
    assert "[kek_unusable]" in done.stderr
