"""`wafleet doctor` as a program: its table, its JSON, its exit code; beside a running node."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.conftest import Node, connect
from tests.acceptance.test_admin_programs import wafleet
from tests.integration.doctor_support import CHECKS
from tests.waiting import PROGRAM, eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from supervisor.processes import SimulatorPlace

pytestmark = pytest.mark.acceptance

LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (1000, 1000))
os.execv(sys.executable, [sys.executable, "-m", "supervisor", *sys.argv[1:]])
"""


def findings(text: str) -> dict[str, list[dict[str, str]]]:
    """Return the findings of a report by check."""
    report: dict[str, Any] = json.loads(text)
    found: dict[str, list[dict[str, str]]] = {}
    for finding in report["findings"]:
        found.setdefault(finding["check"], []).append(finding)
    verdicts = {one["verdict"] for group in found.values() for one in group}
    assert report["verdict"] == ("bad" if "bad" in verdicts else "warning")
    return found


def test_a_table_for_people_and_json_for_machines(tmp_path: Path) -> None:
    data = tmp_path / "data"
    wafleet(data, "migrate", "up")
    data.chmod(0o755)  # so that there is a warning on every machine
    table = wafleet(data, "doctor")
    assert (table.returncode, table.stderr) == (0, "")
    assert "chmod 700" in table.stdout
    assert "0 bad, " in table.stdout
    machine = wafleet(data, "doctor", "--json", "--deep")
    assert (machine.returncode, machine.stderr) == (0, "")
    found = findings(machine.stdout)
    assert list(found) == CHECKS
    (data / "sessions").chmod(0o755)
    for options in ([], ["--json"]):
        bad = wafleet(data, "doctor", *options)
        assert bad.returncode == 1
        assert "Traceback" not in bad.stderr


def test_wrong_settings_are_told_and_the_machine_is_looked_at(tmp_path: Path) -> None:
    done = wafleet(tmp_path / "data", "doctor", "--json", WAFLEET_API_PORT="http")
    assert done.returncode == 1
    found = findings(done.stdout)
    assert "WAFLEET_API_PORT is 'http'" in found["settings"][0]["text"]
    assert found["settings"][0]["verdict"] == "bad"
    assert {"descriptors", "memory", "clock_sync", "clock_time"} < set(found)
    assert not (tmp_path / "data").exists()


def test_a_low_limit_of_open_files_is_bad(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, "doctor", "--json"],
        capture_output=True,
        text=True,
        timeout=PROGRAM,
        env={**os.environ, "WAFLEET_DATA_DIR": str(tmp_path / "data")},
        check=False,
    )
    assert done.returncode == 1
    [found] = findings(done.stdout)["descriptors"]
    assert found["verdict"] == "bad"
    assert "1000 files" in found["text"]
    assert "LimitNOFILE=65536" in found["text"]


async def test_beside_a_running_node(make_node: Callable[..., Node], place: SimulatorPlace) -> None:
    """It sees the node, finds nothing bad, opens what was archived, and the node goes on."""
    node = make_node(place, WAFLEET_ARCHIVE_DELAY="0")
    node.start()
    async with node.api() as api:
        await connect(api, "one")
        eventually(lambda: '"session_archived"' in node.log)
        done = wafleet(node.data, "doctor", "--json", "--deep")
        assert (done.returncode, done.stderr) == (0, "")
        found = findings(done.stdout)
        assert list(found) == CHECKS
        assert not [one for group in found.values() for one in group if one["verdict"] == "bad"]
        assert f"(pid {node.program.pid}) runs" in found["node"][0]["text"]
        assert found["descriptors"][0]["text"].startswith("The running node")
        assert found["archives"][0]["text"].startswith("1 archives")
        assert "opens to its end" in found["archives"][0]["text"]
        assert (await api.get("/v1/sessions/one"))["status"] == "connected"
    assert node.program.stop() == 0
    assert not list(node.data.glob("wafleet.db-*")), "the node could fold its log in"
