"""Locks of others, long writes, cancelled callers and killed processes."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from storage.messages import MessageState, NewOutbound
from storage.sqlite import SqliteStore, open_store
from storage.store import StoreBusy
from tests.integration.tenant_support import home_of
from tests.long_write import a_long_write

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from storage.sqlite.transactions import Transaction

TRANSIENT = ("launching", "stopping")
pytestmark = pytest.mark.integration

NOW = 1_800_000_000_000
BUSY_MS = 300

HOLD_THE_LOCK = """
import sqlite3, sys
other = sqlite3.connect(sys.argv[1], isolation_level=None)
other.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.readline()
other.execute("ROLLBACK")
"""

ACCEPT_FOREVER = """
import asyncio, sys
from pathlib import Path
from storage.sqlite import open_store
from storage.messages import NewOutbound
from tests.integration.outbox_support import claim_next

async def main():
    async with open_store(Path(sys.argv[1])) as store:
        home = (await store.workspace_named("default")).id
        session, _ = await store.create_session(home, "sales", 1)
        number = 0
        while True:
            new = NewOutbound(session_id=session.id, chat=f"{sys.argv[2]}{number}@c.us",
                              wa_id=f"{sys.argv[2]}-{number}", body="x" * 100, now_ms=1)
            row = await store.accept_message(home, new)
            print("accepted", row.id, flush=True)
            if number % 3 == 0:
                claimed = await claim_next(store, session.id, 2)
                print("claimed", claimed.id, flush=True)
            number += 1

asyncio.run(main())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "wafleet.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    async with open_store(path, busy_timeout_ms=BUSY_MS) as opened:
        yield opened


@pytest.fixture
async def home(store: SqliteStore) -> str:
    return await home_of(store)


@contextmanager
def lock_held_by_another_process(path: Path) -> Iterator[subprocess.Popen[str]]:
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD_THE_LOCK, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        yield other
    finally:
        other.communicate("done\n", timeout=30)


async def test_a_foreign_lock_is_reported_in_time_and_then_forgotten(
    path: Path, store: SqliteStore, home: str
) -> None:
    session, _ = await store.create_session(home, "sales", NOW)
    with lock_held_by_another_process(path):
        begun = time.monotonic()
        with pytest.raises(StoreBusy) as caught:
            await store.create_session(home, "support", NOW)
        waited = time.monotonic() - begun
        assert BUSY_MS / 1000 * 0.9 <= waited < BUSY_MS / 1000 + 1
        assert caught.value.code == "storage_busy"
        assert await store.sessions(home) == [session], "reading goes on"
        async with open_store(path, busy_timeout_ms=BUSY_MS) as second:
            await second.ping()  # a program that only reads can even start
    _, made = await store.create_session(home, "support", NOW)
    assert made


async def test_calls_that_queue_up_share_one_wait(
    path: Path, store: SqliteStore, home: str
) -> None:
    with lock_held_by_another_process(path):
        begun = time.monotonic()
        answers = await asyncio.gather(
            *(store.create_session(home, f"s{number}", NOW) for number in range(20)),
            return_exceptions=True,
        )
        assert all(isinstance(answer, StoreBusy) for answer in answers)
        assert time.monotonic() - begun < 2 * BUSY_MS / 1000 + 1, "not 20 time-outs in a row"
    timeout = await store._connections.write(lambda tx: tx.all("PRAGMA busy_timeout"))
    assert timeout == [(BUSY_MS,)]


async def test_a_killed_lock_holder_frees_the_lock(
    path: Path, store: SqliteStore, home: str
) -> None:
    with lock_held_by_another_process(path) as other:
        waiting = asyncio.create_task(store.create_session(home, "sales", NOW))
        other.kill()
        assert (await waiting)[1]


async def test_reads_do_not_wait_for_a_long_write(store: SqliteStore, home: str) -> None:
    session, _ = await store.create_session(home, "sales", NOW)
    async with a_long_write(store, "UPDATE whatsapp_sessions SET reason = 'half'"):
        async with asyncio.timeout(5):
            assert await store.sessions(home) == [session], "and see only what is committed"
            await store.ping()
    assert (await store.session(home, session.id)).reason == "half"


async def test_an_error_inside_a_transaction_undoes_it(store: SqliteStore, home: str) -> None:
    session, _ = await store.create_session(home, "sales", NOW)

    async def fail_half_way(tx: Transaction) -> None:
        await tx.change("UPDATE whatsapp_sessions SET reason = 'half'")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await store._connections.write(fail_half_way)
    assert await store.session(home, session.id) == session


