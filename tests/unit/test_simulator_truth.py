"""The truth log: order, filters, the file, and waiting for what is not there yet."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import TYPE_CHECKING

import pytest

from simulator.clock import Clock
from simulator.truth import TruthLog

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.unit


def log(path: Path | None = None, limit: int = 100) -> TruthLog:
    ticks = itertools.count(10)
    return TruthLog(Clock(lambda: 5, lambda: next(ticks)), path, limit)


async def test_entries_are_numbered_and_filtered() -> None:
    truth = log()
    truth.add("ws_open", connection=1, number=None)
    truth.add("login", number="1", device="1:1")
    truth.add("login", number="2", device="2:1")
    assert [e["seq"] for e in truth.read()] == [1, 2, 3]
    assert truth.read(limit=1) == [
        {"seq": 1, "at_ms": 5, "mono_ns": 10, "kind": "ws_open", "connection": 1}
    ]
    assert [e["device"] for e in truth.read(kinds=["login"])] == ["1:1", "2:1"]
    assert [e["seq"] for e in truth.read(after=1, number="2")] == [3]
    assert truth.read(after=3) == truth.read(after=99) == []


async def test_old_entries_go_but_numbers_stay() -> None:
    truth = log(limit=2)
    for _ in range(5):
        truth.add("x")
    assert [e["seq"] for e in truth.read()] == [4, 5]
    assert [e["seq"] for e in truth.read(after=4)] == [5]
    assert [e["seq"] for e in truth.read(after=1)] == [4, 5]
    assert truth.last_seq == 5


async def test_the_file_has_every_entry_at_once(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    truth = log(path, limit=1)
    truth.add("a", text="é")
    truth.add("b")
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [(e["seq"], e["kind"]) for e in lines] == [(1, "a"), (2, "b")]
    assert lines[0]["text"] == "é"
    truth.close()
    truth.close()


async def test_waits_for_growth_with_a_deadline() -> None:
    truth = log()
    await truth.grown(after=0, timeout=0.01)
    waiting = asyncio.create_task(truth.grown(after=1, timeout=5))
    truth.add("a")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not waiting.done()
    truth.add("b")
    await asyncio.wait_for(waiting, 1)
    await asyncio.wait_for(truth.grown(after=0, timeout=5), 1)
