"""What keeps wafleet from starting: an exit code and a sentence that says what to do."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.waiting import PROGRAM

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.conftest import Node

pytestmark = pytest.mark.acceptance


def wafleet(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    return subprocess.run(
        [sys.executable, "-m", "supervisor", *args],
        capture_output=True,
        text=True,
        timeout=PROGRAM,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "WAFLEET_LOG_LEVEL": "error", "COLUMNS": "200", **env},
        check=False,
    )


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("WAFLEET_API_PORT", "99999", ["WAFLEET_API_PORT", "65535"]),
        ("WAFLEET_API_PORT", "http", ["WAFLEET_API_PORT", "65535"]),
        ("WAFLEET_API_KEY", "", ["WAFLEET_API_KEY", "16"]),
        ("WAFLEET_API_KEY", "short", ["WAFLEET_API_KEY", "16"]),
        ("WAFLEET_API_HOST", "0.0.0.0", ["WAFLEET_API_HOST", "api_allow_remote"]),  # noqa: S104
        ("WAFLEET_LOG_LEVEL", "loud", ["WAFLEET_LOG_LEVEL", "warning"]),
        ("WAFLEET_STOP_TIMEOUT", "-1", ["WAFLEET_STOP_TIMEOUT", "600"]),
        ("WAFLEET_API_PROT", "1", ["WAFLEET_API_PROT", "WAFLEET_API_PORT"]),
        ("WAFLEET_TRUSTED_SPKI", "A" * 43 + "=", ["host_resolver_rules"]),
        ("WAFLEET_CONFIG", "/nowhere/wafleet.toml", ["/nowhere/wafleet.toml"]),
    ],
)
def test_a_bad_setting_is_named_with_what_is_allowed(
    tmp_path: Path, variable: str, value: str, words: list[str]
) -> None:
    """Exit code 2; the key as it was written; secrets are not repeated."""
    done = wafleet("run", WAFLEET_DATA_DIR=str(tmp_path / "data"), **{variable: value})
    assert done.returncode == 2, done.stderr
    for word in words:
        assert word.lower() in done.stderr.lower()
    assert "Traceback" not in done.stderr
    assert "short" not in done.stderr.replace("too short", "")
    assert not (tmp_path / "data").exists()


def test_a_missing_chromium_says_which_package_to_install(tmp_path: Path) -> None:
    """Exit code 4, before anything is opened."""
    done = wafleet(
        "run",
        WAFLEET_DATA_DIR=str(tmp_path / "data"),
        WAFLEET_CHROMIUM_PATH=str(tmp_path / "none"),
    )
    assert done.returncode == 4
    assert "chromium-headless-shell" in done.stderr
    assert "[chromium_missing]" in done.stderr
    assert not (tmp_path / "data" / "wafleet.db").exists()


def test_a_missing_bundle_says_make_setup(tmp_path: Path) -> None:
    """Exit code 4."""
    nowhere = str(tmp_path / "none.js")
    done = wafleet("run", WAFLEET_DATA_DIR=str(tmp_path / "data"), WAFLEET_WAJS_BUNDLE=nowhere)
    assert done.returncode == 4
    assert "make setup" in done.stderr
    assert "[bundle_missing]" in done.stderr


@pytest.mark.parametrize("content", [b"this is no database at all" * 100, b"", None])
def test_an_unreadable_database_is_refused_and_left_alone(
    tmp_path: Path, content: bytes | None
) -> None:
    """Exit code 5 for garbage and for a directory; an empty file is simply a new database."""
    data = tmp_path / "data"
    data.mkdir()
    database = data / "wafleet.db"
    if content is None:
        database.mkdir()
    else:
        database.write_bytes(content)
    if content == b"":
        return
    done = wafleet("run", WAFLEET_DATA_DIR=str(data), WAFLEET_API_PORT="0")
    assert done.returncode == 5, done.stderr
    assert "[storage_unusable]" in done.stderr
    assert "Traceback" not in done.stderr
    if content is not None:
        assert database.read_bytes() == content


@pytest.mark.parametrize("content", ["", "short\n"])
def test_an_empty_key_file_is_refused(tmp_path: Path, content: str) -> None:
    """Exit code 2: wafleet never runs without a key."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "api.key").write_text(content)
    done = wafleet("run", WAFLEET_DATA_DIR=str(data), WAFLEET_API_PORT="0")
    assert done.returncode == 2
    assert "[api_key_unusable]" in done.stderr


def test_an_unusable_data_directory_is_named(tmp_path: Path) -> None:
    """Exit code 3 when a file stands where the directory should be."""
    (tmp_path / "data").write_text("a file")
    done = wafleet("run", WAFLEET_DATA_DIR=str(tmp_path / "data"))
    assert done.returncode == 3
    assert "[data_dir_unusable]" in done.stderr


def test_a_second_supervisor_on_the_same_data_directory_is_refused(node: Node) -> None:
    """Exit code 3, with the pid of the first, which goes on."""
    done = wafleet("run", **node.env)
    assert done.returncode == 3
    assert "[data_dir_in_use]" in done.stderr
    assert str(node.program.pid) in done.stderr
    assert node.program.process.poll() is None


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    """Exit code 6; nothing is left half-started."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = wafleet("run", WAFLEET_DATA_DIR=str(tmp_path / "data"), WAFLEET_API_PORT=str(port))
    assert done.returncode == 6
    assert str(port) in done.stderr
    assert "[listen_failed]" in done.stderr


def test_a_limit_of_open_files_that_is_too_low_is_named(tmp_path: Path) -> None:
    """Exit code 8, before anything is opened; what may be raised is raised first."""
    arguments = ["prlimit", "--nofile=200:900", sys.executable, "-m", "supervisor", "run"]
    env = {**os.environ, "WAFLEET_DATA_DIR": str(tmp_path / "data")}
    done = subprocess.run(
        arguments, capture_output=True, text=True, timeout=PROGRAM, env=env, check=False
    )
    assert done.returncode == 8, done.stderr
    assert "limit of 900 open files" in done.stderr
    assert "928" in done.stderr
    assert "[descriptors_too_few]" in done.stderr
    assert not (tmp_path / "data").exists()


def test_the_settings_are_printed_with_secrets_masked(tmp_path: Path) -> None:
    """`python -m supervisor config` tells the value and where it comes from, never the key."""
    file = tmp_path / "wafleet.toml"
    file.write_text('log_level = "warning"\n[api]\nport = 1234\n')
    key = "wsk_canary_0123456789abcdef"
    done = wafleet("config", "--config", str(file), WAFLEET_API_KEY=key, WAFLEET_LAUNCH_SLOTS="7")
    assert done.returncode == 0, done.stderr
    assert key not in done.stdout + done.stderr
    lines = {
        line.split()[0]: line.split()[1:3] for line in done.stdout.splitlines() if line[:1] > " "
    }
    assert lines["api_port"] == ["1234", "file"]
    assert lines["launch_slots"] == ["7", "env"]
    assert lines["qr_codes_per_window"] == ["5", "default"]
    assert lines["api_key"][1] == "env"


def test_no_command_shows_the_help() -> None:
    """A newcomer sees what there is."""
    done = wafleet("--help")
    assert done.returncode == 0
    for command in ("run", "demo", "simulate", "config"):
        assert command in done.stdout