@pytest.mark.parametrize("again", [False, True], ids=["once", "and_ever_again"])
async def test_a_cancelled_caller_leaves_all_or_nothing(
    store: SqliteStore, home: str, again: bool
) -> None:
    """Cancel while each statement of the transaction runs; the next write must always work."""
    session, _ = await store.create_session(home, "sales", NOW)
    loop = asyncio.get_running_loop()
    writer = store._connections._writer
    outcomes = []
    statements: list[str] = []
    for wa_id in ("first", "second"):  # the first of a chat has to make the chat too
        statements.clear()
        new = NewOutbound(session_id=session.id, chat="1@c.us", wa_id=wa_id, body="x", now_ms=NOW)
        await writer.set_trace_callback(statements.append)
        await store.accept_message(home, new)
    await writer.set_trace_callback(None)  # type: ignore[arg-type]
    commit = statements.index("COMMIT") + 1
    for nth in range(1, commit + 3):
        new = NewOutbound(
            session_id=session.id, chat="1@c.us", wa_id=f"A{nth}", body="x", now_ms=NOW
        )
        call = asyncio.create_task(store.accept_message(home, new))
        seen = itertools.count(1)

        def watch(
            _: str,
            call: asyncio.Task[object] = call,
            nth: int = nth,
            seen: Iterator[int] = seen,
        ) -> None:
            number = next(seen)
            if number == nth or (again and number > nth):
                cancelled = threading.Event()
                loop.call_soon_threadsafe(call.cancel)
                loop.call_soon_threadsafe(cancelled.set)
                cancelled.wait(60)

        await writer.set_trace_callback(watch)
        [answer] = await asyncio.gather(call, return_exceptions=True)
        await writer.set_trace_callback(None)  # type: ignore[arg-type]
        assert not isinstance(answer, Exception), answer
        after, made = await store.create_session(home, f"s{nth}", NOW)
        assert made
        assert (await store.session(home, after.id)) == after
        stored = {row.wa_id for row in await store.messages(home, session.id)}
        outcomes.append((isinstance(answer, asyncio.CancelledError), new.wa_id in stored))
    assert commit > 5
    assert outcomes[0] == (True, False), "BEGIN: its turn has not come"
    assert outcomes[1:commit] == [(True, True)] * (commit - 1), "its turn goes on to COMMIT"
    assert outcomes[commit:] == [(False, True)] * 2, "there is no further statement"


async def test_a_call_cancelled_while_it_waits_takes_no_turn(store: SqliteStore, home: str) -> None:
    async with a_long_write(store):
        waiting = [asyncio.create_task(store.create_session(home, f"s{n}", NOW)) for n in range(4)]
        await asyncio.sleep(0)
        for call in waiting[::2]:
            call.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert [row.name for row in await store.sessions(home)] == ["s1", "s3"]


async def test_writes_take_their_turn_in_order(store: SqliteStore, home: str) -> None:
    rows = await asyncio.gather(*(store.create_session(home, f"s{n:02}", NOW) for n in range(50)))
    assert [row.name for row, _ in rows] == [row.name for row in await store.sessions(home)]


def announced_until_killed(path: Path, life: int) -> list[list[str]]:
    """Run the worker, kill it after some of its lines, and return all of them as words."""
    worker = subprocess.Popen(
        [sys.executable, "-c", ACCEPT_FOREVER, str(path), str(life)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdout is not None
    lines = [worker.stdout.readline() for _ in range(20 + 17 * life)]  # elsewhere each time
    os.kill(worker.pid, signal.SIGKILL)
    lines += worker.stdout.readlines()  # not communicate(): it misses what was read ahead
    worker.stdout.close()
    assert worker.wait(timeout=30) == -signal.SIGKILL
    return [line.split() for line in lines if line.endswith("\n")]


async def test_what_was_acknowledged_survives_sigkill(path: Path) -> None:
    """Kill a busy process again and again: every message whose accept returned is there."""
    promised: set[str] = set()
    claimed: set[str] = set()
    for life in range(6):
        for verb, message_id in await asyncio.to_thread(announced_until_killed, path, life):
            (promised if verb == "accepted" else claimed).add(message_id)
        async with open_store(path) as store:
            home = await home_of(store)
            [session] = await store.sessions(home)
            rows = await store.messages(home, session.id, limit=100_000)
            stored = {row.id: row for row in rows}
            assert promised <= stored.keys()
            assert len(stored) <= len(promised) + life + 1, "at most the last one unannounced"
            assert all(stored[i].state is not MessageState.ACCEPTED for i in claimed)
            await store.settle_after_boot("supervisor_died", TRANSIENT, NOW)
            assert {row.id for row in await store.unknown_messages(session.id, 100_000)} >= claimed
    with closing(sqlite3.connect(path)) as plain:
        assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert plain.execute("PRAGMA foreign_key_check").fetchall() == []
