"""accepting: what it costs to accept a message, in an empty database and in a full one.

The store alone, on a file in a scratch directory: no browser, no HTTP. Each way in turn on both
databases, so that a busy machine slows both sides.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import shutil
import sqlite3
import tempfile
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from api.accepting import CHUNK
from benchmarks.ballast import fill_rows
from benchmarks.rows import Bar, Options, Row
from storage.acceptance import RequestKey
from storage.messages import NewOutbound
from storage.sqlite import open_store
from storage.tenants import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from storage.sqlite import SqliteStore

ROWS: Final = 1_000_000
ROUNDS: Final = 300
CHATS: Final = 50
BAR: Final = Bar(relation="<", limit=3.0)
"""Milliseconds for one message."""


def run(options: Options) -> list[Row]:
    with empty_and_full() as (empty, full):
        found = asyncio.run(_measure(empty, full, options.runs_or(ROUNDS)))
        with closing(sqlite3.connect(full)) as connection:
            [(rows,)] = connection.execute("SELECT count(*) FROM messages")
    return _rows(found, rows)


@contextmanager
def empty_and_full() -> Iterator[tuple[Path, Path]]:
    """Give two databases with one session each; one holds ROWS messages and events besides."""
    with tempfile.TemporaryDirectory(prefix="wafleet-rows-") as directory:
        empty, full = Path(directory) / "empty.db", Path(directory) / "full.db"
        asyncio.run(_make(empty))
        shutil.copy(empty, full)
        fill_rows(full, ROWS)
        yield empty, full


async def _make(path: Path) -> None:
    async with open_store(path) as store:
        home = (await store.workspace_named(DEFAULT)).id
        await store.create_session(home, "sender", 1)


async def _measure(empty: Path, full: Path, rounds: int) -> dict[tuple[str, str], list[float]]:
    found: dict[tuple[str, str], list[float]] = {}
    async with open_store(empty) as one, open_store(full) as other:
        for number in range(rounds):
            for name, store in (("empty", one), ("full", other)):
                home = (await store.workspace_named(DEFAULT)).id
                session = (await store.session_named(home, "sender")).id
                for way, call in WAYS.items():
                    began = time.perf_counter()
                    await call(store, home, session, number)
                    found.setdefault((way, name), []).append(1000 * (time.perf_counter() - began))
    return found


def _new(session: str, number: int) -> NewOutbound:
    return NewOutbound(
        session_id=session,
        chat=f"1555010{number % CHATS:04}@c.us",
        wa_id=f"3EB0{secrets.token_hex(9).upper()}",
        body="x" * 200,
        now_ms=time.time_ns() // 1_000_000,
    )


async def _one(store: SqliteStore, home: str, session: str, number: int) -> None:
    await store.accept_messages(home, session, {0: _new(session, number)})


async def _keyed(store: SqliteStore, home: str, session: str, number: int) -> None:
    name = hashlib.sha256(f"key {number}".encode()).hexdigest()
    key = RequestKey(key_hash=name, body_hash=name, session_status="connected")
    await store.accepted_before(home, session, key)
    await store.accept_messages(home, session, {0: _new(session, number)}, key=key)


async def _chunk(store: SqliteStore, home: str, session: str, number: int) -> None:
    news = {place: _new(session, number + place) for place in range(CHUNK)}
    await store.accept_messages(home, session, news)


WAYS: Final = {"one": _one, "keyed": _keyed, "chunk": _chunk}


def _rows(found: dict[tuple[str, str], list[float]], rows: int) -> list[Row]:
    told = {
        "one": "one message accepted",
        "keyed": "one message accepted under an idempotency key",
        "chunk": f"{CHUNK} messages of a batch accepted, one transaction",
    }
    return [
        Row(
            name=f"accepting.{way}.{name}",
            what=told[way],
            unit="ms",
            samples=tuple(samples),
            bar=None if way == "chunk" else BAR,
            note=f"{rows:,} messages in the database" if name == "full" else "an empty database",
        )
        for (way, name), samples in sorted(found.items())
    ]
