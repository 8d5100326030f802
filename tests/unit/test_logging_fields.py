"""Every field that our code logs is on the allow-list: otherwise its value never shows."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from config.redaction import ALLOWED

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.unit

REPOSITORY = Path(__file__).resolve().parents[2]
ROOMS = ("actors", "api", "config", "storage", "supervisor")
LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log", "bind"}
BINDERS = {"bind_contextvars", "bound_contextvars"}


def logged_fields(source: str) -> Iterator[tuple[int, str]]:
    """Yield (line, field) for every keyword in a call like log.info(…) or bind_contextvars(…)."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        match node.func:
            case ast.Attribute(value=ast.Name(id="log"), attr=name) if name in LEVELS:
                pass
            case ast.IfExp():  # (log.debug if quiet else log.info)(…)
                pass
            case ast.Attribute(attr=name) if name in BINDERS:
                pass
            case _:
                continue
        yield from ((node.lineno, word.arg or "**") for word in node.keywords)


def test_every_logged_field_is_listed() -> None:
    known = ALLOWED | {"exc_info"}
    unlisted = [
        f"{path.relative_to(REPOSITORY)}:{line} {field}"
        for room in ROOMS
        for path in sorted((REPOSITORY / room).rglob("*.py"))
        for line, field in logged_fields(path.read_text("utf-8"))
        if field not in known
    ]
    assert not unlisted, "add them to config/redaction.py if their values may be shown"


def test_the_search_finds_fields() -> None:
    source = "log.info('x', body=1)\n(log.a if q else log.b)('x', c=2)\nbind_contextvars(d=3)\n"
    source += "structlog.contextvars.bind_contextvars(e=4)\nprint(f=5)\n"
    assert {field for _, field in logged_fields(source)} == {"body", "c", "e"}
