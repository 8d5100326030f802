"""A few administration commands as programs: output, exit codes, sentences."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from supervisor.datadir import DataDir
from tests.waiting import PROGRAM, eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.conftest import Node

pytestmark = pytest.mark.acceptance


def wafleet(data: Path, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    return subprocess.run(
        [sys.executable, "-m", "supervisor", *args],
        capture_output=True,
        text=True,
        timeout=PROGRAM,
        stdin=subprocess.DEVNULL,
        env={
            **os.environ,
            "WAFLEET_LOG_LEVEL": "error",
            "COLUMNS": "200",
            "WAFLEET_DATA_DIR": str(data),
            **env,
        },
        check=False,
    )


def test_from_an_empty_directory_to_a_key(tmp_path: Path) -> None:
    data = tmp_path / "data"
    missing = wafleet(data, "workspaces", "list")
    assert missing.returncode == 5
    assert "[database_missing]" in missing.stderr
    assert "migrate up" in missing.stderr

    assert "0003_workspaces" in wafleet(data, "migrate", "up").stdout
    assert "pending" not in wafleet(data, "migrate", "status").stdout
    assert wafleet(data, "migrate", "verify").returncode == 0
    assert wafleet(data, "workspaces", "create", "acme").returncode == 0
    taken = wafleet(data, "workspaces", "create", "acme")
    assert (taken.returncode, "[name_taken]" in taken.stderr) == (1, True)
    made = wafleet(data, "keys", "create", "--workspace", "acme", "--scopes", "all")
    assert re.fullmatch(r"wsk_live_[0-9A-Za-z]{8}_[0-9A-Za-z]{49}\n", made.stdout)
    listed = wafleet(data, "keys", "list", "--workspace", "acme").stdout
    key_id = made.stdout.split("_")[2]
    assert key_id in listed
    assert made.stdout.strip()[-49:] not in listed
    assert wafleet(data, "keys", "revoke", key_id, "--workspace", "acme").returncode == 0
    assert "revoked" in wafleet(data, "keys", "list", "--workspace", "acme").stdout
    wrong = wafleet(data, "keys", "create", "--workspace", "acme", "--scopes", "root")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "session:read" in wrong.stderr
    heads = tmp_path / "heads.json"
    assert wafleet(data, "audit", "verify", "--note", str(heads)).returncode == 0
    assert json.loads(heads.read_text())
    assert wafleet(data, "audit", "verify", "--noted", str(heads)).returncode == 0
    for done in (missing, taken, wrong):
        assert "Traceback" not in done.stderr


def test_an_import_shows_first_and_then_moves(tmp_path: Path) -> None:
    data, export = tmp_path / "data", tmp_path / "workspaces.json"
    row: dict[str, Any] = {
        "id": 1,
        "name": "acme",
        "metadata": {
            "whatsapp_phone_number_id": "1001",
            "whatsapp_access_token": "EAAG-canary-token",
        },
    }
    export.write_text(json.dumps([row, {"id": 2, "name": "\x1b[31mred", "metadata": "{"}]))
    before = export.read_bytes()
    wafleet(data, "migrate", "up")
    dry = wafleet(data, "import-meta", str(export))
    assert "would_move" in dry.stdout
    assert not (data / "keys").exists()
    for _ in range(2):
        done = wafleet(data, "import-meta", str(export), "--apply")
        assert done.returncode == 1  # the second row's metadata can't be read
        assert "metadata_unreadable" in done.stdout
        assert "canary" not in done.stdout + done.stderr
        assert "\x1b[31m" not in done.stdout
    assert "already_there" in done.stdout
    assert export.read_bytes() == before
    assert "EAAG" not in (data / "wafleet.db").read_bytes().decode("latin-1")
    rotated = wafleet(data, "keys", "rotate")
    assert (rotated.returncode, "1 access tokens" in rotated.stdout) == (0, True)
    assert "0 media files" in rotated.stdout
    (data / "keys" / "kek").chmod(0o644)
    open_to_all = wafleet(data, "keys", "rotate")
    assert open_to_all.returncode == 7
    assert "0600" in open_to_all.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("migrate", "up"),
        ("migrate", "down", "--yes"),
        ("keys", "rotate"),
        ("import-meta", "--apply", "EXPORT"),
    ],
)
def test_what_needs_a_stopped_node_says_so(tmp_path: Path, command: tuple[str, ...]) -> None:
    data, export = tmp_path / "data", tmp_path / "export.json"
    export.write_text("[]")
    wafleet(data, "migrate", "up")
    before = sorted(path.name for path in data.iterdir())
    with DataDir(data).owned():
        refused = wafleet(data, *[a.replace("EXPORT", str(export)) for a in command])
    assert refused.returncode == 3
    assert "[data_dir_in_use]" in refused.stderr
    assert "stop that one" in refused.stderr
    assert sorted(path.name for path in data.iterdir()) == before


def _status(url: str, key: str) -> int:
    request = urllib.request.Request(  # noqa: S310 - the node's own address
        f"{url}/v1/sessions", headers={"Authorization": f"Bearer {key}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_keys_are_made_and_revoked_beside_a_running_node(node: Node) -> None:
    """A revoked one is refused within the five seconds for which keys are remembered."""
    url = node.program.ready["url"]
    wafleet(node.data, "workspaces", "create", "acme")
    made = wafleet(node.data, "keys", "create", "--workspace", "acme", "--scopes", "session:read")
    key = made.stdout.strip()
    assert _status(url, key) == 200
    revoked = wafleet(node.data, "keys", "revoke", key.split("_")[2], "--workspace", "acme")
    assert revoked.returncode == 0
    eventually(lambda: _status(url, key) == 401, within=10)
    assert wafleet(node.data, "audit", "verify").returncode == 0
    assert key not in node.log
    assert wafleet(node.data, "migrate", "down", "--yes").returncode == 3


def test_taking_back_asks_first(tmp_path: Path) -> None:
    data = tmp_path / "data"
    wafleet(data, "migrate", "up")
    asked = wafleet(data, "migrate", "down")
    assert asked.returncode == 1
    assert "backup" in asked.stdout + asked.stderr
    assert "pending" not in wafleet(data, "migrate", "status").stdout
    assert wafleet(data, "migrate", "down", "--yes").returncode == 0
    assert "pending" in wafleet(data, "migrate", "status").stdout
    refused = wafleet(data, "workspaces", "list")
    assert refused.returncode == 5
    assert "[migration_pending]" in refused.stderr
