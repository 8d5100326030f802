"""No file of code has 400 lines or more: one that outgrows that has two jobs (CONTRIBUTING.md)."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

REPOSITORY = Path(__file__).resolve().parents[2]
ROOMS = (
    ".ci",
    "actors",
    "api",
    "benchmarks",
    "config",
    "deploy",
    "simulator",
    "storage",
    "supervisor",
    "tests",
)
LANGUAGES = {"", ".js", ".py", ".sql", ".ts"}
MOST = 399


def test_no_room_is_forgotten() -> None:
    """Every folder that holds a package is looked at."""
    packages = {path.parent.name for path in REPOSITORY.glob("*/__init__.py")}
    assert packages <= set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_no_file_of_code_is_too_long(room: str) -> None:
    """Tests are code, too."""
    files = [
        path
        for path in sorted((REPOSITORY / room).rglob("*"))
        if path.suffix in LANGUAGES and path.is_file() and "__pycache__" not in path.parts
    ]
    assert files, f"{room} holds no code"
    lines = {
        f"{path.relative_to(REPOSITORY)}": len(path.read_text("utf-8").splitlines())
        for path in files
    }
    assert {name: count for name, count in lines.items() if count > MOST} == {}
